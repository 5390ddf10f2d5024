// Finds the runs that may hold an event of a filter, by their keys, and the events in them that do. Everything is
// bounded: who reads goes on where the last step ended.
import type { SqlDatabase, SqlStatement } from '../../../../shared/sqlite/sql.ts';
import { integer } from '../../../../shared/sqlite/row.ts';
import { scanValue, stringOf } from '../../../../shared/wire/json-text.ts';
import type { EventFilter } from '../../message-store.ts';
import { ANY_KEY, keyOf, unpackKeys } from './run-keys.ts';

/** Keys of which a run has to have one. */
type Group = readonly Position[];

/** A key, and the first of its runs from where was looked last; undefined: there are no more. */
interface Position {
  readonly key: number;
  at: number | undefined;
}

class RunFilter {
  readonly #next: SqlStatement;
  readonly #filter: EventFilter;
  readonly #groups: readonly Group[];
  #seeks = 0;

  /** `next` is the statement NEXT_RUN. Lives within one snapshot of the database. */
  constructor(next: SqlStatement, filter: EventFilter) {
    this.#next = next;
    this.#filter = filter;
    const groups: Group[] = [];
    const { agentId, type, source } = filter;
    // The state of a position that was never looked for: a cursor before the first.
    const position = (key: number): Position => ({ key, at: 0 });
    if (agentId !== undefined) groups.push([position(keyOf('agent', agentId))]);
    if (type !== undefined) groups.push([position(keyOf('type', type)), position(ANY_KEY)]);
    if (source !== undefined) groups.push([position(keyOf('source', source)), position(ANY_KEY)]);
    this.#groups = groups;
  }

  /** How often the index was asked. */
  get seeks(): number {
    return this.#seeks;
  }

  /** The first run that ends at `from` or behind it and has a key of each group; undefined: there is none. */
  run(from: number, maxSeeks: number): { readonly through: number; readonly isCandidate: boolean } | undefined {
    let through = from;
    for (let agreed = 0, at = 0; agreed < this.#groups.length; at += 1) {
      if (this.#seeks >= maxSeeks) return { through: through - 1, isCandidate: false };
      const first = this.#first(this.#groups[at % this.#groups.length] ?? [], through);
      if (first === undefined) return undefined;
      agreed = first === through ? agreed + 1 : 1;
      through = first;
    }
    return { through, isCandidate: true };
  }

  #first(group: Group, from: number): number | undefined {
    let first: number | undefined;
    for (const position of group) {
      if (position.at !== undefined && position.at < from) {
        this.#seeks += 1;
        const row = this.#next.get(position.key, from);
        position.at = row === undefined ? undefined : integer(row, 'through');
      }
      if (position.at !== undefined && (first === undefined || position.at < first)) first = position.at;
    }
    return first;
  }

  /** Tells which events of a run match, from their texts. */
  matcher(agentId: string, keys: Uint8Array): (json: string) => boolean {
    if (this.#filter.agentId !== undefined && agentId !== this.#filter.agentId) return () => false;
    const { type, source } = this.#filter;
    const matches = (json: string): boolean => hasText(json, 'type', type) && hasText(json, 'source', source);
    // One key of an agent, one of a type and one of a source: all its events have the same ones.
    if (unpackKeys(keys).length !== 3) return matches;
    let all: boolean | undefined;
    return (json) => (all ??= matches(json));
  }
}

/** The first run with that key from a cursor on. */
const NEXT_RUN = 'SELECT through FROM event_run_key WHERE what = ? AND through >= ? ORDER BY through LIMIT 1';

export function runFilters(database: SqlDatabase): (filter: EventFilter) => RunFilter {
  const next = database.prepare(NEXT_RUN);
  return (filter) => new RunFilter(next, filter);
}

/** Whether an event has that attribute. Its text was validated before it was stored. */
function hasText(json: string, name: 'source' | 'type', value: string | undefined): boolean {
  if (value === undefined) return true;
  // A string that is not written as it is has an escape: most texts need no scanning.
  if (!json.includes(value) && !json.includes('\\')) return false;
  const member = scanValue(json).members.find((one) => one.name === name);
  return member?.kind === 'string' && stringOf(json, member) === value;
}
