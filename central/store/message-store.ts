// The part of the store's interface for messages: commands to agents (OutboxStore) and events from agents (InboxStore).
// The rules of store.ts apply.
import type { Appended, OutboxBounds, OutboxEntry } from '../../shared/delivery/log-interfaces.ts';
import type { MessageFrame } from '../../shared/delivery/message-frames.ts';
import type { Message } from '../../shared/delivery/message.ts';
import type { ExpiredCommands, Range } from '../../shared/wire/messages.ts';
import type { Keyed } from './agent-store.ts';
import type { DeadLetterCode } from '../../shared/delivery/dead-letters.ts';
import type { AuditEntry } from './audit-store.ts';

export interface OutboxStore {
  /**
   * Appends to one agent's log, all or nothing, in order. Errors: agent_unknown, agent_revoked, outbox_full,
   * store_reserve (nothing is stored).
   */
  append(agentId: string, messages: readonly Message[], bounds: OutboxBounds, now: number): Promise<Appended[]>;
  /** Messages with a number greater than `after`, contiguous, at most so many and so many bytes (but at least one). */
  read(agentId: string, after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]>;
  /**
   * Trims through this number. May wait for the next commit, since a lost trim is repaired by the next claim
   * (AgentStore.claimSession).
   * Errors: stale_epoch.
   */
  acknowledge(agentId: string, epoch: number, through: number): Promise<void>;
  /**
   * Commands that wait for their agents, without those that were given up. `key`: their place. May be fewer than
   * `limit` (a page is bounded in bytes too).
   */
  waiting(page: WaitingPage): Promise<Keyed<StoredCommand>[]>;
  /** How much waits in all, and for the `limit` agents for which most does. A few milliseconds for 10,000 agents. */
  backlog(limit: number): Promise<OutboxBacklog>;
  /**
   * What became of a message, for each agent that it was sent to, in order of name; known as long as its repetitions
   * are. May be fewer than `limit`, as `waiting`.
   */
  statesOf(message: { readonly source: string; readonly id: string }, page: StatesPage): Promise<StoredCommand[]>;
  /** Of all commands that are known. A page may be empty, and `next` say where the next one begins. */
  list(query: CommandQuery): Promise<CommandPage>;
  /** The same of one command; undefined: unknown. */
  find(commandId: string): Promise<StoredCommand | undefined>;
  /**
   * Gives up a command that was certainly not sent: a tombstone takes its place, and it is kept as a dead letter.
   * Errors: command_id_unknown, command_delivered (its agent has it, or it may be on its way).
   */
  withdraw(commandId: string, now: number, audit: AuditEntry): Promise<void>;
  /** Changes nothing. Errors: those of `withdraw`. */
  rehearseWithdrawal(commandId: string, now: number): Promise<void>;
  /** Moves expired messages to the dead letters and leaves tombstones; returns their number. */
  expire(now: number): Promise<number>;
  /**
   * Writes commands that expired at the agent to the dead letters; returns for how many new ones they count. What is
   * among the newest dead letters of the agent already is not written again. Errors: stale_epoch.
   */
  recordExpired(agentId: string, epoch: number, items: ExpiredCommands['items'], now: number): Promise<number>;
}

interface Backlog {
  readonly messages: number;
  readonly bytes: number;
  /** When the oldest of them was accepted; null: nothing waits. */
  readonly oldestAt: number | null;
}

export interface OutboxBacklog extends Backlog {
  /** For how many agents something waits. */
  readonly agents: number;
  /** Most messages first. */
  readonly largest: readonly (Backlog & { readonly name: string })[];
}

/** What the store knows of a command. What only its text says is null once it is delivered. */
export interface StoredCommand {
  /** command-id.ts */
  readonly commandId: string;
  readonly agent: { readonly id: string; readonly name: string };
  /** Acknowledged: by the consumer that got it, as its agent reported. */
  readonly state: CommandState;
  readonly queuedAt: number;
  /** Its number in the log of the agent; null: the log was numbered again since it was delivered. */
  readonly number: number | null;
  readonly json: string | null;
  readonly expiresAt: number | null;
}

export const COMMAND_STATES = ['queued', 'delivered', 'acknowledged', 'expired', 'withdrawn'] as const;
export type CommandState = (typeof COMMAND_STATES)[number];

export interface CommandQuery {
  readonly limit: number;
  readonly states: readonly CommandState[];
  readonly agentId?: string;
  /** The `next` of the page before. */
  readonly after?: CommandPlace;
}

/** In the order of agents as they enrolled, and in no order of time. */
export interface CommandPlace {
  /** `AgentRecord.key` */
  readonly agentKey: number;
  /** Of its source and id (command-id.ts). */
  readonly hash: string;
}

export interface CommandPage {
  readonly items: readonly StoredCommand[];
  /** Null: there is nothing more. */
  readonly next: CommandPlace | null;
}

/** A page of commands that wait for their agents, the oldest first. */
interface WaitingPage {
  readonly limit: number;
  readonly agentId?: string;
  /** The place of the last one of the page before. */
  readonly after?: number;
}

interface StatesPage {
  readonly limit: number;
  readonly agentId?: string;
  /** The name of the last agent of the page before. */
  readonly after?: string;
}

/**
 * A life of the store: it begins with the first start, and another one with each restore of a backup. Cursors of events
 * mean the same in two of them up to where they part.
 */
export interface StoreIncarnation {
  /** 10 lower-case hex digits, random. */
  readonly id: string;
  /** The last cursor that means the same in the present one; null: it is the present one. */
  readonly ended: number | null;
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
  /**
   * It counts for `count` of the messages from `number` through `through`. The other members are those of the first
   * one.
   */
  readonly number: number;
  readonly through: number;
  readonly count: number;
  readonly id: string;
  readonly reason: string;
  readonly json: string;
}

/** Absent: any. */
export interface DeadLetterQuery {
  readonly limit: number;
  /** A key. */
  readonly before?: number;
  readonly agentId?: string;
  readonly direction?: DeadLetter['direction'];
  readonly codes?: readonly DeadLetterCode[];
  /** At this time or later; before this time. */
  readonly from?: number;
  readonly to?: number;
}

export interface DeadLetterPage {
  readonly items: readonly Keyed<DeadLetter>[];
  /** `before` of the next page; null: there is nothing more. */
  readonly next: number | null;
}

/** What an event holds of its message. */
export interface EventMessage {
  /** Its number in the agent's log. */
  readonly number: number;
  readonly type: string;
  readonly source: string;
  readonly json: string;
}

/** What became of appended items. */
export interface CommittedEvents {
  /** The last number on disk. */
  readonly through: number;
  readonly incarnation: string;
  /** The cursor of the first event that was stored; those of the others follow without a gap. Null: none was. */
  readonly firstCursor: number | null;
  /** How many were stored. */
  readonly stored: number;
  /** These; null where they are more than MAX_REMEMBERED. */
  readonly events: readonly EventMessage[] | null;
}

/** How a sender goes on; what its `begin` frame and its hello say. */
export interface BegunInbox {
  readonly incarnation: string;
  readonly next: number;
  readonly missing: Range | null;
  /** Its outbox refuses repeated messages within an incarnation (the capability `deduplication`); default false. */
  readonly deduplicates?: boolean;
}

export interface InboxStore {
  /**
   * Records the sender's `begin`. A new incarnation resets the position; one that reports missing messages is recorded
   * as an incident `log_restarted` in the same transaction. Errors: stale_epoch, log_violation.
   */
  begin(agentId: string, epoch: number, begin: BegunInbox, now: number): Promise<void>;
  /**
   * Appends the items of these frames, the first one numbered `next`; resolves with the last number on disk. The frames
   * are decoded where they are written. Messages whose (agent, source, id) was stored within the retention of
   * deduplication take their number and are not stored again; within an incarnation of a sender that deduplicates that
   * is the sender's. Rejected items and tombstones go to the dead letters, those of one call with one reason as one;
   * the oldest are dropped when the agent has too many. Errors: bad_frame (shared/delivery/message-frames.ts),
   * stale_epoch, log_violation (`next` is not the next number), store_reserve and deduplication_indexing (nothing is
   * stored; send it again later).
   */
  append(agentId: string, epoch: number, next: number, frames: readonly MessageFrame[], now: number): Promise<number>;
  /**
   * Events after `after`, oldest first. A gap in cursors means nothing. Reads never wait for writers. May be fewer than
   * `limit` (a page is bounded in bytes too). None: no event matches up to the `lastCursor` that was read before this
   * call.
   */
  read(after: number, filter: EventFilter, limit: number, gone?: AbortSignal): Promise<StoredEvent[]>;
  /** The last cursor whose event was pruned after `after`; null: none of those after it is missing. */
  prunedThrough(after: number): Promise<number | null>;
  /** The newest cursor; 0 when there is none. */
  lastCursor(): Promise<number>;
  /** The oldest first; the last one is the present one. Constant while the store is open. */
  incarnations(): Promise<StoreIncarnation[]>;
  /** The newest first. A page may be empty, and `next` say where the next one begins. */
  deadLetters(query: DeadLetterQuery): Promise<DeadLetterPage>;
}
