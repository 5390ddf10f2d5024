// The receiving end of one direction of one session: checks the numbering, hands batches to the log on disk, and
// acknowledges last, after the commit. Whatever arrives while one append runs is the next append.
import { isCoded } from '../errors.ts';
import { encode, MESSAGES_FRAME_OVERHEAD } from '../wire/codec.ts';
import { LIMITS, type Begin, type Messages, type SessionLimits } from '../wire/messages.ts';
import { refusal } from '../wire/refusals.ts';
import { readItem, type Item } from './message.ts';
import type { InboxPort } from './log-interfaces.ts';
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
 * What one append takes at most: a few milliseconds of a commit. Other sessions share that commit or wait for it, so that one that sends
 * all it may costs them little; the rest of it is the next append.
 */
const MAX_APPEND_ITEMS = 1_000;
const MAX_APPEND_BYTES = 512 * 1024;

export class Receiver {
  readonly #options: ReceiverOptions;
  #state: 'new' | 'running' | 'stopped' = 'new';
  /** The number the next item must have. */
  #next = 0;
  #acknowledged = 0;
  #waiting: Item[] = [];
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
    this.#next = frame.next;
    this.#acknowledged = frame.next - 1;
    this.#busy = true;
    this.#options.inbox.begin(frame).then(
      () => this.#appendWaiting(),
      (error: unknown) => this.#fail(error),
    );
  }

  /** `bytes` is the size of the frame in UTF-8. */
  messages(frame: Messages, bytes: number): void {
    if (this.#state === 'stopped') return;
    if (this.#state === 'new') return this.#fail(refusal('bad_frame', { found: 'messages before begin' }));
    if (frame.first !== this.#next)
      return this.#fail(refusal('bad_frame', { found: `messages from ${frame.first}, where ${this.#next} is next` }));
    const { limits } = this.#options;
    const unacknowledged = this.#next + frame.items.length - 1 - this.#acknowledged;
    if (unacknowledged > limits.windowItems)
      return this.#fail(
        refusal('bad_frame', {
          found: `${unacknowledged} messages without waiting for an ack, where ${limits.windowItems} are allowed`,
        }),
      );
    if (this.#waitingBytes + this.#appendingBytes > limits.windowBytes)
      return this.#fail(
        refusal('bad_frame', { found: `more than ${limits.windowBytes} bytes without waiting for an ack` }),
      );
    // The bound is the protocol's: a lower one of today (limits.maxMessageBytes) is for producers, and must not reject what was
    // accepted before it was lowered.
    for (const item of frame.items) this.#waiting.push(readItem(item, LIMITS.maxMessageBytes));
    this.#next += frame.items.length;
    // What the sender counts: the items, not the frame around them.
    this.#waitingBytes += Math.max(0, bytes - MESSAGES_FRAME_OVERHEAD);
    if (!this.#busy) this.#appendWaiting();
  }

  /** Holds back what comes, or goes on. To be called again and again as long as the store may refuse: that is what tries again. */
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
    const items = this.#waiting;
    this.#busy = this.#state === 'running' && !this.#held && items.length > 0;
    if (!this.#busy) return;
    const { count, bytes } = firstAppend(items);
    const taken = count === items.length ? items : items.slice(0, count);
    this.#waiting = count === items.length ? [] : items.slice(count);
    const first = this.#next - items.length;
    this.#appendingBytes = this.#waiting.length === 0 ? this.#waitingBytes : Math.min(bytes, this.#waitingBytes);
    this.#waitingBytes -= this.#appendingBytes;
    this.#options.inbox.append(first, taken).then(
      (through) => {
        this.#appendingBytes = 0;
        if (this.#state !== 'running') return;
        this.#acknowledged = through;
        this.#options.frames.send(encode({ type: 'ack', through }), 'control');
        this.#options.onCommitted?.(taken.length);
        this.#appendWaiting();
      },
      (error: unknown) => this.#keepOrFail(taken, error),
    );
  }

  /** The store took nothing of it, for now: it waits here, within the window, until `hold(false)` is called. */
  #keepOrFail(items: readonly Item[], error: unknown): void {
    const refusedForMs = isCoded(error) ? REFUSED_FOR_NOW_MS[error.code] : undefined;
    if (refusedForMs === undefined || this.#state !== 'running') return this.#fail(error);
    this.#heldUntil = performance.now() + refusedForMs;
    this.#busy = false;
    this.#waiting = [...items, ...this.#waiting];
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

/** How many of these the next append takes, at least one, and their bytes (UTF-16 units stand for them: this bounds work, and no more). */
function firstAppend(items: readonly Item[]): { readonly count: number; readonly bytes: number } {
  let [count, bytes] = [0, 0];
  for (const item of items) {
    const size = item.kind === 'message' ? item.message.json.length : item.kind === 'rejected' ? item.json.length : 0;
    if (count === MAX_APPEND_ITEMS || (count > 0 && bytes + size > MAX_APPEND_BYTES)) break;
    count += 1;
    bytes += size;
  }
  return { count, bytes };
}
