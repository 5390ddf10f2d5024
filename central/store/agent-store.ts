// The part of the store's interface for agents: registration, lookup, sessions, revocation and incidents.
// The rules of store.ts apply.
import type { LogDepth, ResumedLog } from '../../shared/delivery/log-interfaces.ts';
import type { ReleasePart } from '../../shared/releases/software.ts';
import type { Consumers, Position } from '../../shared/wire/messages.ts';
import type { AgentMatch, Labels, LabelTerm } from './agents/labels.ts';
import type { AgentSort } from './agents/sort.ts';
import type { AuditEntry } from './audit-store.ts';
import type { AgentCertificate, Revocation, RevocationReason } from './certificate-store.ts';

/**
 * States of an agent. Revoked ends only when the agent's key is replaced: the same act makes the agent Disconnected,
 * clears the reason of revocation and the next key, and gives it a certificate for the new key. Disabled ends when an
 * administrator enables the agent: then it is Disconnected, or Enrolled when it never had a session.
 */
export const AGENT_STATES = [
  'enrolled',
  'online',
  'degraded',
  'disconnected',
  'dropped',
  'draining',
  'unauthenticated',
  'misconfigured',
  'throttled',
  'quarantined',
  'disabled',
  'revoked',
] as const;
export type AgentState = (typeof AGENT_STATES)[number];

/** Degraded: something of it does not work (agents/state-reasons.ts). */
export function hasSession(state: AgentState): boolean {
  return state === 'online' || state === 'degraded';
}

export interface AgentRecord {
  /** Its number in the store, which no other agent gets. */
  readonly key: number;
  readonly id: string;
  readonly name: string;
  /** An administrator named it: the name in its hello is not taken over. */
  readonly isNameSet: boolean;
  readonly labels: Labels;
  readonly notes: string;
  /** Grows with each change of name, labels or notes; the ETag. */
  readonly version: number;
  /** Who made that change; null before the first one. */
  readonly changedBy: string | null;
  /** SubjectPublicKeyInfo of the current key, DER, base64. */
  readonly publicKey: string;
  /** SHA-256 of the DER above, lower-case hex: the key's thumbprint. */
  readonly keyThumbprint: string;
  readonly enrolledAt: number;
  readonly enrolledBy: string;
  readonly state: AgentState;
  readonly stateSince: number;
  /** As `readReason` reads it (agents/state-reasons.ts). */
  readonly stateReason: string;
  /** When the state ends by itself; null: by an act, or a connection. */
  readonly stateUntil: number | null;
  /** Grows with each claimed session; 0 before the first. */
  readonly epoch: number;
  /** The session that holds the epoch, or the last one; null before the first. */
  readonly session: SessionRecord | null;
  /** Quarantined as a clone until then. */
  readonly quarantinedUntil: number | null;
  /** The newest one for its current key; null: none was recorded (it enrolled before certificates were recorded). */
  readonly certificate: AgentCertificate | null;
  /** The key of a renewal; with its first session it becomes the current one. */
  readonly next: {
    readonly publicKey: string;
    readonly keyThumbprint: string;
    readonly certificate: AgentCertificate;
  } | null;
  /** Set while the state is Revoked. */
  readonly revocation: Revocation | null;
  readonly outbox: LogDepth;
  readonly inbox: { readonly incarnation: string | null; readonly number: number; readonly lastAt: number | null };
  /** What it last said that it runs, in order of the parts; none of what is not from a release. */
  readonly releases: readonly AgentReportedRelease[];
}

export interface AgentReportedRelease {
  readonly part: ReleasePart;
  readonly digest: string;
  /** Of the profile or the software; null: Central does not have the release. */
  readonly name: string | null;
}

/** A change of the state of an agent. */
export interface AgentStateChange {
  readonly at: number;
  readonly state: AgentState;
  readonly reason: string;
  readonly until: number | null;
}

export interface SessionRecord {
  readonly session: string;
  readonly bootId: string;
  readonly version: string;
  readonly transport: 'ws' | 'wss';
  readonly address: string;
  /** The Central process that holds it. */
  readonly node: string;
  readonly since: number;
  /** Null while it is open. */
  readonly endedAt: number | null;
}

export interface RefusedHello {
  readonly agentId: string;
  readonly keyThumbprint: string;
  readonly reason: string;
  readonly until: number | null;
  readonly now: number;
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
  readonly bootId: string;
  readonly version: string;
  readonly transport: 'ws' | 'wss';
  readonly address: string;
  readonly node: string;
  /** Where the agent says it is in its commands. */
  readonly down: Position | null;
  readonly now: number;
}

/**
 * What an agent has to be for its look-up to claim the session at once (agents/claim-terms.ts). Of any other agent the
 * caller decides by its record.
 */
export interface ClaimTerms {
  /** An agent without a certificate on record may connect by its key. */
  readonly keyAlone: boolean;
  /** Its certificate expires after this time. */
  readonly expiresAfter: number;
  /** It has had no session of another boot that began after this time; absent: the caller knows. */
  readonly otherBootSince?: number;
}

export type Login =
  | {
      readonly kind: 'claimed';
      readonly claimed: ClaimedSession;
      /** On record for the key that signed the hello. */
      readonly certificate: AgentCertificate | null;
    }
  /** Nothing was claimed. Undefined: no agent has this id. */
  | { readonly kind: 'found'; readonly agent: AgentRecord | undefined };

/** The `begin` of an agent that goes on with its log: it changes nothing in the store. */
export interface KnownBegin {
  readonly incarnation: string;
  readonly next: number;
  readonly deduplicates: boolean;
}

/** Everything is decided in the transaction that raised the epoch. */
export interface ClaimedSession {
  readonly epoch: number;
  /** `AgentRecord.key` */
  readonly key: number;
  /** Of its hello, unless an administrator named it. */
  readonly name: string;
  /** Where Central is in the agent's events. */
  readonly up: Position | null;
  /** Null: each `begin` of the agent has to be noted. */
  readonly begun: KnownBegin | null;
  /** How its commands go on (shared/delivery/ordered-log.ts). */
  readonly down: ResumedLog;
  /** The number of the last command in its log, numbered as `down` says; below `down.next`: none waits. */
  readonly newest: number;
  /** True when the next key became the current one. */
  readonly promoted: boolean;
}

/** What is absent stays. */
export interface AgentChange {
  /** Null: the next name that the agent reports. */
  readonly name?: string | null | undefined;
  /** Merged into the labels of the agent: null deletes a key, or all of them. */
  readonly labels?: Readonly<Record<string, string | null>> | null | undefined;
  readonly notes?: string | undefined;
}

/** An agent after a change of its labels, or of what else administrators know of it. */
export interface ChangedAgent extends AgentRecord {
  readonly labelsBefore: Labels;
}

/**
 * An agent as an act over several agents sees it. Without its labels: with those, ten thousand agents would be 40 MB
 * for each act.
 */
export interface SelectedAgent extends Pick<AgentRecord, 'id' | 'name' | 'state'> {
  /** When its last session ended; null while one is open, and before the first. */
  readonly offlineSince: number | null;
}

/** The beginning of a digest; `name`: of a release with this name only. */
export interface ReleaseReference {
  readonly prefix: string;
  readonly name: string | null;
}

interface AgentListPage {
  /** The last name of the page before. */
  readonly after?: string;
  readonly limit: number;
  readonly sort?: AgentSort;
  /** One of them. */
  readonly states?: readonly AgentState[];
  /** Of its open session, or else of its last one: one of them. */
  readonly transports?: readonly SessionRecord['transport'][];
  /** Of its software, as of its last session: one of them. */
  readonly versions?: readonly string[];
  /**
   * Its last session ended before this time. An agent that is connected is seen now, one that never was is not seen.
   */
  readonly lastSeenBefore?: number;
  /** Of these releases it reports one. */
  readonly releases?: readonly ReleaseReference[];
  /** Of these patterns one fits; `*` means any characters. */
  readonly names?: readonly string[];
  /** Of these groups one holds: all of its terms. */
  readonly labels?: readonly (readonly LabelTerm[])[];
}

/** What a count is about: a list without its page. */
export type AgentFilter = Omit<AgentListPage, 'after' | 'limit' | 'sort'>;

export interface AgentCounts {
  readonly agents: number;
  readonly states: Readonly<Record<AgentState, number>>;
  /** Of its open session, or else of its last one: those of agents that had one. */
  readonly transports: Readonly<Record<SessionRecord['transport'], number>>;
  /** Of its software, as of its last session; the most frequent ones first. */
  readonly versions: readonly { readonly version: string; readonly agents: number }[];
  /** That they reported; the most frequent ones first. */
  readonly releases: readonly {
    readonly release: string;
    /** Null: Central does not have the release. */
    readonly name: string | null;
    readonly agents: number;
  }[];
}

/** Versions and releases in a count. */
export const MAX_COUNTED = 100;

/** What an agent reported of the consumers of its commands, last. */
export interface ConsumerReport {
  readonly agentId: string;
  /** Of the session that reported it. */
  readonly epoch: number;
  readonly at: number;
  /** Null: the agent has no command of the present log. */
  readonly position: Position | null;
  /** The agent accepted no more commands. */
  readonly inboxFull: boolean;
  readonly consumers: Consumers['consumers'];
}

export interface NewIncident {
  readonly at: number;
  /** A refusal code, `clone`, `log_restarted` and `commands_forgotten` (recovered: false) or the like. */
  readonly kind: string;
  readonly agentId: string | null;
  readonly address: string | null;
  /**
   * Facts for the administrator, as JSON object text without secrets; e.g.
   * {"recovered":false,"direction":"up","from":4,"through":9}.
   */
  readonly detail: string;
  /**
   * Who caused it: an agent that has proven its key, whose own bound it counts against, or a stranger, whatever id they
   * name. Default: a stranger where there is an address or no agent, otherwise the agent.
   */
  readonly by?: 'agent' | 'stranger';
  /** Strangers of one block share one bound; default: the address. */
  readonly block?: string;
  /** How often it happened; default: once. */
  readonly count?: number;
}

export interface Incident extends Pick<NewIncident, 'at' | 'kind' | 'agentId' | 'address' | 'detail'> {
  /** How often it happened from `at` on through `lastAt`; the other members are those of the first time. */
  readonly count: number;
  readonly lastAt: number;
}

/** A row of a list with the newest first; `key` is its place in it. */
export type Keyed<T> = T & { readonly key: number };

/** A page of such a list: rows behind `before`, a key of an earlier page. */
export interface NewestFirstPage {
  readonly limit: number;
  readonly agentId?: string;
  /** Of incidents. */
  readonly kind?: string;
  readonly before?: number;
}

/** An agent whose id or name breaks a rule; `found` says which. */
export interface NameFault {
  readonly id: string;
  readonly name: string;
  readonly found: string;
}

export interface NameFaults {
  readonly count: number;
  readonly faults: NameFault[];
}

/** Ids and names share one namespace (agent-names.ts), which is enforced wherever an agent takes an id or a name. */
export interface AgentStore {
  /**
   * Consumes one use of the enrollment token and registers the agent, in one transaction. A key that is already
   * registered under the same id keeps its record; with the token that it was enrolled with, no use is consumed (a
   * repeated enrollment repairs a lost answer).
   * Errors: token_unknown, token_used, token_expired, agent_id_taken, agent_id_invalid, agent_name_taken,
   * agent_name_reserved, agent_key_known, agent_key_revoked, agent_revoked.
   */
  register(agent: NewAgent, tokenId: string, audit: AuditEntry): Promise<AgentRecord>;
  get(id: string): Promise<AgentRecord | undefined>;
  /** The agent that has this key or this name (case-insensitive). */
  findByKey(keyThumbprint: string): Promise<AgentRecord | undefined>;
  findByName(name: string): Promise<AgentRecord | undefined>;
  /**
   * The agents that a reference means: the one with exactly this id; otherwise the one with this name
   * (case-insensitive); otherwise those whose id begins with it (8 characters or more, case-insensitive), in order of
   * id.
   */
  findByReference(reference: string, limit: number): Promise<AgentRecord[]>;
  /** True when a deleted agent with exactly this id left events, dead letters or incidents. */
  hasLeftRecords(id: string): Promise<boolean>;
  /** Records from before the rules on ids and names (agent-names.ts) that break them: how many, and the first ones. */
  nameFaults(limit: number): Promise<NameFaults>;
  /**
   * In order of name (`after` is one), unless `sort` says another order and place. A page ends before its limit where
   * its agents have much text (mayHaveMore of shared/text-page.ts, with `textOfAgent`).
   */
  list(page: AgentListPage): Promise<AgentRecord[]>;
  /** The agents for which all terms of `within` hold and that one of the matches selects, each once, in order of name. */
  select(matches: readonly AgentMatch[], within?: readonly LabelTerm[]): Promise<SelectedAgent[]>;
  /** The labels of those of these agents that exist, in no order. */
  labelsOf(ids: readonly string[]): Promise<readonly (readonly [id: string, labels: Labels])[]>;
  /** Their ids alone. */
  selectIds(matches: readonly AgentMatch[]): Promise<string[]>;
  /**
   * Changes what administrators know of an agent. `version`: that of the record that the change was made for; null:
   * any. Errors: agent_unknown, version_conflict, agent_labels_full, agent_name_taken, agent_name_reserved.
   */
  change(
    agentId: string,
    change: AgentChange,
    terms: { readonly version: number | null; readonly by: string; readonly now: number },
    audit: AuditEntry,
  ): Promise<ChangedAgent>;
  /**
   * Sets Disabled and fences its session off; resolves with the epoch from which on a session is newer. An agent that
   * is disabled stays as it is. Errors: agent_unknown, agent_revoked.
   */
  disable(agentId: string, act: { readonly now: number; readonly text: string }, audit: AuditEntry): Promise<number>;
  /** Ends Disabled; an agent in another state stays as it is. Errors: agent_unknown, agent_revoked. */
  enable(agentId: string, act: { readonly now: number; readonly text: string }, audit: AuditEntry): Promise<void>;
  /**
   * Gives an agent the name, labels, notes, history and waiting commands of an older one, which is deleted. Errors:
   * agent_unknown, agent_revoked (the new one), agent_replaces_itself.
   */
  replace(
    oldId: string,
    newId: string,
    act: { readonly by: string; readonly now: number },
    audit: AuditEntry,
  ): Promise<ChangedAgent>;
  /**
   * Deletes its logs too, and revokes its certificates (cessationOfOperation); resolves with the labels that it had.
   * Errors: agent_unknown.
   */
  remove(id: string, audit: AuditEntry): Promise<Labels>;
  /**
   * Claims the session: raises the epoch, records the session, sets Online, takes over the name when it is free, reads
   * the inbox position, and resumes the outbox from where the agent says it is, all in one transaction. A claim with
   * the next key makes it the current one and its certificate the newest; the certificates of the old key are revoked
   * (superseded). Errors: agent_unknown (or the key is not its key), agent_revoked, agent_disabled, agent_name_taken,
   * agent_name_reserved.
   */
  claimSession(claim: SessionClaim): Promise<ClaimedSession>;
  /**
   * Looks the agent up and claims its session in one call, when it meets the terms; otherwise answers with its record
   * and changes nothing. Errors: agent_name_taken, agent_name_reserved.
   */
  logIn(claim: SessionClaim, terms: ClaimTerms): Promise<Login>;
  /**
   * Ends the session unless a newer one holds the epoch (then it does nothing). The state follows from the reason
   * (agents/state-reasons.ts); `until`: when it ends by itself.
   */
  endSession(end: {
    readonly agentId: string;
    readonly epoch: number;
    readonly now: number;
    readonly reason: string;
    readonly until?: number | null;
  }): Promise<void>;
  /**
   * A hello of the agent was refused: sets the state that follows from the reason, unless the agent has a session, is
   * held back, or has that state for the same cause already. `keyThumbprint`: the key that signed the hello; of another
   * key, and of an unknown agent, nothing is recorded.
   */
  recordRefusal(refusal: RefusedHello): Promise<void>;
  /**
   * At the start of Central: ends the sessions that are recorded as open and that nothing serves any more. Those of
   * this node, under its present name; in a store that one process holds, those under any name: `node.name` was
   * changed, or the store was restored from another node's backup.
   */
  endAbandonedSessions(node: string, now: number, reason: string): Promise<void>;
  /**
   * Sets Revoked, revokes every certificate of the agent, deletes a next key, and fences its session off; resolves with
   * the epoch from which on a session is newer. Errors: agent_unknown.
   */
  revoke(
    agentId: string,
    revocation: { readonly reason: RevocationReason; readonly now: number; readonly text: string },
    audit: AuditEntry,
  ): Promise<number>;
  /**
   * Keeps the last report of each agent, unless a newer session holds its epoch; resolves with the agents that are
   * online or degraded because of it and were not before. May wait for the next commit.
   */
  recordConsumers(reports: readonly ConsumerReport[]): Promise<readonly string[]>;
  /** The last report of an agent; undefined: none, or the agent is unknown. */
  consumersOf(agentId: string): Promise<ConsumerReport | undefined>;
  /** The last 50 changes of its state, newest first; of an unknown agent none. */
  history(agentId: string): Promise<AgentStateChange[]>;
  count(filter: AgentFilter): Promise<AgentCounts>;
  countByState(): Promise<Readonly<Record<AgentState, number>>>;
  /** A disabled or revoked agent stays that. */
  quarantine(agentId: string, until: number, now: number, reason: string): Promise<void>;
  /**
   * Records an incident, or counts it in the row of its kind and cause that is not older than the interval
   * (space/bounds.ts). The oldest of an agent, or of all strangers, are dropped when there are too many.
   */
  recordIncident(incident: NewIncident): Promise<void>;
  /** Newest first. */
  incidents(page: NewestFirstPage): Promise<Keyed<Incident>[]>;
}
