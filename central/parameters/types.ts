// Defines what the parameters exchange with their surroundings: the applier that the listeners implement, the overrides
// of a node, and requests for changes with their reports.
import type { Change, ChangeTerms } from '../change/changes.ts';
import type { ParameterName, ParameterValue, ParameterValues } from './definitions.ts';
import type { ParameterDefinition } from './parameter-definition.ts';
import type { ParameterFault } from './errors.ts';
import type { NodeAnswer } from './nodes/notes.ts';
import type { Preflight } from './preflight.ts';

/**
 * Moves the listeners and their certificate to what the parameters say. central/listeners/reconcile.ts implements it.
 */
export interface ParameterApplier {
  /** Checks that the ports are free and that the certificate can be made; changes nothing. */
  check(next: ParameterValues, now: ParameterValues): Promise<ParameterFault[]>;
  /** The same, and keeps the ports that `next` needs until it is applied, or released. */
  hold(next: ParameterValues, now: ParameterValues): Promise<ParameterFault[]>;
  release(): void;
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

export interface ChangeRequest extends ChangeTerms {
  /** null restores the default. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The version that the caller read. */
  readonly ifMatch?: number | undefined;
}

export interface ChangedParameter {
  readonly name: ParameterName;
  readonly from: ParameterValue;
  readonly to: ParameterValue;
  /** The setting of this node's configuration that overrides it: the change has no effect here. */
  readonly overriddenBy: string | null;
}

export interface ChangeReport extends Preflight {
  readonly version: number;
  readonly dryRun: boolean;
  readonly changed: readonly ChangedParameter[];
  /** Agents, or the administrator who makes it, would be cut off. */
  readonly needsForce: boolean;
  /** What listens where afterwards. */
  readonly listens: readonly string[];
  /** What each node says to it, this one included. */
  readonly nodes: readonly NodeAnswer[];
  /** The change that waits for its confirmation. */
  readonly change: Change | null;
}

export interface ParameterDescription {
  readonly name: ParameterName;
  readonly definition: ParameterDefinition;
  /** What is allowed, in words. */
  readonly allowed: string;
  /** The installation's value. */
  readonly value: ParameterValue;
  readonly isDefault: boolean;
  /** What applies on this node. */
  readonly effective: ParameterValue;
  readonly overriddenBy: string | null;
  readonly changedBy: string | null;
  readonly changedAt: number | null;
}
