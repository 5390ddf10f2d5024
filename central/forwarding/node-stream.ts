// One stream between two nodes, in the bodies of a request and its answer: frames of `u8 type | u32 length | payload`.
//
//   OPEN    JSON: which agent, for whom, and the OPEN of the agent's stream; the first frame of the request
//   OPENED  empty: the agent's session has the stream; the first frame of the answer, or else RESET
//   HEAD    JSON: what the agent has answered
//   DATA    bytes, in both directions
//   RESET   the code: nothing more from this side, and nothing more is wanted
//
// The end of a body is the end of its direction. A body that is cut is the loss of the other node.
import { Duplex, type Readable, type Writable } from 'node:stream';
import { StreamReset } from '../../shared/session/streams/stream.ts';

const NODE_FRAME = { open: 1, opened: 2, head: 3, data: 4, reset: 5 } as const;
type FrameType = (typeof NODE_FRAME)[keyof typeof NODE_FRAME];

const HEAD_BYTES = 5;
const MAX_DATA_BYTES = 64 * 1024;
/** The OPEN of an agent's stream has 16 KiB, as its HEAD. */
const MAX_BYTES: Readonly<Record<FrameType, number>> = {
  [NODE_FRAME.open]: 24 * 1024,
  [NODE_FRAME.opened]: 0,
  [NODE_FRAME.head]: 16 * 1024,
  [NODE_FRAME.data]: MAX_DATA_BYTES,
  [NODE_FRAME.reset]: 64,
};
const CODE = /^[a-z0-9_]{1,64}$/;
/** So long the rest of a stream that was given up may take; then its connection is cut. */
const RESET_GRACE_MS = 2_000;

/** The code of a stream whose other node is lost, or says what no node says. */
export const NODE_LOST = 'node_lost';

interface NodeStreamOptions {
  /** The body that is written. */
  readonly output: Writable;
  /** Ends the connection. */
  readonly cut: () => void;
}

/** Emits `open`, `opened` and `head` with what came, before its data. */
export class NodeStream extends Duplex {
  readonly #output: Writable;
  readonly #cut: () => void;
  #input: Readable | undefined;
  /** The beginning of a frame. */
  #partial: Buffer = Buffer.alloc(0);
  #onDrain: (() => void) | undefined;
  #inputHasEnded = false;
  /** Who has opened it listens from the next turn on: what came together with OPENED waits for that. */
  #isParked = false;
  #wasReset = false;
  /** What the other node hears when this one gives up. */
  #code = 'canceled';

  constructor({ output, cut }: NodeStreamOptions) {
    super({ readableHighWaterMark: MAX_DATA_BYTES, writableHighWaterMark: MAX_DATA_BYTES, allowHalfOpen: true });
    this.#output = output;
    this.#cut = cut;
    // Its user hears of the end by `close` as well.
    this.on('error', () => undefined);
    output.on('error', () => this.#lose());
    output.on('drain', () => this.#goOn());
    output.once('close', () => output.writableFinished || this.#lose());
  }

  /** The body of the other node, as soon as it is there. */
  from(input: Readable): void {
    this.#input = input;
    input.on('data', (chunk: Buffer) => this.#receive(chunk));
    input.once('end', () => {
      this.#inputHasEnded = true;
      if (this.#partial.length > 0) this.#lose();
      else if (!this.destroyed) this.push(null);
    });
    input.on('error', () => this.#lose());
    input.once('close', () => this.#inputHasEnded || this.#lose());
  }

  /** False: it is larger than such a frame may be. */
  sendOpen(order: object): boolean {
    return this.#send(NODE_FRAME.open, Buffer.from(JSON.stringify(order)));
  }

  sendOpened(): void {
    this.#send(NODE_FRAME.opened, Buffer.alloc(0));
  }

  sendHead(head: object): boolean {
    return this.#send(NODE_FRAME.head, Buffer.from(JSON.stringify(head)));
  }

  /** Ends it at once, in both directions; the other node hears the code. */
  reset(code: string, error?: Error): void {
    this.#code = code;
    this.destroy(error);
  }

  override _read(): void {
    if (!this.#isParked) this.#input?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    let isTaken = true;
    for (let offset = 0; offset < chunk.length; offset += MAX_DATA_BYTES)
      isTaken = this.#output.write(frameOf(NODE_FRAME.data, chunk.subarray(offset, offset + MAX_DATA_BYTES)));
    if (isTaken) done();
    else this.#onDrain = done;
  }

  override _final(done: () => void): void {
    this.#output.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#partial = Buffer.alloc(0);
    this.#onDrain = undefined;
    if (!this.#inputHasEnded || !this.#output.writableEnded) this.#giveUp();
    done(error);
  }

  /** The connection can be used again where both bodies end in time. */
  #giveUp(): void {
    const [output, input] = [this.#output, this.#input];
    // A body that has ended says nothing more.
    if (output.writableEnded || output.destroyed || input === undefined) return this.#cut();
    if (!this.#wasReset) output.write(frameOf(NODE_FRAME.reset, Buffer.from(this.#code)));
    output.end();
    if (this.#inputHasEnded) return;
    const grace = setTimeout(() => this.#cut(), RESET_GRACE_MS);
    input.once('close', () => clearTimeout(grace));
    input.once('end', () => clearTimeout(grace));
    input.resume();
  }

  #lose(): void {
    this.destroy(new StreamReset(NODE_LOST));
  }

  #goOn(): void {
    const onDrain = this.#onDrain;
    this.#onDrain = undefined;
    onDrain?.();
  }

  #send(type: FrameType, payload: Buffer): boolean {
    if (payload.length > MAX_BYTES[type]) return false;
    if (!this.destroyed && !this.#output.writableEnded) this.#output.write(frameOf(type, payload));
    return true;
  }

  #receive(chunk: Buffer): void {
    let rest = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    while (!this.destroyed && !this.#isParked && rest.length >= HEAD_BYTES) {
      const [type, bytes] = [rest.readUInt8(0), rest.readUInt32BE(1)];
      if (!isFrameType(type) || bytes > MAX_BYTES[type]) return this.#lose();
      if (rest.length < HEAD_BYTES + bytes) break;
      this.#take(type, rest.subarray(HEAD_BYTES, HEAD_BYTES + bytes));
      rest = rest.subarray(HEAD_BYTES + bytes);
    }
    this.#partial = this.destroyed ? Buffer.alloc(0) : rest;
  }

  #park(): void {
    this.#isParked = true;
    this.#input?.pause();
    setImmediate(() => {
      this.#isParked = false;
      if (this.destroyed) return;
      this.#input?.resume();
      this.#receive(Buffer.alloc(0));
    });
  }

  #take(type: FrameType, payload: Buffer): void {
    switch (type) {
      case NODE_FRAME.open:
      case NODE_FRAME.head: {
        const value = objectIn(payload);
        if (value === undefined) return this.#lose();
        this.emit(type === NODE_FRAME.open ? 'open' : 'head', value);
        break;
      }
      case NODE_FRAME.opened:
        this.#park();
        this.emit('opened');
        break;
      case NODE_FRAME.data:
        if (payload.length > 0 && !this.push(payload)) this.#input?.pause();
        break;
      case NODE_FRAME.reset: {
        const code = payload.toString('latin1');
        this.#wasReset = true;
        this.destroy(new StreamReset(CODE.test(code) ? code : NODE_LOST));
      }
    }
  }
}

function frameOf(type: FrameType, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, HEAD_BYTES);
  return frame;
}

function isFrameType(type: number): type is FrameType {
  return type >= NODE_FRAME.open && type <= NODE_FRAME.reset;
}

function objectIn(payload: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}
