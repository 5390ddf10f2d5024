// Owns the part of the store's interface that concerns agents' certificates: what each was given and told to trust, and which
// warnings of an end were given. The rules of store.ts hold here too.

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
  /** Notes it, and that it is its agent's newest. Errors: agent_unknown. */
  recordIssued(certificate: IssuedCertificate): Promise<void>;
  /** The newest certificate of each registered agent, with the agent's name; by end of validity, from behind `after`, none that ends after `until`. */
  soonest(page: { readonly after?: { readonly notAfter: number; readonly thumbprint: string }; readonly until?: number; readonly limit: number }): Promise<(IssuedCertificate & { readonly name: string })[]>;
  /** All that one agent was given, newest first. */
  ofAgent(agentId: string, limit: number): Promise<IssuedCertificate[]>;
  /** How many registered agents have a newest certificate that ends until then. */
  countUntil(until: number): Promise<number>;
  /** What the agent has been told to trust, and has taken. Errors: agent_unknown. */
  recordTrust(agentId: string, thumbprints: readonly string[]): Promise<void>;
  /** The same thumbprints of one agent; null too when there is no such agent. */
  trustOf(agentId: string): Promise<readonly string[] | null>;
  /** In order of name; `after` is the last name of the page before. */
  trust(page: { readonly after?: string; readonly limit: number }): Promise<AgentTrust[]>;
  /** For each of these certificates the last warning in days, null where none was given. */
  expiryWarnings(thumbprints: readonly string[]): Promise<(number | null)[]>;
  /** Notes warnings, and forgets those that are older. */
  recordExpiryWarnings(warnings: readonly ExpiryWarning[], forgetOlderThan: number): Promise<void>;
}
