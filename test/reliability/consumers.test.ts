// Two programs on one agent, each with its own consumer, while the daemon is killed again and again: each command is
// delivered to its consumer until that one acknowledged it, none is lost, none goes to the other.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  runNode,
  until,
  type AgentFolders,
} from '../flow/processes.ts';
import { request } from './witnesses.ts';

const KILLS = 6;
const COMMANDS = 600;
const BATCH = 20;
const WITHIN_MS = 60_000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** A program that takes the commands of one consumer, works them off, and acknowledges most of what it took. */
class Program {
  readonly received: string[] = [];
  /** Acknowledged, and the answer said so. */
  readonly settled = new Set<string>();
  /** Delivered after that: there must be none. */
  readonly again: string[] = [];
  readonly statuses = new Set<number>();
  /** There was nothing to take. */
  isIdle = false;
  readonly #file: string;
  #takes = 0;
  #isStopped = false;

  constructor(folders: AgentFolders, consumer: string) {
    this.#file = join(folders.data, 'consumers', `${consumer}.json`);
  }

  stop(): void {
    this.#isStopped = true;
  }

  async run(): Promise<void> {
    while (!this.#isStopped) if (!(await this.#step())) await delay(20);
  }

  /** False: no answer, or there was nothing. */
  async #step(): Promise<boolean> {
    const text = await readFile(this.#file, 'utf8').catch(() => '{}');
    const { url, token } = JSON.parse(text) as { url?: string | null; token?: string };
    if (typeof url !== 'string' || token === undefined) return false;
    const door = { url, token };
    const taken = await request(door, 'GET', '/api/v1/commands?limit=30&waitSeconds=1');
    if (taken === undefined) return false;
    this.statuses.add(taken.status);
    const items = taken.body.items as { cursor: number; command: { id: string } }[];
    const last = items.at(-1);
    this.isIdle = last === undefined;
    if (last === undefined) return false;
    const ids = items.map(({ command }) => command.id);
    this.again.push(...ids.filter((id) => this.settled.has(id)));
    this.received.push(...ids);
    this.#takes += 1;
    // Every third time it ends before it has acknowledged.
    if (this.#takes % 3 === 0) return true;
    const answer = await request(door, 'POST', '/api/v1/commands/ack', { through: last.cursor });
    // Cut off: it may have been acknowledged or not. Then it comes again, or it does not.
    if (answer === undefined) return false;
    this.statuses.add(answer.status);
    for (const id of ids) this.settled.add(id);
    return true;
  }
}

it(
  `loses nothing and mixes nothing up over ${KILLS} kills of the daemon`,
  async () => {
    const folder = await cleanup.folder();
    const central = await CentralProcess.start(cleanup, folder);
    const folders = await agentFolders(cleanup);
    await writeFile(
      join(folders.profile, 'conf', 'agent.local.conf'),
      'consumer.printer.types = print.*\nconsumer.display.types = show.*, print.preview\n',
    );
    const flags = agentFlags(folders, 'branch-1');
    expect(await runNode('agent/cli.ts', [...(await central.enrollment()), ...flags])).toMatchObject({ code: 0 });
    let agent = AgentProcess.start(cleanup, folders, 'branch-1');
    const { id } = await central.online('branch-1');

    const programs = { printer: new Program(folders, 'printer'), display: new Program(folders, 'display') };
    const running = Object.values(programs).map((program) => program.run());
    cleanup.add(() => Object.values(programs).forEach((program) => program.stop()));
    const sent: Record<string, string[]> = { printer: [], display: [], default: [] };
    const kinds = [
      ['printer', 'print.ticket'],
      ['display', 'show.text'],
      ['display', 'print.preview'],
      ['default', 'other'],
    ] as const;
    const send = async (): Promise<void> => {
      for (let first = 0; first < COMMANDS; first += BATCH) {
        const batch = Array.from({ length: BATCH }, (_, index) => {
          const [consumer, type] = kinds[(first + index) % kinds.length] ?? ['default', 'other'];
          const command = `${consumer}-${first + index}`;
          sent[consumer]?.push(command);
          return { id: command, source: '/test', type, data: { n: first + index } };
        });
        const { status, body } = await central.rest('POST', `/agents/${String(id)}/commands`, batch);
        if (status !== 202) throw new Error(JSON.stringify(body));
        await delay(30);
      }
    };
    const sending = send();
    for (let kill = 0; kill < KILLS; kill += 1) {
      const before = programs.printer.received.length + programs.display.received.length;
      await until(
        () => programs.printer.received.length + programs.display.received.length > before || undefined,
        WITHIN_MS,
      );
      await agent.stop('SIGKILL');
      agent = AgentProcess.start(cleanup, folders, 'branch-1');
    }
    await sending;
    for (const [name, program] of Object.entries(programs)) {
      await until(
        () => (program.isIdle && new Set(program.received).size === sent[name]?.length) || undefined,
        WITHIN_MS,
        () => JSON.stringify({ name, received: new Set(program.received).size, statuses: [...program.statuses] }),
      );
      program.stop();
    }
    await Promise.all(running);

    for (const [name, program] of Object.entries(programs)) {
      expect([...new Set(program.received)]).toEqual(sent[name]);
      expect(program.again).toEqual([]);
      // Never beyond what was delivered, and never a cursor of the other one.
      expect([...program.statuses]).toEqual([200]);
    }
    const { items } = (await agent.local('GET', '/api/v1/commands?limit=1000')).body as {
      items: { command: { id: string } }[];
    };
    expect(items.map(({ command }) => command.id)).toEqual(sent['default']);
    // Central knows it, too.
    await until(() => {
      using database = new DatabaseSync(join(folder, 'central.db'), { readOnly: true });
      const report = String(database.prepare('SELECT report FROM consumer_report').get()?.['report']);
      return report.includes('"name":"printer","types":["print.*"],"waitingFrom":null,"waitingCount":0') || undefined;
    }, WITHIN_MS);
    const listed = await runNode('agent/cli.ts', ['consumers', 'list', '--json', ...flags]);
    expect(JSON.parse(listed.stdout)).toMatchObject({
      items: [
        { name: 'default', waitingCount: sent['default']?.length },
        { name: 'printer', types: ['print.*'], waitingCount: 0 },
        { name: 'display', types: ['show.*', 'print.preview'], waitingCount: 0 },
      ],
    });
  },
  3 * WITHIN_MS,
);
