// In-memory ends of a session for tests of Sender and Receiver: what the ports promise, and nothing else.
import { readMessageFrames, type MessageFrame } from '../../../shared/delivery/message-frames.ts';
import type { InboxPort, OutboxEntry, OutboxPort } from '../../../shared/delivery/log-interfaces.ts';

export function entry(number: number, json = `{"n":${number}}`, expiresAt: number | null = null): OutboxEntry {
  return { number, id: `m${number}`, json, bytes: Buffer.byteLength(json), expiresAt };
}

/** An outbox over an array; `reads` counts. */
export class MemoryOutbox implements OutboxPort {
  entries: OutboxEntry[] = [];
  acknowledgedThrough = 0;
  reads: { after: number; maxItems: number; maxBytes: number }[] = [];
  expired = 0;
  failWith: Error | undefined;

  async resume(): Promise<{ incarnation: string; next: number; missing: null }> {
    return { incarnation: 'i1', next: this.acknowledgedThrough + 1, missing: null };
  }

  async read(after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]> {
    if (this.failWith !== undefined) throw this.failWith;
    this.reads.push({ after, maxItems, maxBytes });
    const found: OutboxEntry[] = [];
    let bytes = 0;
    for (const candidate of this.entries) {
      if (candidate.number <= after || found.length >= maxItems) continue;
      if (found.length > 0 && bytes + candidate.bytes > maxBytes) break;
      bytes += candidate.bytes;
      found.push(candidate);
    }
    return found;
  }

  async acknowledge(through: number): Promise<void> {
    this.acknowledgedThrough = through;
  }

  async expire(): Promise<number> {
    let count = 0;
    this.entries = this.entries.map((candidate) => {
      if (candidate.expiresAt === null) return candidate;
      count += 1;
      return entry(candidate.number, '{"tombstone":"expired","id":"x"}');
    });
    this.expired += count;
    return count;
  }
}

/** An inbox whose commits the test releases one by one. */
export class HeldInbox implements InboxPort {
  begun: { incarnation: string; next: number } | undefined;
  readonly stored: string[] = [];
  readonly #held: (() => void)[] = [];
  hold = false;
  /** What the next appends are refused with, one by one. */
  readonly refuseWith: Error[] = [];

  async begin(begin: { incarnation: string; next: number }): Promise<void> {
    this.begun = begin;
  }

  async append(first: number, frames: readonly MessageFrame[]): Promise<number> {
    const items = readMessageFrames(first, frames);
    if (this.hold) await new Promise<void>((resolve) => this.#held.push(resolve));
    const refusal = this.refuseWith.shift();
    if (refusal !== undefined) throw refusal;
    for (const item of items) this.stored.push(item.kind === 'message' ? item.message.id : item.kind);
    return first + items.length - 1;
  }

  release(): void {
    this.#held.shift()?.();
  }

  get appends(): number {
    return this.#held.length;
  }
}

/** Lets everything that is ready run. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
