// One stream of a session, as a duplex of Node: what the peer sends is read, what is written goes to the peer. Data that
// nothing reads stops the peer, and only on this stream. Credit, numbers and frames are streams.ts's.
import { Duplex } from 'node:stream';

/** The error with which a stream ends that the peer has reset, or the end of the session. */
export class StreamReset extends Error {
  /** As the peer said it, or `session_ended`. */
  readonly reset: string;

  constructor(reset: string) {
    super(`the stream was reset: ${reset}`);
    this.reset = reset;
  }
}

/** What it asks of its session. */
export interface StreamPort {
  /** Data waits to be sent, or its end. */
  ready(stream: Stream): void;
  head(stream: Stream, head: object): boolean;
  /** So many bytes were read here. */
  consumed(stream: Stream, bytes: number): void;
  /** It is destroyed: nothing of it is wanted any more. */
  destroyed(stream: Stream, code: string): void;
}

/** Two frames: enough that the sender never runs dry. */
const WRITE_BUFFER_BYTES = 32 * 1024;
/**
 * Node keeps each piece apart: what a peer sends byte by byte would take a hundred times the window. It asks for one
 * piece at a time, and the others are kept here, the small ones together.
 */
const READ_BUFFER_BYTES = 1;
const SMALL_BYTES = 2 * 1024;
const GATHERED_BYTES = 2 * SMALL_BYTES;

/** Emits `head` with the JSON object of the other side, once, before its data. */
export class Stream extends Duplex {
  readonly id: number;
  readonly #port: StreamPort;
  /** What has come and was not asked for yet; bounded by the window. */
  readonly #received: Buffer[] = [];
  /** Of the last of these, which has room for more. */
  #gathered: { readonly buffer: Buffer; used: number } | undefined;
  #hasEnded = false;
  #wantsMore = false;
  /** What is to be sent: one chunk at a time, as Duplex writes it. */
  #chunk: Buffer | undefined;
  #onSent: ((error?: Error | null) => void) | undefined;
  #isFinal = false;
  /** What the peer hears when this side gives up. */
  #code = 'canceled';

  constructor(id: number, port: StreamPort) {
    super({ readableHighWaterMark: READ_BUFFER_BYTES, writableHighWaterMark: WRITE_BUFFER_BYTES, allowHalfOpen: true });
    this.id = id;
    this.#port = port;
    // Its user hears of the end by `close` as well: a session that ends must not end the process.
    this.on('error', () => undefined);
  }

  /** Sends the answer to the OPEN, before any data; false: it is larger than a frame may be. */
  sendHead(head: object): boolean {
    return this.#port.head(this, head);
  }

  /** Ends it at once, in both directions; the peer hears the code. */
  reset(code: string, error?: Error): void {
    this.#code = code;
    this.destroy(error);
  }

  /** Data of the peer. */
  receive(payload: Buffer): void {
    if (this.#wantsMore && this.#received.length === 0) this.#push(payload);
    else this.#keep(payload);
  }

  /** The peer sends no more. */
  receiveEnd(): void {
    this.#hasEnded = true;
    this.#deliver();
  }

  /** At most so many bytes of what waits; undefined: none do. Call `sent` when they are on their way. */
  takeData(most: number): Buffer | undefined {
    const chunk = this.#chunk;
    if (chunk === undefined) return undefined;
    const taken = chunk.subarray(0, most);
    this.#chunk = chunk.length > most ? chunk.subarray(most) : undefined;
    return taken;
  }

  get hasData(): boolean {
    return this.#chunk !== undefined;
  }

  /** Bytes that `takeData` has at once. */
  get dataBytes(): number {
    return this.#chunk?.length ?? 0;
  }

  /** True when all data is sent and the end is to follow. */
  get wantsEnd(): boolean {
    return this.#isFinal && this.#chunk === undefined;
  }

  /** What was taken is sent, or its end is: the next write may come. */
  sent(): void {
    if (this.#chunk !== undefined) return;
    const onSent = this.#onSent;
    this.#onSent = undefined;
    onSent?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (chunk.length === 0) return done();
    this.#chunk = chunk;
    this.#onSent = done;
    this.#port.ready(this);
  }

  /** What was written while the chunk before it waited goes out together. */
  override _writev(
    chunks: readonly { readonly chunk: Buffer; readonly encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'binary', done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#isFinal = true;
    this.#onSent = done;
    this.#port.ready(this);
  }

  override _read(): void {
    this.#wantsMore = true;
    this.#deliver();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#received.length = 0;
    this.#chunk = undefined;
    this.#onSent = undefined;
    this.#port.destroyed(this, this.#code);
    done(error);
  }

  #deliver(): void {
    while (this.#wantsMore) {
      const payload = this.#received.shift();
      if (this.#received.length === 0) this.#gathered = undefined;
      if (payload !== undefined) {
        this.#push(payload);
        continue;
      }
      if (!this.#hasEnded) return;
      this.#wantsMore = false;
      this.push(null);
    }
  }

  #push(payload: Buffer): void {
    this.#wantsMore = false;
    // `push` may call `_read` before it returns.
    if (this.push(payload)) this.#wantsMore = true;
    this.#port.consumed(this, payload.length);
  }

  /** Copied: a payload is part of a larger chunk of the socket. */
  #keep(payload: Buffer): void {
    const { length } = payload;
    if (length >= SMALL_BYTES) {
      this.#gathered = undefined;
      this.#received.push(Buffer.from(payload));
      return;
    }
    let gathered = this.#gathered;
    if (gathered === undefined || gathered.used + length > GATHERED_BYTES) {
      gathered = { buffer: Buffer.allocUnsafeSlow(GATHERED_BYTES), used: 0 };
      this.#gathered = gathered;
      this.#received.push(gathered.buffer);
    }
    gathered.buffer.set(payload, gathered.used);
    gathered.used += length;
    this.#received[this.#received.length - 1] = gathered.buffer.subarray(0, gathered.used);
  }
}
