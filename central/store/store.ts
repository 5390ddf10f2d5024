// Owns the interface of Central's store: what is asked of any engine (SQLite here, PostgreSQL for several Centrals).
// Every call is asynchronous and shaped for batches; a call that resolves is on disk (synchronous FULL), a call that rejects
// with a CodedError changed nothing. An engine that can no longer write reports it once through `onFailure` and rejects
// everything after with `store_failed`: nobody may try again as if nothing had been.
// Times are milliseconds since 1970. test/central/store/contract.ts is the suite that every engine passes.
import type { Item, Message } from '../../shared/delivery/message.ts';
import type {
  Appended,
  LogDepth,
  OutboxBounds,
  OutboxEntry,
  ResumedLog,
} from '../../shared/delivery/log-interfaces.ts';
import type { Position, Range } from '../../shared/wire/messages.ts';
import type { AgentCertificate, CertificateStore, Revocation, RevocationReason } from './certificate-store.ts';
import type { EnrollmentStore } from './enrollment-store.ts';
import type { StoreBounds, StoreSpace } from './space/bounds.ts';

export interface Store {
  readonly agents: AgentStore;
  readonly outbox: OutboxStore;
  readonly inbox: InboxStore;
  readonly parameters: ParameterStore;
  readonly tokens: TokenStore;
  readonly keyMaterial: KeyMaterialStore;
  readonly certificates: CertificateStore;
  readonly enrollments: EnrollmentStore;
  readonly audit: AuditStore;
  /** Deletes what has outlived its retention. Small steps, each a transaction of its own. */
  prune(limits: RetentionLimits): Promise<void>;
  /** Cheap figures for metrics. */
  stats(): Promise<StoreStats>;
  /** Sets what the store may keep of each agent, and the disk space that it leaves free. Holds from the next call on. */
  bound(bounds: StoreBounds): Promise<void>;
  /** Measures the free space; below the reserve, what brings new data is refused with `store_reserve`. */
  space(): Promise<StoreSpace>;
  /**
   * Writes a copy of everything that is committed now into `file`, which may not exist, while everything goes on.
   * Errors: backup_unsound, backup_no_room, backup_failed; then there is no file.
   */
  snapshot(file: string): Promise<void>;
  /** Ends after every accepted call is committed. May be called twice. */
  stop(): Promise<void>;
}

export interface StoreStats {
  readonly engine: 'sqlite';
  /** Of the tables as a number that grows with each version that changes them. */
  readonly schema: number;
  /** Size of the database, pages that are free inside it included. */
  readonly bytes: number;
  /** Events and dead letters kept. */
  readonly events: number;
  readonly deadLetters: number;
  /** Messages whose dead letters gave way to newer ones of the same agent, since the store was made. */
  readonly deadLettersDropped: number;
  /** Calls accepted and not yet answered. */
  readonly waitingCalls: number;
  /** Commits since the start. */
  readonly commits: number;
}

export interface RetentionLimits {
  readonly now: number;
  readonly eventsOlderThan: number;
  readonly deadLettersOlderThan: number;
  readonly deduplicationOlderThan: number;
  readonly incidentsOlderThan: number;
}

// --- agents -----------------------------------------------------------------------------------------------------------

/**
 * States of DESIGN section 8 that stand so far. Revoked ends only when the agent's key is replaced: whoever does that makes it
 * Disconnected, with no reason of revocation and no next key any more, and gives it a certificate for the new key.
 */
export const AGENT_STATES = ['Pending', 'Online', 'Disconnected', 'Quarantined', 'Revoked'] as const;
export type AgentState = (typeof AGENT_STATES)[number];

export interface AgentRecord {
  readonly id: string;
  readonly name: string;
  /** SubjectPublicKeyInfo of the current key, DER, base64. */
  readonly publicKey: string;
  /** SHA-256 of the DER above, lower-case hex: the key's thumbprint. */
  readonly keyThumbprint: string;
  readonly enrolledAt: number;
  readonly enrolledBy: string;
  readonly state: AgentState;
  readonly stateSince: number;
  readonly stateReason: string;
  /** Grows with each claimed session; 0 before the first. */
  readonly epoch: number;
  /** The session that holds the epoch, or the last one; null before the first. */
  readonly session: SessionRecord | null;
  /** Held back as a clone until then. */
  readonly quarantinedUntil: number | null;
  /** The newest one for its current key; null: none was recorded (it enrolled before certificates were). */
  readonly certificate: AgentCertificate | null;
  /** The key it will come with next, by a renewal; with its first session it becomes the current one. */
  readonly next: {
    readonly publicKey: string;
    readonly keyThumbprint: string;
    readonly certificate: AgentCertificate;
  } | null;
  /** Of an agent whose state is Revoked. */
  readonly revocation: Revocation | null;
  readonly outbox: LogDepth;
  readonly inbox: { readonly incarnation: string | null; readonly number: number; readonly lastAt: number | null };
}

export interface SessionRecord {
  readonly session: string;
  readonly boot: string;
  readonly version: string;
  readonly transport: 'ws' | 'wss';
  readonly address: string;
  /** The Central process that holds it. */
  readonly node: string;
  readonly since: number;
  /** Null while it is open. */
  readonly endedAt: number | null;
}

export interface NewAgent {
  readonly id: string;
  readonly name: string;
  readonly publicKey: string;
  readonly keyThumbprint: string;
  readonly now: number;
}

export interface SessionClaim {
  readonly agentId: string;
  /** The key that signed the hello: the current one, or the next. */
  readonly keyThumbprint: string;
  readonly name: string;
  readonly session: string;
  readonly boot: string;
  readonly version: string;
  readonly transport: 'ws' | 'wss';
  readonly address: string;
  readonly node: string;
  readonly now: number;
}

export interface SessionGrant {
  readonly epoch: number;
  /** Where Central is in the agent's events, read in the same transaction that raised the epoch. */
  readonly up: Position | null;
  /** The next key became the current one by this. */
  readonly promoted: boolean;
}

export interface NewIncident {
  readonly at: number;
  /** A refusal code, `clone`, `log_restarted` and `commands_forgotten` (recovered: false) or the like. */
  readonly kind: string;
  readonly agentId: string | null;
  readonly address: string | null;
  /** Facts for the administrator, as JSON object text without secrets; e.g. {"recovered":false,"direction":"up","from":4,"through":9}. */
  readonly detail: string;
  /**
   * Who caused it: an agent that has proven its key, which pays with its own incidents, or a stranger, whatever id it names. Left out: a
   * stranger where there is an address or no agent, else the agent.
   */
  readonly by?: 'agent' | 'stranger';
  /** Strangers with one of these share one bound; left out: the address. */
  readonly block?: string;
  /** How often it happened; left out: once. */
  readonly count?: number;
}

export interface Incident extends Pick<NewIncident, 'at' | 'kind' | 'agentId' | 'address' | 'detail'> {
  /** How often it happened from `at` on through `lastAt`; the other members are those of the first time. */
  readonly count: number;
  readonly lastAt: number;
}

/** An agent whose id or name breaks a rule, in words. */
export interface NameFault {
  readonly id: string;
  readonly name: string;
  readonly found: string;
}

export interface NameFaults {
  readonly count: number;
  readonly faults: NameFault[];
}

/** Ids and names share one namespace (agent-names.ts): whatever takes an id or a name for the first time is held to it. */
export interface AgentStore {
  /**
   * Consumes one use of the enrollment token and registers the agent, in one transaction.
   * A key that is already registered under the same id keeps its record; with the token that it was enrolled with, no use of
   * it is consumed (a repeated enrollment repairs a lost answer).
   * Errors: token_unknown, token_used, token_expired, agent_id_taken, agent_id_invalid, agent_name_taken, agent_name_reserved,
   * agent_key_known, agent_key_revoked, agent_revoked.
   */
  register(agent: NewAgent, tokenId: string): Promise<AgentRecord>;
  get(id: string): Promise<AgentRecord | undefined>;
  /** The agent that has this key or this name (case-insensitive), to tell a wrong key from a stranger. */
  findByKey(keyThumbprint: string): Promise<AgentRecord | undefined>;
  findByName(name: string): Promise<AgentRecord | undefined>;
  /**
   * The agents that a word of an administrator means: the one with exactly this id; else the one with this name (case-insensitive);
   * else those whose id begins with it (8 characters or more, case-insensitive), in order of id.
   */
  findByReference(reference: string, limit: number): Promise<AgentRecord[]>;
  /** Has an agent with exactly this id, removed since, left events, dead letters or incidents? */
  hasLeftRecords(id: string): Promise<boolean>;
  /** Records from before the rules on ids and names (agent-names.ts) that break them: how many, and the first ones. */
  nameFaults(limit: number): Promise<NameFaults>;
  /** In order of name; `after` is the last name of the page before. */
  list(page: { readonly after?: string; readonly limit: number; readonly state?: AgentState }): Promise<AgentRecord[]>;
  /** Errors: agent_unknown. Deletes its logs too, and revokes its certificates (cessationOfOperation). */
  remove(id: string): Promise<void>;
  /**
   * Claims the session: raises the epoch, records the session, sets Online, takes over the name when it is free, and reads
   * the inbox position, all in one transaction. With the next key, that becomes the current one, its certificate the newest, and
   * those of the key before are revoked (superseded).
   * Errors: agent_unknown (or the key is not its key), agent_revoked, agent_name_taken, agent_name_reserved.
   */
  claimSession(claim: SessionClaim): Promise<SessionGrant>;
  /** Ends the session unless a newer one holds the epoch (then it does nothing). */
  endSession(end: {
    readonly agentId: string;
    readonly epoch: number;
    readonly now: number;
    readonly reason: string;
  }): Promise<void>;
  /** At start of Central: sessions that this node left open when it died are ended. */
  endSessionsOfNode(node: string, now: number, reason: string): Promise<void>;
  /**
   * Sets Revoked, revokes every certificate that the agent was given, forgets a next key, and fences its session off; resolves
   * with the epoch from which on a session would be newer. Errors: agent_unknown.
   */
  revoke(
    agentId: string,
    revocation: { readonly reason: RevocationReason; readonly now: number; readonly text: string },
  ): Promise<number>;
  countInState(state: AgentState): Promise<number>;
  quarantine(agentId: string, until: number, now: number, reason: string): Promise<void>;
  /**
   * Records it, or counts it in the row of its kind and cause that is not older than the interval (space/bounds.ts). The oldest of an
   * agent, or of all strangers, give way when there are too many.
   */
  recordIncident(incident: NewIncident): Promise<void>;
  /** Newest first. */
  incidents(page: { readonly limit: number; readonly agentId?: string }): Promise<Incident[]>;
}

// --- commands down ------------------------------------------------------------------------------------------------------

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

// --- events up ------------------------------------------------------------------------------------------------------------

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

// --- parameters -----------------------------------------------------------------------------------------------------------

/** A stored value; parameters at their default have no row, but keep who restored it and when (`value` null). */
export interface ParameterRow {
  readonly name: string;
  /** JSON text of the value; null: the default. */
  readonly value: string | null;
  readonly changedBy: string;
  readonly changedAt: number;
}

export interface ParameterSnapshot {
  /** Grows with every committed change; the ETag of the parameters. */
  readonly version: number;
  readonly rows: ParameterRow[];
  readonly pending: PendingChange | null;
}

/** A change that will be undone unless it is confirmed (commit-confirm). */
export interface PendingChange {
  readonly id: string;
  readonly deadline: number;
  /** Values before the change; null: the default. */
  readonly before: { readonly name: string; readonly value: string | null }[];
  /** JSON text with what the confirmation needs (share, agents that were online, ...). */
  readonly terms: string;
  readonly changedBy: string;
}

export interface ParameterStore {
  load(): Promise<ParameterSnapshot>;
  /**
   * Writes all values, the pending mark (or its end) and the audit entry in one transaction, if `expectedVersion` is still
   * the version. Errors: version_conflict.
   */
  save(change: {
    readonly expectedVersion: number;
    readonly rows: readonly ParameterRow[];
    readonly pending: PendingChange | null;
    readonly audit: AuditEntry;
  }): Promise<ParameterSnapshot>;
}

// --- tokens, key material, audit --------------------------------------------------------------------------------------------

export type Role = 'viewer' | 'operator' | 'administrator';

export interface ApiTokenRecord {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** SHA-256 of the secret, lower-case hex. */
  readonly hash: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt: number | null;
}

export interface EnrollmentTokenRecord {
  readonly id: string;
  readonly hash: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt: number;
  readonly uses: number;
  readonly maxUses: number;
  /** The only agent name it is good for; null: any. */
  readonly agentName: string | null;
}

export interface TokenStore {
  addApiToken(token: ApiTokenRecord): Promise<void>;
  getApiToken(id: string): Promise<ApiTokenRecord | undefined>;
  listApiTokens(): Promise<ApiTokenRecord[]>;
  /** Errors: token_unknown, last_administrator (the last administrator's token stays). */
  removeApiToken(id: string): Promise<void>;
  /** Errors: agent_name_reserved. */
  addEnrollmentToken(token: EnrollmentTokenRecord): Promise<void>;
  getEnrollmentToken(id: string): Promise<EnrollmentTokenRecord | undefined>;
  listEnrollmentTokens(): Promise<EnrollmentTokenRecord[]>;
  /** Errors: token_unknown. */
  removeEnrollmentToken(id: string): Promise<void>;
}

/**
 * Keys and certificates of Central, as opaque text by name; they lie in the store so that one backup holds all. What ends in
 * `.key` is private and comes sealed (central/pki/keys/key-material.ts).
 */
export interface KeyMaterialRow {
  readonly name: string;
  readonly value: string;
}

export interface KeyMaterialStore {
  /** Of everything there is, in order. */
  names(): Promise<string[]>;
  get(name: string): Promise<string | undefined>;
  /** Writes all of them or none; null takes one away. */
  put(entries: readonly { readonly name: string; readonly value: string | null }[], audit: AuditEntry): Promise<void>;
}

export interface AuditEntry {
  readonly at: number;
  readonly who: string;
  readonly from: string;
  readonly action: string;
  /** What was changed, as JSON text without secrets. */
  readonly detail: string;
  readonly comment: string | null;
  readonly ticket: string | null;
}

export interface AuditStore {
  append(entry: AuditEntry): Promise<void>;
  /** Newest first; `hash` chains each entry to the one before it (SHA-256 over the hash before and the entry). */
  list(page: {
    readonly limit: number;
    readonly before?: number;
  }): Promise<(AuditEntry & { readonly number: number; readonly hash: string })[]>;
}
