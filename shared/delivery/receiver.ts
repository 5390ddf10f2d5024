// The receiving end of one direction of one session: hands frames to the log on disk as they came, in order, and
// acknowledges last, after the commit. Whatever arrives while one append runs is the next append.
import { isCoded } from '../errors.ts';
import { encode, MESSAGES_FRAME_OVERHEAD } from '../wire/codec.ts';
import type { Begin, SessionLimits } from '../wire/messages.ts';
import { refusal } from '../wire/refusals.ts';
import type { InboxPort } from './log-interfaces.ts';
import type { MessageFrame } from './message-frames.ts';
import type { FramePort } from './sender.ts';

interface ReceiverOptions {
  readonly inbox: InboxPort;
  readonly frames: FramePort;
  readonly limits: SessionLimits;
  /** The session must end: the store failed, or the peer breaks the rules. Called once. */
  readonly onFailure: (error: unknown) => void;
  /** A batch is on disk: `count` messages through `through`. */
  readonly onCommitted?: (count: number) => void;
}

/** What a store refuses for now, with the time after which it is asked again at the earliest. */
const REFUSED_FOR_NOW_MS: Readonly<Record<string, number>> = {
  store_reserve: 0,
  deduplication_indexing: 0,
  events_per_day: 60_000,
};

/**
 * What one append takes at most: a few milliseconds of a commit. Other sessions share that commit or wait for it, so
 * that one that sends all it may costs them little; the rest of it is the next append.
 */
const MAX_APPEND_FRAMES = 64;
const MAX_APPEND_BYTES = 512 * 1024;

export class Receiver {
  readonly #options: ReceiverOptions;
  #state: 'new' | 'running' | 'stopped' = 'new';
  #acknowledged = 0;
  #waiting: MessageFrame[] = [];
  #waitingBytes = 0;
  #appendingBytes = 0;
  /** The append (or begin) under way; there is one at a time, so that order holds. */
  #busy = false;
  /** The peer was asked to pause: nothing is appended, and so nothing acknowledged. */
  #held = false;
  /** On the clock of performance.now(). */
  #heldUntil = 0;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  begin(frame: Begin): void {
    if (this.#state === 'stopped') return;
    if (this.#state === 'running') return this.#fail(refusal('bad_frame', { found: 'a second begin' }));
    this.#state = 'running';
    this.#acknowledged = frame.next - 1;
    this.#busy = true;
    this.#options.inbox.begin(frame).then(
      () => this.#appendWaiting(),
      (error: unknown) => this.#fail(error),
    );
  }

  /** The sender has begun: its messages are taken. */
  get hasBegun(): boolean {
    return this.#state !== 'new';
  }

  /** A `messages` frame without items has come. */
  nothing(): void {
    if (this.#state === 'new') this.#fail(refusal('bad_frame', { found: 'messages before begin' }));
  }

  /** Takes a `messages` frame, which is decoded where it is written (message-frames.ts). */
  messages(data: Buffer): void {
    if (this.#state === 'stopped') return;
    if (this.#state === 'new') return this.nothing();
    const { limits } = this.#options;
    if (this.#waitingBytes + this.#appendingBytes > limits.windowBytes)
      return this.#fail(
        refusal('bad_frame', { found: `more than ${limits.windowBytes} bytes without waiting for an ack` }),
      );
    this.#waiting.push({ data, acknowledged: this.#acknowledged, windowItems: limits.windowItems });
    this.#waitingBytes += itemBytes(data);
    if (!this.#busy) this.#appendWaiting();
  }

  /**
   * Holds back what comes, or goes on. To be called again and again as long as the store may refuse: that is what tries
   * again.
   */
  hold(on: boolean): void {
    if (this.#state === 'stopped' || this.#held === on || (!on && performance.now() < this.#heldUntil)) return;
    this.#held = on;
    this.#options.frames.send(encode({ type: on ? 'pause' : 'resume' }), 'control');
    if (!on && !this.#busy) this.#appendWaiting();
  }

  stop(): void {
    this.#state = 'stopped';
    this.#waiting = [];
  }

  #appendWaiting(): void {
    this.#busy = this.#state === 'running' && !this.#held && this.#waiting.length > 0;
    if (!this.#busy) return;
    const taken = this.#waiting.splice(0, firstAppend(this.#waiting));
    this.#appendingBytes = taken.reduce((bytes, { data }) => bytes + itemBytes(data), 0);
    this.#waitingBytes -= this.#appendingBytes;
    this.#options.inbox.append(this.#acknowledged + 1, taken).then(
      (through) => {
        this.#appendingBytes = 0;
        if (this.#state !== 'running') return;
        const count = through - this.#acknowledged;
        this.#acknowledged = through;
        this.#options.frames.send(encode({ type: 'ack', through }), 'control');
        this.#options.onCommitted?.(count);
        this.#appendWaiting();
      },
      (error: unknown) => this.#keepOrFail(taken, error),
    );
  }

  /** The store took nothing of it, for now: it waits here, within the window, until `hold(false)` is called. */
  #keepOrFail(frames: readonly MessageFrame[], error: unknown): void {
    // While it is held, another session may try to begin: this one goes on when that was not welcomed.
    const isTried = this.#held && isCoded(error, 'session_over');
    const refusedForMs = isTried ? 0 : isCoded(error) ? REFUSED_FOR_NOW_MS[error.code] : undefined;
    if (refusedForMs === undefined || this.#state !== 'running') return this.#fail(error);
    this.#heldUntil = performance.now() + refusedForMs;
    this.#busy = false;
    this.#waiting = [...frames, ...this.#waiting];
    this.#waitingBytes += this.#appendingBytes;
    this.#appendingBytes = 0;
    this.hold(true);
  }

  #fail(error: unknown): void {
    if (this.#state === 'stopped') return;
    this.stop();
    this.#options.onFailure(error);
  }
}

/** What the sender counts: the items, not the frame around them. */
function itemBytes(data: Uint8Array): number {
  return Math.max(0, data.length - MESSAGES_FRAME_OVERHEAD);
}

/** How many of these the next append takes, at least one. */
function firstAppend(frames: readonly MessageFrame[]): number {
  let bytes = 0;
  for (const [count, { data }] of frames.entries()) {
    bytes += data.length;
    if (count === MAX_APPEND_FRAMES || (count > 0 && bytes > MAX_APPEND_BYTES)) return count;
  }
  return frames.length;
}
