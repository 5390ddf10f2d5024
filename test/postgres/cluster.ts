// Private PostgreSQL servers for tests: a primary, and a standby where the test needs one, from Debian's binaries. They
// are in a temporary folder, and end with the test, also when its process is killed.
import { spawn, type ChildProcess } from 'node:child_process';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, until } from '../flow/processes.ts';
import { postgresAccount, postgresBinaries } from './binaries.ts';
import { PostgresServer, STORE_ROLE, type Settings, type StopMode } from './server.ts';

export interface ClusterOptions {
  /** Commits wait for it (`synchronous`), or do not. None unless asked. */
  readonly standby?: 'synchronous' | 'asynchronous';
  /** Of postgresql.conf, on both servers. */
  readonly settings?: Settings;
  /** Commits reach the disk: a test that cuts the power, or measures. */
  readonly isDurable?: boolean;
}

const SETTINGS: Settings = {
  max_connections: 100,
  shared_buffers: '64MB',
  // A standby that was frozen goes on from where it was.
  wal_keep_size: '512MB',
  max_wal_size: '1GB',
  log_checkpoints: 'off',
  timezone: 'UTC',
};
/** The processes of a test are killed, never the machine: what is in its page cache is there for the recovery. */
const NOT_DURABLE: Settings = { fsync: 'off', full_page_writes: 'off' };

/**
 * Waits for the end of its standard input, which comes with the end of the test's process, and then ends what that left
 * and deletes its folder.
 */
const GUARD = `
read _
for file in "$1"/*/data/postmaster.pid; do
  [ -e "$file" ] || continue
  pid=$(head -1 "$file")
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ] || continue
  kill -QUIT "$pid"; kill -CONT "$pid"
  # Its last act deletes the file.
  n=0; while [ -e "$file" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
done
rm -rf "$1"`;

export interface ServersFolder {
  readonly path: string;
  /** Deletes it. Its servers have ended. */
  remove(): Promise<void>;
}

/** A temporary folder for servers, each in its own folder in it, which belongs to their account and has a guard. */
export async function serversFolder(): Promise<ServersFolder> {
  const path = await mkdtemp(join(tmpdir(), 'queuegate-postgres-'));
  const account = postgresAccount();
  if (account !== undefined) await chown(path, account.uid, account.gid);
  const guard = startGuard(path);
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true });
      guard.stdin?.end();
    },
  };
}

function startGuard(folder: string): ChildProcess {
  // In a session of its own: it gets no signal of a terminal.
  const guard = spawn('/bin/sh', ['-c', GUARD, 'guard', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  (guard.stdin as Socket | null)?.unref();
  return guard;
}

export class PostgresCluster {
  readonly #folder: ServersFolder;
  readonly #mode: ClusterOptions['standby'];
  #primary: PostgresServer;
  #other: PostgresServer | undefined;
  #databases = 0;

  private constructor(
    folder: ServersFolder,
    mode: ClusterOptions['standby'],
    primary: PostgresServer,
    other: PostgresServer | undefined,
  ) {
    this.#folder = folder;
    this.#mode = mode;
    this.#primary = primary;
    this.#other = other;
  }

  static async start(options: ClusterOptions = {}): Promise<PostgresCluster> {
    const binaries = postgresBinaries();
    if (binaries === undefined) throw new Error('PostgreSQL >= 14 is not installed (Debian: postgresql)');
    const folder = await serversFolder();
    const account = postgresAccount();
    const settings = { ...SETTINGS, ...(options.isDurable === true ? {} : NOT_DURABLE), ...options.settings };
    const [one = 0, two = 0] = await freePorts(options.standby === undefined ? 1 : 2);
    const server = (name: string, port: number): PostgresServer =>
      new PostgresServer({ name, folder: join(folder.path, name), port, binaries, account, settings });
    const standby = options.standby === undefined ? undefined : server('two', two);
    const cluster = new PostgresCluster(folder, options.standby, server('one', one), standby);
    try {
      await cluster.#primary.init();
      await cluster.#primary.start();
      await cluster.#primary.sql(`CREATE ROLE ${STORE_ROLE} LOGIN`);
      if (standby !== undefined) await cluster.rejoin();
      return cluster;
    } catch (error) {
      await cluster.remove();
      throw error;
    }
  }

  get folder(): string {
    return this.#folder.path;
  }

  get primary(): PostgresServer {
    return this.#primary;
  }

  /** The other server: the standby, or behind a failover the old primary until `rejoin`. */
  get standby(): PostgresServer {
    if (this.#other === undefined) throw new Error('this cluster has no standby: start it with one');
    return this.#other;
  }

  /** Of the primary now; with both servers for a client that looks for the primary itself. */
  url(database: string): string {
    const servers = [this.#primary, ...(this.#other === undefined ? [] : [this.#other])];
    if (servers.length === 1) return this.#primary.url(database);
    const hosts = servers
      .toSorted((one, other) => one.port - other.port)
      .map(({ port }) => `127.0.0.1:${port}`)
      .join(',');
    return `postgres://${STORE_ROLE}@${hosts}/${database}?target_session_attrs=read-write`;
  }

  /** An empty database that belongs to the role of the store; its name. */
  async createDatabase(template = 'template0'): Promise<string> {
    const name = `store_${++this.#databases}`;
    await this.#primary.sql(`CREATE DATABASE ${name} OWNER ${STORE_ROLE} TEMPLATE ${template}`);
    return name;
  }

  async dropDatabase(name: string): Promise<void> {
    await this.#primary.sql(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  }

  /** Stops the primary; the standby takes its place. The stopped one is `standby` now, and stays stopped until `rejoin`. */
  async failover(mode: StopMode = 'immediate'): Promise<void> {
    const [old, next] = [this.#primary, this.standby];
    await old.stop(mode);
    next.thaw();
    await next.promote();
    this.#primary = next;
    this.#other = old;
  }

  /** Makes the other server a standby, from a copy of the primary, and waits until both have the same. */
  async rejoin(): Promise<void> {
    const other = this.standby;
    await other.stop('immediate');
    await other.copyFrom(this.#primary);
    await other.start();
    await this.#primary.configure({
      synchronous_standby_names: this.#mode === 'synchronous' ? `FIRST 1 (${other.name})` : '',
    });
    await this.replicated();
  }

  /** Waits until the standby receives, and commits wait for it where it is a synchronous one. */
  async replicated(): Promise<void> {
    const expected = this.#mode === 'synchronous' ? 'sync' : 'async';
    await until(async () => {
      const rows = await this.#primary.sql<{ sync_state: string }>(
        `SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming' AND application_name = $1`,
        [this.standby.name],
      );
      return rows.some(({ sync_state }) => sync_state === expected) || undefined;
    });
  }

  /** Waits until the standby has everything that was committed. */
  async caughtUp(): Promise<void> {
    await until(async () => {
      const [row] = await this.#primary.sql<{ same: boolean | null }>(
        'SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) AS same FROM pg_stat_replication',
      );
      return row?.same === true || undefined;
    });
  }

  /** The standby gets nothing more: what is committed from now on is lost in a failover. */
  async detach(): Promise<void> {
    await this.standby.configure({ primary_conninfo: '' });
    await until(async () => (await this.#primary.sql('SELECT 1 FROM pg_stat_replication')).length === 0 || undefined);
  }

  /** Ends both servers at once, and deletes everything. */
  async remove(): Promise<void> {
    await this.#other?.stop('immediate');
    await this.#primary.stop('immediate');
    await this.#folder.remove();
  }
}

export async function startCluster(options: ClusterOptions = {}): Promise<PostgresCluster> {
  return await PostgresCluster.start(options);
}

/** Of the process: files that share it share the cluster, which its guard ends. */
const SHARED = Symbol.for('queuegate.test.postgres');
const shared = globalThis as { [SHARED]?: Promise<PostgresCluster> };

export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  readonly cluster: PostgresCluster;
  drop(): Promise<void>;
}

/** An empty database in the one cluster of this process. For tests that leave the server as it is. */
export async function freshDatabase(template?: string): Promise<TestDatabase> {
  const cluster = await (shared[SHARED] ??= startCluster());
  const name = await cluster.createDatabase(template);
  return { url: cluster.url(name), name, cluster, drop: () => cluster.dropDatabase(name) };
}
