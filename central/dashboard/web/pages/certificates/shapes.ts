// What the page Certificates uses of the answers of REST.
import type { Report } from '../../client/types.ts';

export type Phase = 'idle' | 'prepared' | 'published' | 'switched' | 'retired';

export interface Rotation {
  readonly phase: Phase;
  readonly phaseChangedAt: string | null;
  /** What the next step waits for, in words. */
  readonly next: string;
  readonly change: { readonly id: string } | null;
  readonly trust: {
    readonly registeredCount: number;
    readonly acknowledgedCount: number;
    readonly unencryptedCount: number;
    readonly missingCount: number;
  };
  readonly certificates: { readonly renewedCount: number; readonly missingCount: number };
  readonly profiles: readonly { readonly [member: string]: unknown }[];
}

export interface MissingAgent {
  readonly agent: { readonly id: string; readonly name: string };
  readonly reason: string;
  readonly detail: string;
  readonly startedAt: string | null;
}

export interface Authority {
  readonly role: string;
  readonly thumbprint: string;
  readonly subject: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly root: { readonly thumbprint: string; readonly pin: string };
  readonly usedFor: string;
}

export interface Authorities {
  readonly generations: readonly Authority[];
  readonly pin: string;
}

export interface Ending {
  readonly kind: 'authority' | 'server' | 'signing' | 'trust' | 'agent';
  readonly slot: string | null;
  readonly agent: { readonly id: string; readonly name: string } | null;
  readonly subject: string;
  readonly thumbprint: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly daysLeft: number;
  readonly usedFor: string;
}

export interface ServerCertificate {
  readonly thumbprint: string;
  readonly subject: string;
  readonly issuerSubject: string;
  readonly names: readonly string[];
  readonly notBefore: string;
  readonly notAfter: string;
  readonly origin: 'issued' | 'signed' | 'imported';
  readonly pin: string;
}

export interface ServerCertificates {
  readonly current: ServerCertificate;
  readonly staged: ServerCertificate | null;
  readonly previous: ServerCertificate | null;
  readonly request: { readonly csr: string } | null;
  readonly change: { readonly id: string } | null;
}

export type StepReport = Report<{ readonly phase: Phase }>;
