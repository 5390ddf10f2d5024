// The part of the store's interface for service exposures: on which ports of Central services of agents are reached, and
// by whom. The rules of store.ts apply.
import type { ServicesReport } from '../../../shared/wire/services/frames.ts';
import type { AuditEntry } from '../audit-store.ts';

export const CALLER_ROLES = ['viewer', 'operator'] as const;
export type CallerRole = (typeof CALLER_ROLES)[number];

/** Who may call: exactly one of `address` and `certificate` is set. */
export interface AllowRule {
  /** CIDR block, or a single address. */
  readonly address: string | null;
  /** A host name in the client certificate; `*`: any. */
  readonly certificate: string | null;
  readonly role: CallerRole;
}

/** What an administrator may change. */
export interface ExposureSettings {
  /** The name of the service in the profile of the agent. */
  readonly service: string;
  readonly allow: readonly AllowRule[];
  /** PEM: callers must show a certificate that one of these has issued; null: none is requested. */
  readonly clientCa: string | null;
}

export interface ExposureRecord extends ExposureSettings {
  /** 16 hexadecimal digits. */
  readonly id: string;
  readonly agentId: string;
  readonly listenPort: number;
  readonly createdAt: number;
  readonly createdBy: string;
  /** Grows with each change; the ETag. */
  readonly version: number;
}

export type NewExposure = Omit<ExposureRecord, 'version'>;

/** Each has a port and a TLS server. */
export const MAX_EXPOSURES = 100;

/** What an agent reported. */
export interface ReportedServices extends Omit<ServicesReport, 'type'> {
  readonly reportedAt: number;
}

export interface ExposureStore {
  /** Errors: service_exposure_port_taken, service_exposures_full. */
  create(exposure: NewExposure, audit: AuditEntry): Promise<ExposureRecord>;
  /** All, in order of their ports. */
  list(): Promise<ExposureRecord[]>;
  /**
   * `version`: of the record that the change was made for; null: any. Errors: service_exposure_unknown,
   * version_conflict.
   */
  change(
    id: string,
    change: Partial<ExposureSettings>,
    version: number | null,
    audit: AuditEntry,
  ): Promise<ExposureRecord>;
  /** Errors: service_exposure_unknown. */
  remove(id: string, audit: AuditEntry): Promise<void>;
  /** Takes the place of the report before. Nothing is recorded for an older session than the newest. */
  recordServices(agentId: string, epoch: number, report: ReportedServices): Promise<void>;
  servicesOf(agentId: string): Promise<ReportedServices | undefined>;
}
