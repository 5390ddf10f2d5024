// A private PostgreSQL for the bench: Debian's binaries, a folder of its own, settings of an ordinary server (commits reach
// the disk). Its processes and their processor time are looked up in /proc.
import { spawn } from 'node:child_process';
import { chown, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { postgresAccount, postgresBinaries } from '../../test/postgres/binaries.ts';
import { watchProcess } from '../guard.ts';
import { pause } from '../process.ts';

const SUPERUSER = 'postgres';
const ROLE = 'queuegate';
const START_MS = 30_000;
const STOP_MS = 20_000;
const SETTINGS = [
  "listen_addresses = '127.0.0.1'",
  'max_connections = 100',
  'shared_buffers = 256MB',
  'max_wal_size = 4GB',
  'synchronous_commit = on',
  'fsync = on',
  'jit = off',
  "timezone = 'UTC'",
];

export class Postgres {
  readonly version: string;
  readonly #port: number;
  readonly #folder: string;
  readonly #server: ReturnType<typeof spawn>;
  #databases = 0;

  private constructor(folder: string, port: number, server: ReturnType<typeof spawn>, version: string) {
    this.#folder = folder;
    this.#port = port;
    this.#server = server;
    this.version = version;
  }

  /** Undefined: PostgreSQL is not installed. `parent`: a folder that its account may enter. */
  static async start(parent: string): Promise<Postgres | undefined> {
    const binaries = postgresBinaries();
    if (binaries === undefined) return undefined;
    const account = postgresAccount();
    const as = account === undefined ? {} : { uid: account.uid, gid: account.gid };
    const folder = join(parent, 'postgres');
    await mkdir(folder);
    if (account !== undefined) await chown(folder, account.uid, account.gid);
    const data = join(folder, 'data');
    const init = spawn(
      join(binaries, 'initdb'),
      ['-D', data, '--auth=trust', `--username=${SUPERUSER}`, '--encoding=UTF8', '--locale=C.UTF-8'],
      { cwd: folder, stdio: 'ignore', ...as },
    );
    const code = await new Promise((resolve) => init.once('exit', resolve));
    if (code !== 0) throw new Error(`initdb ended with ${String(code)}`);
    const port = await freePort();
    const conf = join(folder, 'bench.conf');
    await writeFile(conf, [...SETTINGS, `port = ${port}`, `unix_socket_directories = '${folder}'`, ''].join('\n'));
    const server = spawn(join(binaries, 'postgres'), ['-D', data, '-c', `config_file=${conf}`], {
      cwd: folder,
      stdio: 'ignore',
      ...as,
    });
    watchProcess(server);
    const started = new Postgres(folder, port, server, `PostgreSQL ${binaries.split('/').at(-2) ?? ''}`);
    for (const until = performance.now() + START_MS; ;) {
      const failed = await started.sql(`CREATE ROLE ${ROLE} LOGIN`).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failed === undefined) return started;
      if (performance.now() > until) throw failed;
      await pause(100);
    }
  }

  /** An empty one, or a copy of another one that has no connections. */
  async createDatabase(template = 'template1'): Promise<string> {
    this.#databases += 1;
    const name = `bench_${this.#databases}`;
    await this.sql(`CREATE DATABASE ${name} OWNER ${ROLE} TEMPLATE ${template}`);
    return name;
  }

  url(database: string): string {
    return `postgres://${ROLE}@127.0.0.1:${this.#port}/${database}`;
  }

  async sql(text: string, database = SUPERUSER): Promise<Record<string, unknown>[]> {
    const client = new Client({ host: this.#folder, port: this.#port, user: SUPERUSER, database });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** Processor time of all its processes so far, those that have ended included, in milliseconds. */
  async processorMs(): Promise<number> {
    const parent = String(this.#server.pid);
    let ticks = 0;
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const fields = await statOf(pid);
      if (pid === parent) ticks += sum(fields, 11, 15);
      else if (fields[1] === parent) ticks += sum(fields, 11, 13);
    }
    return ticks * 10;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#server.once('exit', resolve));
    this.#server.kill('SIGINT');
    const force = setTimeout(() => this.#server.kill('SIGQUIT'), STOP_MS);
    await ended;
    clearTimeout(force);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** From the third field of proc(5) on; behind the name, which may hold blanks. */
async function statOf(pid: string): Promise<string[]> {
  // It may have ended meanwhile.
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function sum(fields: readonly string[], from: number, to: number): number {
  return fields.slice(from, to).reduce((total, field) => total + Number(field), 0);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
