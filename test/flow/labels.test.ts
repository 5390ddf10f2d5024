// Labels, disabling and draining with real processes: what administrators do from Central, without a visit to any
// agent.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';

const cleanup = new Cleanup();
const NAMES = ['branch-1', 'branch-2', 'branch-3'] as const;
const agents = new Map<string, AgentProcess>();
let central: CentralProcess;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  await central.change({ 'agents.disabledRetrySeconds': 5 });
  for (const name of NAMES) agents.set(name, await AgentProcess.enrolled(cleanup, central, name));
  for (const name of NAMES) await central.online(name);
  for (const [name, region] of [
    ['branch-1', 'north'],
    ['branch-2', 'north'],
    ['branch-3', 'south'],
  ] as const)
    await central.cli('agents', 'set', name, `labels.region=${region}`);
});
afterAll(() => cleanup.run());

const listed = async (...filter: string[]): Promise<string[]> =>
  (await central.cli('agents', 'list', '-o', 'name', ...filter)).stdout.trim().split('\n');

it('a region is disabled by its label: its agents go offline and wait, and are back by themselves after it is enabled', async () => {
  expect(await listed('-l', 'region=north')).toEqual(['branch-1', 'branch-2']);
  const disabled = await central.cli('agents', 'disable', '--agents', 'label:region=north', '--comment', 'theft');
  expect(disabled).toMatchObject({ code: 0, stdout: expect.stringContaining('2 agents disabled.') });
  expect(await listed('--state', 'disabled')).toEqual(['branch-1', 'branch-2']);
  expect(await central.agent('branch-1')).toMatchObject({
    state: 'disabled',
    stateReason: { detail: expect.stringMatching(/^Disabled by .*: theft\.$/) },
    session: { endedAt: expect.any(String) },
  });
  const waiting = await until(async () => {
    const { connection } = (await agents.get('branch-1')?.local('GET', '/api/v1/status'))?.body ?? {};
    return connection?.state === 'waiting' ? connection : undefined;
  });
  expect(waiting).toMatchObject({ stateReason: { detail: expect.stringMatching(/\(agent_disabled\)$/) } });
  // A command waits for the agent meanwhile.
  expect(await central.cli('commands', 'send', 'branch-1', '--type', 'com.example.test')).toMatchObject({ code: 0 });
  expect((await central.agent('branch-3'))?.['state']).toBe('online');

  expect(await central.cli('agents', 'enable', '--agents', 'label:region=north')).toMatchObject({ code: 0 });
  for (const name of ['branch-1', 'branch-2']) await central.online(name);
  const { body } = (await agents.get('branch-1')?.local('GET', '/api/v1/commands?waitSeconds=20')) ?? {};
  expect(body.items).toMatchObject([{ command: { type: 'com.example.test' } }]);
});

it('a region is drained by its label while messages flow: all agents are back, and no message is lost or doubled', async ({
  task,
}) => {
  // What an attempt before this one sent is known already.
  const type = `com.example.drained-${task.result?.retryCount ?? 0}`;
  const north = ['branch-1', 'branch-2'];
  const before = await Promise.all(north.map(async (name) => Number((await central.agent(name))?.['epoch'])));
  const numbers = Array.from({ length: 60 }, (_, i) => i);
  const event = (i: number) => ({ type, id: `${type}-${i}`, data: i });
  const taken = new Map(north.map((name) => [name, [] as number[]]));
  const consume = async (name: string): Promise<void> => {
    const mine = taken.get(name) ?? [];
    while (mine.length < numbers.length) {
      const answer = await agents.get(name)?.local('GET', '/api/v1/commands?waitSeconds=5');
      const items = answer?.body.items as { cursor: number; command: { type: string; data: number } }[];
      for (const { command } of items) if (command.type === type) mine.push(command.data);
      const last = items.at(-1)?.cursor;
      if (last !== undefined) await agents.get(name)?.local('POST', '/api/v1/commands/ack', { through: last });
    }
  };
  const consuming = north.map(consume);
  const flow = async (name: string, i: number): Promise<void> => {
    const up = await agents.get(name)?.local('POST', '/api/v1/events', event(i));
    const down = await central.rest('POST', `/agents/${name}/commands`, event(i));
    expect([up?.status, down.status]).toEqual([202, 202]);
  };
  for (const i of numbers.slice(0, 20)) await Promise.all(north.map((name) => flow(name, i)));
  const made = await central.cli('drains', 'create', '--agents', 'label:region=north', '--within', '2s', '-o', 'json');
  const { id } = JSON.parse(made.stdout) as { id: string };
  for (const i of numbers.slice(20)) await Promise.all(north.map((name) => flow(name, i)));
  const drained = await until(async () => {
    const { body } = await central.rest('GET', `/drains/${id}`);
    return body.reconnectedCount === 2 ? body : undefined;
  });
  expect(drained).toMatchObject({ state: 'drained', agentCount: 2, waitingCount: 0, awayCount: 0 });
  await Promise.all(consuming);
  const arrived = await until(async () => {
    const found = await central.events(`&type=${type}`);
    return found.length >= 2 * numbers.length ? found : undefined;
  });
  for (const [i, name] of north.entries()) {
    const { id: agentId, epoch } = (await central.agent(name)) ?? {};
    expect(Number(epoch)).toBeGreaterThan(before[i] ?? 0);
    const received = arrived.filter((one) => one.agentId === agentId).map((one) => one.event['data']);
    expect([received, taken.get(name)]).toEqual([numbers, numbers]);
  }
});

it('a name that an administrator set stays when the agent connects again, and is found everywhere', async () => {
  expect(await central.cli('agents', 'set', 'branch-3', 'name=kasse-3')).toMatchObject({ code: 0 });
  await agents.get('branch-3')?.stop();
  await until(async () => (await central.agent('kasse-3'))?.['state'] === 'disconnected');
  const { folders } = agents.get('branch-3') ?? {};
  if (folders !== undefined) AgentProcess.start(cleanup, folders, 'branch-3');
  expect(await central.online('kasse-3')).toMatchObject({ nameSource: 'administrator', labels: { region: 'south' } });
  expect(await central.cli('agents', 'set', 'branch-2', 'name=KASSE-3')).toMatchObject({ code: 7 });
});
