// Owns the part of the store's interface that concerns agents' certificates: what each was given and told to trust, and which
// warnings of an end were given; renewals and revocations. The rules of store.ts hold here too.

/** A certificate that an agent was given. It is kept when the agent is removed. */
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

/** Why a certificate is no longer good (RFC 5280 section 5.3.1), of those that concern agents. */
export const REVOCATION_REASONS = [
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

/** What an agent is judged by. */
export interface AgentCertificate extends Omit<IssuedCertificate, 'agentId'> {
  /** When the agent said that it has it on disk; null: not said, or not by renewal. */
  readonly installedAt: number | null;
  readonly revoked: Revocation | null;
}

/** A certificate in place of another one, for the agent's current key or for the one it will come with next. */
export interface NewRenewal {
  readonly certificate: IssuedCertificate;
  /** Of the session that asked. */
  readonly epoch: number;
  /** Thumbprint of the certificate that is renewed. */
  readonly renews: string;
  /** SubjectPublicKeyInfo of the certificate's key, DER, base64. */
  readonly publicKey: string;
  /** The certificate and what stands between it and the root, PEM: to be given again. */
  readonly chain: string;
  /** Where it was asked from. */
  readonly address: string;
}

export type RenewalOutcome =
  | { readonly outcome: 'issued' | 'repeated'; readonly chain: string }
  /** The certificate was renewed already, with another key, from this address. */
  | { readonly outcome: 'twice'; readonly address: string | null };

/** What an agent would accept Central by, as far as Central knows. */
export interface AgentTrust {
  readonly id: string;
  readonly name: string;
  /** Of its last session; null before the first. */
  readonly transport: 'ws' | 'wss' | null;
  /** Thumbprints of what it was last told to trust; null: from before that was kept. */
  readonly trusted: readonly string[] | null;
  /** Null while it is online. */
  readonly offlineSince: number | null;
}

/** A warning that was given: the certificate had fewer than so many days left. */
export interface ExpiryWarning {
  readonly thumbprint: string;
  readonly days: number;
  readonly at: number;
}

export interface CertificateStore {
  /**
   * Notes a renewal, or finds that it was made before: the same key for the same certificate gets what it was given, unless that
   * has ended or another authority signs now. A certificate for the current key is the agent's newest at once; one for another key
   * waits with that key for the first session with it (AgentStore.claimSession).
   * Errors: stale_epoch, agent_key_known (the key is another agent's), agent_key_revoked.
   */
  recordRenewal(renewal: NewRenewal): Promise<RenewalOutcome>;
  /** True when this certificate is the agent's current one or the one of its next key, or was renewed before (the answer may be lost). */
  mayRenew(agentId: string, thumbprint: string): Promise<boolean>;
  /** The agent has it on disk. */
  recordInstalled(agentId: string, thumbprint: string, now: number): Promise<void>;
  /** Whose it is, and whether it is revoked. */
  find(thumbprint: string): Promise<{ readonly agentId: string; readonly revoked: Revocation | null } | undefined>;
  /** Revoked certificates of one issuer that end after `endsAfter`, in order of thumbprint, from behind `after`. */
  revokedBy(page: {
    readonly issuer: string;
    readonly endsAfter: number;
    readonly after?: string;
    readonly limit: number;
  }): Promise<{ readonly thumbprint: string; readonly serial: string; readonly revoked: Revocation }[]>;
  /** Notes it, and that it is its agent's newest. Errors: agent_unknown. */
  recordIssued(certificate: IssuedCertificate): Promise<void>;
  /** The newest certificate of each registered agent that is not revoked, with the agent's name; by end of validity, from behind `after`, none that ends after `until`. */
  soonest(page: {
    readonly after?: { readonly notAfter: number; readonly thumbprint: string };
    readonly until?: number;
    readonly limit: number;
  }): Promise<(IssuedCertificate & { readonly name: string })[]>;
  /** All that one agent was given, newest first. */
  ofAgent(agentId: string, limit: number): Promise<IssuedCertificate[]>;
  /** How many registered agents have a newest certificate, not revoked, that ends until then. */
  countUntil(until: number): Promise<number>;
  /** What the agent has been told to trust, and has taken. Errors: agent_unknown. */
  recordTrust(agentId: string, thumbprints: readonly string[]): Promise<void>;
  /** The same thumbprints of one agent; null too when there is no such agent. */
  trustOf(agentId: string): Promise<readonly string[] | null>;
  /** Of the agents that may come: not of those that are revoked. In order of name; `after` is the last name of the page before. */
  trust(page: { readonly after?: string; readonly limit: number }): Promise<AgentTrust[]>;
  /** For each of these certificates the last warning in days, null where none was given. */
  expiryWarnings(thumbprints: readonly string[]): Promise<(number | null)[]>;
  /** Notes warnings, and forgets those that are older. */
  recordExpiryWarnings(warnings: readonly ExpiryWarning[], forgetOlderThan: number): Promise<void>;
}
