// Defines the mark of a change that is rolled back unless it is confirmed, as the store keeps it beside what was
// changed.
import { isRecord } from '../../shared/wire/json-schema.ts';

/** What can be changed with a confirmation. */
const CHANGE_SUBJECTS = ['parameters', 'server-certificate'] as const;
export type ChangeSubject = (typeof CHANGE_SUBJECTS)[number];

/** Who made a change, and on which node. */
export interface ChangeOwner {
  /** Name of the API token. */
  readonly who: string;
  /** Remote address, as in the audit entry. */
  readonly from: string;
  readonly node: string;
}

export interface PendingChange {
  /** 16 hex digits. */
  readonly id: string;
  readonly owner: ChangeOwner;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /**
   * JSON text of ConfirmTerms (confirm.ts): what a confirmation needs; of `about`: a ChangeFacts; and of `remainder`: what
   * is done after it (ChangePlan).
   */
  readonly terms: string;
}

export interface ChangedValue {
  readonly name: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** What was changed, and why. */
export interface ChangeFacts {
  readonly changed: readonly ChangedValue[];
  readonly comment: string | null;
  readonly ticket: string | null;
}

/** Of a mark that an older version wrote nothing is known. */
export function factsOf({ terms }: Pick<PendingChange, 'terms'>): ChangeFacts {
  const kept: unknown = JSON.parse(terms);
  const about = isRecord(kept) ? kept['about'] : undefined;
  // Written from a ChangeFacts only.
  return isRecord(about) ? (about as unknown as ChangeFacts) : { changed: [], comment: null, ticket: null };
}

/** Undefined: nothing is left to do once it is confirmed. */
export function remainderOf({ terms }: Pick<PendingChange, 'terms'>): string | undefined {
  const kept: unknown = JSON.parse(terms);
  const remainder = isRecord(kept) ? kept['remainder'] : undefined;
  return typeof remainder === 'string' ? remainder : undefined;
}
