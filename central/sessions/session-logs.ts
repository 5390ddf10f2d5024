// Both logs of one agent, as the store holds them and as one epoch may write them.
import type { InboxPort, OutboxEntry, OutboxPort, ResumedLog } from '../../shared/delivery/log-interfaces.ts';
import type { MessageFrame } from '../../shared/delivery/message-frames.ts';
import type { ClaimedSession, KnownBegin } from '../store/agent-store.ts';
import type { Store } from '../store/store.ts';
import type { SessionFacts } from './session.ts';

interface LogsNeeds {
  readonly store: Pick<Store, 'outbox' | 'inbox'>;
  readonly now: () => number;
  /** By which commands expire (central/aging-clock.ts). */
  readonly aging: { now(): number };
}

type Owner = Pick<SessionFacts, 'agentId' | 'epoch' | 'capabilities'>;

/** Classes, which cost a session less memory than closures. */
export class SessionOutbox implements OutboxPort {
  readonly #needs: LogsNeeds;
  readonly #owner: Owner;
  readonly #down: ResumedLog;

  /** `down`: decided with the claim. */
  constructor(needs: LogsNeeds, owner: Owner, { down }: Pick<ClaimedSession, 'down'>) {
    this.#needs = needs;
    this.#owner = owner;
    this.#down = down;
  }

  async resume(): Promise<ResumedLog> {
    return this.#down;
  }

  read(after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]> {
    return this.#needs.store.outbox.read(this.#owner.agentId, after, maxItems, maxBytes);
  }

  acknowledge(through: number): Promise<void> {
    return this.#needs.store.outbox.acknowledge(this.#owner.agentId, this.#owner.epoch, through);
  }

  expire(): Promise<number> {
    const { store, aging } = this.#needs;
    return store.outbox.expire(aging.now());
  }
}

export class SessionInbox implements InboxPort {
  readonly #needs: LogsNeeds;
  readonly #owner: Owner;
  #begun: KnownBegin | null;

  /** `begun`: as the claim found the log, which only this epoch writes since. */
  constructor(needs: LogsNeeds, owner: Owner, { begun }: Pick<ClaimedSession, 'begun'>) {
    this.#needs = needs;
    this.#owner = owner;
    this.#begun = begun;
  }

  /** One that goes on where the log is changes nothing, and is not written. */
  async begin(begin: Parameters<InboxPort['begin']>[0]): Promise<void> {
    const { agentId, epoch, capabilities } = this.#owner;
    const { store, now } = this.#needs;
    const [begun, deduplicates] = [this.#begun, capabilities.includes('deduplication')];
    this.#begun = null;
    const isKnown = begun?.incarnation === begin.incarnation && begun.next === begin.next;
    if (!isKnown || begun.deduplicates !== deduplicates)
      await store.inbox.begin(agentId, epoch, { ...begin, deduplicates }, now());
  }

  append(next: number, frames: readonly MessageFrame[]): Promise<number> {
    const { agentId, epoch } = this.#owner;
    return this.#needs.store.inbox.append(agentId, epoch, next, frames, this.#needs.now());
  }
}
