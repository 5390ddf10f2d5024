// A damaged store is said clearly, with file, finding and hint, before anything is served from it; and nothing is
// written to the damaged file, so that a repair has what the disk left. For Central and for the agent, ended in order
// and killed (the write-ahead log then holds what is not yet in the file).
import { hash } from 'node:crypto';
import { cp, lstat, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  agentFlags,
  AgentProcess,
  CentralProcess,
  Cleanup,
  ROOT,
  Running,
  until,
  type AgentFolders,
} from '../flow/processes.ts';
import { Consumer, enrolledFolders, Producer, storedEvents, takenCommands } from './traffic.ts';

const PAGE = 4096;
const GARBAGE = 0xa5;
const DATA = 'x'.repeat(1000);
const ENDED_WITHIN_MS = 20_000;

type How = 'ended in order' | 'killed';

const whole = new Cleanup();
const cleanup = new Cleanup();

/** Data folders with some MiB in them. */
interface Folders {
  readonly central: string;
  readonly agent: AgentFolders;
}
const made: Partial<Record<How, Folders>> = {};
/** What is in them of the killed: events at Central, commands that no program has taken at the agent. */
const events: string[] = [];
const commands: string[] = [];

async function copy(folder: string, into: Cleanup): Promise<string> {
  const target = await into.folder();
  // A socket of a process that was killed is not data.
  await cp(folder, target, { recursive: true, filter: async (source) => !(await lstat(source)).isSocket() });
  return target;
}

async function copies(of: Folders | undefined, into: Cleanup): Promise<Folders> {
  if (of === undefined) throw new Error('not made');
  return {
    central: await copy(of.central, into),
    agent: { profile: of.agent.profile, data: await copy(of.agent.data, into) },
  };
}

/** Starts both programs and lets them work until everything is where it belongs. */
async function work(
  folder: string,
  messages: number,
  agentOf: (central: CentralProcess) => Promise<AgentFolders>,
): Promise<{ central: CentralProcess; agent: AgentProcess }> {
  const central = await CentralProcess.startOnParameters(whole, folder);
  const agent = AgentProcess.start(whole, await agentOf(central), 'a1');
  const id = String((await central.online('a1'))['id']);
  const name = `m${events.length}`;
  const [up, down] = [
    Producer.events(agent, `${name}-up`, { batch: 100, data: DATA }),
    Producer.commands(central, id, `${name}-down`, { batch: 100, data: DATA }),
  ];
  await Promise.all([up.further(messages), down.further(messages)]);
  await Promise.all([up.stop(), down.stop()]);
  events.push(...up.accepted);
  commands.push(...down.accepted);
  await storedEvents(central, id, events.length);
  await until(async () =>
    (await central.rest('GET', `/agents/${id}`)).body.logs.down.messageCount === 0 ? true : undefined,
  );
  return { central, agent };
}

beforeAll(async () => {
  const folder = await whole.folder();
  let folders: AgentFolders | undefined;
  const first = await work(folder, 1500, async (central) => (folders = await enrolledFolders(whole, central, 'a1')));
  if (folders === undefined) throw new Error('not enrolled');
  const agent: AgentFolders = folders;
  await Promise.all([first.agent.stop(), first.central.stop()]);
  made['ended in order'] = await copies({ central: folder, agent }, whole);
  // A few pages only: the log of the killed holds no page of the first messages.
  const second = await work(folder, 200, async () => agent);
  await Promise.all([second.central.process.stop('SIGKILL'), second.agent.stop('SIGKILL')]);
  made.killed = await copies({ central: folder, agent }, whole);
}, 60_000);
afterEach(() => cleanup.run());
afterAll(() => whole.run());

type Damage = (path: string, size: number) => Promise<void>;

/** The page that holds one of the first messages, an event at Central and a command at the agent. */
async function overwriteMessage(path: string): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.indexOf(path.endsWith('central.db') ? (events[700] ?? '') : (commands[700] ?? ''));
  expect(at).toBeGreaterThan(PAGE);
  await overwrite(path, Math.floor(at / PAGE) * PAGE, PAGE);
}

async function overwrite(path: string, from: number, length: number): Promise<void> {
  const bytes = await readFile(path);
  await writeFile(path, bytes.fill(GARBAGE, from, from + length));
}

const DAMAGES: readonly (readonly [string, Damage])[] = [
  ['a page overwritten in the middle', overwriteMessage],
  ['its second half missing', (path, size) => truncate(path, Math.floor(size / PAGE / 2) * PAGE)],
  ['nothing in it', (path) => truncate(path, 0)],
];
const CASES = [
  ...DAMAGES.map((each) => ['ended in order', ...each] as const),
  [
    'ended in order',
    'its end cut off within a page',
    (path: string, size: number) => truncate(path, size - PAGE - 100),
  ] as const,
  ['ended in order', 'its header overwritten', overwriteHeader] as const,
  ...DAMAGES.map((each) => ['killed', ...each] as const),
];
/** The first page changes whenever the file grows, so the log of the killed holds it. */
const HEALED = [['nothing', async () => undefined] as const, ['its header overwritten', overwriteHeader] as const];

const PROGRAMS = {
  Central: {
    file: ({ central }: Folders) => join(central, 'central.db'),
    args: ({ central }: Folders) => [
      join(ROOT, 'central/main.ts'),
      '--data-folder',
      central,
      '--advertised-names',
      'localhost',
    ],
    serves: /is ready/,
  },
  agent: {
    file: ({ agent }: Folders) => join(agent.data, 'agent.db'),
    args: ({ agent }: Folders) => [join(ROOT, 'agent/cli.ts'), 'start', ...agentFlags(agent, 'a1')],
    serves: /queue agent started/,
  },
} as const;

function overwriteHeader(path: string): Promise<void> {
  return overwrite(path, 0, 100);
}

/** Of the file and its write-ahead log. */
async function digests(path: string): Promise<Record<string, string>> {
  const digest = async (file: string): Promise<string> => hash('sha256', await readFile(file).catch(() => 'none'));
  return { database: await digest(path), log: await digest(`${path}-wal`) };
}

describe.each(['Central', 'agent'] as const)('a damaged store of the %s', (program) => {
  const { file, args, serves } = PROGRAMS[program];

  it.each(CASES)(
    'that was %s, with %s, is said with file, finding and hint; nothing is served, and nothing is written to it',
    async (how, _, damage) => {
      const folders = await copies(made[how], cleanup);
      const path = file(folders);
      const { length } = await readFile(path);
      await damage(path, length);
      const before = await digests(path);

      const process_ = new Running(process.execPath, args(folders));
      cleanup.add(() => process_.stop());
      await until(
        () => !process_.running || undefined,
        ENDED_WITHIN_MS,
        () => `it goes on:\n${process_.stdout}\n${process_.stderr}`,
      );
      const { code, signal, stdout, stderr } = await process_.ended();
      expect({ code, signal }).toEqual({ code: 1, signal: null });
      expect(stderr).toContain(`${path} is damaged: `);
      expect(stderr).toContain('restore the last backup');
      expect(stdout).not.toMatch(serves);
      expect(await digests(path)).toEqual(before);
    },
    40_000,
  );
});

describe('a store whose damage the write-ahead log of a killed process heals', () => {
  it.each(HEALED)(
    '(%s) is whole at Central: every event is there',
    async (_, damage) => {
      const folders = await copies(made.killed, cleanup);
      const path = PROGRAMS.Central.file(folders);
      await damage(path);
      const central = await CentralProcess.startOnParameters(cleanup, folders.central);
      expect((await central.events()).map(({ event }) => event['id'])).toEqual(events);
    },
    40_000,
  );

  it.each(HEALED)(
    '(%s) is whole at the agent: every command is there',
    async (_, damage) => {
      const folders = await copies(made.killed, cleanup);
      const path = PROGRAMS.agent.file(folders);
      await damage(path);
      const agent = AgentProcess.start(cleanup, folders.agent, 'a1');
      // The file with the port of its local API is that of the killed until then.
      await agent.process.printed(PROGRAMS.agent.serves);
      const consumer = new Consumer(agent);
      expect(await takenCommands(consumer, commands.length)).toEqual(commands);
      await consumer.stop();
    },
    40_000,
  );
});
