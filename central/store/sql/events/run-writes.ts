// Writes events as runs: one row for the messages of one append that follow each other.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integerOrNull } from '../../../../shared/sqlite/row.ts';
import { keysOfRun, KnownKeys, packKeys } from './run-keys.ts';
import { TextPacker } from './run-texts.ts';

/** What the row of a run holds of a message. */
export interface RunMessage {
  readonly type: string;
  readonly source: string;
  readonly json: string;
}

/** Whose messages they are, and when they came. */
interface RunOrigin {
  readonly agentId: string;
  /** The key in the table `origin`. */
  readonly origin: number;
  readonly receivedAt: number;
}

/** A longer run would cost a page of one event as much as reading all of it. In UTF-16 units. */
const RUN_MAX_LENGTH = 256 * 1024;
const RUN_MAX_MESSAGES = 1_000;

/** Divides messages that follow each other into runs. */
export function* runsOf<M extends { readonly json: string }>(messages: readonly M[]): Generator<readonly M[]> {
  let [from, length] = [0, 0];
  for (const [index, { json }] of messages.entries()) {
    if (index > from && (index - from === RUN_MAX_MESSAGES || length + json.length > RUN_MAX_LENGTH)) {
      yield messages.slice(from, index);
      [from, length] = [index, 0];
    }
    length += json.length;
  }
  yield from === 0 ? messages : messages.slice(from);
}

/** The keys of a run by which a filter finds it. */
export function keysOfMessages(known: KnownKeys, agentId: string, messages: readonly RunMessage[]): number[] {
  const types = new Set<string>();
  const sources = new Set<string>();
  let [lastType, lastSource]: (string | undefined)[] = [];
  for (const { type, source } of messages) {
    // Comparing is cheaper than hashing, and most neighbors are alike.
    if (type !== lastType) types.add((lastType = type));
    if (source !== lastSource) sources.add((lastSource = source));
  }
  return keysOfRun(known, agentId, types, sources);
}

export class RunWriter {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #known = new KnownKeys();
  readonly #packer = new TextPacker();
  readonly #takeCursors: (count: number) => number;
  /** The last cursor of a store that this one replaced. */
  readonly #replaced: number;

  /** `takeCursors`: gives the first of so many cursors that are new, where others write too; default: behind the newest. */
  constructor(database: SqlDatabase, takeCursors?: (count: number) => number) {
    this.#statements = prepare(database);
    this.#takeCursors = takeCursors ?? ((): number => this.#next());
    this.#replaced = integerOrNull(this.#statements.replaced.get(), 'through') ?? 0;
  }

  /** The newest cursor; 0 before the first event. */
  newest(): number {
    return integerOrNull(this.#statements.newest.get(), 'newest') ?? 0;
  }

  /**
   * Stores messages whose numbers follow each other from `first` on, behind the newest event. Gives the cursor of the
   * first one; those of the others follow without a gap.
   */
  append(origin: RunOrigin, first: number, messages: readonly RunMessage[]): number {
    const cursor = this.#takeCursors(messages.length);
    this.insert(origin, cursor, first, messages);
    return cursor;
  }

  /** Stores messages as the events from `cursor` on, none of which is there. */
  insert(origin: RunOrigin, cursor: number, first: number, messages: readonly RunMessage[]): void {
    let from = 0;
    for (const run of runsOf(messages)) {
      this.#run(origin, cursor + from, first + from, run);
      from += run.length;
    }
  }

  #run(
    { agentId, origin, receivedAt }: RunOrigin,
    cursor: number,
    first: number,
    messages: readonly RunMessage[],
  ): void {
    const keys = keysOfMessages(this.#known, agentId, messages);
    const { lengths, body } = this.#packer.pack(messages.map(({ json }) => json));
    const through = cursor + messages.length - 1;
    const { insert, addKey } = this.#statements;
    insert.run(through, messages.length, origin, first, receivedAt, packKeys(keys), lengths, body);
    for (const key of keys) addKey.run(key, through);
  }

  /**
   * One more than the newest, and than the cursors of a store that was replaced by a backup: its consumers must not
   * take new events for those they have already.
   */
  #next(): number {
    return Math.max(this.newest(), this.#replaced) + 1;
  }
}

function prepare(database: SqlDatabase) {
  return {
    replaced: database.prepare('SELECT max(through) AS through FROM event_gap'),
    newest: database.prepare(NEWEST_CURSOR),
    insert: database.prepare(
      'INSERT INTO event_run (through, count, origin, first_number, received_at, keys, lengths, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    addKey: database.prepare('INSERT INTO event_run_key (what, through) VALUES (?, ?) ON CONFLICT DO NOTHING'),
  };
}

/** Events of the table `event` are older than those of any run. */
export const NEWEST_CURSOR =
  'SELECT coalesce((SELECT max(through) FROM event_run), (SELECT max(cursor) FROM event)) AS newest';
/** NULL: there are no events. */
export const OLDEST_CURSOR = `SELECT coalesce((SELECT min(cursor) FROM event),
  (SELECT through - count + 1 FROM event_run ORDER BY through LIMIT 1)) AS oldest`;
