// Bounds what one turn of the event loop reads from connections that are not welcomed yet: few are read at a time, the
// blocks of addresses in rotation. OpenSSL and the parser of HTTP handle all that a read brings in one call that
// nothing interrupts: 64 KiB hold 2,400 key updates, which cost 25 ms, or 11,000 pieces of a body.
import type { Socket } from 'node:net';

/** Of TLS: each of them may bring 25 ms in one turn. */
const TLS_AT_ONCE = 4;
/** Without TLS: each of them may bring 2 ms (shared/gathered-body.ts). Programs on the same host are hardly more. */
export const PLAIN_AT_ONCE = 16;
/** Between two turns: while something arrives; and when nothing has arrived in some of them. */
const SOONEST_MS = 1;
const LATEST_MS = 4;
/** Each connection has a turn within twice this time, however many there are. */
const ROUND_MS = 250;
/** Where all are read anyway, what they sent is only checked. */
const LATEST_OF_FEW_MS = 250;
/** What has sent something, or was accepted, so recently has every second turn of its block. */
const EAGER_MS = 1_000;

/** What Node.js keeps at a socket; that of TLS reads from that of TCP. Without it, all are read at once. */
interface Handle {
  readStart(): number;
  readStop(): number;
}

interface WithHandle {
  readonly _handle?: Handle | null;
}

export interface ReadTurn {
  /**
   * From here Node.js itself starts and stops the reading of this socket, for HTTP and WebSocket: that of TLS when its
   * handshake is done, the carrier itself without TLS.
   */
  serves(socket: Socket): void;
  /** It is welcomed or closed; may be called twice. */
  leave(): void;
}

class Member {
  readonly carrier: Socket;
  readonly check: (() => void) | undefined;
  /** It has its turn. */
  reads = true;
  /** Node.js wants to read. */
  #wants = true;
  readonly #start: (() => number) | undefined;
  readonly #stop: (() => number) | undefined;
  #bytes: number;
  #arrivedAt: number;
  #release = (): void => undefined;

  constructor(carrier: Socket, check: (() => void) | undefined, now: number) {
    this.carrier = carrier;
    this.check = check;
    // Without TLS, those that `hold` replaces.
    const { _handle: handle } = carrier as WithHandle;
    this.#start = handle?.readStart.bind(handle);
    this.#stop = handle?.readStop.bind(handle);
    this.#bytes = carrier.bytesRead;
    this.#arrivedAt = now;
  }

  /** Whether something has arrived since the last call. */
  look(now: number): boolean {
    const before = this.#bytes;
    this.#bytes = this.carrier.bytesRead;
    if (this.#bytes === before) return false;
    this.#arrivedAt = now;
    return true;
  }

  isEager(now: number): boolean {
    return now - this.#arrivedAt < EAGER_MS;
  }

  turn(reads: boolean): void {
    if (this.reads === reads) return;
    this.reads = reads;
    // It is closed.
    if (!(this.carrier as WithHandle)._handle) return;
    if (!reads) this.#stop?.();
    else if (this.#wants) this.#start?.();
  }

  /** Until it leaves, what Node.js starts waits for its turn. */
  hold(socket: Socket): void {
    const { _handle: handle } = socket as WithHandle;
    if (!handle) return;
    const [readStart, readStop] = [handle.readStart.bind(handle), handle.readStop.bind(handle)];
    Object.assign(handle, {
      readStart: () => {
        this.#wants = true;
        return this.reads ? readStart() : 0;
      },
      readStop: () => {
        this.#wants = false;
        return readStop();
      },
    });
    this.#release = () => Object.assign(handle, { readStart, readStop });
  }

  leave(): void {
    this.#release();
    this.turn(true);
  }
}

/** The next one is the first. */
interface Block {
  readonly eager: Set<Member>;
  readonly idle: Set<Member>;
  /** It is their turn, if there are any. */
  idleNext: boolean;
}

interface ReadTurnsOptions {
  readonly atOnce?: number;
  /** Whether one connection of this block may have a turn now; where it may, it has it. */
  readonly mayRead?: (block: string) => boolean;
  readonly now?: () => number;
}

export class ReadTurns {
  readonly #atOnce: number;
  readonly #mayRead: (block: string) => boolean;
  readonly #now: () => number;
  /** The next one is the first. */
  readonly #blocks = new Map<string, Block>();
  #reading = new Set<Member>();
  #size = 0;
  /** Those that are checked after each turn. */
  #checked = 0;
  #timer: NodeJS.Timeout | undefined;
  #waitMs = SOONEST_MS;

  constructor({ atOnce = TLS_AT_ONCE, mayRead = () => true, now = () => performance.now() }: ReadTurnsOptions = {}) {
    this.#atOnce = atOnce;
    this.#mayRead = mayRead;
    this.#now = now;
  }

  /** To be called when a server reads from the carrier. `check` follows each of its turns, and may destroy it. */
  enter(carrier: Socket, name: string, check?: () => void): ReadTurn {
    const member = new Member(carrier, check, this.#now());
    const block = this.#blocks.get(name) ?? { eager: new Set(), idle: new Set(), idleNext: false };
    this.#blocks.set(name, block);
    block.eager.add(member);
    this.#size += 1;
    if (check !== undefined) this.#checked += 1;
    if (this.#reading.size < this.#atOnce) this.#reading.add(member);
    else member.turn(false);
    this.#schedule(SOONEST_MS);
    let isMember = true;
    return {
      serves: (socket) => {
        if (isMember) member.hold(socket);
      },
      leave: () => {
        if (!isMember) return;
        isMember = false;
        if (!block.eager.delete(member)) block.idle.delete(member);
        if (block.eager.size + block.idle.size === 0) this.#blocks.delete(name);
        this.#reading.delete(member);
        this.#size -= 1;
        if (check !== undefined) this.#checked -= 1;
        member.leave();
      },
    };
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#waitMs = ms;
    this.#timer = setTimeout(this.#rotate, ms).unref();
  }

  readonly #rotate = (): void => {
    const now = this.#now();
    let isBusy = false;
    for (const member of this.#reading) {
      isBusy = member.look(now) || isBusy;
      member.check?.();
    }
    const next = this.#next(now);
    for (const member of this.#reading) if (!next.has(member)) member.turn(false);
    for (const member of next) member.turn(true);
    this.#reading = next;
    const isFew = this.#size <= this.#atOnce;
    // All are read, until another one enters.
    if (isFew && this.#checked === 0 && next.size === this.#size) return;
    const latestMs = isFew ? LATEST_OF_FEW_MS : Math.min(LATEST_MS, (ROUND_MS * this.#atOnce) / this.#size);
    this.#schedule(isBusy ? SOONEST_MS : Math.max(SOONEST_MS, Math.min(2 * this.#waitMs, latestMs)));
  };

  /** Those that have the next turn. */
  #next(now: number): Set<Member> {
    const chosen = new Set<Member>();
    // Blocks in a row that have none to add.
    let passed = 0;
    while (chosen.size < this.#atOnce && passed < this.#blocks.size) {
      const [next] = this.#blocks;
      if (next === undefined) break;
      const [name, block] = next;
      this.#blocks.delete(name);
      this.#blocks.set(name, block);
      const member = nextOf(block, chosen);
      if (member === undefined || !this.#mayRead(name)) {
        passed += 1;
        continue;
      }
      passed = 0;
      block.idleNext = block.eager.has(member);
      // Behind the others.
      if (!block.eager.delete(member)) block.idle.delete(member);
      (member.isEager(now) ? block.eager : block.idle).add(member);
      chosen.add(member);
    }
    return chosen;
  }
}

/** One that has no turn yet. Those that have it are the last of their set. */
function nextOf({ eager, idle, idleNext }: Block, chosen: ReadonlySet<Member>): Member | undefined {
  for (const members of idleNext ? [idle, eager] : [eager, idle]) {
    const [member] = members;
    if (member !== undefined && !chosen.has(member)) return member;
  }
  return undefined;
}
