// Keeps the logs of a bench agent: both ends as shared/delivery asks for them, in memory. A message is made from its
// number when it is read, so that nothing is held and the load process measures the gateway and not itself.
import { randomBytes } from 'node:crypto';
import { readMessageFrames, type MessageFrame } from '../shared/delivery/message-frames.ts';
import type { InboxPort, OutboxEntry, OutboxPort, ResumedLog } from '../shared/delivery/log-interfaces.ts';
import type { Position, Range } from '../shared/wire/messages.ts';
import { MESSAGE_BYTES, messageId, messageJson } from './sample.ts';

export class MemoryOutbox implements OutboxPort {
  readonly #source: string;
  readonly #run = randomBytes(3).toString('hex');
  readonly #onAcknowledged: ((through: number) => void) | undefined;
  /** Messages up to here exist. */
  #last = 0;
  #flowing = false;
  #read = 0;
  acknowledged = 0;

  constructor(source: string, onAcknowledged?: (through: number) => void) {
    this.#source = source;
    this.#onAcknowledged = onAcknowledged;
  }

  /** On: there is always a next message. Off: what was read is the last. The sender must be notified. */
  flow(on: boolean): void {
    this.#flowing = on;
    if (!on) this.#last = Math.max(this.#last, this.#read);
  }

  /** So many messages more; the number of the last one. */
  add(count = 1): number {
    this.#last += count;
    return this.#last;
  }

  /** The last message that exists. */
  get last(): number {
    return this.#last;
  }

  get drained(): boolean {
    return !this.#flowing && this.acknowledged >= this.#last;
  }

  async resume(peer: Position | null): Promise<ResumedLog> {
    const through = peer?.incarnation === this.#run ? peer.number : 0;
    this.#read = Math.max(this.#read, through);
    // Stored, and the acknowledgement was lost with the session before: the product's outbox trims here too.
    if (through > this.acknowledged) await this.acknowledge(through);
    return { incarnation: this.#run, next: through + 1, missing: null };
  }

  async read(after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]> {
    const most = Math.min(maxItems, Math.max(1, Math.floor(maxBytes / (MESSAGE_BYTES + 1))));
    const through = Math.min(after + most, this.#flowing ? Number.MAX_SAFE_INTEGER : this.#last);
    const entries: OutboxEntry[] = [];
    for (let number = after + 1; number <= through; number += 1) {
      entries.push({
        number,
        id: messageId(this.#run, number),
        json: messageJson(this.#source, this.#run, number),
        bytes: MESSAGE_BYTES,
        expiresAt: null,
      });
    }
    this.#read = Math.max(this.#read, through);
    return entries;
  }

  async acknowledge(through: number): Promise<void> {
    this.acknowledged = through;
    this.#onAcknowledged?.(through);
  }

  async expire(): Promise<number> {
    return 0;
  }
}

export class MemoryInbox implements InboxPort {
  readonly #onReceived: (count: number) => void;
  #position: Position | null = null;
  #incarnation = '';

  constructor(onReceived: (count: number) => void) {
    this.#onReceived = onReceived;
  }

  async position(): Promise<Position | null> {
    return this.#position;
  }

  async begin(begin: {
    readonly incarnation: string;
    readonly next: number;
    readonly missing: Range | null;
  }): Promise<void> {
    this.#incarnation = begin.incarnation;
  }

  async append(first: number, frames: readonly MessageFrame[]): Promise<number> {
    const items = readMessageFrames(first, frames);
    const number = first + items.length - 1;
    const last = items.at(-1);
    const id = last === undefined ? '' : last.kind === 'message' ? last.message.id : last.id;
    this.#position = { incarnation: this.#incarnation, number, id };
    this.#onReceived(items.length);
    return number;
  }
}
