// All parameters, of one version.
import { get } from '../../client/api.ts';
import { pendingChange } from '../../client/pending.ts';
import type { Page, Parameter } from '../../client/types.ts';

export interface ParameterList {
  readonly items: readonly Parameter[];
  /** Of the version that they have in common. */
  readonly etag: string | null;
  /** A change was pending when they were read: its values may not last. */
  readonly isDuringChange: boolean;
}

export async function readParameters(signal?: AbortSignal): Promise<ParameterList> {
  const isDuringChange = pendingChange.get() !== null;
  const { data, etag } = await get<Page<Parameter>>('/parameters', { limit: 1000 }, signal);
  return { items: data.items, etag, isDuringChange };
}
