// One administrator and 200 agents: the everyday tasks of docs/AGENTS.md, each with the commands of the page, and by
// REST with as many requests as it says.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CentralProcess, Cleanup, ROOT, until } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent, type RawKey } from '../flow/raw-agent.ts';

const AGENTS = 200;
const AT_ONCE = 10;
const OFFLINE = 'branch-0042';
const REDIAL_MS = 300;

const cleanup = new Cleanup();
let central: CentralProcess;
const fleet = new Map<string, Agent>();

const nameOf = (index: number): string => `branch-${String(index).padStart(4, '0')}`;
const regionOf = (index: number): string => ['north', 'south', 'west', 'east'][index % 4] ?? '';

/** Connects again whenever its session ended, as an agent does. */
class Agent {
  readonly name: string;
  readonly id: string;
  readonly #key: RawKey;
  #session: RawAgent | undefined;
  #isStopped = false;

  private constructor(name: string, id: string, key: RawKey) {
    this.name = name;
    this.id = id;
    this.#key = key;
  }

  static async enrolled(name: string): Promise<Agent> {
    const key = newKey();
    const agent = new Agent(name, await enrollKey(central, key, name), key);
    void agent.#run();
    cleanup.add(() => agent.cut());
    fleet.set(name, agent);
    return agent;
  }

  /** As a line that is cut, for good. */
  cut(): void {
    this.#isStopped = true;
    this.#session?.webSocket.terminate();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      try {
        this.#session = await RawAgent.ws(new Cleanup(), central);
        await this.#session.welcomed({ id: this.id, key: this.#key, name: this.name });
        await this.#ended(this.#session);
      } catch {
        // Refused, or Central is not there: it tries again.
      }
      if (!this.#isStopped) await delay(REDIAL_MS);
    }
  }

  async #ended({ webSocket, closed }: RawAgent): Promise<void> {
    if (closed === undefined) await new Promise((resolve) => webSocket.once('close', resolve));
  }
}

const countOf = async (query: string): Promise<number> =>
  ((await central.rest('GET', `/agents?limit=1000&${query}`)).body.items as unknown[]).length;

const awaitCount = async (query: string, wanted: number): Promise<void> => {
  let last = -1;
  await until(
    async () => ((last = await countOf(query)) === wanted ? true : undefined),
    120_000,
    () => `not ${wanted} agents with ${query}: ${last}`,
  );
};

/** The tasks of the page: title, number of commands and of requests, and the commands. */
const tasks = ((): ReadonlyMap<string, { readonly commands: readonly string[]; readonly requests: number }> => {
  const page = readFileSync(join(ROOT, 'docs/AGENTS.md'), 'utf8');
  const section = page.slice(page.indexOf('## Everyday tasks'));
  const rows = Array.from(section.matchAll(/^\| (\w[^|]*?) \| (\d+) \| (\d+) \|$/gm));
  const block = /```sh\n([\s\S]*?)```/.exec(section)?.[1] ?? '';
  return new Map(
    rows.map(([, title = '', commands, requests]) => {
      const [, part = ''] = new RegExp(`^# ${title}\\n((?:queuegate .*\\n)+)`, 'm').exec(block) ?? [];
      const lines = part.trim().split('\n');
      if (lines.length !== Number(commands)) throw new Error(`${title}: ${lines.length} commands on the page`);
      return [title, { commands: lines, requests: Number(requests) }];
    }),
  );
})();

/** Runs the commands of a task as they are on the page; what they print. */
async function run(title: string): Promise<string> {
  let out = '';
  for (const line of tasks.get(title)?.commands ?? []) {
    const ended = await central.cli(...line.split(' ').slice(1));
    expect([line, ended.code, ended.stderr]).toEqual([line, 0, expect.any(String)]);
    out += ended.stdout;
  }
  return out;
}

/** The same by REST: as many requests as the page says. */
async function send(title: string, ...requests: readonly (readonly [string, string, unknown?])[]): Promise<unknown[]> {
  expect([title, requests.length]).toEqual([title, tasks.get(title)?.requests]);
  const bodies: unknown[] = [];
  for (const [method, path, body] of requests) {
    const answer = await central.rest(method, path, body);
    expect([path, answer.status < 300]).toEqual([path, true]);
    bodies.push(answer.body);
  }
  return bodies;
}

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  await central.change({ 'agents.disabledRetrySeconds': 5 });
  for (let index = 1; index <= AGENTS; index += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => Agent.enrolled(nameOf(index + i))));
  for (let index = 1; index <= AGENTS; index += 1)
    await central.rest('PATCH', `/agents/${nameOf(index)}`, { labels: { region: regionOf(index) } });
  await awaitCount('state=online', AGENTS);
}, 300_000);
afterAll(() => cleanup.run());

describe('one administrator and 200 agents', () => {
  it('finds the agent that is offline, and why', async () => {
    const title = 'find the agent that is offline, and why';
    fleet.get(OFFLINE)?.cut();
    await awaitCount('state=dropped', 1);
    const line = (await run(title)).split('\n').find((row) => row.startsWith(OFFLINE)) ?? '';
    expect(line).toMatch(/ dropped .* session_cut /);
    const [found] = await send(title, ['GET', '/agents?state=dropped&state=disconnected']);
    expect(found).toMatchObject({
      items: [{ name: OFFLINE, stateReason: { detail: expect.any(String) }, lastSeenAt: expect.any(String) }],
    });
  }, 300_000);

  it('replaces its machine: the new one has its name and its labels', async () => {
    const title = 'replace its machine';
    await Agent.enrolled('branch-0201');
    await awaitCount('name=branch-0201&state=online', 1);
    await run(title);
    expect(await central.agent(OFFLINE)).toMatchObject({ labels: { region: regionOf(42) } });
    const spare = await Agent.enrolled('branch-0202');
    fleet.get('branch-0043')?.cut();
    await awaitCount('name=branch-0202&state=online', 1);
    await send(title, ['POST', '/enrollment-tokens', {}], ['POST', '/agents/branch-0043/replace', { by: spare.id }]);
    expect(await central.agent('branch-0043')).toMatchObject({ id: spare.id, labels: { region: regionOf(43) } });
    // No one has lost another agent by it.
    expect(await countOf('name=branch-*')).toBe(AGENTS);
  }, 300_000);

  it('disables one region, which stays away until it is enabled', async () => {
    const title = 'disable a region';
    const size = await countOf('label=region%3Dnorth');
    await run(title);
    expect(await countOf('state=disabled&label=region%3Dnorth')).toBe(size);
    await central.rest('POST', '/agent-actions', { verb: 'enable', agents: ['label:region=north'] });
    await awaitCount('state=online&label=region%3Dnorth', size);
    await send(title, ['POST', '/agent-actions', { verb: 'disable', agents: ['label:region=north'] }]);
    expect(await countOf('state=disabled')).toBe(size);
  }, 300_000);

  it('drains another region: all of its agents are back', async () => {
    const title = 'drain another region';
    const size = await countOf('label=region%3Dsouth');
    await run(title);
    await awaitCount('state=online&label=region%3Dsouth', size);
    const [drain] = await send(title, ['POST', '/drains', { agents: ['label:region=south'], withinSeconds: 2 }]);
    expect(drain).toMatchObject({ agentCount: size, state: 'draining' });
    await until(async () => {
      const { body } = await central.rest('GET', `/drains/${(drain as { readonly id: string }).id}`);
      return body.state === 'drained' && body.reconnectedCount === size ? true : undefined;
    }, 120_000);
  }, 300_000);

  it('rolls a bad parameter back', async () => {
    const title = 'roll a bad parameter back';
    const value = async () => (await central.rest('GET', '/parameters/agents.heartbeatSeconds')).body.value as unknown;
    const before = await value();
    await central.change({ 'agents.heartbeatSeconds': 60 }, { confirmWithinSeconds: 600 });
    await run(title);
    expect(await value()).toBe(before);
    const { body } = await central.change({ 'agents.heartbeatSeconds': 60 }, { confirmWithinSeconds: 600 });
    await send(title, ['POST', `/changes/${(body.change as { readonly id: string }).id}/rollback`]);
    expect(await value()).toBe(before);
  }, 300_000);
});
