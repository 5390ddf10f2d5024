// The messages between the event loop and a database thread, and the transfer of errors without loss.
import { CodedError, isCoded, textOf } from '../../errors.ts';
import { databaseFault } from '../errors.ts';
import type { CallCost } from '../group-commit.ts';

/**
 * The calls a thread answers: a call runs to its end without giving way. `never`: which arguments each takes is known
 * to its callers only (WorkerHost).
 */
export type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

export interface Request {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
  readonly cost: CallCost;
}

export type ToWorker = { readonly kind: 'calls'; readonly calls: readonly Request[] } | { readonly kind: 'stop' };

export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: PackedError };

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly error: PackedError }
  /** What was answered together: for a writer the calls of one commit. */
  | { readonly kind: 'answers'; readonly answers: readonly Answer[] }
  /** How long the commit took whose answers follow. */
  | { readonly kind: 'committed'; readonly ms: number }
  /** What the thread says by itself, for `onReport` of its host. */
  | { readonly kind: 'report'; readonly report: unknown }
  | { readonly kind: 'failed'; readonly error: PackedError };

/** A CodedError as plain data; structured clone keeps neither its class nor its members. */
interface PackedError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly status: number;
  readonly close: number | undefined;
  readonly retryable: boolean;
  readonly parameters: Readonly<Record<string, string | number>>;
}

export function packError(error: unknown): PackedError {
  const coded = isCoded(error) ? error : databaseFault('store_defect', { found: textOf(error) });
  const { code, message, hint, status, close, retryable, parameters } = coded;
  return { code, message, hint, status, close, retryable, parameters };
}

export function unpackError(error: PackedError): CodedError {
  const { code, message: text, hint, status, close, retryable, parameters } = error;
  return new CodedError(code, { text, hint, status, retryable, ...(close === undefined ? {} : { close }) }, parameters);
}
