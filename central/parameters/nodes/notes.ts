// Defines what nodes tell each other of a change of parameters.
import type { ParameterRow } from '../../store/parameter-store.ts';
import type { ParameterFault } from '../errors.ts';

/** A change that a node is about to commit. */
export interface Proposal {
  readonly id: string;
  /** The version of the parameters that it changes. */
  readonly version: number;
  readonly rows: readonly Pick<ParameterRow, 'name' | 'value'>[];
  /** Nothing is to be kept ready for it. */
  readonly isDryRun: boolean;
}

/** A process of a node. */
export interface NodeKey {
  readonly name: string;
  readonly generation: number;
}

export type ParameterNote = { readonly from: NodeKey } & (
  | { readonly kind: 'ask'; readonly proposal: Proposal }
  | { readonly kind: 'answer'; readonly id: string; readonly faults: readonly ParameterFault[] }
  /** It is not made, or is over. */
  | { readonly kind: 'forget'; readonly id: string }
  /** What was committed could not be applied there. */
  | { readonly kind: 'failed'; readonly version: number; readonly found: string }
);

/** What a node says to a change. */
export interface NodeAnswer {
  readonly name: string;
  /** It could apply it; it could not; it said nothing in time. */
  readonly answer: 'ready' | 'refused' | 'silent';
  /** What it found; null: nothing is in the way. */
  readonly detail: string | null;
}
