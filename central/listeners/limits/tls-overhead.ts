// Ends TLS connections that send records without data. A KeyUpdate (RFC 8446 section 4.6.3) is 27 bytes on the line and
// has OpenSSL derive keys; neither HTTP nor WebSocket sees it, so that no other bound counts it. Node.js reports none
// of them: the bytes that arrived are compared with those that came out.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** A flood costs the whole event loop until it is seen. */
const CHECK_MS = 250;
/** A record with one byte of data has 23 bytes, in TLS 1.2 30 (RFC 8446 section 5.2, RFC 5288 section 3). */
const LINE_BYTES_PER_BYTE = 32;
/** Some hundred key updates; a client sends one after many gigabytes. */
const FREE_BYTES = 16 * 1024;
/** For so long after a flood, TLS handshakes of its address begin one after another, so far apart. */
const SLOW_MS = 10_000;
const APART_MS = 1_000;

interface Watched {
  /** Under TLS. */
  readonly carrier: Socket;
  readonly tls: TLSSocket;
  /** What the handshake took. */
  readonly handshakeBytes: number;
  readonly onFlood: (bytes: number) => void;
}

interface Slow {
  readonly until: number;
  /** The next handshake, and the next turn of one that is open. */
  nextAt: number;
  nextReadAt: number;
}

export class TlsOverhead {
  readonly #now: () => number;
  readonly #watched = new Set<Watched>();
  /** Blocks of addresses. */
  readonly #slow = new Map<string, Slow>();
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * To be called when the handshake is done. A flood ends the connection, once `onFlood` was called. What is returned
   * looks for one at once.
   */
  watch(carrier: Socket, tls: TLSSocket, onFlood: (bytes: number) => void): () => void {
    const watched = { carrier, tls, handshakeBytes: carrier.bytesRead, onFlood };
    this.#watched.add(watched);
    carrier.once('close', () => this.#forget(watched));
    this.#timer ??= setInterval(() => this.#checkAll(), CHECK_MS).unref();
    return () => this.#check(watched);
  }

  /** The block has sent a flood. */
  slowDown(block: string): void {
    const now = this.#now();
    for (const [known, { until }] of this.#slow) if (until <= now) this.#slow.delete(known);
    const { nextAt = now, nextReadAt = now + APART_MS } = this.#slow.get(block) ?? {};
    this.#slow.set(block, { until: now + SLOW_MS, nextAt, nextReadAt });
  }

  /** How long the next TLS handshake of the block has to wait; call it once for each. */
  delayOf(block: string): number {
    const slow = this.#slow.get(block);
    const now = this.#now();
    if (slow === undefined || slow.until <= now) return 0;
    slow.nextAt = Math.max(slow.nextAt, now) + APART_MS;
    return slow.nextAt - now;
  }

  /** Whether a connection of the block that is not welcomed yet may be read now; if so, the next one waits. */
  mayRead(block: string): boolean {
    const slow = this.#slow.get(block);
    const now = this.#now();
    if (slow === undefined || slow.until <= now) return true;
    if (slow.nextReadAt > now) return false;
    slow.nextReadAt = now + APART_MS;
    return true;
  }

  #checkAll(): void {
    for (const watched of this.#watched) this.#check(watched);
  }

  #check(watched: Watched): void {
    const { carrier, tls, handshakeBytes, onFlood } = watched;
    const bytes = carrier.bytesRead - handshakeBytes - LINE_BYTES_PER_BYTE * tls.bytesRead;
    if (bytes <= FREE_BYTES || !this.#watched.has(watched)) return;
    this.#forget(watched);
    onFlood(bytes);
    carrier.destroy();
  }

  #forget(watched: Watched): void {
    this.#watched.delete(watched);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
