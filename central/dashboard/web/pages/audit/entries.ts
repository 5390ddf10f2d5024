// What the audit page reads: entries that fit the filters of the address, page by page; the newest one; all of them as a
// file.
import { useEffect, useState } from 'preact/hooks';
import { all, centralNow, get, pages, problemOf, type Query } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import type { Page, ProblemDocument } from '../../client/types.ts';

export interface AuditEntry {
  readonly number: number;
  readonly createdAt: string;
  readonly actor: string;
  readonly address: string;
  readonly action: string;
  readonly target: string | null;
  readonly detail: unknown;
  readonly comment: string | null;
  readonly ticket: string | null;
  readonly hash: string;
}

interface AuditPage extends Page<AuditEntry> {
  readonly head: string | null;
}

/** The terms of the address that select entries. */
export const AUDIT_FILTERS = ['q', 'result', 'days'] as const;

const PAGE = 50;
const DAY_MS = 86_400_000;
/** A filter that fits few entries reads on until it has one, as often as this: some 200,000 entries. */
const MOST_READS = 10;

/** The query of REST for the filters of the address. */
export function auditQuery(address: URLSearchParams): Query {
  const days = Number(address.get('days') ?? '');
  const isPeriod = Number.isInteger(days) && days > 0 && days < 10_000;
  return {
    text: address.get('q')?.slice(0, 255),
    result: address.get('result'),
    createdAfter: isPeriod ? new Date(centralNow() - days * DAY_MS).toISOString() : null,
  };
}

export interface Entries {
  /** Undefined: not read yet. */
  readonly items: readonly AuditEntry[] | undefined;
  readonly problem: ProblemDocument | null;
  /** Where older ones are read from; null: that is all. */
  readonly next: string | null;
  readonly isBusy: boolean;
  /** The number of the newest entry when the list was read, whatever the filters. */
  readonly through: number;
}

const NOTHING: Entries = { items: undefined, problem: null, next: null, isBusy: true, through: 0 };

async function newestEntry(signal?: AbortSignal): Promise<AuditEntry | undefined> {
  return (await get<AuditPage>('/audit', { limit: 1 }, signal)).data.items[0];
}

/** `turn`: another number reads from the newest one again. */
export function useEntries(address: URLSearchParams, turn: number): Entries & { readonly older: () => void } {
  const [state, set] = useState<Entries>(NOTHING);
  const [query, setQuery] = useState<Query>({});
  const key = AUDIT_FILTERS.map((name) => address.get(name) ?? '').join('\n');
  const read = async (terms: Query, before: Entries, signal?: AbortSignal): Promise<void> => {
    try {
      const items = [...(before.items ?? [])];
      let { next } = before;
      const through = before.items === undefined ? ((await newestEntry(signal))?.number ?? 0) : before.through;
      for (let reads = 0; reads < MOST_READS; reads += 1) {
        const page = { ...terms, limit: PAGE, after: next };
        const { data }: { data: AuditPage } = await get<AuditPage>('/audit', page, signal);
        items.push(...data.items);
        next = data.next;
        if (data.items.length > 0 || next === null) break;
      }
      set({ items, next, problem: null, isBusy: false, through });
    } catch (error) {
      if (signal?.aborted !== true) set({ ...before, problem: problemOf(error), isBusy: false });
    }
  };
  useEffect(() => {
    const end = new AbortController();
    const terms = auditQuery(address);
    setQuery(terms);
    set((before) => ({ ...before, next: null, isBusy: true, problem: null }));
    void read(terms, NOTHING, end.signal);
    return () => end.abort();
  }, [key, turn]);
  const older = (): void => {
    set({ ...state, isBusy: true });
    void read(query, state);
  };
  return { ...state, older };
}

/** The newest entry, whatever the filters: its number is the count of all. */
export function useNewest(): AuditEntry | undefined {
  return useLoaded('audit newest', newestEntry, 5).data;
}

export async function readEntry(number: string, signal: AbortSignal): Promise<AuditEntry | null> {
  const [entry] = await all<AuditEntry>('/audit', { number, limit: 1 }, signal);
  return entry ?? null;
}

/** All entries that fit, oldest first, as one JSON object a line; `report` gets how many were read. */
export async function exportEntries(address: URLSearchParams, report: (count: number) => void): Promise<number> {
  const parts: string[] = [];
  let count = 0;
  for await (const items of pages<AuditEntry>('/audit', { ...auditQuery(address), sort: 'number', limit: 1000 })) {
    parts.push(...items.map((item) => `${JSON.stringify(item)}\n`));
    count += items.length;
    report(count);
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(parts, { type: 'application/x-ndjson' }));
  link.download = `audit-${new Date(centralNow()).toISOString().slice(0, 10)}.ndjson`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return count;
}

/** True where Central refused what was tried. */
export function isRefusal(action: string): boolean {
  return /\.(?:refuse|forbid)$/.test(action);
}
