// A connection to PostgreSQL for a thread that waits for each answer, as it does with SQLite: the same calls run on both
// engines. The connection lives in a thread of its own, since sockets need an event loop. A thread that waits holds up
// its own queue only.
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { Row } from '../../../../shared/sqlite/row.ts';
import type { SqlDatabase, SqlStatement, SqlValue } from '../../../../shared/sqlite/sql.ts';
import { FUNCTION_FOR } from '../schema/frequent.ts';
import { translate } from './dialect.ts';
import type { ConnectionData, Numbered, Reply, Request } from '../threads/protocol.ts';

/** PostgreSQL cannot be reached now. */
export class AwayError extends Error {
  /** The statement that failed may have been carried out. */
  readonly isUnknown: boolean;

  constructor(found: string, isUnknown: boolean) {
    super(found);
    this.name = 'AwayError';
    this.isUnknown = isUnknown;
  }
}

/** PostgreSQL refused a statement: a defect, or a value that breaks a constraint. */
class StatementError extends Error {
  readonly sqlState: string;

  constructor(found: string, sqlState: string, sql: string) {
    super(`${found} (${sqlState}) in: ${sql.trim().slice(0, 200)}`);
    this.name = 'StatementError';
    this.sqlState = sqlState;
  }
}

/** A statement takes so long at most. What is longer is cut off, and tried again: it waits for a lock or the network. */
const STATEMENT_MS = 15_000;
/** More than the connection itself waits: it always answers. */
const REPLY_MS = 120_000;

export class BlockingConnection implements SqlDatabase {
  readonly #worker: Worker;
  readonly #port;
  readonly #signal: Int32Array<SharedArrayBuffer>;
  readonly #statements = new Map<string, SqlStatement>();
  readonly #statementMs: number;
  #requests = 0;
  #isTransaction = false;

  /** `thread`: the address of threads/postgres-connection, which only the file that starts all threads knows. */
  constructor({ url, thread }: { readonly url: string; readonly thread: string }, statementMs = STATEMENT_MS) {
    this.#statementMs = statementMs;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#signal = new Int32Array(new SharedArrayBuffer(4));
    const data: ConnectionData = { port: port2, signal: this.#signal, url };
    this.#worker = new Worker(new URL(thread), {
      workerData: data,
      transferList: [port2],
    });
    this.#port.unref();
  }

  /** Connects, again where it was connected. Errors: AwayError. */
  connect(): void {
    this.#isTransaction = false;
    this.#ask({ kind: 'connect' });
  }

  close(): void {
    this.#ask({ kind: 'close' });
    this.#port.close();
    this.#worker.unref();
  }

  get isTransaction(): boolean {
    return this.#isTransaction;
  }

  /** Errors: AwayError, StatementError. */
  exec(sql: string): void {
    this.query(sql === 'BEGIN' ? 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY' : sql, []);
    if (sql.startsWith('BEGIN')) this.#isTransaction = true;
    else if (sql === 'COMMIT' || sql === 'ROLLBACK') this.#isTransaction = false;
  }

  prepare(sql: string): SqlStatement {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const { sql: translated, parameters } = translate(FUNCTION_FOR.get(sql) ?? sql);
    const run = (values: readonly SqlValue[]) =>
      this.query(
        translated,
        parameters.map(({ index, isNull }) => {
          const value = values[index] ?? null;
          return isNull ? Number(value === null) : storable(value);
        }),
      );
    const statement: SqlStatement = {
      get: (...values) => run(values).rows[0],
      all: (...values) => run(values).rows,
      iterate: (...values) => run(values).rows,
      run: (...values) => ({ changes: run(values).changes }),
    };
    this.#statements.set(sql, statement);
    return statement;
  }

  /** A statement in PostgreSQL's own words. Errors: AwayError, StatementError. */
  query(sql: string, values: readonly unknown[]): { readonly rows: Row[]; readonly changes: number } {
    return this.#ask({ kind: 'query', sql, values, withinMs: this.#statementMs }, sql);
  }

  #ask(request: Request, sql = ''): { readonly rows: Row[]; readonly changes: number } {
    const number = ++this.#requests;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#port.postMessage({ number, what: request } satisfies Numbered<Request>);
    const reply = this.#reply(number);
    if (reply.kind === 'rows') return reply;
    if (reply.kind === 'refused') throw new StatementError(reply.found, reply.sqlState, sql);
    this.#isTransaction = false;
    throw new AwayError(reply.found, reply.isUnknown);
  }

  /** Waits for it; those of requests that were given up are dropped. */
  #reply(number: number): Reply {
    for (;;) {
      const counted = Atomics.load(this.#signal, 0);
      for (let came = receiveMessageOnPort(this.#port); came !== undefined; came = receiveMessageOnPort(this.#port)) {
        // As protocol.ts has it.
        const reply = came.message as Numbered<Reply>;
        if (reply.number === number) return reply.what;
      }
      if (Atomics.wait(this.#signal, 0, counted, REPLY_MS) === 'timed-out')
        throw new AwayError('the thread of the connection does not answer', true);
    }
  }
}

/** A text of PostgreSQL cannot hold NUL. What is stored has none, and what is looked for with one is not there. */
export function storable(value: SqlValue): SqlValue {
  return typeof value === 'string' && value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value;
}
