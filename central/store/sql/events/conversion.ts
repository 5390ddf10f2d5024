// Converts the events of older schemas, which have a row each, into runs, while Central works: from the newest on, in
// steps small enough to share a commit with messages. What is done is on disk: a process that was killed goes on where
// it was. The table `event` stays, empty.
import type { SpaceKeeper } from '../../space/bounds.ts';
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, text, type Row } from '../../../../shared/sqlite/row.ts';
import { RunWriter, type RunMessage } from './run-writes.ts';

/** A step takes so many events and so much text, some 10 ms. */
const STEP_EVENTS = 1_000;
const STEP_LENGTH = 1024 * 1024;

export function conversionWrites(database: SqlDatabase, space: Pick<SpaceKeeper, 'report'>) {
  const conversion = new EventConversion(database);
  return {
    /** One step; the events that are left. Waits while the reserve is reached. */
    convertEvents: (): number => (space.report().state === 'reserved' ? conversion.left() : conversion.step()),
  };
}

class EventConversion {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #runs: RunWriter;

  constructor(database: SqlDatabase) {
    this.#statements = prepare(database);
    this.#runs = new RunWriter(database);
  }

  /** Converts the newest of them; gives how many are left, counted by their cursors. */
  step(): number {
    const rows: Row[] = [];
    let length = 0;
    for (const row of this.#statements.newest.iterate(STEP_EVENTS)) {
      length += text(row, 'json').length;
      if (rows.length > 0 && length > STEP_LENGTH) break;
      rows.push(row);
    }
    const lowest = rows.at(-1);
    if (lowest === undefined) return 0;
    // Below the runs that are there already, so that those of this step may be written from the oldest on.
    for (const run of runsOf(rows.toReversed())) this.#write(run);
    this.#statements.remove.run(integer(lowest, 'cursor'));
    return this.left();
  }

  left(): number {
    return integer(this.#statements.left.get(), 'events');
  }

  #write(run: readonly Row[]): void {
    const [first] = run;
    if (first === undefined) return;
    const origin = integer(first, 'origin');
    const agent = this.#statements.agent.get(origin);
    // Without a row of its log no reader finds an event, and it does not become one.
    if (agent === undefined) return;
    const messages = run.map((row): RunMessage => ({
      type: text(row, 'type'),
      source: text(row, 'source'),
      json: text(row, 'json'),
    }));
    this.#runs.insert(
      { agentId: text(agent, 'agent_id'), origin, receivedAt: integer(first, 'received_at') },
      integer(first, 'cursor'),
      integer(first, 'number'),
      messages,
    );
  }
}

/** Events of one log, of one time, whose cursors and numbers follow each other. */
function runsOf(rows: readonly Row[]): Row[][] {
  const runs: Row[][] = [];
  let before: Row | undefined;
  for (const row of rows) {
    const follows = (column: string): boolean =>
      before !== undefined && integer(row, column) === integer(before, column) + 1;
    const isSame = (column: string): boolean => row[column] === before?.[column];
    if (follows('cursor') && follows('number') && isSame('origin') && isSame('received_at')) runs.at(-1)?.push(row);
    else runs.push([row]);
    before = row;
  }
  return runs;
}

function prepare(database: SqlDatabase) {
  return {
    newest: database.prepare(
      'SELECT cursor, origin, number, received_at, type, source, json FROM event ORDER BY cursor DESC LIMIT ?',
    ),
    agent: database.prepare('SELECT agent_id FROM origin WHERE key = ?'),
    remove: database.prepare('DELETE FROM event WHERE cursor >= ?'),
    left: database.prepare('SELECT coalesce(max(cursor) - min(cursor) + 1, 0) AS events FROM event'),
  };
}
