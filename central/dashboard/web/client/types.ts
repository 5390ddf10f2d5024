// What the pages use of the answers of REST (openapi.json describes them whole).

export type Role = 'viewer' | 'operator' | 'administrator';

export interface Login {
  /** Null: a person of the OpenID provider. */
  readonly id: string | null;
  readonly name: string;
  readonly role: Role;
  /** A selector of labels; null: all agents. */
  readonly scope: string | null;
  readonly expiresAt: string | null;
}

export interface Reason {
  readonly code: string | null;
  readonly detail: string;
  readonly hint: string | null;
}

export interface ProblemDocument {
  readonly code: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly hint: string;
  readonly errors?: readonly {
    readonly pointer?: string;
    readonly parameter?: string;
    readonly header?: string;
    readonly detail: string;
  }[];
  readonly [member: string]: unknown;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface Certificate {
  readonly thumbprint: string;
  readonly serialNumber: string;
  readonly issuerThumbprint: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly revocation: { readonly revokedAt: string; readonly reason: string } | null;
}

export interface Agent {
  readonly id: string;
  readonly name: string;
  readonly nameSource: 'administrator' | 'agent';
  readonly labels: Readonly<Record<string, string>>;
  readonly notes: string;
  readonly state: string;
  readonly stateChangedAt: string;
  readonly stateReason: Reason;
  readonly stateDeadlineAt: string | null;
  readonly keyThumbprint: string;
  readonly certificate: Certificate | null;
  readonly renewal: { readonly startedAt: string; readonly installedAt: string | null } | null;
  readonly revocation: { readonly revokedAt: string; readonly reason: string } | null;
  readonly enrolledAt: string;
  readonly enrolledBy: string;
  readonly lastSeenAt: string | null;
  readonly session: {
    readonly transport: 'ws' | 'wss';
    readonly address: string;
    readonly version: string;
    readonly startedAt: string;
    readonly endedAt: string | null;
  } | null;
  /** What it last reported that it runs; a part that is not from a release is not in it. */
  readonly releases: readonly {
    readonly part: 'profile' | 'program' | 'runtime';
    readonly digest: string;
    readonly name: string | null;
  }[];
  readonly logs: {
    readonly down: { readonly messageCount: number; readonly bytes: number; readonly oldestAt: string | null };
    readonly up: { readonly number: number; readonly lastAt: string | null };
  };
}

/** The answer of an act that may cut agents off, with and without `dryRun`. */
export interface Report<R = unknown> {
  readonly dryRun: boolean;
  readonly changed: readonly { readonly name: string; readonly from: unknown; readonly to: unknown }[];
  readonly cutOff: {
    readonly count: number;
    readonly items: readonly {
      readonly agent: { readonly id: string; readonly name: string };
      readonly reason: string;
      readonly detail: string;
      /** Of its session; null: not known. */
      readonly address: string | null;
      /** What to do first; null: the detail says it. */
      readonly hint: string | null;
    }[];
  };
  readonly notices: readonly { readonly code: string; readonly detail: string }[];
  readonly needsForce: boolean;
  readonly result: R;
}

export interface EnrollmentRequest {
  readonly keyThumbprint: string;
  readonly name: string;
  /** Null: the thumbprint of its key. */
  readonly agentId: string | null;
  readonly address: string;
  readonly transport: 'ws' | 'wss';
  readonly firstRequestedAt: string;
  readonly lastRequestedAt: string;
}

export interface ApiToken {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** A selector of labels; null: all agents. */
  readonly scope: string | null;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
}

export interface Parameter {
  readonly name: string;
  readonly group: string;
  readonly description: string;
  readonly type: 'boolean' | 'integer' | 'enum' | 'string' | 'list';
  readonly bounds: {
    readonly unit?: string;
    readonly minimum?: number;
    readonly maximum?: number;
    readonly allowed?: readonly string[];
    readonly maxItems?: number;
    readonly form?: string;
  };
  /** In words. */
  readonly allowed: string;
  readonly default: unknown;
  readonly defaultReason: string;
  readonly applying: string;
  readonly value: unknown;
  readonly isDefault: boolean;
  readonly effective: unknown;
  /** What this node's configuration sets it with. */
  readonly overriddenBy: string | null;
  readonly changedBy: string | null;
  readonly changedAt: string | null;
}

export interface Change {
  readonly id: string;
  readonly subject: string;
  readonly state: 'pending' | 'confirmed' | 'rolled-back';
  readonly changed: readonly { readonly name: string; readonly from: unknown; readonly to: unknown }[];
  readonly changedBy: string;
  readonly comment: string | null;
  readonly ticket: string | null;
  readonly expiresAt: string;
  readonly requiredShare: number;
  readonly agentCount: number;
  readonly returnedCount: number;
  readonly confirmOver: 'http' | 'https' | null;
}

export interface StatusProblem {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  readonly startedAt: string;
  /** Null: it is about Central as a whole, or about several things. */
  readonly subject: { readonly kind: string; readonly id: string; readonly name: string } | null;
}

export interface Status {
  readonly central: string;
  readonly node: string;
  readonly version: string;
  readonly startedAt: string;
  readonly listeners: readonly {
    readonly listener: string;
    readonly addresses: readonly string[];
    readonly port: number;
    readonly encrypted: boolean;
    readonly text: string;
  }[];
  readonly agents: {
    readonly agentCount: number;
    readonly states: readonly { readonly state: string; readonly agentCount: number }[];
    readonly transports: readonly { readonly transport: 'ws' | 'wss'; readonly agentCount: number }[];
    readonly versions: readonly { readonly version: string; readonly agentCount: number }[];
    readonly releases: readonly {
      readonly release: string;
      readonly name: string | null;
      readonly agentCount: number;
    }[];
  };
  /** Null: the token has a scope. */
  readonly sessions: readonly { readonly listener: string; readonly sessionCount: number }[] | null;
  readonly enrollmentRequests: { readonly pendingCount: number; readonly maxCount: number };
  readonly problems: readonly StatusProblem[];
}
