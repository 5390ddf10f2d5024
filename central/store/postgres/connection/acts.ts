// Runs groups of calls, each group in one transaction, for a thread that waits for its answers. All nodes take one lock
// for it: calls of administrators and logins follow each other over all nodes, as they do with the one writer of SQLite.
// A group whose outcome is unknown is looked up by its number, and run again if it was not committed.
import type { Outcome, Work } from '../../../../shared/sqlite/group-commit.ts';
import { isCoded } from '../../../../shared/errors.ts';
import { NODE_DEAD_MS } from '../../nodes/node-store.ts';
import { AwayError, type BlockingConnection } from './blocking-connection.ts';
import { postgresFault } from '../errors.ts';
import type { ChangeNotes } from '../notes.ts';

interface ActsOptions {
  readonly connection: BlockingConnection;
  /** This process. */
  readonly node: { readonly name: string; readonly generation: number };
  readonly notes: ChangeNotes;
  /** Whether the call that was just made took something that all nodes need: its transaction ends behind it. Asked once. */
  readonly endsTransaction: () => boolean;
  readonly onAway: (found: string) => void;
  readonly onBack: () => void;
}

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 500;

export class Acts {
  readonly #options: ActsOptions;
  /** Of this process; the row of the node has that of the last group that was committed. */
  #batch = 0;

  constructor(options: ActsOptions) {
    this.#options = options;
  }

  /** In one transaction, or a few. Errors: node_fenced. Everything else is the outcome of a single call. */
  execute(batch: readonly Work[]): Outcome[] {
    const outcomes = this.#transaction(batch);
    while (outcomes.length < batch.length) outcomes.push(...this.#transaction(batch.slice(outcomes.length)));
    return outcomes;
  }

  /** Of the first of them, or all. */
  #transaction(batch: readonly Work[]): Outcome[] {
    this.#batch += 1;
    for (;;) {
      let outcomes: Outcome[] | undefined;
      try {
        this.#begin();
        outcomes = this.#run(batch);
        this.#options.connection.exec('COMMIT');
        return outcomes;
      } catch (error) {
        if (!(error instanceof AwayError)) {
          this.#rollBack();
          throw error;
        }
        this.#untilBack(error.message);
        // Whatever COMMIT was answered with, also a refusal: it may have been carried out.
        if (outcomes !== undefined && this.#isCommitted()) return outcomes;
      }
    }
  }

  #begin(): void {
    const { connection, node } = this.#options;
    connection.exec('BEGIN ISOLATION LEVEL READ COMMITTED');
    const { rows } = connection.query('SELECT begin_acts($1, $2, $3) AS is_own', [
      node.name,
      node.generation,
      this.#batch,
    ]);
    if (rows[0]?.['is_own'] !== 1) throw fenced(node.name);
  }

  #run(batch: readonly Work[]): Outcome[] {
    const { connection, notes, endsTransaction } = this.#options;
    notes.begin();
    const outcomes: Outcome[] = [];
    for (const work of batch) {
      connection.exec(outcomes.length === 0 ? 'SAVEPOINT call' : 'RELEASE call; SAVEPOINT call');
      const noted = notes.count;
      try {
        outcomes.push({ ok: true, value: work() });
      } catch (error) {
        if (error instanceof AwayError || isCoded(error, 'node_fenced')) throw error;
        connection.exec('ROLLBACK TO call');
        notes.cut(noted);
        outcomes.push({ ok: false, error });
      }
      if (endsTransaction()) break;
    }
    notes.write(connection);
    return outcomes;
  }

  /**
   * Whether the last group is on disk, also on a standby that is to confirm: the answer is that of a write of its own
   * behind it. What was never committed stays so: another process of this name has another generation.
   */
  #isCommitted(): boolean {
    const { connection, node } = this.#options;
    for (;;) {
      try {
        const { rows } = connection.query('SELECT last_batch($1, $2) AS batch', [node.name, node.generation]);
        const batch = rows[0]?.['batch'] ?? null;
        if (batch === null) throw fenced(node.name);
        return batch === this.#batch;
      } catch (error) {
        if (!(error instanceof AwayError)) throw error;
        this.#untilBack(error.message);
      }
    }
  }

  #untilBack(found: string): void {
    const { connection, onAway, onBack } = this.#options;
    onAway(found);
    for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(2 * waitMs, LAST_RETRY_MS)) {
      try {
        connection.connect();
        onBack();
        return;
      } catch (error) {
        if (!(error instanceof AwayError)) throw error;
        onAway(error.message);
        pause(waitMs);
      }
    }
  }

  #rollBack(): void {
    try {
      this.#options.connection.exec('ROLLBACK');
    } catch {
      // The first error is the one to tell; what was not committed does not count.
    }
  }
}

const fenced = (name: string): Error => postgresFault('node_fenced', { name, seconds: NODE_DEAD_MS / 1000 });

/** Of a thread that has nothing else to do. */
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
