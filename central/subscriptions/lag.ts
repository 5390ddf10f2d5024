// How far a subscription is behind. The oldest event that fits is searched for once: each look goes on where the one
// before ended, so that to read lists and metrics costs no search through all events each time.
import type { InboxStore } from '../store/message-store.ts';
import type { SubscriptionFilter } from '../store/subscriptions/subscription-store.ts';

export interface SubscriptionLag {
  /** Events behind the last delivered one; those that do not fit are counted until they are passed. */
  readonly count: number;
  /** Since the oldest of them arrived; 0: there is none. */
  readonly seconds: number;
}

interface Searched {
  /** No event between the cursor of the subscription and this one fits. */
  readonly through: number;
  /** Of the oldest event that fits. */
  readonly receivedAt: number | undefined;
}

interface Search {
  readonly filter: SubscriptionFilter;
  readonly cursor: number;
  readonly result: Promise<Searched>;
}

export class Lag {
  readonly #inbox: Pick<InboxStore, 'lastCursor' | 'read'>;
  readonly #now: () => number;
  #last: Search | undefined;

  constructor({ inbox, now }: { readonly inbox: Pick<InboxStore, 'lastCursor' | 'read'>; readonly now: () => number }) {
    this.#inbox = inbox;
    this.#now = now;
  }

  /** Labels are left out: which agents have them is not asked for a figure. */
  async find(filter: SubscriptionFilter, cursor: number): Promise<SubscriptionLag> {
    const none = { count: 0, seconds: 0 };
    const count = Math.max(0, (await this.#inbox.lastCursor()) - cursor);
    if (count === 0) return none;
    const { receivedAt } = await this.#search(filter, cursor);
    if (receivedAt === undefined) return none;
    return { count, seconds: Math.max(0, Math.round((this.#now() - receivedAt) / 1000)) };
  }

  async #search(filter: SubscriptionFilter, cursor: number): Promise<Searched> {
    const start = { through: cursor, receivedAt: undefined };
    const isSame = this.#last?.filter === filter && this.#last.cursor === cursor;
    const before = isSame && this.#last !== undefined ? this.#last.result : Promise.resolve(start);
    const result = before.catch((): Searched => start).then((searched) => this.#searchOn(filter, searched));
    this.#last = { filter, cursor, result };
    return await result;
  }

  async #searchOn({ type, source, agentId }: SubscriptionFilter, searched: Searched): Promise<Searched> {
    if (searched.receivedAt !== undefined) return searched;
    const newest = await this.#inbox.lastCursor();
    if (newest <= searched.through) return searched;
    const plain = {
      ...(type === null ? {} : { type }),
      ...(source === null ? {} : { source }),
      ...(agentId === null ? {} : { agentId }),
    };
    const [oldest] = await this.#inbox.read(searched.through, plain, 1);
    return oldest === undefined
      ? { through: newest, receivedAt: undefined }
      : { ...searched, receivedAt: oldest.receivedAt };
  }
}
