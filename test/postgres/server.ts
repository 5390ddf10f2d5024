// One PostgreSQL server of a test: its data, its configuration, its processes, and how they stop.
import { readdirSync, readFileSync } from 'node:fs';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, type QueryResultRow } from 'pg';
import { run, Running, until, type Account, type Ended } from '../flow/processes.ts';

/** Of pg_ctl: wait for clients, end them, or end at once without a checkpoint, as after a loss of power. */
export type StopMode = 'smart' | 'fast' | 'immediate';
const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

export type Settings = Readonly<Record<string, string | number>>;

export const SUPERUSER = 'postgres';
/** The role of the store: without rights of administration, as in an installation. */
export const STORE_ROLE = 'queuegate';

const LOCAL = '127.0.0.1';
const SOCKET_ACCESS = ['local all all trust', 'local replication all trust'];
const ACCESS = [`host all all ${LOCAL}/32 trust`, `host replication all ${LOCAL}/32 trust`];

export interface ServerOrder {
  readonly name: string;
  /** Of this server alone. It belongs to the account. */
  readonly folder: string;
  readonly port: number;
  readonly binaries: string;
  readonly account: Account | undefined;
  readonly settings: Settings;
  /** Lines of pg_hba.conf in place of those that let everything in over loopback. The superuser gets in over the socket. */
  readonly access?: readonly string[];
}

export class PostgresServer {
  readonly name: string;
  readonly folder: string;
  readonly port: number;
  readonly data: string;
  readonly #binaries: string;
  readonly #account: Account | undefined;
  readonly #access: readonly string[];
  #settings: Record<string, string | number>;
  #process: Running | undefined;

  constructor({ name, folder, port, binaries, account, settings, access = ACCESS }: ServerOrder) {
    this.name = name;
    this.folder = folder;
    this.port = port;
    this.data = join(folder, 'data');
    this.#binaries = binaries;
    this.#account = account;
    this.#settings = { ...settings };
    this.#access = access;
  }

  /** Of the role of the store. */
  url(database = SUPERUSER, role = STORE_ROLE): string {
    return `postgres://${role}@${LOCAL}:${this.port}/${database}`;
  }

  socketUrl(database = SUPERUSER, role = STORE_ROLE): string {
    return `postgres://${role}@localhost:${this.port}/${database}?host=${encodeURIComponent(this.folder)}`;
  }

  get running(): boolean {
    return this.#process?.running === true;
  }

  /** What it logged since its last start. */
  get log(): string {
    return this.#process?.stderr ?? '';
  }

  /** A program of PostgreSQL, as the account of the server. */
  async program(name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const account = this.#account === undefined ? {} : { account: this.#account };
    const ended = await run(join(this.#binaries, name), args, {
      cwd: this.folder,
      env: { HOME: this.folder, ...env },
      ...account,
    });
    if (ended.code !== 0) throw new Error(`${name} ended with ${ended.code}:\n${ended.stdout}\n${ended.stderr}`);
    return ended;
  }

  /** Makes its folder and an empty cluster in it. */
  async init(): Promise<void> {
    await this.makeFolder();
    const access = ['--auth=trust', `--username=${SUPERUSER}`];
    await this.program('initdb', ['-D', this.data, ...access, '--no-sync', '--encoding=UTF8', '--locale=C.UTF-8']);
  }

  /** Makes it a standby of `primary`, from a copy of its data. What was here is deleted. */
  async copyFrom(primary: PostgresServer): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
    await this.makeFolder();
    const from = ['-h', primary.folder, '-p', String(primary.port), '-U', SUPERUSER];
    await this.program('pg_basebackup', ['-D', this.data, ...from, '--checkpoint=fast', '--no-sync', '-X', 'stream']);
    await this.#write(join(this.data, 'standby.signal'), '');
    const words = [
      `host=${primary.folder}`,
      `port=${primary.port}`,
      `user=${SUPERUSER}`,
      `application_name=${this.name}`,
    ];
    this.#settings['primary_conninfo'] = words.join(' ');
  }

  /** Starts it, and waits until it accepts connections. */
  async start(): Promise<void> {
    await this.#configure();
    const account = this.#account === undefined ? {} : { account: this.#account };
    const words = ['-D', this.data, '-c', `config_file=${join(this.folder, 'server.conf')}`];
    const env = { HOME: this.folder };
    this.#process = new Running(join(this.#binaries, 'postgres'), words, { cwd: this.folder, env, ...account });
    await this.#process.printed(/database system is ready to accept (?:read-only )?connections/);
  }

  /** Stops it; at once also when it is frozen. Nothing happens where it does not run. */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    if (!this.running) return;
    const ended = this.#process?.stop(STOP_SIGNALS[mode]);
    this.thaw();
    await ended;
  }

  async restart(settings: Settings = {}): Promise<void> {
    await this.stop();
    this.#settings = { ...this.#settings, ...settings };
    await this.start();
  }

  /** Changes settings that need no restart, and waits until new connections have them. */
  async configure(settings: Settings): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    await this.#configure();
    const before = await this.#loadedAt();
    this.#process?.child.kill('SIGHUP');
    await until(async () => (await this.#loadedAt()) > before);
  }

  /** A standby becomes a primary. */
  async promote(): Promise<void> {
    // An old one would wait for a standby that it does not have.
    await this.configure({ synchronous_standby_names: '' });
    await this.sql('SELECT pg_promote(true, 60)');
  }

  /** Runs SQL as superuser, on a connection of its own. */
  async sql<R extends QueryResultRow = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    database = SUPERUSER,
  ): Promise<R[]> {
    const client = new Client({ host: this.folder, port: this.port, user: SUPERUSER, database });
    // The server may end while the connection is open.
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<R>(text, [...values])).rows;
    } finally {
      await client.end();
    }
  }

  /** Its processes whose title contains `title`, such as "walreceiver" and "walsender"; all without one. */
  processes(title = ''): number[] {
    const pid = this.#process?.child.pid;
    if (pid === undefined || !this.running) return [];
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && isChild(name, pid) && commandOf(name).includes(title))
      .map(Number);
  }

  /** Stops its processes of that title in the middle of what they do, until `thaw`: those that run now. */
  freeze(title = ''): void {
    if (title === '') this.#process?.child.kill('SIGSTOP');
    for (const pid of this.processes(title)) signal(pid, 'SIGSTOP');
  }

  thaw(): void {
    for (const pid of this.processes()) signal(pid, 'SIGCONT');
    this.#process?.child.kill('SIGCONT');
  }

  async #loadedAt(): Promise<number> {
    const [row] = await this.sql<{ at: Date }>('SELECT pg_conf_load_time() AS at');
    return Number(row?.at ?? 0);
  }

  /** The folder of `init` and `copyFrom`. */
  async makeFolder(): Promise<void> {
    await mkdir(this.folder, { mode: 0o700 });
    if (this.#account !== undefined) await chown(this.folder, this.#account.uid, this.#account.gid);
  }

  async #configure(): Promise<void> {
    const fixed = {
      port: this.port,
      listen_addresses: LOCAL,
      unix_socket_directories: this.folder,
      hba_file: join(this.folder, 'access.conf'),
      cluster_name: this.name,
    };
    const lines = Object.entries({ ...this.#settings, ...fixed }).map(([name, value]) => `${name} = '${value}'`);
    await this.#write(join(this.folder, 'access.conf'), [...SOCKET_ACCESS, ...this.#access].join('\n'));
    await this.#write(join(this.folder, 'server.conf'), lines.join('\n'));
  }

  async #write(path: string, text: string): Promise<void> {
    await writeFile(path, `${text}\n`);
    if (this.#account !== undefined) await chown(path, this.#account.uid, this.#account.gid);
  }
}

/** To a process that may have ended. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Of a process that may have ended: ''. */
function procText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isChild(pid: string, parent: number): boolean {
  // proc(5): the name is in parentheses; the parent is the second word behind them.
  return procText(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ')[1] === String(parent);
}

function commandOf(pid: string): string {
  return procText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
}
