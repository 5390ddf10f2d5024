// The part of the store's interface for enrollment by an administrator: requests without a token, and recovery codes.
// The rules of store.ts apply.
import type { AgentRecord, NewAgent } from './agent-store.ts';
import type { AuditEntry } from './audit-store.ts';

export const ENROLLMENT_REQUEST_STATES = ['pending', 'accepted', 'rejected'] as const;
export type EnrollmentRequestState = (typeof ENROLLMENT_REQUEST_STATES)[number];

/** What a machine sends that enrolls without a token. */
export interface EnrollmentRequest {
  /** SHA-256 of its key, lower-case hex. */
  readonly keyThumbprint: string;
  readonly name: string;
  /** Null: its thumbprint. */
  readonly id: string | null;
  /** PEM. */
  readonly csr: string;
  readonly address: string;
  /** The addresses that share one bound with this one: itself, or its IPv6 /64 (central/auth/address-rules.ts). */
  readonly block: string;
  /** The network that may hold many blocks: an IPv4 /16, an IPv6 /32. */
  readonly site: string;
  readonly transport: 'ws' | 'wss';
}

export interface EnrollmentRequestRecord extends EnrollmentRequest {
  readonly firstRequestedAt: number;
  readonly lastRequestedAt: number;
  readonly state: EnrollmentRequestState;
  readonly decidedAt: number | null;
  readonly decidedBy: string | null;
  readonly comment: string | null;
  /**
   * The certificate of an accepted request with its intermediates, PEM; null until the machine has repeated the
   * request.
   */
  readonly certificate: string | null;
}

/** Older entries are pruned. */
export interface RequestRetention {
  readonly pendingBefore: number;
  readonly rejectedBefore: number;
  readonly acceptedBefore: number;
}

export interface RequestBounds extends RequestRetention {
  /** How many requests may be pending, in all and from one block. */
  readonly most: number;
  readonly mostOfBlock: number;
  /** When all places are taken, a request that was last repeated before this time gives way. */
  readonly silentBefore: number;
}

export interface PendingBlock {
  readonly block: string;
  readonly pending: number;
}

export interface RecoveryCode {
  /** SHA-256 of the code, lower-case hex. */
  readonly hash: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt: number;
  /** Thumbprint of the key that it brought; null until then. */
  readonly usedBy: string | null;
}

export interface Recovery {
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
   * Records a request and returns its state. One key is one entry; a repetition overwrites what the request says. A
   * decision stays, unless the agent was deleted since. When all places are taken, the fullest block gives way to one
   * that holds fewer, or else the fullest site: its entry that was silent longest is dropped.
   * Errors: enrollments_full, enrollments_full_of_address.
   */
  submit(request: EnrollmentRequest, bounds: RequestBounds, now: number): Promise<EnrollmentRequestRecord>;
  /** Requests whose key begins with `prefix`, in order of key; `after` is the last key of the page before. */
  list(page: {
    readonly prefix?: string;
    readonly state?: EnrollmentRequestState;
    readonly after?: string;
    readonly limit: number;
  }): Promise<EnrollmentRequestRecord[]>;
  countByState(): Promise<Readonly<Record<EnrollmentRequestState, number>>>;
  /** The blocks with the most pending requests, in that order. */
  pendingBlocks(limit: number): Promise<PendingBlock[]>;
  prune(retention: RequestRetention): Promise<void>;
  /**
   * Registers the agent and marks its request accepted, in one transaction, if the request is still this one.
   * Errors: enrollment_request_unknown, agent_id_taken, agent_id_invalid, agent_name_taken, agent_name_reserved,
   * agent_key_known, agent_key_revoked.
   */
  accept(csr: string, agent: NewAgent, by: string, audit: AuditEntry): Promise<AgentRecord>;
  /**
   * Marks the request accepted, if it is still this one, and gives its key to an agent that exists, whose session ends.
   * Errors: enrollment_request_unknown, agent_unknown, agent_key_known, agent_key_revoked.
   */
  replace(csr: string, replacement: Omit<Recovery, 'hash'>, by: string, audit: AuditEntry): Promise<AgentRecord>;
  /** Changes nothing. Errors: those of `accept`. */
  rehearseAccept(csr: string, agent: NewAgent, by: string): Promise<void>;
  /** Changes nothing. Errors: those of `replace`. */
  rehearseReplace(csr: string, replacement: Omit<Recovery, 'hash'>, by: string): Promise<void>;
  /** Errors: enrollment_request_unknown. */
  reject(keyThumbprint: string, by: string, comment: string | null, now: number, audit: AuditEntry): Promise<void>;
  /** Keeps the certificate of an accepted request, for the next time the machine repeats it. */
  keepCertificate(keyThumbprint: string, certificate: string): Promise<void>;
  /**
   * Registers an agent without a token. A key that is already registered under the same id keeps its record.
   * Errors: agent_id_taken, agent_id_invalid, agent_name_taken, agent_name_reserved, agent_key_known,
   * agent_key_revoked.
   */
  admit(agent: NewAgent, by: string, audit: AuditEntry): Promise<AgentRecord>;
  /** The one code of an agent; one before it is good no more. Errors: agent_unknown. */
  putRecoveryCode(
    agentId: string,
    code: Pick<RecoveryCode, 'hash' | 'createdAt' | 'createdBy' | 'expiresAt'>,
    audit: AuditEntry,
  ): Promise<void>;
  /** Errors: recovery_code_missing. */
  removeRecoveryCode(agentId: string, audit: AuditEntry): Promise<void>;
  getRecoveryCode(agentId: string): Promise<RecoveryCode | undefined>;
  /**
   * Uses the code up, gives the agent its new key, and ends its session (the epoch grows, so that the old one writes
   * nothing any more), in one transaction. The same key with the same code again changes nothing (a repetition repairs
   * a lost answer).
   * Errors: agent_unknown, recovery_code_used, recovery_code_expired, agent_key_known, agent_key_revoked.
   */
  recover(recovery: Recovery, audit: AuditEntry): Promise<AgentRecord>;
}
