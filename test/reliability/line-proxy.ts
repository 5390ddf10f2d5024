// A line of the tests' own between agents and Central: TCP, understanding nothing of what it carries. It can stall,
// lose, cut, delay and trickle, in both directions or in one. An order holds for the open lines and, unless said
// otherwise, for those that come.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cleanup } from '../flow/processes.ts';

/** As a line treats what enters it in one direction. `up` is from the agent to Central. */
export type Direction = 'up' | 'down';

export interface Manner {
  /**
   * carry: passes on. stall: takes nothing, so that the sender's buffers fill; nothing is lost. lose: takes everything
   * and passes nothing on, not even the end, so that both ends go on believing in the connection.
   */
  readonly kind: 'carry' | 'stall' | 'lose';
  readonly delayMs: number;
  /**
   * Passes on pieces of so many bytes, each `delayMs` after the one before; undefined: whole, each delayed by itself.
   */
  readonly pieceBytes: number | undefined;
}

export const CARRY: Manner = { kind: 'carry', delayMs: 0, pieceBytes: undefined };
export const STALL: Manner = { ...CARRY, kind: 'stall' };
export const LOSE: Manner = { ...CARRY, kind: 'lose' };
/** One byte after the other, some 500 to 900 a second. */
export const TRICKLE: Manner = { ...CARRY, delayMs: 1, pieceBytes: 1 };

const DIRECTIONS: readonly Direction[] = ['up', 'down'];
/** What one direction holds back at most before it takes no more. */
const MAX_HELD_BYTES = 64 * 1024;

interface Held {
  readonly bytes: Buffer;
  readonly at: number;
}

/** One direction of one line. */
class Flow {
  readonly #from: Socket;
  readonly #to: Socket;
  #manner: Manner;
  #held: Held[] = [];
  #heldBytes = 0;
  #ended = false;
  #running = false;

  constructor(from: Socket, to: Socket, manner: Manner, alter: (bytes: Buffer) => Buffer) {
    this.#from = from;
    this.#to = to;
    this.#manner = manner;
    from.on('data', (came: Buffer) => {
      if (this.#manner.kind === 'lose') return;
      const bytes = alter(came);
      this.#held.push({ bytes, at: Date.now() });
      this.#heldBytes += bytes.length;
      this.#go();
    });
    from.on('end', () => {
      this.#ended = true;
      this.#go();
    });
    this.set(manner);
  }

  get losing(): boolean {
    return this.#manner.kind === 'lose';
  }

  set(manner: Manner): void {
    this.#manner = manner;
    if (manner.kind === 'lose') this.#drop();
    this.#go();
  }

  #drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  #go(): void {
    if (this.#manner.kind === 'stall' || this.#heldBytes > MAX_HELD_BYTES) this.#from.pause();
    else this.#from.resume();
    if (this.#running) return;
    this.#running = true;
    void this.#pass().finally(() => (this.#running = false));
  }

  async #pass(): Promise<void> {
    while (this.#manner.kind === 'carry' && !this.#to.destroyed) {
      const first = this.#held[0];
      if (first === undefined) {
        if (this.#ended) this.#to.end();
        return;
      }
      const { delayMs, pieceBytes } = this.#manner;
      const waitMs = pieceBytes === undefined ? first.at + delayMs - Date.now() : delayMs;
      if (waitMs > 0) {
        await delay(waitMs);
        // The manner may have changed meanwhile.
        if (this.#held[0] !== first || this.#manner.kind !== 'carry') continue;
      }
      const piece = first.bytes.subarray(0, pieceBytes ?? first.bytes.length);
      if (piece.length === first.bytes.length) this.#held.shift();
      else this.#held[0] = { bytes: first.bytes.subarray(piece.length), at: first.at };
      this.#heldBytes -= piece.length;
      if (this.#heldBytes <= MAX_HELD_BYTES) this.#from.resume();
      if (!this.#to.write(piece))
        await new Promise<void>((resolve) => {
          const done = (): void => {
            this.#to.off('drain', done).off('close', done);
            resolve();
          };
          this.#to.on('drain', done).on('close', done);
        });
    }
  }
}

interface Line {
  readonly client: Socket;
  readonly server: Socket;
  readonly flows: Readonly<Record<Direction, Flow>>;
}

export class LineProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #lines = new Set<Line>();
  #manners: Record<Direction, Manner> = { up: CARRY, down: CARRY };
  /** What changes the bytes of a direction; of the same length. */
  readonly #alter: Record<Direction, (bytes: Buffer) => Buffer> = { up: (bytes) => bytes, down: (bytes) => bytes };
  /** Lines that were ever opened. */
  opened = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Listens on a free port of loopback and carries what comes to `port`. */
  static async to(port: number, cleanup: Cleanup): Promise<LineProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const proxy = new LineProxy(server, address.port);
    server.on('connection', (client) =>
      proxy.#open(client, connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true })),
    );
    cleanup.add(() => proxy.close());
    return proxy;
  }

  /** How both directions, or one, behave from now on. */
  behave(manner: Manner, directions: readonly Direction[] = DIRECTIONS): void {
    for (const direction of directions) {
      this.#manners = { ...this.#manners, [direction]: manner };
      for (const line of this.#lines) line.flows[direction].set(manner);
    }
  }

  /** The lines that stand lose everything from now on, their end too: half-open. Those that come are whole. */
  loseStanding(directions: readonly Direction[] = DIRECTIONS): void {
    for (const line of this.#lines) for (const direction of directions) line.flows[direction].set(LOSE);
  }

  /** The lines that stand stall in these directions. Those that come are whole. */
  stallStanding(directions: readonly Direction[]): void {
    for (const line of this.#lines) for (const direction of directions) line.flows[direction].set(STALL);
  }

  /**
   * Flips one bit of the next piece of at least `minBytes`: of the byte at `at`, from the end when it is negative.
   * Resolves when it has.
   */
  flipBit(direction: Direction, minBytes: number, at: number): Promise<void> {
    return new Promise((resolve) => {
      this.#alter[direction] = (bytes) => {
        if (bytes.length < minBytes) return bytes;
        this.#alter[direction] = (others) => others;
        const changed = Buffer.from(bytes);
        const place = at < 0 ? changed.length + at : at;
        changed[place] = (changed[place] ?? 0) ^ 1;
        resolve();
        return changed;
      };
    });
  }

  /** Cuts every open line, with whatever is on its way (a reset to both ends). */
  cut(): void {
    for (const { client, server } of this.#lines) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #open(client: Socket, server: Socket): void {
    this.opened += 1;
    const line: Line = {
      client,
      server,
      flows: {
        up: new Flow(client, server, this.#manners.up, (bytes) => this.#alter.up(bytes)),
        down: new Flow(server, client, this.#manners.down, (bytes) => this.#alter.down(bytes)),
      },
    };
    this.#lines.add(line);
    const gone = (own: Direction, other: Socket) => (): void => {
      // A reset goes through as a reset; a line that loses everything loses that too.
      if (!line.flows[own].losing) other.destroy();
      if (client.destroyed && server.destroyed) this.#lines.delete(line);
    };
    client.on('error', () => undefined).on('close', gone('up', server));
    server.on('error', () => undefined).on('close', gone('down', client));
  }
}
