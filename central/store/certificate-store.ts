// The part of the store's interface for agents' certificates: issued certificates, renewals, revocations, the trust
// bundle that each agent has, and expiry warnings. The rules of store.ts apply.
import type { AuditEntry } from './audit-store.ts';

/** A certificate that was issued to an agent. It is kept when the agent is deleted. */
export interface IssuedCertificate {
  /** SHA-256 of the certificate, lower-case hex. */
  readonly thumbprint: string;
  readonly agentId: string;
  /** Hex, upper case, as X509Certificate gives it; unique under its issuer. */
  readonly serial: string;
  /** Thumbprint of the certificate that signed it. */
  readonly issuer: string;
  readonly keyThumbprint: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly issuedAt: number;
}

/** The revocation reasons that apply to agents (RFC 5280 section 5.3.1). */
const REVOCATION_REASONS = [
  'unspecified',
  'keyCompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
] as const;
export type RevocationReason = (typeof REVOCATION_REASONS)[number];

export interface Revocation {
  readonly at: number;
  readonly reason: RevocationReason;
}

/** An agent's certificate on record. */
export interface AgentCertificate extends Omit<IssuedCertificate, 'agentId'> {
  /** When the agent confirmed that it is on its disk; null: not confirmed, or not issued by renewal. */
  readonly installedAt: number | null;
  readonly revoked: Revocation | null;
}

/** A certificate that replaces another one, for the agent's current key or for its next key. */
export interface NewRenewal {
  readonly certificate: IssuedCertificate;
  /** Of the session that requested it. */
  readonly epoch: number;
  /** Thumbprint of the certificate that is renewed. */
  readonly renews: string;
  /** SubjectPublicKeyInfo of the certificate's key, DER, base64. */
  readonly publicKey: string;
  /** The certificate and its intermediates, PEM, to repeat a lost answer. */
  readonly chain: string;
  /** Where the request came from. */
  readonly address: string;
}

export type RenewalOutcome =
  | { readonly outcome: 'issued' | 'repeated'; readonly chain: string }
  /** The certificate was renewed already, with another key, from this address. */
  | { readonly outcome: 'twice'; readonly address: string | null };

/** The roots by which an agent accepts Central, as far as Central knows. */
export interface AgentTrust {
  readonly id: string;
  readonly name: string;
  /** Of its last session; null before the first. */
  readonly transport: 'ws' | 'wss' | null;
  /** Thumbprints of the trust bundle that it took last; null: from before that was recorded. */
  readonly trusted: readonly string[] | null;
  /** Null while it is online. */
  readonly offlineSince: number | null;
}

/** A warning that was logged: the certificate had fewer than `days` left. */
export interface ExpiryWarning {
  readonly thumbprint: string;
  readonly days: number;
  readonly at: number;
}

export interface CertificateStore {
  /**
   * Records a renewal, or finds that it was made before: the same key for the same certificate gets the same answer,
   * unless that certificate has expired or another authority signs now. A certificate for the current key is the
   * agent's newest at once; one for another key waits with that key for the first session with it
   * (AgentStore.claimSession).
   * Errors: stale_epoch, agent_key_known (the key is another agent's), agent_key_revoked.
   */
  recordRenewal(renewal: NewRenewal): Promise<RenewalOutcome>;
  /**
   * True when this certificate is the agent's current one or the one of its next key, or was renewed before (the answer
   * may be lost).
   */
  mayRenew(agentId: string, thumbprint: string): Promise<boolean>;
  /** Records that the agent has it on disk. */
  recordInstalled(agentId: string, thumbprint: string, now: number): Promise<void>;
  /** The agent that it belongs to, and its revocation. */
  find(thumbprint: string): Promise<{ readonly agentId: string; readonly revoked: Revocation | null } | undefined>;
  /**
   * Revoked certificates of one issuer that expire after `endsAfter`, in order of thumbprint, starting after `after`.
   */
  revokedBy(page: {
    readonly issuer: string;
    readonly endsAfter: number;
    readonly after?: string;
    readonly limit: number;
  }): Promise<{ readonly thumbprint: string; readonly serial: string; readonly revoked: Revocation }[]>;
  /** Records it as its agent's newest. Errors: agent_unknown. */
  recordIssued(certificate: IssuedCertificate, audit: AuditEntry): Promise<void>;
  /** Records one of the port of an agent for devices, which is not the agent's newest. Errors: stale_epoch. */
  recordDevice(certificate: IssuedCertificate, epoch: number, audit: AuditEntry): Promise<void>;
  /**
   * The newest certificate of each registered agent unless it is revoked, with the agent's name, in order of expiry,
   * starting after `after`, up to `until`.
   */
  soonest(page: {
    readonly after?: { readonly notAfter: number; readonly thumbprint: string };
    readonly until?: number;
    readonly limit: number;
  }): Promise<(IssuedCertificate & { readonly name: string })[]>;
  /** All certificates of one agent, newest first. */
  ofAgent(agentId: string, limit: number): Promise<IssuedCertificate[]>;
  /** How many registered agents have a newest certificate, not revoked, that expires by then. */
  countUntil(until: number): Promise<number>;
  /** Records the trust bundle that the agent has taken. Errors: agent_unknown. */
  recordTrust(agentId: string, thumbprints: readonly string[]): Promise<void>;
  /** These thumbprints of one agent; null also when the agent is unknown. */
  trustOf(agentId: string): Promise<readonly string[] | null>;
  /** Of all agents that are not revoked, in order of name; `after` is the last name of the page before. */
  trust(page: { readonly after?: string; readonly limit: number }): Promise<AgentTrust[]>;
  /** For each of these certificates the last warning in days; null: none. */
  expiryWarnings(thumbprints: readonly string[]): Promise<(number | null)[]>;
  /** Records warnings, and deletes older ones. */
  recordExpiryWarnings(warnings: readonly ExpiryWarning[], forgetOlderThan: number): Promise<void>;
}
