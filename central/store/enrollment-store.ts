// Owns the part of the store's interface that concerns how machines become agents, or become themselves again, by an act of an
// administrator: askings without a token, and rescue codes. The rules of store.ts hold here too.
import type { AgentRecord, NewAgent } from './agent-store.ts';

export const ASKED_STATES = ['pending', 'accepted', 'rejected'] as const;
export type AskedState = (typeof ASKED_STATES)[number];

/** What a machine sent that asks without a token. */
export interface Asking {
  /** SHA-256 of its key, lower-case hex. */
  readonly keyThumbprint: string;
  readonly name: string;
  /** Null: its thumbprint. */
  readonly id: string | null;
  /** PEM. */
  readonly csr: string;
  readonly address: string;
  /** What shares one bound with this address: itself, or its IPv6 /64 (central/auth/address-rules.ts). */
  readonly block: string;
  /** Who can have many blocks: an IPv4 /16, an IPv6 /32. */
  readonly site: string;
  readonly transport: 'ws' | 'wss';
}

export interface AskedEnrollment extends Asking {
  readonly firstAskedAt: number;
  readonly lastAskedAt: number;
  readonly state: AskedState;
  readonly decidedAt: number | null;
  readonly decidedBy: string | null;
  readonly comment: string | null;
  /** What an accepted one was given: PEM with what stands between it and the root; null before it asked again. */
  readonly certificate: string | null;
}

/** Entries that are older are forgotten. */
export interface AskedLimits {
  readonly pendingBefore: number;
  readonly rejectedBefore: number;
  readonly acceptedBefore: number;
}

export interface AskedBounds extends AskedLimits {
  /** So many may wait, and so many of them from one block. */
  readonly most: number;
  readonly mostOfBlock: number;
  /** When all places are taken, one that last asked before this gives way. */
  readonly silentBefore: number;
}

export interface PendingBlock {
  readonly block: string;
  readonly pending: number;
}

export interface RescueCode {
  /** SHA-256 of the code, lower-case hex. */
  readonly hash: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt: number;
  /** Thumbprint of the key that it brought; null until then. */
  readonly usedBy: string | null;
}

export interface Rescue {
  readonly agentId: string;
  /** Of the code that was shown to be known. */
  readonly hash: string;
  readonly publicKey: string;
  readonly keyThumbprint: string;
  readonly now: number;
  readonly reason: string;
}

export interface EnrollmentStore {
  /**
   * Notes that a machine asks, and tells how it stands. One key is one entry: asked again, it carries what was said last. What was
   * decided stays, unless the agent was removed since. When all places are taken, the block that
   * holds the most gives way to one that holds fewer, else the site that does: of its entries the one that has not asked for the
   * longest time is dropped.
   * Errors: enrollments_full, enrollments_full_of_address.
   */
  ask(asking: Asking, bounds: AskedBounds, now: number): Promise<AskedEnrollment>;
  /** Those whose key begins with `prefix`, by key; `after` is the last one of the page before. */
  asked(page: {
    readonly prefix?: string;
    readonly state?: AskedState;
    readonly after?: string;
    readonly limit: number;
  }): Promise<AskedEnrollment[]>;
  countPending(): Promise<number>;
  /** The blocks from which the most machines wait, in order. */
  pendingBlocks(limit: number): Promise<PendingBlock[]>;
  forgetAsked(limits: AskedLimits): Promise<void>;
  /**
   * Registers the agent and notes that it was accepted, in one transaction, if it still asks with this request.
   * Errors: enrollment_not_asked, agent_id_taken, agent_id_invalid, agent_name_taken, agent_name_reserved, agent_key_known,
   * agent_key_revoked.
   */
  accept(csr: string, agent: NewAgent, by: string): Promise<AgentRecord>;
  /** Errors: enrollment_not_asked. */
  reject(keyThumbprint: string, by: string, comment: string | null, now: number): Promise<void>;
  /** Keeps what an accepted one was given, for the next time it asks. */
  keepCertificate(keyThumbprint: string, certificate: string): Promise<void>;
  /**
   * Registers an agent without a token. A key that is already registered under the same id keeps its record.
   * Errors: agent_id_taken, agent_id_invalid, agent_name_taken, agent_name_reserved, agent_key_known,
   * agent_key_revoked.
   */
  admit(agent: NewAgent, by: string): Promise<AgentRecord>;
  /** The one code of an agent; one before it is good no more. Errors: agent_unknown. */
  putRescue(agentId: string, code: Pick<RescueCode, 'hash' | 'createdAt' | 'createdBy' | 'expiresAt'>): Promise<void>;
  getRescue(agentId: string): Promise<RescueCode | undefined>;
  /**
   * Uses the code up, gives the agent its new key, and ends its session (the epoch grows, so that the old one writes nothing any
   * more), in one transaction. The same key with the same code again changes nothing (a repetition repairs a lost answer).
   * Errors: agent_unknown, rescue_used, rescue_expired, agent_key_known,
   * agent_key_revoked.
   */
  rescue(rescue: Rescue): Promise<AgentRecord>;
}
