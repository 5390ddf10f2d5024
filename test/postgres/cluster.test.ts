// The servers that tests start: databases of their own, a standby that holds all commits, what stops and what is left.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { Cleanup, ROOT, runs, until } from '../flow/processes.ts';
import { lacksPostgres } from './binaries.ts';
import { freshDatabase, startCluster, type ClusterOptions, type PostgresCluster } from './cluster.ts';
import { lacksPgBouncer, startPgBouncer } from './pooler.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function start(options: ClusterOptions): Promise<PostgresCluster> {
  const cluster = await startCluster(options);
  cleanup.add(() => cluster.remove());
  return cluster;
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  cleanup.add(() => client.end());
  return client;
}

describe.skipIf(lacksPostgres())('a cluster of a test', () => {
  it('gives each test an empty database that belongs to the role of the store, over TCP and over a socket', async () => {
    const [one, two] = [await freshDatabase(), await freshDatabase()];
    cleanup.add(() => one.drop());
    cleanup.add(() => two.drop());
    const client = await connect(one.url);
    await client.query('CREATE TABLE here (n bigint)');
    const found = await (
      await connect(two.cluster.primary.socketUrl(two.name))
    ).query('SELECT to_regclass($1) AS t', ['here']);
    expect(found.rows).toEqual([{ t: null }]);
    const role = await client.query(
      'SELECT current_user AS u, rolsuper AS s FROM pg_roles WHERE rolname = current_user',
    );
    expect(role.rows).toEqual([{ u: 'queuegate', s: false }]);
  });

  it('leaves nothing behind when the process of the test is killed', async () => {
    const script = `
      const { startCluster } = await import(${JSON.stringify(join(ROOT, 'test/postgres/cluster.ts'))});
      const cluster = await startCluster();
      console.log(JSON.stringify([cluster.folder, cluster.primary.processes()[0]]));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    cleanup.add(() => child.kill('SIGKILL'));
    const line = await new Promise<string>((resolve) =>
      child.stdout.once('data', (data: Buffer) => resolve(String(data))),
    );
    const [folder, pid] = JSON.parse(line) as [string, number];
    expect([existsSync(folder), runs(pid)]).toEqual([true, true]);
    child.kill('SIGKILL');
    await until(() => !existsSync(folder) && !runs(pid));
  });

  it('has a standby that has every acknowledged commit when it takes over, and takes the old primary back', async () => {
    const cluster = await start({ standby: 'synchronous' });
    const database = await cluster.createDatabase();
    const client = await connect(cluster.primary.url(database));
    await client.query('CREATE TABLE log (n bigint)');
    await client.query('INSERT INTO log VALUES (1)');
    const old = cluster.primary;
    await cluster.failover('immediate');
    expect([cluster.standby, old.running]).toEqual([old, false]);
    const next = await connect(cluster.primary.url(database));
    await next.query('INSERT INTO log VALUES (2)');
    await cluster.rejoin();
    expect(
      await old.sql('SELECT array_agg(n ORDER BY n) AS a, pg_is_in_recovery() AS r FROM log', [], database),
    ).toEqual([{ a: ['1', '2'], r: true }]);
  });

  it('makes commits wait while the receiver of its standby is frozen', async () => {
    const cluster = await start({ standby: 'synchronous' });
    const client = await connect(cluster.primary.url(await cluster.createDatabase()));
    await client.query('CREATE TABLE log (n bigint)');
    cluster.standby.freeze('walreceiver');
    let isCommitted = false;
    const committed = client.query('INSERT INTO log VALUES (1)').then(() => (isCommitted = true));
    await until(async () => {
      const rows = await cluster.primary.sql(`SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);
      return rows.length > 0 || undefined;
    });
    expect(isCommitted).toBe(false);
    cluster.standby.thaw();
    await committed;
  });

  it('refuses writes, and connections, where a test asks for it', async () => {
    const { primary } = await start({ settings: { max_connections: 8 } });
    const one = await connect(primary.url());
    await primary.configure({ default_transaction_read_only: 'on' });
    const two = await connect(primary.url());
    await expect(two.query('CREATE TABLE log (n bigint)')).rejects.toMatchObject({ code: '25006' });
    await until(async () => {
      const client = await connect(primary.url()).catch((error: unknown) => error as { code?: string });
      return client instanceof Client ? undefined : client.code === '53300';
    });
    await primary.stop('immediate');
    await expect(one.query('SELECT 1')).rejects.toThrow(/terminat|not queryable/);
  });

  it.skipIf(lacksPgBouncer())(
    'is reached through PgBouncer, whose transactions each may have another connection',
    async () => {
      const cluster = await start({});
      const pooler = await startPgBouncer(cluster, 2);
      cleanup.add(() => pooler.stop());
      const database = await cluster.createDatabase();
      const clients = await Promise.all([1, 2, 3].map(() => connect(pooler.url(database))));
      const pids = await Promise.all(
        clients.map(async (client) => (await client.query('SELECT pg_backend_pid() AS p')).rows[0]),
      );
      expect(new Set(pids.map((row: { p: number }) => row.p)).size).toBeLessThanOrEqual(2);
    },
  );
});
