// The part of the store's interface for messages: commands to agents (OutboxStore) and events from agents (InboxStore).
// The rules of store.ts apply.
import type { Appended, OutboxBounds, OutboxEntry, ResumedLog } from '../../shared/delivery/log-interfaces.ts';
import type { Item, Message } from '../../shared/delivery/message.ts';
import type { Position, Range } from '../../shared/wire/messages.ts';

export interface OutboxStore {
  /**
   * Appends to one agent's log, all or nothing, in order. Errors: agent_unknown, outbox_full, store_reserve (nothing is taken).
   */
  append(agentId: string, messages: readonly Message[], bounds: OutboxBounds, now: number): Promise<Appended[]>;
  /** Messages with a number greater than `after`, contiguous, at most so many and so many bytes (but at least one). */
  read(agentId: string, after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]>;
  /**
   * Compares the agent's position with the log and decides how to go on (shared/delivery/ordered-log.ts), in one transaction.
   * Errors: stale_epoch.
   */
  resume(agentId: string, epoch: number, peer: Position | null, now: number): Promise<ResumedLog>;
  /** Trims through this number. May wait for the next commit, since a lost trim is repaired by `resume`. Errors: stale_epoch. */
  acknowledge(agentId: string, epoch: number, through: number): Promise<void>;
  /** Moves expired messages to the dead letters and leaves tombstones; the number of them. */
  expire(now: number): Promise<number>;
}

/** One event as the API shows it. `cursor` grows in commit order over all agents. */
export interface StoredEvent {
  readonly cursor: number;
  readonly agentId: string;
  /** Its number in the agent's log, and that log's incarnation. */
  readonly incarnation: string;
  readonly number: number;
  readonly receivedAt: number;
  readonly json: string;
}

export interface EventFilter {
  readonly agentId?: string;
  readonly type?: string;
  readonly source?: string;
}

export interface DeadLetter {
  readonly at: number;
  readonly direction: 'up' | 'down';
  readonly agentId: string;
  /** The numbers that it stands for: `count` of those from `number` through `through`. The other members are those of the first one. */
  readonly number: number;
  readonly through: number;
  readonly count: number;
  readonly id: string;
  readonly reason: string;
  readonly json: string;
}

export interface InboxStore {
  /**
   * Notes the sender's `begin`. A new incarnation resets the position; one that says something is missing is recorded as an
   * incident `log_restarted` in the same transaction. Errors: stale_epoch, log_violation.
   */
  begin(
    agentId: string,
    epoch: number,
    begin: { readonly incarnation: string; readonly next: number; readonly missing: Range | null },
    now: number,
  ): Promise<void>;
  /**
   * Appends items numbered from `first`; resolves with the last number on disk. Messages whose (agent, source, id) was seen
   * within the last days take their number and are not stored again; rejected items and tombstones go to the dead letters, those of one
   * call with one reason as one, the oldest giving way when the agent has too many.
   * Errors: stale_epoch, log_violation (first is not the next number), store_reserve (nothing is taken; send it again later).
   */
  append(agentId: string, epoch: number, first: number, items: readonly Item[], now: number): Promise<number>;
  /**
   * Events behind `after`, oldest first. A gap in cursors means nothing. Reads never wait for writers. May be fewer than `limit`
   * (a page is bounded in bytes too); none: nothing fits up to `lastCursor`, and who asked that before may go on from there.
   */
  read(after: number, filter: EventFilter, limit: number, gone?: AbortSignal): Promise<StoredEvent[]>;
  /** The newest cursor; 0 when there is none. */
  lastCursor(): Promise<number>;
  deadLetters(page: { readonly limit: number; readonly agentId?: string }): Promise<DeadLetter[]>;
}
