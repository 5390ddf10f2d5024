// Monitors one WebSocket: sends pings periodically, and notices when nothing was received for two and a half periods.
// Both sides run it: a half-open connection is dead for one side only, and a firewall forgets idle connections in
// either direction. It also notices a peer that lives but does not read. It does no work per frame: it compares the
// byte counters of the socket.
import type { Socket } from 'node:net';

/** What it needs of one connection. */
export interface HeartbeatPort {
  /** Sends a WebSocket ping (RFC 6455 section 5.5.2). */
  ping(): void;
  /** Bytes received so far; any growth is a sign of life, also the middle of a long frame on a slow line. */
  bytesRead(): number;
  /** Bytes that wait to be written. */
  bytesWaiting(): number;
  /** Bytes handed to the operating system so far. */
  bytesWritten(): number;
  /** This side itself leaves the socket unread at present: that nothing is heard says nothing about the peer. */
  isPaused?(): boolean;
}

/** What Node keeps of a TCP connection beneath a socket. */
interface TcpHandle {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Of these, what the operating system has not taken yet. */
  readonly writeQueueSize: number;
}

interface PingingSocket {
  ping(): void;
  readonly bufferedAmount: number;
}

/** The port of a WebSocket over the socket (net or TLS) that carries it. `pausable`: the side that reads it. */
export class ConnectionPort implements HeartbeatPort {
  readonly #webSocket: PingingSocket;
  readonly #socket: Socket;
  readonly #pausable: { readonly isPaused: boolean } | undefined;

  constructor(webSocket: PingingSocket, socket: Socket, pausable?: { readonly isPaused: boolean }) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#pausable = pausable;
  }

  ping(): void {
    this.#webSocket.ping();
  }

  bytesRead(): number {
    return tcpHandle(this.#socket)?.bytesRead ?? this.#socket.bytesRead;
  }

  bytesWaiting(): number {
    return this.#webSocket.bufferedAmount;
  }

  bytesWritten(): number {
    const handle = tcpHandle(this.#socket);
    return handle === undefined
      ? this.#socket.bytesWritten - this.#socket.writableLength
      : handle.bytesWritten - handle.writeQueueSize;
  }

  isPaused(): boolean {
    return this.#pausable?.isPaused === true;
  }
}

/**
 * The counters of the TCP connection itself, which no public member shows (tried): `bytesRead` of a TLS socket does not
 * change until a whole record of up to 16 KiB has come, so that a slow line looks dead; `bytesWritten` counts what only
 * waits in memory, so that each ping of ours looks like progress of a peer that reads nothing. Undefined once the
 * socket is gone.
 */
function tcpHandle(socket: Socket): TcpHandle | undefined {
  const { _handle: handle } = socket as {
    readonly _handle?: (Partial<TcpHandle> & { readonly _parent?: Partial<TcpHandle> }) | null;
  };
  const tcp = handle?._parent ?? handle ?? undefined;
  if (
    typeof tcp?.bytesRead !== 'number' ||
    typeof tcp.bytesWritten !== 'number' ||
    typeof tcp.writeQueueSize !== 'number'
  )
    return undefined;
  // Just looked at, member by member.
  return tcp as TcpHandle;
}

export type HeartbeatEnd = { readonly reason: 'silent' | 'not-reading'; readonly seconds: number };

/** Two lost pings and some delay are still life; a third is not. */
const SILENCE_PERIODS = 2.5;

/**
 * Starts at once. Calls `onEnd` once, and stops itself, when nothing was heard for 2.5 periods, or when bytes wait and
 * none could be written for `stalledMs`.
 */
export class Heartbeat {
  readonly #port: HeartbeatPort;
  readonly #periodMs: number;
  readonly #stalledMs: number;
  readonly #onEnd: (end: HeartbeatEnd) => void;
  readonly #timer: NodeJS.Timeout;
  #read: number;
  #heardAt: number;
  #written: number;
  #movedAt: number;
  #pingedAt: number;
  #lookedAt: number;

  constructor(port: HeartbeatPort, periodMs: number, stalledMs: number, onEnd: (end: HeartbeatEnd) => void) {
    this.#port = port;
    this.#periodMs = periodMs;
    this.#stalledMs = stalledMs;
    this.#onEnd = onEnd;
    this.#read = port.bytesRead();
    this.#written = port.bytesWritten();
    this.#heardAt = performance.now();
    this.#movedAt = this.#heardAt;
    this.#pingedAt = this.#heardAt;
    this.#lookedAt = this.#heardAt;
    // Four looks per period: the bound is kept to a quarter of a period, at the cost of two counters. Node.js keeps all
    // timers of one duration in one list with one timer of the operating system.
    this.#timer = setInterval(lookAt, periodMs / 4, this);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** What the timer calls. */
  look(): void {
    const port = this.#port;
    const now = performance.now();
    this.#forgetStandstill(now);
    // A peer that died meanwhile is found within the usual time after the socket is read again.
    if (port.bytesRead() !== this.#read || port.isPaused?.() === true) {
      this.#read = port.bytesRead();
      this.#heardAt = now;
    }
    if (port.bytesWritten() !== this.#written || port.bytesWaiting() === 0) {
      this.#written = port.bytesWritten();
      this.#movedAt = now;
    }
    if (now - this.#heardAt > this.#periodMs * SILENCE_PERIODS) return this.#end('silent', now - this.#heardAt);
    if (now - this.#movedAt > this.#stalledMs) return this.#end('not-reading', now - this.#movedAt);
    if (now - this.#pingedAt >= this.#periodMs * 0.9) {
      this.#pingedAt = now;
      port.ping();
    }
  }

  /**
   * While this process stood still (stopped, frozen, starved, a long turn of its event loop) it read nothing: what came
   * meanwhile waits in its sockets, which are read after the timers. That time says nothing about the peer; counted, it
   * would end all sessions of Central at once, and all agents would dial again.
   */
  #forgetStandstill(now: number): void {
    const everyMs = this.#periodMs / 4;
    const lateMs = now - this.#lookedAt - everyMs;
    this.#lookedAt = now;
    if (lateMs <= everyMs) return;
    this.#heardAt += lateMs;
    this.#movedAt += lateMs;
  }

  #end(reason: HeartbeatEnd['reason'], ms: number): void {
    this.stop();
    this.#onEnd({ reason, seconds: Math.round(ms / 1000) });
  }
}

function lookAt(heartbeat: Heartbeat): void {
  heartbeat.look();
}
