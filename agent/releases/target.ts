// What the flow of an instruction (flow.ts) needs of the kind of its release: a profile is tried beside the session,
// software in the place of the process that runs.
import type { CodedError } from '../../shared/errors.ts';
import type { Instruction } from '../../shared/releases/instruction.ts';
import type { Manifest } from '../../shared/releases/manifest.ts';
import type { DialPlan } from '../connection/connection.ts';
import type { ReleaseFolders } from '../release-record.ts';
import type { Drift } from './drift.ts';
import type { KindState, Problem } from './kind-state.ts';
import type { ManifestPolicy } from './synchronize.ts';

export type Outcome =
  /** The release runs, and the record says so. */
  | { readonly kind: 'committed' }
  /** The agent runs what it ran before. Inconclusive: it was not the release that failed. */
  | { readonly kind: 'failed' | 'inconclusive'; readonly reason: Problem };

export interface Target {
  readonly state: KindState;
  readonly folders: ReleaseFolders;
  readonly manifests: ManifestPolicy;
  readonly drift: Drift;
  /** Errors: why this agent takes no release of this kind. */
  checkReady(): Promise<void>;
  /** Folders whose files need not come again. */
  sources(manifest: Manifest): Promise<readonly string[]>;
  /** What the record of a new instruction has beside its progress. */
  begun(release: string): object;
  /** The release has been written to the disk. */
  onSynchronized(release: string): void;
  /** The release runs: what the record has of that beside its progress; undefined: another one runs. */
  running(release: string): object | undefined;
  /**
   * How a trial of this instruction ended that another process began, or that this process is; undefined: none is left.
   */
  pending(instruction: Instruction, signal: AbortSignal): Promise<Outcome | undefined>;
  /** Removes what is left of earlier trials. */
  settle(): Promise<void>;
  /** Tries the release; the record says that it is on trial. Rejects when `signal` aborts. */
  try(instruction: Instruction, signal: AbortSignal): Promise<Outcome>;
  /**
   * The instruction was canceled or replaced while it was carried out. True: this process ends, and the next one goes
   * on.
   */
  leave(reason: CodedError): Promise<boolean>;
  /** Releases that stay on the disk beside the one of the newest instruction. */
  kept(): readonly (string | null)[];
}

/** What targets use of the manager. */
export interface FlowNeeds {
  readonly isBusy: () => boolean;
  readonly log: {
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
    error(facts: object, text: string): void;
  };
  readonly after: (ms: number, run: () => void) => () => void;
  /** Milliseconds; no setting of a clock moves it. */
  readonly clock: () => number;
  /** Rejects when `signal` aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Before each effect on the disk, for tests. */
  readonly onStep: (step: string) => void;
  /** What the session was dialed with, as soon as there is one. Rejects when `signal` aborts. */
  readonly line: (signal: AbortSignal) => Promise<DialPlan>;
  /** By its last welcome; 0: there was none. Milliseconds since 1970-01-01T00:00:00Z. */
  readonly centralTime: () => number;
}
