// The part of the store's interface for several Centrals on one store (nodes): who is alive, who leads, and what other
// nodes changed. Decisions across nodes use the clock of the database. The rules of store.ts apply.
import type { AuditEntry } from '../audit-store.ts';
import type { Labels } from '../agents/labels.ts';

/** A Central process with its own name (`node.name`). */
export interface NodeRecord {
  readonly name: string;
  /** Grows with each process of this name, and when the node is given up: what an older one still writes is refused. */
  readonly generation: number;
  readonly version: string;
  /** Where other nodes reach it (`node.address`, `https://host:port`); null: it is not set. */
  readonly address: string | null;
  readonly startedAt: number;
  /** By the clock of the database. */
  readonly lastSeenAt: number;
  /** Dead: it was not heard of for so long that its sessions were ended (NODE_DEAD_MS). */
  readonly state: 'alive' | 'dead' | 'stopped';
  readonly leads: boolean;
  /** Positive: its clock is ahead of that of the database. */
  readonly clockOffsetMs: number;
  /** Sessions that are open at it. */
  readonly sessions: number;
  /** The version of the parameters that it applies. */
  readonly appliedParameters: number;
  /** Since when no agent is admitted there; null: agents are admitted. */
  readonly drainedAt: number | null;
}

/** What a node says of itself, once a second. */
export interface NodeBeat {
  readonly now: number;
  readonly sessions: number;
  readonly appliedParameters: number;
  /** The `next` of the news before; the first time that of `Store.nodes.news()`. */
  readonly after: number;
}

/** Subjects of changes that other nodes keep something of. */
const SHARED_SUBJECTS = [
  'agents',
  'attempts',
  'commands',
  'drains',
  'enrollments',
  'exposures',
  'keys',
  'maintenance',
  'measurements',
  'parameter-notes',
  'parameters',
  'releases',
  'rollout-notes',
  'rollouts',
  'session-notes',
  'subscriptions',
  'tasks',
  'tokens',
  'trust',
] as const;
export type SharedSubject = (typeof SHARED_SUBJECTS)[number];

/** Something that another node committed. What it is now is read from the store. */
export interface SharedChange {
  readonly subject: SharedSubject;
  /** Of the resource: the id of an agent (also of `commands`), the name of a parameter, ... ; '' where there is none. */
  readonly id: string;
  readonly isDeleted: boolean;
  /** Of an agent: the labels that the change took from it. */
  readonly labelsBefore: Labels | null;
  /** What a node told the others (`tell`): it is in no other row. */
  readonly body?: string;
}

/** What a node tells the others. */
export interface NodeNote {
  readonly subject: Extract<
    SharedSubject,
    'attempts' | 'drains' | 'measurements' | 'parameter-notes' | 'rollout-notes' | 'session-notes' | 'trust'
  >;
  readonly id: string;
  readonly body: string;
}

export interface NodeNews {
  /** The node itself and all others that are known, in order of name. */
  readonly nodes: readonly NodeRecord[];
  /** The clock of the database. */
  readonly databaseTime: number;
  /** Of other nodes, in the order of their commits. */
  readonly changes: readonly SharedChange[];
  /** Older changes were dropped unseen: everything is to be read again. */
  readonly hasGap: boolean;
  /** There are more changes. */
  readonly hasMore: boolean;
  readonly next: number;
}

/** What one node does at a time. */
export type HeldName = 'parameters';

/** Not heard of for this long, a node is dead: its sessions end, and another one leads. */
export const NODE_DEAD_MS = 6_000;

export interface NodeStore {
  /** This process. */
  readonly self: { readonly name: string; readonly generation: number };
  /**
   * Says that the node is alive, takes the lead where no node has it, gives up nodes that are dead, and answers what
   * changed. Errors: node_fenced (another process has its name, or it was given up as dead).
   */
  beat(beat: NodeBeat): Promise<NodeNews>;
  /** Reads only; `after` of the first beat. */
  news(): Promise<NodeNews>;
  /** Calls back when another node changed something: a hint, at most some twenty times a second. The beat is the truth. */
  onHint(listener: () => void): void;
  /** The others read it with their next beats, in this order. Kept for some minutes only. */
  tell(notes: readonly NodeNote[]): Promise<void>;
  /**
   * This node alone does what is named so, until it releases it, is given up as dead, or a minute is over. Answers the
   * node that has it instead (null: this one has it), and all nodes as they are then.
   */
  hold(name: HeldName): Promise<{ readonly holder: string | null; readonly nodes: readonly NodeRecord[] }>;
  release(name: HeldName): Promise<void>;
  /**
   * A proven hello of an agent whose last session is of another boot; `true`: two running copies of its key alternate, at
   * whichever nodes (agents/boot-history.ts).
   */
  sawBoot(agentId: string, bootId: string, now: number): Promise<boolean>;
  /** Agents are admitted by this node, or not. Errors: node_unknown. */
  drain(name: string, isDrained: boolean, audit: AuditEntry): Promise<NodeRecord>;
  /** Forgets a node that is stopped or dead. Errors: node_unknown, node_alive. */
  remove(name: string, audit: AuditEntry): Promise<void>;
}

/** A store that cannot be reached now. Nothing is lost, and calls go on where it comes back. */
export interface StoreAway {
  readonly since: number;
  /** What was found, for people. */
  readonly reason: string;
}
