// The runner: starts and ends the programs of tasks under its own account, as the agent asks it. It keeps nothing in
// memory: a task outlives it, and its folder and cgroup say all that a later runner has to know.
import { createServer, type Server, type Socket } from 'node:net';
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { defineErrors, textOf, type ErrorTable } from '../../../shared/errors.ts';
import { openLocalSocket } from '../../../shared/platform/local-socket.ts';
import { OwnPrograms } from '../programs.ts';
import { FILES } from '../supervisor.ts';
import {
  MAX_REQUEST_BYTES,
  readRequest,
  receiveAll,
  runnerTasks,
  type RunnerAnswer,
  type RunnerRequest,
} from './requests.ts';

export const RUNNER_ERRORS = {
  runner_socket_unset: {
    text: 'The runner needs a socket, and runner.socket is not set.',
    hint: 'Set it by QUEUE_AGENT_RUNNER_SOCKET or --runner-socket, to the same path as for the agent.',
  },
  runner_folder_unsafe: {
    text: 'The folder {folder} of the runner is not used: {found}.',
    hint: 'Make it a folder of the account of the runner with mode 0750, and of a group that only the agent and the runner are in.',
  },
  runner_account_unsafe: {
    text: 'The runner does not start as root: the programs of tasks could then read all that the agent has.',
    hint: 'Start it under an account of its own, as the package queue-agent does (queue-agent-runner).',
  },
} as const satisfies ErrorTable;

const runnerFault = defineErrors(RUNNER_ERRORS);

/** The agent opens one for each act: more come only from other programs of this account. */
const MAX_CONNECTIONS = 256;
const REQUEST_MS = 10_000;
const OTHERS = 0o027;

/** Errors: those of RUNNER_ERRORS, of the local socket, of files. */
export async function startRunner(socket: string): Promise<{ stop(): Promise<void> }> {
  if (socket === '') throw runnerFault('runner_socket_unset', {});
  if (process.geteuid?.() === 0) throw runnerFault('runner_account_unsafe', {});
  const folder = dirname(socket);
  const groupId = await checkFolder(folder);
  // The agent reads what programs write; its group is that of the folder.
  process.umask(OTHERS);
  const tasks = runnerTasks(socket);
  await mkdir(tasks, { recursive: true, mode: 0o750 });
  await chmod(tasks, 0o750);
  const programs = new OwnPrograms(tasks, 0o750);
  await programs.findCgroups();
  const acts = new RunnerActs(programs, tasks);
  const server = createServer({ allowHalfOpen: true }, (client) => void serve(client, acts));
  server.maxConnections = MAX_CONNECTIONS;
  const name = await openLocalSocket(server, socket, { setting: 'runner.socket', groupId });
  return {
    async stop() {
      await name.remove();
      await closed(server);
    },
  };
}

/** The group of the folder. */
async function checkFolder(folder: string): Promise<number> {
  const refuse = (found: string): Error => runnerFault('runner_folder_unsafe', { folder, found });
  const { uid, gid, mode } = await stat(folder).catch((error: unknown) => {
    throw refuse(textOf(error));
  });
  if (uid !== process.geteuid?.()) throw refuse(`it belongs to the account ${uid}`);
  if ((mode & OTHERS) !== 0) throw refuse(`its mode is 0${(mode & 0o777).toString(8)}`);
  return gid;
}

async function closed(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  await promise;
}

/** Never rejects: a caller that goes away has no answer, and asks again. */
async function serve(client: Socket, acts: RunnerActs): Promise<void> {
  client.on('error', () => undefined);
  try {
    const request = readRequest(await receiveAll(client, MAX_REQUEST_BYTES, REQUEST_MS));
    const answer = request === undefined ? { error: 'the request is not understood' } : await acts.run(request);
    client.end(JSON.stringify(answer));
  } catch (error) {
    client.end(JSON.stringify({ error: textOf(error).slice(0, 1024) }));
  }
}

/** One act for each request; those about one task follow each other. */
class RunnerActs {
  readonly #programs: OwnPrograms;
  readonly #folder: string;
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(programs: OwnPrograms, folder: string) {
    this.#programs = programs;
    this.#folder = folder;
  }

  async run(request: RunnerRequest): Promise<RunnerAnswer> {
    if (request.act === 'hello') return { containment: this.#programs.containment() };
    if (request.act === 'check') return await this.#programs.check(request.command).then(() => ({}));
    const key = request.act === 'start' ? request.order.key : request.key;
    const before = this.#last.get(key) ?? Promise.resolve();
    const act = before.catch(() => undefined).then(() => this.#act(request));
    this.#last.set(key, act);
    try {
      return await act;
    } finally {
      if (this.#last.get(key) === act) this.#last.delete(key);
    }
  }

  async #act(request: Exclude<RunnerRequest, { act: 'check' | 'hello' }>): Promise<RunnerAnswer> {
    const programs = this.#programs;
    switch (request.act) {
      case 'prepare':
        return { cgroup: await programs.prepare(request.key) };
      case 'put':
        await writeFile(join(this.#folder, request.key, FILES.localApi), request.text, { mode: 0o600 });
        return {};
      case 'start':
        await programs.start({ ...request.order, environment: environmentOf(request.order.environment) });
        return {};
      case 'claim':
        return { yes: await programs.claim(request.key) };
      case 'is-alive':
        return { yes: await programs.isAlive(request.key, request.cgroup) };
      case 'terminate':
        await programs.terminate(request.key);
        return {};
      default:
        await programs[request.act](request.key, request.cgroup);
        return {};
    }
  }
}

/** As the agent has it, with what is of the account. */
function environmentOf(pairs: readonly string[]): Record<string, string> {
  const { username, homedir } = userInfo();
  const own = { HOME: homedir, USER: username, LOGNAME: username };
  const given = pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
  return { ...own, ...Object.fromEntries(given) };
}
