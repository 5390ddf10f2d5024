// The files of deploy/several-centrals: PostgreSQL accepts them, the standby confirms each commit, and HAProxy leads to
// the server that is the primary.
import { readdirSync, readFileSync } from 'node:fs';
import { chown, copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksPeer, OpensslAuthority } from '../flow/false-hosts.ts';
import { Cleanup, freePorts, ROOT, run, Running, until } from '../flow/processes.ts';
import { lacksPostgres, postgresAccount, postgresBinaries } from '../postgres/binaries.ts';
import { serversFolder } from '../postgres/cluster.ts';
import { PostgresServer, type Settings } from '../postgres/server.ts';

const FOLDER = join(ROOT, 'deploy/several-centrals');
const example = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');
const README = example('README.md');

/** The settings of a file in the form of postgresql.conf. */
function settingsOf(name: string): Settings {
  return Object.fromEntries(
    Array.from(example(name).matchAll(/^(\w+) = '?([^'\n]*?)'?$/gm), ([, key = '', value = '']) => [key, value]),
  );
}

/** The command of the README that begins so, without its program and with other values in place of its examples. */
function wordsOf(start: string, replaced: Readonly<Record<string, string>>): string[] {
  const line = README.split('\n').find((text) => text.startsWith(start));
  if (line === undefined) throw new Error(`README.md has no command ${start}`);
  const words = Array.from(
    line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g),
    ([, one, two, three]) => one ?? two ?? three ?? '',
  );
  return words
    .slice(1)
    .map((word) => Object.entries(replaced).reduce((text, [from, to]) => text.replaceAll(from, to), word));
}

/** A file for HAProxy with the ports of the test, each of which has to be found. */
function haproxyText(name: string, replaced: readonly (readonly [string, string])[]): string {
  let text = example(name);
  for (const [from, to] of replaced) {
    if (!text.includes(from)) throw new Error(`${name} has no ${from}`);
    text = text.replaceAll(from, to);
  }
  return ['global', '    maxconn 100', '', text].join('\n');
}

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

describe.skipIf(lacksPostgres() || lacksPeer('haproxy', 'openssl'))('the example of several Centrals', () => {
  let folder = '';
  let [a, b]: PostgresServer[] = [];
  let rootCertificate = '';
  let balanced = 0;

  const account = postgresAccount();
  const own = async (path: string): Promise<void> => {
    if (account !== undefined) await chown(path, account.uid, account.gid);
  };

  async function connect(port: number, password: string): Promise<Client> {
    const client = new Client({
      connectionString: `postgres://queuegate:${password}@localhost:${port}/queuegate?sslmode=verify-full&sslrootcert=${rootCertificate}`,
    });
    client.on('error', () => undefined);
    await client.connect();
    cleanup.add(() => client.end().catch(() => undefined));
    return client;
  }

  beforeAll(async () => {
    const servers = await serversFolder();
    cleanup.add(() => servers.remove());
    folder = servers.path;
    const authority = await OpensslAuthority.make(cleanup, 'The authority of PostgreSQL');
    const issued = await authority.issue({ name: 'localhost', names: 'DNS:localhost' });
    rootCertificate = authority.root.certificate;
    const files = { certificate: join(folder, 'certificate.pem'), key: join(folder, 'key.pem') };
    await copyFile(issued.certificate, files.certificate);
    await writeFile(files.key, readFileSync(issued.key), { mode: 0o600 });
    await copyFile(rootCertificate, join(folder, 'root.pem'));
    for (const path of [files.certificate, files.key, join(folder, 'root.pem')]) await own(path);
    const ports = await freePorts(3);
    [a, b] = ['pg_a', 'pg_b'].map(
      (name, i) =>
        new PostgresServer({
          name,
          folder: join(folder, name),
          port: ports[i] ?? 0,
          binaries: postgresBinaries() ?? '',
          account,
          settings: {
            ...settingsOf('queuegate.conf'),
            ssl_cert_file: files.certificate,
            ssl_key_file: files.key,
            fsync: 'off',
          },
          access: example('access.conf')
            .replaceAll(/10\.0\.[12]\.0\/24/g, '127.0.0.1/32')
            .split('\n'),
        }),
    );
    balanced = ports[2] ?? 0;
    const text = haproxyText('store.cfg', [
      ['127.0.0.1:5432', `127.0.0.1:${balanced}`],
      ['pg-a.example.com:5432', `127.0.0.1:${a?.port}`],
      ['pg-b.example.com:5432', `127.0.0.1:${b?.port}`],
    ]);
    const file = join(await cleanup.folder(), 'haproxy.cfg');
    await writeFile(file, text);
    const haproxy = new Running('haproxy', ['-db', '-f', file]);
    cleanup.add(() => haproxy.stop());
  });

  it('has a standby that confirms commits, made with the commands of its README', async () => {
    if (a === undefined || b === undefined) throw new Error('no servers');
    await a.init();
    await a.start();
    cleanup.add(() => a?.stop('immediate'));
    await writeFile(join(a.folder, 'roles.sql'), example('roles.sql'));
    await own(join(a.folder, 'roles.sql'));
    const options = /^export PGOPTIONS='(.*)'$/m.exec(README)?.[1] ?? '';
    const target = { PGHOST: a.folder, PGPORT: String(a.port), PGUSER: 'postgres', PGOPTIONS: options };
    await a.program('psql', ['-v', 'ON_ERROR_STOP=1', ...wordsOf('psql --file', {})], target);
    for (const role of ['queuegate', 'replicator'])
      await a.program('psql', ['--command', `ALTER ROLE ${role} PASSWORD 'secret of ${role}'`], target);

    await b.makeFolder();
    const words = wordsOf('pg_basebackup', {
      '/var/lib/postgresql/15/main': b.data,
      'pg-a.example.com': `localhost port=${a.port}`,
      '/etc/postgresql/root.pem': join(folder, 'root.pem'),
    });
    const passwords = join(b.folder, '.pgpass');
    await writeFile(passwords, '*:*:*:replicator:secret of replicator\n', { mode: 0o600 });
    await own(passwords);
    await b.program('pg_basebackup', words);
    await b.start();
    cleanup.add(() => b?.stop('immediate'));
    const query = wordsOf('psql --command "SELECT application_name', {}).at(-1) ?? '';
    await until(async () => {
      const rows = await a?.sql(query);
      return rows?.some(({ sync_state }) => sync_state === 'sync') || undefined;
    });
    expect(await a.sql(query)).toEqual([{ application_name: 'pg_b', state: 'streaming', sync_state: 'sync' }]);
  });

  it('lets Central in with its password over verified TLS only, and into its own database only', async () => {
    const port = a?.port ?? 0;
    const client = await connect(port, encodeURIComponent('secret of queuegate'));
    await client.query('CREATE TABLE log (n bigint)');
    await client.query('INSERT INTO log VALUES (1)');
    const plain = new Client(`postgres://queuegate:secret%20of%20queuegate@localhost:${port}/queuegate`);
    await expect(plain.connect()).rejects.toMatchObject({ code: '28000' });
    await expect(connect(port, 'wrong')).rejects.toMatchObject({ code: '28P01' });
    const check = new Client(`postgres://queuegate_check@127.0.0.1:${port}/queuegate`);
    await expect(check.connect()).rejects.toMatchObject({ code: '28000' });
  });

  it('leads to the primary, and to the standby that took its place, which has every commit', async () => {
    const password = encodeURIComponent('secret of queuegate');
    const before = await until(() => connect(balanced, password).catch(() => undefined));
    await before.query('INSERT INTO log VALUES (2)');
    await a?.stop('immediate');
    const promote = wordsOf('psql --command "SELECT pg_promote()"', {}).at(-1) ?? '';
    await b?.sql(promote);
    const client = await until(() => connect(balanced, password).catch(() => undefined));
    expect((await client.query('SELECT n FROM log ORDER BY n')).rows).toEqual([{ n: '1' }, { n: '2' }]);
    // Without a standby a commit waits; the README says how to go on without one.
    const line = README.split('\n').find((text) => text.includes("synchronous_standby_names = ''")) ?? '';
    for (const [, statement = ''] of line.matchAll(/--command "([^"]*)"/g)) await b?.sql(statement);
    await client.query('INSERT INTO log VALUES (3)');
  });

  it('leads nowhere while two servers are a primary', async () => {
    const password = encodeURIComponent('secret of queuegate');
    // The old primary was started again by mistake.
    await a?.start();
    await until(async () => {
      const client = await connect(balanced, password).catch(() => undefined);
      return client === undefined || undefined;
    });
    await a?.stop('immediate');
    const client = await until(() => connect(balanced, password).catch(() => undefined));
    expect((await client.query('SELECT count(*)::int AS n FROM log')).rows).toEqual([{ n: 3 }]);
  });

  it('has a file for HAProxy in front of the nodes that HAProxy accepts', async () => {
    const place = await cleanup.folder();
    await copyFile(rootCertificate, join(place, 'central-root.pem'));
    const text = haproxyText('agents.cfg', [
      ['/etc/haproxy/queuegate', place],
      ['central-a.example.com:', 'localhost:'],
      ['central-b.example.com:', 'localhost:'],
    ]);
    await writeFile(join(place, 'haproxy.cfg'), text);
    const { code, stdout, stderr } = await run('haproxy', ['-c', '-f', join(place, 'haproxy.cfg')]);
    expect([code, /warn/i.test(stdout + stderr) ? stdout + stderr : '']).toEqual([0, '']);
  });
});

describe('the README of several Centrals', () => {
  it('names every file of its folder', () => {
    const named = readdirSync(FOLDER).filter((name) => name !== 'README.md' && !README.includes(`\`${name}\``));
    expect(named).toEqual([]);
  });
});
