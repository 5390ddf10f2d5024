// Puts the outbox of one session behind the budget of what all sessions may have on their way out: nothing is read from
// the store before there is room, and what was read counts until the operating system took it.
import type { OutboxEntry, OutboxPort, ResumedLog } from '../../shared/delivery/log-interfaces.ts';
import type { Position } from '../../shared/wire/messages.ts';
import type { OutflowShare } from './limits/outflow-budget.ts';

export class SessionOutflow {
  readonly #share: OutflowShare;
  /** Read, and not yet handed to the socket. */
  #unsent = 0;

  constructor(share: OutflowShare) {
    this.#share = share;
  }

  /** The same outbox, read only as far as there is room. */
  bound(outbox: OutboxPort): OutboxPort {
    return new BoundOutbox(this, outbox);
  }

  /** Reads the outbox as far as there is room. */
  async read(outbox: OutboxPort, after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]> {
    // What was read before and not sent (it had expired) is read again.
    this.#share.written(this.#unsent);
    this.#unsent = 0;
    const room = await this.#share.reserve(maxBytes);
    if (room === 0) return [];
    let bytes = 0;
    try {
      const entries = await outbox.read(after, maxItems, room);
      for (const entry of entries) bytes += entry.bytes;
      return entries;
    } finally {
      this.#unsent = bytes;
      this.#share.read(bytes);
    }
  }

  /** What to do when the socket has written the frame that is handed to it now. */
  sending(): () => void {
    const bytes = this.#unsent;
    this.#unsent = 0;
    return () => this.#share.written(bytes);
  }

  /** The session is over. */
  close(): void {
    this.#share.close();
  }
}

class BoundOutbox implements OutboxPort {
  readonly #outflow: SessionOutflow;
  readonly #outbox: OutboxPort;

  constructor(outflow: SessionOutflow, outbox: OutboxPort) {
    this.#outflow = outflow;
    this.#outbox = outbox;
  }

  resume(peer: Position | null): Promise<ResumedLog> {
    return this.#outbox.resume(peer);
  }

  read(after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]> {
    return this.#outflow.read(this.#outbox, after, maxItems, maxBytes);
  }

  acknowledge(through: number): Promise<void> {
    return this.#outbox.acknowledge(through);
  }

  expire(): Promise<number> {
    return this.#outbox.expire();
  }
}
