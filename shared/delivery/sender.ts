// The sending end of one direction of one session: what was sent, what the peer acknowledged, and when to read on.
// It holds no messages: the log on disk is the queue, this is a cursor over it within a window.
import { encode, encodeMessages, MESSAGES_FRAME_OVERHEAD } from '../wire/codec.ts';
import type { Position, SessionLimits } from '../wire/messages.ts';
import { refusal } from '../wire/refusals.ts';
import type { OutboxPort } from './log-interfaces.ts';

/** 'control' is sent first: acknowledgements, certificates, trust, the end. Frames of one priority keep their order. */
export type Priority = 'control' | 'messages';

/** What it needs of the connection. Never awaited: a slow peer costs its own window and nothing else. */
export interface FramePort {
  /** Hands a frame over. */
  send(text: string, priority: Priority): void;
}

interface SenderOptions {
  readonly outbox: OutboxPort;
  readonly frames: FramePort;
  readonly limits: SessionLimits;
  readonly now: () => number;
  /** The session must end: the store failed, or the peer breaks the rules. Called once. */
  readonly onFailure: (error: unknown) => void;
  /** Wake-ups are hints; this finds what a hint missed. */
  readonly pollMs: number;
}

interface SentFrame {
  readonly through: number;
  readonly items: number;
  readonly bytes: number;
}

export class Sender {
  readonly #options: SenderOptions;
  #state: 'new' | 'running' | 'stopped' = 'new';
  #paused = false;
  #pumping = false;
  /** A hint came while the pump ran. */
  #again = false;
  #sent = 0;
  #acknowledged = 0;
  /** Frames on their way, oldest first; their sums are what the window bounds. */
  #inFlight: SentFrame[] = [];
  #itemsInFlight = 0;
  #bytesInFlight = 0;
  #poll: NodeJS.Timeout | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Agrees with the peer where to go on, says `begin`, and starts sending. */
  async start(peer: Position | null): Promise<void> {
    const log = await this.#options.outbox.resume(peer);
    if (this.#state !== 'new') return;
    this.#state = 'running';
    this.#sent = log.next - 1;
    this.#acknowledged = this.#sent;
    this.#options.frames.send(
      encode({ type: 'begin', incarnation: log.incarnation, next: log.next, missing: log.missing }),
      'control',
    );
    this.#poll = setInterval(() => this.notify(), this.#options.pollMs);
    this.notify();
  }

  /** A hint: something may have been appended. Cheap; may be called for every commit. */
  notify(): void {
    if (this.#state !== 'running') return;
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    this.#pump().catch((error: unknown) => this.#fail(error));
  }

  /** The peer has everything through this number on its disk. */
  acknowledge(through: number): void {
    if (this.#state === 'stopped') return;
    if (this.#state === 'new') return this.#fail(refusal('bad_frame', { found: 'ack before begin' }));
    if (through > this.#sent || through < this.#acknowledged) {
      this.#fail(
        refusal('bad_frame', {
          found: `ack through ${through}, where ${this.#acknowledged} to ${this.#sent} are possible`,
        }),
      );
      return;
    }
    if (through === this.#acknowledged) return;
    this.#acknowledged = through;
    let done = 0;
    for (const frame of this.#inFlight) {
      if (frame.through > through) break;
      this.#itemsInFlight -= frame.items;
      this.#bytesInFlight -= frame.bytes;
      done += 1;
    }
    this.#inFlight.splice(0, done);
    this.#options.outbox.acknowledge(through).catch((error: unknown) => this.#fail(error));
    this.notify();
  }

  /** The peer asks to hold messages back, or to go on. */
  setPaused(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.notify();
  }

  stop(): void {
    this.#state = 'stopped';
    clearInterval(this.#poll);
  }

  async #pump(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#sendWhatFits();
      } while (this.#again && this.#state === 'running');
    } finally {
      // In the same step as the last look at `again`: a hint in between would be lost.
      this.#pumping = false;
    }
  }

  async #sendWhatFits(): Promise<void> {
    const { outbox, limits, now } = this.#options;
    while (this.#state === 'running' && !this.#paused) {
      const maxItems = limits.windowItems - this.#itemsInFlight;
      const maxBytes = Math.min(
        limits.windowBytes - this.#bytesInFlight,
        limits.maxFrameBytes - MESSAGES_FRAME_OVERHEAD,
      );
      if (maxItems <= 0 || maxBytes <= 0) return;
      const entries = await outbox.read(this.#sent, maxItems, maxBytes);
      const first = entries[0];
      if (first === undefined || this.#state !== 'running') return;
      const at = now();
      if (entries.some((entry) => entry.expiresAt !== null && entry.expiresAt <= at)) {
        // These have expired: they become tombstones on disk first, then the same numbers are read again.
        if ((await outbox.expire()) > 0) continue;
      }
      this.#send(first.number, entries);
    }
  }

  #send(
    first: number,
    entries: readonly { readonly number: number; readonly json: string; readonly bytes: number }[],
  ): void {
    const texts: string[] = [];
    let bytes = 0;
    for (const entry of entries) {
      if (entry.number !== this.#sent + 1) throw new Error(`outbox gap: ${entry.number} after ${this.#sent}`);
      this.#sent = entry.number;
      texts.push(entry.json);
      bytes += entry.bytes + 1;
    }
    this.#inFlight.push({ through: this.#sent, items: texts.length, bytes });
    this.#itemsInFlight += texts.length;
    this.#bytesInFlight += bytes;
    this.#options.frames.send(encodeMessages(first, texts), 'messages');
  }

  #fail(error: unknown): void {
    if (this.#state === 'stopped') return;
    this.stop();
    this.#options.onFailure(error);
  }
}
