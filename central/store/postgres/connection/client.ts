// A connection to the primary of a PostgreSQL cluster. What it gives is as SQLite gives it: numbers, texts, bytes. A
// commit that the standby did not confirm counts as one whose outcome is unknown.
import pg from 'pg';
import type { Row } from '../../../../shared/sqlite/row.ts';
import { textOf } from '../../../../shared/errors.ts';
import { isUnknown, mayTryAgain, postgresFault } from '../errors.ts';
import type { Reply } from '../threads/protocol.ts';
import { hostsOf, type StoreHost } from './store-url.ts';

const CONNECT_MS = 5_000;
const CLOSE_MS = 1_000;
const OLDEST_VERSION = 140_000;

/** Which server it is: a promoted standby has a higher timeline, another cluster another identifier. */
interface Server {
  /** `host:port`. */
  readonly name: string;
  readonly timeline: number;
  readonly system: string;
}

export type SeenServer = Pick<Server, 'system' | 'timeline'>;

export interface Connected {
  readonly server: Server;
  query(sql: string, values: readonly unknown[], withinMs: number): Promise<Reply>;
  close(): Promise<void>;
}

/** Types of PostgreSQL by their OID (pg_type.dat): bool, int8, json, jsonb, numeric. */
const PARSERS: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => (text === 't' ? 1 : 0),
  20: Number,
  114: (text) => text,
  1700: Number,
  3802: (text) => text,
};

/**
 * Tries each host once, and takes the first one that is a primary. `seen`: the server that was reached before; an older
 * one is refused (a primary that was replaced and came back). Without one, all hosts are asked, and the newest is taken.
 * Errors: store_not_postgresql, store_unreachable (as the last host says).
 */
export async function connect(url: string, seen: SeenServer): Promise<Connected> {
  let last: unknown;
  let best: Connected | undefined;
  for (const host of hostsOf(url)) {
    try {
      const other = await connectTo(host, best?.server ?? seen);
      await best?.close();
      best = other;
      if (seen.system !== '') break;
    } catch (error) {
      last = error;
    }
  }
  if (best === undefined) throw last;
  return best;
}

async function connectTo(host: StoreHost, seen: SeenServer): Promise<Connected> {
  const client = new pg.Client({
    ...host.config,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    application_name: 'queuegate-central',
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') => PARSERS[oid] ?? pg.types.getTypeParser(oid, format),
    },
  });
  let lost: string | undefined;
  let isUnconfirmed = false;
  client.on('error', (error: Error) => (lost ??= error.message));
  client.on('end', () => (lost ??= 'the connection was closed'));
  // The wait for the standby was canceled: the commit is here, and perhaps not there. The text is in the language of the
  // server (lc_messages); other notices that Central causes have codes of their own.
  client.on('notice', ({ code, message = '' }) => {
    if (code === '01000' || message.includes('synchronous replication')) isUnconfirmed = true;
  });
  const close = async (): Promise<void> => {
    const ended = client.end().catch(() => undefined);
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
    // `connection` is not in its types.
    (
      client as unknown as { readonly connection: { readonly stream: { destroy(): void } } }
    ).connection.stream.destroy();
  };
  try {
    await client.connect();
    const server = await whoIs(client, host.name, seen);
    return { server, query, close };
  } catch (error) {
    await close();
    throw isOurs(error) ? error : postgresFault('store_unreachable', { host: host.name, found: textOf(error) }, error);
  }

  async function query(sql: string, values: readonly unknown[], withinMs: number): Promise<Reply> {
    if (lost !== undefined) return { kind: 'away', found: lost, isUnknown: false };
    isUnconfirmed = false;
    let late: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new Error(`it did not answer within ${withinMs / 1000} seconds`)), withinMs);
    });
    try {
      const running = client.query(values.length === 0 ? { text: sql } : { text: sql, values: [...values] });
      // Settled later than the deadline, it has no one who waits.
      running.catch(() => undefined);
      const result = lastOf(await Promise.race([running, deadline]));
      if (isUnconfirmed) return { kind: 'away', found: 'the standby did not confirm a commit', isUnknown: true };
      return { kind: 'rows', rows: result.rows as Row[], changes: result.rowCount ?? 0 };
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code !== undefined)
        return mayTryAgain(error.code)
          ? { kind: 'away', found: error.message, isUnknown: isUnknown(error.code) }
          : { kind: 'refused', sqlState: error.code, found: error.message };
      return { kind: 'away', found: textOf(error), isUnknown: true };
    } finally {
      clearTimeout(late);
    }
  }
}

/** Of several statements in one text, the result of the last one. */
function lastOf(result: pg.QueryResult | pg.QueryResult[]): pg.QueryResult {
  return Array.isArray(result) ? (result.at(-1) as pg.QueryResult) : result;
}

const isOurs = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('store_');

async function whoIs(client: pg.Client, host: string, seen: SeenServer): Promise<Server> {
  const ask = async (text: string): Promise<Record<string, string | number>> => {
    // It may freeze in between. `query_timeout` is not in the types of a query.
    const query = { text, query_timeout: CONNECT_MS } as pg.QueryConfig;
    return (await client.query<Record<string, string | number>>(query)).rows[0] ?? {};
  };
  const {
    version = '',
    number = 0,
    standby,
  } = await ask(`
    SELECT version() AS version, current_setting('server_version_num')::int AS number, pg_is_in_recovery() AS standby`);
  if (
    !String(version).startsWith('PostgreSQL ') ||
    /cockroach|yugabyte|redshift/i.test(String(version)) ||
    Number(number) < OLDEST_VERSION
  )
    throw postgresFault('store_not_postgresql', { host, found: String(version) });
  if (standby !== 0) throw postgresFault('store_unreachable', { host, found: 'it is a standby, and not the primary' });
  // The control file may show the timeline from before the promotion; the name of the present WAL file does not.
  const { timeline, system } = await ask(`
    SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline,
      (SELECT system_identifier::text FROM pg_control_system()) AS system`);
  const server = { name: host, timeline: Number(timeline), system: String(system) };
  if (seen.system !== '' && seen.system !== server.system)
    throw postgresFault('store_unreachable', {
      host,
      found: 'it is another cluster than the one that was reached before',
    });
  if (server.timeline < seen.timeline)
    throw postgresFault('store_unreachable', {
      host,
      found: `it is on timeline ${server.timeline}, where the primary was on timeline ${seen.timeline} before: it was replaced`,
    });
  return server;
}
