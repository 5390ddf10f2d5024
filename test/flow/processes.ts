// Real processes for flow tests: a Central, agents and the tools an administrator would use. Free ports, temporary
// folders, everything that was started is ended, by its own id.
import { expectDescribed } from '../described-answers.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { auditEntry, CENTRAL } from '../../central/audit.ts';
import { openSqliteStore } from '../../central/store/sqlite/sqlite-store.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
/** Central: the sources, or what test/bundled-central.ts made of them. */
export const CENTRAL_PROGRAM = process.env['CENTRAL_PROGRAM'] ?? join(ROOT, 'central/main.ts');
/** A bundle lacks the agent of --central-agent, and the modules that a test changes before the start. */
const programFor = (args: readonly string[], env: Readonly<Record<string, string>>): string =>
  args.includes('--central-agent') || env['NODE_OPTIONS']?.includes('--import') === true
    ? join(ROOT, 'central/main.ts')
    : CENTRAL_PROGRAM;
/** What the installed unit sets: where it shows in Central's memory. */
function unitMemory(): { env: Record<string, string>; nodeArgs: string[] } {
  const unit = readFileSync(join(ROOT, 'deploy/queuegate-central/systemd/queuegate-central.service'), 'utf8');
  const env = Object.fromEntries(
    Array.from(unit.matchAll(/^Environment=(MALLOC_\w+)=(\d+)$/gm), ([, name, value]) => [name, value]),
  );
  const flags = /^ExecStart=\S+\/node (--.*) \S+main\.js$/m.exec(unit)?.[1];
  if (Object.keys(env).length === 0 || flags === undefined)
    throw new Error('the unit of Central sets no bounds of memory');
  return { env, nodeArgs: flags.split(' ') };
}
/** A guard against a hang, and not a measure: CI's machines are slow and noisy. */
const READY_MS = 60_000;
const STOP_MS = 20_000;

/** Things to undo after a test, last first. */
export class Cleanup {
  readonly #acts: (() => Promise<unknown> | unknown)[] = [];

  add(act: () => Promise<unknown> | unknown): void {
    this.#acts.unshift(act);
  }

  async run(): Promise<void> {
    for (const act of this.#acts.splice(0)) await act();
  }

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'queuegate-test-'));
    this.add(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * fetch, once more when an idle connection that it kept was closed by the server in the same moment (RFC 9112 section
 * 9.3.1): every client has to. Messages carry ids, so that one that did arrive is not stored twice.
 */
async function fetchAgain(url: string, options: RequestInit): Promise<Response> {
  try {
    return await fetch(url, options);
  } catch (error) {
    const cause = error instanceof Error ? (error.cause as { code?: string } | undefined) : undefined;
    if (cause?.code !== 'ECONNRESET') throw error;
    return await fetch(url, options);
  }
}

/**
 * What the tests' own environment hands on: no setting of ours that somebody has exported. Hundreds of processes run
 * the same code: compiled once, each starts in half the time (nodejs.org/api/module.html#module-compile-cache).
 */
function ownEnvironment(): NodeJS.ProcessEnv {
  const own = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(QUEUEGATE|QUEUE_AGENT)_/.test(name)),
  );
  return { ...own, NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/compiled') };
}

/** For a program that refuses to run as root. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** A process of ours, with all it printed. */
export class Running {
  readonly child: ChildProcess;
  readonly #ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  constructor(
    program: string,
    args: readonly string[],
    options: { cwd?: string; env?: Readonly<Record<string, string>>; account?: Account } = {},
  ) {
    this.child = spawn(program, [...args], {
      cwd: options.cwd ?? ROOT,
      env: { ...ownEnvironment(), ...options.env },
      ...options.account,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.#ended = new Promise((resolveEnded, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) =>
        resolveEnded({ code, signal, stdout: this.stdout, stderr: this.stderr }),
      );
    });
  }

  ended(): Promise<Ended> {
    return this.#ended;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends it in order; by force when that takes too long. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (this.running) this.child.kill(signal);
    const force = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
    const ended = await this.#ended;
    clearTimeout(force);
    return ended;
  }

  /** Waits until what was printed fits; fails with all of it when the process ends or the time is up. */
  async printed(pattern: RegExp, withinMs = READY_MS): Promise<RegExpExecArray> {
    return await until(
      () => {
        const found = pattern.exec(`${this.stdout}\n${this.stderr}`);
        if (found === null && !this.running)
          throw new Error(`the process ended without printing ${String(pattern)}:\n${this.stdout}\n${this.stderr}`);
        return found ?? undefined;
      },
      withinMs,
      () => `${String(pattern)} was not printed:\n${this.stdout}\n${this.stderr}`,
    );
  }
}

/** Polls until `look` finds something. Only for what cannot be waited for otherwise; bounded. */
export async function until<T>(
  look: () => T | undefined | Promise<T | undefined>,
  withinMs = READY_MS,
  explain: () => string = () => 'the time is up',
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(explain());
    await delay(25);
  }
}

/**
 * Marks a port as this process's until it ends, so that no other test takes it before its user listens on it: a name in
 * the kernel (abstract sockets of Linux, unix(7)), which ends with the process. Elsewhere chance has to do.
 */
async function reserve(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const mark = createServer();
  return await new Promise((resolveMarked) => {
    mark.once('error', () => resolveMarked(false));
    mark.listen({ path: `\0queuegate-test-port-${port}` }, () => resolveMarked(true));
    mark.unref();
  });
}

/**
 * Ports that nothing listens on now, outside the range from which the kernel takes ports for outgoing connections; no
 * other test gets one of them. For what cannot take port 0.
 */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  while (found.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (!(await reserve(port))) continue;
    const server = createServer();
    const free = await new Promise<boolean>((resolveFree) => {
      server.once('error', () => resolveFree(false));
      server.listen(port, () => server.close(() => resolveFree(true)));
    });
    if (free) found.push(port);
  }
  return found;
}

/** An address of this host that is not loopback: to Central, a connection over it comes from elsewhere. */
export function ownAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find((entry) => !entry.internal && entry.family === 'IPv4');
  if (found === undefined) throw new Error('this host has no address but loopback: the test needs one');
  return found.address;
}

/** Creates the store of a Central whose parameters name free ports, as its first administrator would have set them. */
async function storeFreePorts(folder: string): Promise<void> {
  const ports = await freePorts(4);
  const store = await openSqliteStore({
    folder,
    deduplicationMs: 1,
    onFailure: (error) => {
      throw error;
    },
  });
  try {
    const [changedBy, changedAt] = ['the test', Date.now()];
    const rows = ['websocket.port', 'websocket.secure.port', 'https.port', 'http.port'].map((name, i) => ({
      name,
      value: JSON.stringify(ports[i]),
      changedBy,
      changedAt,
    }));
    const audit = auditEntry(CENTRAL, 'parameters.set', {}, changedAt);
    await store.parameters.save({ expectedVersion: 0, rows, pending: null, audit });
  } finally {
    await store.stop();
  }
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>>; account?: Account } = {},
): Promise<Ended> {
  return await new Running(program, args, options).ended();
}

/** For a Central on free ports. */
export const anyPorts = [
  '--websocket-port',
  '0',
  '--websocket-secure-port',
  '0',
  '--https-port',
  '0',
  '--http-port',
  '0',
];
/** The Central agent's local API has a port of its own (8889), which other tests use too. */
export const ANY_LOCAL_PORT = { QUEUE_AGENT_LOCAL_API_PORT: '0' };
export const CENTRAL_AGENT = 'central-agent';

/** The processes that `pid` started and that run now. */
export async function childrenOf(pid: number | undefined): Promise<number[]> {
  const { stdout } = await run('ps', ['-o', 'pid=', '--ppid', String(pid)]);
  return stdout
    .split('\n')
    .map(Number)
    .filter((child) => child > 0);
}

export function runs(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Runs one of our programs from its source. */
export async function runNode(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return await run(process.execPath, [join(ROOT, script), ...args], { env });
}

/**
 * Runs one of our programs from its source on a terminal of its own (script(1)), which shows what a person would see.
 */
export async function onTerminal(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const words = [process.execPath, join(ROOT, script), ...args].map(
    (word) => `'${word.replaceAll("'", String.raw`'\''`)}'`,
  );
  const ended = await run('script', ['--quiet', '--return', '--command', words.join(' '), '/dev/null'], { env });
  return { ...ended, stdout: ended.stdout.replaceAll('\r\n', '\n') };
}

export interface Answer {
  readonly status: number;
  // Tests look into answers of many shapes; what they expect of them is asserted where it is used.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
  readonly headers: Headers;
}

export class CentralProcess {
  readonly process: Running;
  readonly folder: string;
  readonly token: string;
  readonly ports: Readonly<Record<'ws' | 'wss' | 'https' | 'http', number>>;
  /** The words behind `queue-agent` that the first start printed; the token is in the file that they name. */
  readonly enrollmentLine: string;

  private constructor(process_: Running, folder: string, token: string, ports: CentralProcess['ports'], line: string) {
    this.process = process_;
    this.folder = folder;
    this.token = token;
    this.ports = ports;
    this.enrollmentLine = line;
  }

  /**
   * Starts Central on free ports with the data folder `folder` (kept: a second start goes on with it). `launcher`:
   * words before the program, such as a shell that sets a limit.
   */
  static async start(
    cleanup: Cleanup,
    folder: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
    launcher: readonly string[] = [],
  ): Promise<CentralProcess> {
    const ports = ['--websocket-port', '0', '--websocket-secure-port', '0', '--https-port', '0', '--http-port', '0'];
    const names = ['--advertised-names', 'localhost'];
    const given = (flag: string): boolean => args.includes(flag);
    const defaults = [
      ...ports.flatMap((flag, i) => (i % 2 === 0 && !given(flag) ? [flag, '0'] : [])),
      ...(given('--advertised-names') ? [] : names),
    ];
    return await CentralProcess.#run(cleanup, folder, [...defaults, ...args], env, launcher);
  }

  /**
   * Starts Central with a data folder whose parameters name free ports: they can be moved, which an override by the
   * node's own configuration (`start`) would not let them. A second start goes on with them.
   */
  static async startOnParameters(
    cleanup: Cleanup,
    folder: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<CentralProcess> {
    const known = await readFile(join(folder, 'administrator-token')).catch(() => undefined);
    if (known === undefined) await storeFreePorts(folder);
    return await CentralProcess.#run(cleanup, folder, ['--advertised-names', 'localhost', ...args], env);
  }

  static async #run(
    cleanup: Cleanup,
    folder: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    launcher: readonly string[] = [],
  ): Promise<CentralProcess> {
    const unit = unitMemory();
    const words = [process.execPath, ...unit.nodeArgs, programFor(args, env), '--data-folder', folder, ...args];
    const [program = '', ...more] = [...launcher, ...words];
    const process_ = new Running(program, more, { env: { ...unit.env, ...env } });
    cleanup.add(() => process_.stop());
    await process_.printed(/Administration: .*\n/);
    const port = (title: string): number =>
      Number(new RegExp(`${title} listens .*, port (\\d+)`).exec(process_.stdout)?.[1] ?? 0);
    const token = (await readFile(join(folder, 'administrator-token'), 'utf8')).trim();
    const line = /queue-agent (enroll .*)/.exec(process_.stdout)?.[1] ?? '';
    return new CentralProcess(
      process_,
      folder,
      token,
      {
        ws: port('The WebSocket \\(ws\\)'),
        wss: port('The WebSocket \\(wss\\)'),
        https: port('HTTPS administration'),
        http: port('HTTP administration'),
      },
      line,
    );
  }

  /** False where it runs the program of another version, which has its own description. */
  isDescribed = true;

  /** A REST request as the first administrator. */
  async rest(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const answer = await fetchAgain(`http://127.0.0.1:${this.ports.http}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const { status, headers: found } = answer;
    if (this.isDescribed)
      await expectDescribed(
        method,
        `/api/v1${path}`,
        new Response(text === '' ? null : text, { status, headers: found }),
      );
    return {
      status: answer.status,
      body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text,
      headers: answer.headers,
    };
  }

  /** Every event from the start that fits the query, page by page. */
  async events(query = ''): Promise<{ cursor: string; agentId: string; event: Record<string, unknown> }[]> {
    const found: { cursor: string; agentId: string; event: Record<string, unknown> }[] = [];
    let after = 'oldest';
    for (;;) {
      const { body } = await this.rest('GET', `/events?limit=1000&after=${after}${query}`);
      found.push(...body.items);
      if (body.items.length === 0) return found;
      after = body.next;
    }
  }

  async change(
    values: Readonly<Record<string, unknown>>,
    terms: Readonly<Record<string, string | number | boolean>> = {},
  ): Promise<Answer> {
    const query = new URLSearchParams(Object.entries(terms).map(([name, value]) => [name, String(value)]));
    return await this.rest('PATCH', `/parameters?${query.toString()}`, values);
  }

  /** A fresh enrollment: the words behind `queue-agent` in the line that Central prints. */
  async enrollment(): Promise<string[]> {
    const { body } = await this.rest('POST', '/enrollment-tokens', {});
    return String(body.commandLine).split(' ').slice(1);
  }

  /**
   * What an administrator on this host would set for `queuegate`; secrets that it does not show are written into
   * `cli-state`.
   */
  get environment(): { readonly QUEUEGATE_DATA_FOLDER: string; readonly XDG_STATE_HOME: string } {
    return { QUEUEGATE_DATA_FOLDER: this.folder, XDG_STATE_HOME: join(this.folder, 'cli-state') };
  }

  /**
   * Makes a recovery code for an agent, as an administrator would, and reads it from the file that the answer names.
   */
  async recoveryCode(agent: string, ...options: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.cli('agents', 'recovery-code', 'create', agent, ...options);
    const [, file] = /^The recovery code is in (\S+) \(mode 0600\)\.$/m.exec(stdout) ?? [];
    if (code !== 0 || file === undefined) throw new Error(`no recovery code was made:\n${stdout}\n${stderr}`);
    return (await readFile(file, 'utf8')).trim();
  }

  /** `queuegate` as an administrator on this host would run it. */
  async cli(...args: string[]): Promise<Ended> {
    return await runNode('central/cli.ts', args, this.environment);
  }

  async agent(name: string): Promise<Record<string, unknown> | undefined> {
    const { body } = await this.rest('GET', '/agents?limit=1000');
    return (body.items as Record<string, unknown>[]).find((agent) => agent['name'] === name);
  }

  async online(name: string): Promise<Record<string, unknown>> {
    return await until(async () => {
      const agent = await this.agent(name);
      return agent?.['state'] === 'online' ? agent : undefined;
    });
  }

  /** Kills it, and starts another on the same folder; `startOnParameters`: on the same ports. */
  async killed(cleanup: Cleanup): Promise<CentralProcess> {
    await this.process.stop('SIGKILL');
    return await CentralProcess.startOnParameters(cleanup, this.folder);
  }

  async stop(): Promise<Ended> {
    return await this.process.stop();
  }
}

export interface AgentFolders {
  readonly profile: string;
  readonly data: string;
}

/** A copy of a profile of the repository (or of test/fixtures) in a folder of its own. */
export async function agentFolders(cleanup: Cleanup, profile = 'profiles/default'): Promise<AgentFolders> {
  const folder = await cleanup.folder();
  await mkdir(join(folder, 'data'), { recursive: true });
  await cp(join(ROOT, profile), join(folder, 'profile'), { recursive: true });
  return { profile: join(folder, 'profile'), data: join(folder, 'data') };
}

export function agentFlags(folders: AgentFolders, name: string): string[] {
  return ['--profile', folders.profile, '--data-folder', folders.data, '--agent-name', name, '--local-api-port', '0'];
}

/** `queue-agent recover` with a code, as an administrator would hand it on: in a file. */
export async function runRecover(folders: AgentFolders, name: string, code: string, ...more: string[]): Promise<Ended> {
  const file = join(folders.data, '../recovery-code');
  await writeFile(file, `${code}\n`, { mode: 0o600 });
  return await runNode('agent/cli.ts', ['recover', '--code-file', file, ...agentFlags(folders, name), ...more]);
}

export class AgentProcess {
  readonly process: Running;
  readonly folders: AgentFolders;

  private constructor(process_: Running, folders: AgentFolders) {
    this.process = process_;
    this.folders = folders;
  }

  static start(
    cleanup: Cleanup,
    folders: AgentFolders,
    name: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): AgentProcess {
    const words = [join(ROOT, 'agent/cli.ts'), 'start', ...agentFlags(folders, name), ...args];
    const process_ = new Running(process.execPath, words, { env });
    cleanup.add(() => process_.stop());
    return new AgentProcess(process_, folders);
  }

  /** Enrolls with a fresh token of `central` and starts. */
  static async enrolled(
    cleanup: Cleanup,
    central: CentralProcess,
    name: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<AgentProcess> {
    const folders = await agentFolders(cleanup);
    const enrolled = await runNode('agent/cli.ts', [
      ...(await central.enrollment()),
      ...agentFlags(folders, name),
      ...args,
    ]);
    if (enrolled.code !== 0) throw new Error(`enrollment failed:\n${enrolled.stdout}\n${enrolled.stderr}`);
    return AgentProcess.start(cleanup, folders, name, args, env);
  }

  async local(method: string, path: string, body?: unknown): Promise<Answer> {
    const { url, token } = await until(async () => {
      const text = await readFile(join(this.folders.data, 'local-api.json'), 'utf8').catch(() => undefined);
      const found = text === undefined ? undefined : (JSON.parse(text) as { url: string | null; token: string });
      // Null: the daemon before has ended, and this one does not listen yet.
      return found?.url === null ? undefined : found;
    });
    const answer = await fetchAgain(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: await answer.json(), headers: answer.headers };
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    return await this.process.stop(signal);
  }
}
