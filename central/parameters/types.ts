// Owns the shapes that pass between the parameters and what stands around them: the applier that the listeners implement,
// a node's overrides, and what a change asks and reports.
import type { ConfirmRequest } from './confirm.ts';
import type { ParameterDefinition, ParameterName, ParameterValue, ParameterValues } from './definitions.ts';
import type { ParameterFault } from './errors.ts';
import type { Preflight } from './preflight.ts';

/** What listens and with which certificate, as far as parameters say it. central/listeners/reconcile.ts implements it. */
export interface ParameterApplier {
  /** Ports free, certificate fit; changes nothing. */
  check(next: ParameterValues, now: ParameterValues): Promise<ParameterFault[]>;
  /** All or nothing: throws a CodedError (port_taken) with the old listeners back. */
  apply(next: ParameterValues, now: ParameterValues): Promise<void>;
  /** Sentences: what would listen where afterwards. */
  describe(next: ParameterValues, now: ParameterValues): string[];
}

/** A node's own configuration in place of a parameter. A port may be 0 here: any free one. */
export interface ParameterOverride {
  readonly name: ParameterName;
  readonly value: ParameterValue;
  /** Where it was set: `environment QUEUEGATE_WEBSOCKET_PORT`. */
  readonly origin: string;
}

export interface ChangeRequest {
  /** null restores the default. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly dryRun?: boolean | undefined;
  readonly force?: boolean | undefined;
  readonly comment?: string | undefined;
  readonly ticket?: string | undefined;
  /** The version that the caller read. */
  readonly ifMatch?: number | undefined;
  readonly confirm?: ConfirmRequest | undefined;
}

export interface ChangedParameter {
  readonly name: ParameterName;
  readonly from: ParameterValue;
  readonly to: ParameterValue;
  /** Set where this node's configuration stands in the way: the change has no effect here. */
  readonly overriddenBy: string | null;
}

export interface ChangeReport extends Preflight {
  readonly version: number;
  readonly dryRun: boolean;
  readonly changed: readonly ChangedParameter[];
  /** What listens where afterwards. */
  readonly listens: readonly string[];
  readonly pending: PendingReport | null;
}

export interface PendingReport {
  readonly id: string;
  readonly deadline: number;
  readonly changedBy: string;
  readonly share: number;
  readonly agents: number;
  readonly listener: 'http' | 'https' | null;
}

export interface ParameterDescription {
  readonly name: ParameterName;
  readonly definition: ParameterDefinition;
  /** What is allowed, in words. */
  readonly allowed: string;
  /** The installation's value. */
  readonly value: ParameterValue;
  readonly isDefault: boolean;
  /** What holds on this node. */
  readonly effective: ParameterValue;
  readonly overriddenBy: string | null;
  readonly changedBy: string | null;
  readonly changedAt: number | null;
}
