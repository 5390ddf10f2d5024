// PgBouncer in front of a cluster of a test, in transaction mode: each transaction may run on another connection.
import { spawnSync } from 'node:child_process';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts, Running } from '../flow/processes.ts';
import { postgresAccount } from './binaries.ts';
import type { PostgresCluster } from './cluster.ts';
import { STORE_ROLE } from './server.ts';

/** Debian installs it outside the path of most accounts. */
const PROGRAM = '/usr/sbin/pgbouncer';

/** True, with a line that says so, where PgBouncer is not installed. CI has it: there its absence is a failure. */
export function lacksPgBouncer(): boolean {
  if (spawnSync(PROGRAM, ['--version']).error === undefined || process.env['CI'] === 'true') return false;
  console.warn('SKIPPED: PgBouncer is not installed (Debian: pgbouncer); tests with it do not run.');
  return true;
}

export interface PgBouncer {
  readonly port: number;
  url(database: string): string;
  stop(): Promise<void>;
}

/** In front of the primary now. Settings that it knows are those of its own defaults: nothing is ignored or tracked. */
export async function startPgBouncer(cluster: PostgresCluster, poolSize = 20): Promise<PgBouncer> {
  const [port = 0] = await freePorts(1);
  const folder = join(cluster.folder, `pgbouncer-${port}`);
  await mkdir(folder, { mode: 0o700 });
  const [users, file] = [join(folder, 'users.txt'), join(folder, 'pgbouncer.ini')];
  await writeFile(users, `"${STORE_ROLE}" ""\n`);
  const lines = [
    '[databases]',
    `* = host=${cluster.primary.folder} port=${cluster.primary.port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${users}`,
    'pool_mode = transaction',
    `default_pool_size = ${poolSize}`,
    'max_client_conn = 1000',
    // Each test has a database of its own, and each database a pool.
    'server_idle_timeout = 2',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  const account = postgresAccount();
  if (account !== undefined) for (const path of [folder, users, file]) await chown(path, account.uid, account.gid);
  const running = new Running(PROGRAM, [file], { cwd: folder, ...(account === undefined ? {} : { account }) });
  await running.printed(/process up: PgBouncer/);
  return {
    port,
    url: (database) => `postgres://${STORE_ROLE}@127.0.0.1:${port}/${database}`,
    stop: async () => void (await running.stop('SIGTERM')),
  };
}
