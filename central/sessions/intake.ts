// Receives the frames of one session: counts bytes in the budget of all sessions from the first byte until they are
// committed, stops reading the socket while there is no room, and passes on frames one by one, large ones in turn with
// those of other sessions.
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { InboxPort } from '../../shared/delivery/log-interfaces.ts';
import { releaseFrames, type MessageFrame } from '../../shared/delivery/message-frames.ts';
import type { BudgetShare, ByteBudget } from './limits/byte-budget.ts';
import type { ByteGate, Pass } from './limits/byte-gate.ts';
import { SMALL_FRAME_BYTES, type FrameTurns } from './limits/frame-turns.ts';

/** What the sessions share. */
export interface IntakeParts {
  readonly budget: ByteBudget;
  /** Before the writing thread. */
  readonly gate: ByteGate;
  readonly turns: FrameTurns;
}

/** Memory of a waiting frame besides its bytes. */
const FRAME_BYTES = 256;
/** RFC 6455 section 5.2: the header of a masked frame that is not in fragments. */
function headerBytes(length: number): number {
  return length < 126 ? 6 : length < 65_536 ? 8 : 14;
}

export class SessionIntake {
  readonly #parts: IntakeParts;
  readonly #webSocket: WebSocket;
  readonly #connection: Socket;
  readonly #maxFrameBytes: number;
  readonly #onFrame: (data: Buffer) => void;
  #share: BudgetShare | undefined;
  /** Read, and not yet part of a whole frame. */
  #partial = 0;
  #chunk = 0;
  /** Whole frames that wait to be parsed. */
  #frames: Buffer[] = [];
  /** The bytes of each frame of messages that is not committed yet, in order. */
  #uncommitted: number[] = [];
  #pass: Pass | undefined;

  /** `onFrame` must not throw. The WebSocket is paused until `open`. */
  constructor(
    parts: IntakeParts,
    webSocket: WebSocket,
    connection: Socket,
    maxFrameBytes: number,
    onFrame: (data: Buffer) => void,
  ) {
    this.#parts = parts;
    this.#webSocket = webSocket;
    this.#connection = connection;
    this.#maxFrameBytes = maxFrameBytes;
    this.#onFrame = onFrame;
    // Before ws, which emits the frames of a chunk while it parses it.
    connection.prependListener('data', this.#onChunk);
    const dropped = (data: Buffer): void => this.#drop(data.length + headerBytes(data.length));
    webSocket.on('ping', dropped);
    webSocket.on('pong', dropped);
  }

  /** From here the socket is read, as far as there is room. */
  open(): void {
    const socket = { pause: () => this.#webSocket.pause(), resume: () => this.#webSocket.resume() };
    this.#share ??= this.#parts.budget.open(socket, this.#maxFrameBytes);
  }

  /** True while Central itself does not read the socket. */
  get isPaused(): boolean {
    return this.#share?.isPaused ?? true;
  }

  /** A frame has come. */
  frame(data: Buffer): void {
    this.#complete(data);
    if (this.#frames.length === 0 && data.length <= SMALL_FRAME_BYTES) return this.#onFrame(data);
    this.#frames.push(data);
    this.#parts.turns.add(this);
  }

  parseNext(): { readonly bytes: number; readonly more: boolean } {
    const data = this.#frames.shift();
    if (data !== undefined) this.#onFrame(data);
    return { bytes: data?.length ?? 0, more: this.#frames.length > 0 };
  }

  /** A binary frame has come, of which nothing is kept here. */
  pass(data: Buffer): void {
    this.#complete(data);
    this.#share?.released(data.length);
  }

  /** The frame was one of messages: it counts until it is committed. */
  keep(data: Buffer): void {
    this.#share?.completed(0, FRAME_BYTES);
    this.#uncommitted.push(data.length + FRAME_BYTES);
  }

  /** The frame was another one, and nothing of it is kept. */
  done(data: Buffer): void {
    this.#share?.released(data.length);
  }

  /** The same inbox behind the gate; committed bytes are released. */
  bound(inbox: InboxPort): InboxPort {
    return new BoundInbox(this, inbox);
  }

  /** The session is over; what has not yet reached the writing thread is dropped. */
  close(): void {
    this.#connection.off('data', this.#onChunk);
    this.#parts.turns.remove(this);
    this.#frames = [];
    this.#uncommitted = [];
    this.#share?.close();
    this.#pass?.leave();
  }

  /** Appends when the gate lets it pass. */
  async append(inbox: InboxPort, next: number, frames: readonly MessageFrame[]): Promise<number> {
    // Frames are appended in the order in which they came.
    const bytes = this.#uncommitted.slice(0, frames.length).reduce((sum, size) => sum + size, 0);
    const pass = this.#parts.gate.enter(bytes);
    this.#pass = pass;
    // A receiver that was stopped meanwhile ignores the answer.
    if (!(await pass.entered)) return next - 1;
    this.#pass = undefined;
    try {
      const through = await inbox.append(next, frames);
      this.#uncommitted.splice(0, frames.length);
      releaseFrames(frames);
      this.#share?.released(bytes);
      return through;
    } finally {
      // Frames that the store refused for now stay in the receiver and keep counting; any other refusal ends the
      // session.
      pass.leave();
    }
  }

  readonly #onChunk = (chunk: Buffer): void => {
    this.#chunk = chunk.length;
    this.#partial += chunk.length;
    this.#share?.received(chunk.length);
  };

  #complete(data: Buffer): void {
    // Read and unparsed bytes are a part of the last chunk; the rest was headers, more of them with fragments.
    const left = Math.max(0, Math.min(this.#partial - data.length - headerBytes(data.length), this.#chunk));
    this.#drop(Math.max(0, this.#partial - data.length - left));
    this.#partial = left;
    this.#share?.completed(data.length);
  }

  #drop(bytes: number): void {
    const dropped = Math.min(bytes, this.#partial);
    this.#partial -= dropped;
    this.#share?.dropped(dropped);
  }
}

class BoundInbox implements InboxPort {
  readonly #intake: SessionIntake;
  readonly #inbox: InboxPort;

  constructor(intake: SessionIntake, inbox: InboxPort) {
    this.#intake = intake;
    this.#inbox = inbox;
  }

  begin(begin: Parameters<InboxPort['begin']>[0]): Promise<void> {
    return this.#inbox.begin(begin);
  }

  append(next: number, frames: readonly MessageFrame[]): Promise<number> {
    return this.#intake.append(this.#inbox, next, frames);
  }
}
