// The streams of one session: numbers, both kinds of credit, and whose data is sent next. Connection credit returns when
// data arrives and bounds what is on the way; stream credit returns when data is read and bounds what is kept: a slow
// reader holds up its own stream only. Data waits while the socket has enough to write, so that messages, control
// frames and heartbeats always pass between.
import { TokenBucket } from '../../token-bucket.ts';
import {
  badStream,
  codeOf,
  decodeStreamFrame,
  encodeStreamFrame,
  FRAME,
  jsonPayload,
  LARGE_BYTES,
  MAX_DATA_BYTES,
  objectOf,
  type StreamFrame,
  type StreamLimits,
} from './frames.ts';
import { Stream, StreamReset, type StreamPort } from './stream.ts';

/** What it needs of a WebSocket. */
interface StreamSocket {
  /** Bytes that wait to be written. */
  readonly bufferedAmount: number;
  /** `written` is called when the operating system has taken the frame, and when the socket has failed. */
  send(frame: Buffer, written?: () => void): void;
}

export interface StreamsOptions {
  readonly socket: StreamSocket;
  readonly isCentral: boolean;
  readonly limits: StreamLimits;
  readonly hasChecksums: boolean;
  /** The peer has opened a stream. Must not throw. */
  readonly onOpen: (stream: Stream, open: Readonly<Record<string, unknown>>) => void;
}

/** Data waits while the socket has this much to write. */
const MAX_SOCKET_BYTES = 64 * 1024;
/** Credit is returned in this share of a window: a frame of 9 bytes for some of data. */
const CREDIT_SHARE = 1 / 4;
/** A RESET and some CREDIT may cross the end of a stream on the line. */
const LATE_FRAMES = 8;
/**
 * Frames of little data: beyond these, what a service writes byte by byte is gathered for some milliseconds. Central
 * takes twice as many of an agent.
 */
const SMALL_BURST = 2_000;
const SMALL_PER_SECOND = 2_000;
const GATHER_MS = 10;
const MAX_STREAM = 0xff_ff_ff_fe;
const NOTHING = Buffer.alloc(0);

/** What both sides know of a stream until each has sent END or RESET. */
interface Entry {
  /** Undefined: this side has reset it, and waits for the peer to confirm that. */
  stream: Stream | undefined;
  readonly isOwn: boolean;
  isSentClosed: boolean;
  isReceivedClosed: boolean;
  hasHead: boolean;
  hasData: boolean;
  /** What this side may send. */
  sendCredit: number;
  /** What the peer may send. */
  receiveCredit: number;
  /** Read here and not credited yet. */
  owed: number;
  isReady: boolean;
}

export class Streams implements StreamPort {
  readonly #options: StreamsOptions;
  readonly #entries = new Map<number, Entry>();
  /** Those with something to send, in turn. */
  readonly #ready: Entry[] = [];
  /** Those with little to send, while too many small frames were sent. */
  #gathering: Entry[] = [];
  #gatherTimer: NodeJS.Timeout | undefined;
  /** Of frames of little data; made with the first of them. */
  #pace: TokenBucket | undefined;
  #nextId: number;
  #peerId: number;
  #own = 0;
  #peers = 0;
  #sendCredit: number;
  #receiveCredit: number;
  #owed = 0;
  #unwritten = 0;
  #late = 0;
  #isClosed = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#nextId = options.isCentral ? 1 : 2;
    this.#peerId = options.isCentral ? 0 : -1;
    this.#sendCredit = options.limits.connectionWindowBytes;
    this.#receiveCredit = options.limits.connectionWindowBytes;
  }

  /** Streams that are open, or that wait for the peer to confirm their end. */
  get size(): number {
    return this.#entries.size;
  }

  /** Opens a stream; undefined: as many as allowed are open, the head is too large, or the session is over. */
  open(head: object): Stream | undefined {
    const payload = jsonPayload(head);
    const id = this.#nextId;
    if (this.#isClosed || payload === undefined || this.#own >= this.#options.limits.maxStreamCount || id > MAX_STREAM)
      return undefined;
    this.#nextId += 2;
    this.#own += 1;
    const { stream } = this.#add(id, true);
    this.#send(FRAME.open, id, payload);
    return stream;
  }

  /** A binary frame has come. Errors: bad_frame, frame_checksum. */
  receive(data: Buffer): void {
    if (this.#isClosed) return;
    const frame = decodeStreamFrame(data, this.#options.hasChecksums);
    if (frame.type === FRAME.open) return this.#onOpen(frame);
    if (frame.type === FRAME.data) this.#onArrival(frame.payload.length);
    if (frame.type === FRAME.credit && frame.stream === 0)
      return this.#onConnectionCredit(frame.payload.readUInt32BE());
    const entry = this.#entries.get(frame.stream);
    if (entry === undefined) return this.#onLate(frame);
    this.#onFrame(entry, frame);
  }

  /** The session is over: all streams end with an error. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ready.length = 0;
    this.#gathering = [];
    clearTimeout(this.#gatherTimer);
    const open = [...this.#entries.values()];
    this.#entries.clear();
    for (const { stream } of open) stream?.destroy(new StreamReset('session_ended'));
  }

  ready(stream: Stream): void {
    const entry = this.#entries.get(stream.id);
    if (entry === undefined || entry.isReady || this.#isClosed) return;
    entry.isReady = true;
    this.#ready.push(entry);
    this.#flush();
  }

  head(stream: Stream, head: object): boolean {
    const entry = this.#entries.get(stream.id);
    const payload = jsonPayload(head);
    if (payload === undefined) return false;
    if (entry !== undefined && !entry.isSentClosed) this.#send(FRAME.head, stream.id, payload);
    return true;
  }

  consumed(stream: Stream, bytes: number): void {
    const entry = this.#entries.get(stream.id);
    // Of a stream whose end has come, no more is sent.
    if (entry === undefined || entry.isReceivedClosed) return;
    entry.owed += bytes;
    if (entry.owed < this.#options.limits.streamWindowBytes * CREDIT_SHARE) return;
    entry.receiveCredit += entry.owed;
    this.#sendCredits(stream.id, entry.owed);
    entry.owed = 0;
  }

  destroyed(stream: Stream, code: string): void {
    const entry = this.#entries.get(stream.id);
    if (entry === undefined || entry.stream === undefined) return;
    entry.stream = undefined;
    if (entry.isSentClosed && entry.isReceivedClosed) return;
    entry.isSentClosed = true;
    this.#send(FRAME.reset, stream.id, Buffer.from(JSON.stringify({ code })));
    this.#forget(stream.id, entry);
  }

  #add(id: number, isOwn: boolean): Entry & { readonly stream: Stream } {
    const { streamWindowBytes } = this.#options.limits;
    const entry = {
      stream: new Stream(id, this),
      isOwn,
      isSentClosed: false,
      isReceivedClosed: false,
      hasHead: false,
      hasData: false,
      sendCredit: streamWindowBytes,
      receiveCredit: streamWindowBytes,
      owed: 0,
      isReady: false,
    };
    this.#entries.set(id, entry);
    return entry;
  }

  #onOpen(frame: StreamFrame): void {
    const { isCentral, limits, onOpen } = this.#options;
    const id = frame.stream;
    // Central's are odd.
    if ((id % 2 === 1) === isCentral || id <= this.#peerId || id === 0)
      throw badStream(`OPEN of the stream ${id}, after ${this.#peerId}`);
    if (this.#peers >= limits.maxStreamCount) throw badStream(`OPEN of more than ${limits.maxStreamCount} streams`);
    const open = objectOf(frame);
    this.#peerId = id;
    this.#peers += 1;
    onOpen(this.#add(id, false).stream, open);
  }

  #onFrame(entry: Entry, frame: StreamFrame): void {
    const { type, stream: id } = frame;
    if (entry.isReceivedClosed && (type === FRAME.head || type === FRAME.data || type === FRAME.end))
      throw badStream(`a frame of the stream ${id} after its end`);
    switch (type) {
      case FRAME.head:
        return this.#onHead(entry, frame);
      case FRAME.data:
        return this.#onData(entry, frame);
      case FRAME.end:
        entry.isReceivedClosed = true;
        entry.stream?.receiveEnd();
        return this.#forget(id, entry);
      case FRAME.reset:
        return this.#onReset(entry, id, codeOf(frame));
      case FRAME.credit:
        return this.#onCredit(entry, frame);
      default:
        return undefined;
    }
  }

  #onHead(entry: Entry, frame: StreamFrame): void {
    if (!entry.isOwn || entry.hasHead || entry.hasData) throw badStream(`a second HEAD of the stream ${frame.stream}`);
    entry.hasHead = true;
    const head = objectOf(frame);
    entry.stream?.emit('head', head);
  }

  #onData(entry: Entry, { stream: id, payload }: StreamFrame): void {
    entry.hasData = true;
    entry.receiveCredit -= payload.length;
    if (entry.receiveCredit < 0) throw badStream(`more data of the stream ${id} than its credit`);
    entry.stream?.receive(payload);
  }

  #onReset(entry: Entry, id: number, code: string): void {
    const { stream } = entry;
    entry.isReceivedClosed = true;
    if (!entry.isSentClosed) {
      entry.isSentClosed = true;
      this.#send(FRAME.reset, id, Buffer.from(JSON.stringify({ code: 'reset' })));
    }
    this.#forget(id, entry);
    stream?.destroy(new StreamReset(code));
  }

  #onCredit(entry: Entry, { stream: id, payload }: StreamFrame): void {
    entry.sendCredit += payload.readUInt32BE();
    if (entry.sendCredit > this.#options.limits.streamWindowBytes)
      throw badStream(`CREDIT for more than the window of the stream ${id}`);
    if (entry.stream !== undefined && (entry.stream.hasData || entry.stream.wantsEnd)) this.ready(entry.stream);
  }

  #onConnectionCredit(bytes: number): void {
    this.#sendCredit += bytes;
    if (this.#sendCredit > this.#options.limits.connectionWindowBytes)
      throw badStream('CREDIT for more than the window of the connection');
    this.#flush();
  }

  #onArrival(bytes: number): void {
    this.#receiveCredit -= bytes;
    if (this.#receiveCredit < 0) throw badStream('more data of all streams than the credit of the connection');
    this.#owed += bytes;
    if (this.#owed < this.#options.limits.connectionWindowBytes * CREDIT_SHARE) return;
    this.#receiveCredit += this.#owed;
    this.#sendCredits(0, this.#owed);
    this.#owed = 0;
  }

  /** Of a stream that is over on both sides: what crossed its end on the line is ignored, and bounded. */
  #onLate({ type, stream: id }: StreamFrame): void {
    const isOwn = id % 2 === (this.#options.isCentral ? 1 : 0);
    const wasOpened = id !== 0 && (isOwn ? id < this.#nextId : id <= this.#peerId);
    const mayCross = type === FRAME.reset || type === FRAME.credit;
    this.#late += 1;
    const opened = Math.floor(this.#nextId / 2) + Math.ceil(Math.max(0, this.#peerId) / 2);
    if (!wasOpened || !mayCross || this.#late > LATE_FRAMES * opened)
      throw badStream(`a frame of the type ${type} of the stream ${id}, which is not open`);
  }

  #forget(id: number, entry: Entry): void {
    if (!entry.isSentClosed || !entry.isReceivedClosed || !this.#entries.delete(id)) return;
    if (entry.isOwn) this.#own -= 1;
    else this.#peers -= 1;
  }

  /** Sends data of the streams in turn, one frame each, while there is credit and the socket has little to write. */
  #flush(): void {
    while (!this.#isClosed && this.#hasRoom()) {
      const entry = this.#ready.shift();
      if (entry === undefined) return;
      entry.isReady = false;
      const { stream } = entry;
      if (stream === undefined || entry.isSentClosed) continue;
      if (stream.hasData) {
        if (this.#sendCredit === 0) return this.#putBack(entry);
        // Waits for CREDIT, which puts it into the row again.
        if (entry.sendCredit === 0) continue;
        if (this.#mayGoNow(stream)) this.#sendData(entry, stream);
        else this.#gather(entry);
      } else if (stream.wantsEnd) this.#sendEnd(entry, stream);
    }
  }

  #putBack(entry: Entry): void {
    entry.isReady = true;
    this.#ready.unshift(entry);
  }

  #mayGoNow(stream: Stream): boolean {
    if (stream.dataBytes >= LARGE_BYTES) return true;
    const now = performance.now();
    this.#pace ??= new TokenBucket(SMALL_BURST, SMALL_PER_SECOND, now);
    return this.#pace.take(1, now);
  }

  /** It has its turn again in a moment; what is written to it meanwhile goes out together. */
  #gather(entry: Entry): void {
    entry.isReady = true;
    this.#gathering.push(entry);
    this.#gatherTimer ??= setTimeout(() => {
      this.#gatherTimer = undefined;
      this.#ready.push(...this.#gathering);
      this.#gathering = [];
      this.#flush();
    }, GATHER_MS);
  }

  #sendData(entry: Entry, stream: Stream): void {
    const payload = stream.takeData(Math.min(MAX_DATA_BYTES, entry.sendCredit, this.#sendCredit)) ?? NOTHING;
    entry.sendCredit -= payload.length;
    this.#sendCredit -= payload.length;
    this.#unwritten += 1;
    const frame = encodeStreamFrame(FRAME.data, stream.id, payload, this.#options.hasChecksums);
    this.#options.socket.send(frame, () => {
      this.#unwritten -= 1;
      this.#flush();
    });
    if (stream.hasData) {
      entry.isReady = true;
      this.#ready.push(entry);
    } else stream.sent();
  }

  #sendEnd(entry: Entry, stream: Stream): void {
    entry.isSentClosed = true;
    this.#send(FRAME.end, stream.id, NOTHING);
    this.#forget(stream.id, entry);
    stream.sent();
  }

  #hasRoom(): boolean {
    return this.#unwritten === 0 || this.#options.socket.bufferedAmount < MAX_SOCKET_BYTES;
  }

  #sendCredits(stream: number, bytes: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    this.#send(FRAME.credit, stream, payload);
  }

  #send(type: StreamFrame['type'], stream: number, payload: Uint8Array): void {
    if (!this.#isClosed)
      this.#options.socket.send(encodeStreamFrame(type, stream, payload, this.#options.hasChecksums));
  }
}
