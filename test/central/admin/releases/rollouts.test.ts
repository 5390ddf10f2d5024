// The routes of rollouts, on an engine with agents that carry out what it sends.
import { expect, test } from 'vitest';
import { createMetrics } from '../../../../central/metrics.ts';
import { PREVIOUS, RELEASE } from '../../rollouts/samples.ts';
import { NAME, startRollouts } from './scene.ts';

async function start() {
  const { fleet, rest } = await startRollouts();
  const ask = async (method: string, path: string, body?: unknown, as?: 'viewer' | 'operator') => {
    const answer = await rest.request(method, path, {
      ...(body === undefined ? {} : { body }),
      ...(as === undefined ? {} : { as }),
    });
    const { status, headers } = answer;
    return { status, location: headers.get('location'), body: (await answer.json()) as Record<string, unknown> };
  };
  return { fleet, ask };
}

/** The answer to a dry run that would change no row of the caller's and cut off no agent. */
const dryRunOf = (body: object) => ({
  status: 200,
  location: null,
  body: { dryRun: true, changed: [], cutOff: { count: 0, items: [] }, needsForce: false, ...body },
});

const UPGRADE = { kind: 'profile', release: NAME, stage: 'upgrade', agents: ['all'] } as const;

test('a rollout is started, followed and read, with its agents and their reasons', async () => {
  const { fleet, ask } = await start();
  const waves = [{ count: 1 }, { share: 1 }];
  const begun = await ask('POST', '/rollouts?comment=wss&ticket=CHG-7', { ...UPGRADE, waves, errorShare: 0.5 });
  expect(begun).toMatchObject({
    status: 202,
    location: '/api/v1/rollouts/r-1',
    body: {
      id: 'r-1',
      release: RELEASE,
      name: 'branch',
      state: 'running',
      waves: [
        { count: 1, share: null, agentCount: 1, state: 'running' },
        { count: null, share: 1, agentCount: 3, state: 'waiting' },
      ],
      counts: { total: 4, eligible: 3, offered: 1, waiting: 2, skipped: 1 },
      comment: 'wss',
      ticket: 'CHG-7',
      createdBy: 'administrator',
      endedAt: null,
    },
  });
  for (let rounds = 0; rounds < 20; rounds += 1) await fleet.round();
  expect((await ask('GET', '/rollouts/r-1', undefined, 'viewer')).body).toMatchObject({
    state: 'completed',
    stateReason: null,
    counts: { succeeded: 3, skipped: 1 },
  });
  const agents = (await ask('GET', '/rollouts/r-1/agents?state=succeeded&state=skipped&limit=3')).body;
  expect(agents).toMatchObject({
    items: [
      { agent: { id: 'a1', name: 'a1' }, state: 'succeeded', wave: 1, previousRelease: PREVIOUS, stateReason: null },
      { state: 'succeeded', wave: 2 },
      { state: 'succeeded', wave: 2 },
    ],
    next: expect.any(String),
  });
  const rest = await ask('GET', `/rollouts/r-1/agents?state=succeeded&state=skipped&after=${String(agents['next'])}`);
  expect(rest.body).toMatchObject({
    items: [{ agent: { id: 'a4' }, state: 'skipped', wave: null, stateReason: { code: 'agent_disabled' } }],
    next: null,
  });
  expect((await ask('GET', '/rollouts')).body).toMatchObject({ items: [{ id: 'r-1' }], next: null });
  expect((await ask('GET', '/rollouts?state=running&state=halted')).body).toEqual({ items: [], next: null });
  expect(await ask('GET', '/rollouts/r-2')).toMatchObject({ status: 404, body: { code: 'rollout_unknown' } });
  expect(await ask('GET', '/rollouts/latest/agents')).toMatchObject({ status: 404 });
});

test('a dry run shows how a rollout would begin, as it then begins, and changes nothing', async () => {
  const { fleet, ask } = await start();
  const body = { ...UPGRADE, waves: [{ count: 1 }, { share: 1 }], errorShare: 0.5 };
  const [stepsBefore, sentBefore] = [fleet.steps.length, fleet.sent.length];
  const dry = await ask('POST', '/rollouts?dryRun=true&comment=wss', body);
  const result = { id: null, counts: { total: 4, eligible: 3, offered: 1, waiting: 2, skipped: 1 } };
  expect(dry).toMatchObject(dryRunOf({ notices: [], change: null, result }));
  expect([fleet.steps.length, fleet.sent.length]).toEqual([stepsBefore, sentBefore]);
  expect((await ask('GET', '/rollouts')).body).toEqual({ items: [], next: null });
  const begun = await ask('POST', '/rollouts?comment=wss', body);
  expect(begun).toMatchObject({ status: 202, body: { id: 'r-1' } });
  expect({ ...(dry.body['result'] as object), id: 'r-1' }).toEqual(begun.body);
  expect(await ask('POST', '/rollouts?dryRun=true', UPGRADE)).toMatchObject({
    status: 409,
    body: { code: 'rollout_conflict', detail: expect.stringContaining('a1 takes part in the rollout r-1') },
  });
  expect(await ask('POST', '/rollouts?dryRun=true', { ...UPGRADE, agents: ['a4'] })).toMatchObject({ status: 200 });
  expect(await ask('POST', '/rollouts?dryRun=true', { ...UPGRADE, waves: [{ count: 1 }] })).toMatchObject({
    status: 422,
  });
  expect(await ask('POST', '/rollouts?dryRun=true', UPGRADE, 'operator')).toMatchObject({ status: 403 });
});

test('a dry run shows how a rollout that synchronized would go on, and is refused where another one has its agents', async () => {
  const { fleet, ask } = await start();
  await ask('POST', '/rollouts', { ...UPGRADE, agents: ['a1', 'a2'], stage: 'synchronize' });
  for (let rounds = 0; rounds < 5; rounds += 1) await fleet.round();
  const { agents: _, ...same } = UPGRADE;
  const body = { ...same, rollout: 'r-1', waves: [{ count: 1 }, { share: 1 }] };
  const before = (await ask('GET', '/rollouts/r-1')).body;
  const [stepsBefore, sentBefore] = [fleet.steps.length, fleet.sent.length];
  const dry = await ask('POST', '/rollouts?dryRun=true', body);
  expect(dry).toMatchObject({
    status: 200,
    location: null,
    body: {
      dryRun: true,
      result: { id: 'r-1', stage: 'upgrade', state: 'running', counts: { offered: 1, synchronized: 1 } },
    },
  });
  expect([fleet.steps.length, fleet.sent.length]).toEqual([stepsBefore, sentBefore]);
  expect((await ask('GET', '/rollouts/r-1')).body).toEqual(before);
  await ask('POST', '/rollouts', { ...UPGRADE, agents: ['a2'], stage: 'synchronize' });
  expect(await ask('POST', '/rollouts?dryRun=true', body)).toMatchObject({
    status: 409,
    body: { code: 'rollout_conflict', detail: expect.stringContaining('a2 takes part in the rollout r-2') },
  });
  for (let rounds = 0; rounds < 5; rounds += 1) await fleet.round();
  const again = await ask('POST', '/rollouts?dryRun=true', body);
  expect((await ask('POST', '/rollouts', body)).body).toEqual(again.body['result']);
});

test('acts are by role, and refused where the state forbids them', async () => {
  const { fleet, ask } = await start();
  await ask('POST', '/rollouts', { ...UPGRADE, stage: 'synchronize' });
  expect(await ask('POST', '/rollouts/r-1/pause', undefined, 'viewer')).toMatchObject({ status: 403 });
  expect(await ask('POST', '/rollouts/r-1/pause', undefined, 'operator')).toMatchObject({
    status: 200,
    body: { state: 'paused' },
  });
  expect(await ask('POST', '/rollouts/r-1/resume', undefined, 'operator')).toMatchObject({ status: 403 });
  expect(await ask('POST', '/rollouts/r-1/resume')).toMatchObject({ status: 200, body: { state: 'running' } });
  expect(await ask('POST', '/rollouts/r-1/rollback')).toMatchObject({
    status: 409,
    body: { code: 'rollout_stage_conflict' },
  });
  expect(await ask('POST', '/rollouts', UPGRADE)).toMatchObject({
    status: 409,
    body: { code: 'rollout_conflict', detail: expect.stringContaining('r-1') },
  });
  for (let rounds = 0; rounds < 5; rounds += 1) await fleet.round();
  expect((await ask('GET', '/rollouts/r-1')).body).toMatchObject({ state: 'completed', counts: { synchronized: 3 } });
  const { agents: _, ...same } = UPGRADE;
  expect(await ask('POST', '/rollouts', { ...same, release: PREVIOUS, rollout: 'r-1' })).toMatchObject({
    status: 422,
    body: { code: 'rollout_release_unknown' },
  });
  expect(await ask('POST', '/rollouts', { ...same, rollout: 'r-1', soakSeconds: 0 })).toMatchObject({
    status: 202,
    location: '/api/v1/rollouts/r-1',
    body: { stage: 'upgrade', state: 'running' },
  });
  for (let rounds = 0; rounds < 10; rounds += 1) await fleet.round();
  expect(await ask('POST', '/rollouts/r-1/rollback')).toMatchObject({ status: 200, body: { state: 'rolling-back' } });
  expect(await ask('POST', '/rollouts/r-1/retry')).toMatchObject({ body: { code: 'rollout_state_conflict' } });
  expect(await ask('POST', '/rollouts/r-1/cancel')).toMatchObject({ status: 200, body: { state: 'canceled' } });
});

test('a dry run of each act shows the rollout as it would be, refuses what the act would, and changes nothing', async () => {
  const { fleet, ask } = await start();
  await ask('POST', '/rollouts', { ...UPGRADE, agents: ['a1', 'a2'] });
  const dry = async (verb: string) => await ask('POST', `/rollouts/r-1/${verb}?dryRun=true&comment=why`);
  const from = (state: string, to: string) => [{ name: 'state', from: state, to }];
  const before = (await ask('GET', '/rollouts/r-1')).body;
  const [steps, sent] = [fleet.steps.length, fleet.sent.length];
  expect(await dry('pause')).toMatchObject({
    status: 200,
    body: {
      dryRun: true,
      changed: from('running', 'paused'),
      cutOff: { count: 0, items: [] },
      needsForce: false,
      result: { id: 'r-1', state: 'paused' },
    },
  });
  expect(await dry('cancel')).toMatchObject({
    body: { changed: from('running', 'canceled'), result: { state: 'canceled' } },
  });
  expect(await dry('resume')).toMatchObject({ status: 409, body: { code: 'rollout_state_conflict' } });
  expect(await dry('retry')).toMatchObject({ status: 409, body: { code: 'rollout_nothing_to_do' } });
  expect((await ask('GET', '/rollouts/r-1')).body).toEqual(before);
  expect([fleet.steps.length, fleet.sent.length]).toEqual([steps, sent]);
  for (let rounds = 0; rounds < 8; rounds += 1) await fleet.round();
  const done = (await ask('GET', '/rollouts/r-1')).body;
  expect(done).toMatchObject({ state: 'completed', counts: { succeeded: 2 } });
  const back = await dry('rollback');
  expect(back.body).toMatchObject({ changed: from('completed', 'rolling-back'), result: { counts: { succeeded: 0 } } });
  expect((await ask('GET', '/rollouts/r-1')).body).toEqual(done);
  const { stateChangedAt: _, ...wanted } = back.body['result'] as { readonly stateChangedAt: string };
  expect((await ask('POST', '/rollouts/r-1/rollback')).body).toMatchObject(wanted);
  expect(await ask('POST', '/rollouts/r-1/pause?dryRun=true', undefined, 'viewer')).toMatchObject({ status: 403 });
});

test.each([
  [{ ...UPGRADE, agents: undefined }, 400, '#/agents'],
  [{ ...UPGRADE, rollout: 'r-1' }, 400, '#/agents'],
  [{ kind: 'profile', release: NAME, stage: 'synchronize', rollout: 'r-1' }, 400, '#/stage'],
  [{ ...UPGRADE, waves: [{ count: 0 }] }, 400, '#/waves/0'],
  [{ ...UPGRADE, trialSeconds: 5 }, 400, '#/trialSeconds'],
  [{ ...UPGRADE, waves: [{ count: 1 }] }, 422, undefined],
  [{ ...UPGRADE, release: 'branch@00000000' }, 422, undefined],
  [{ ...UPGRADE, release: RELEASE.slice(0, 8) }, 422, undefined],
])('a wrong rollout is refused with its place: %j', async (body, status, pointer) => {
  const { ask } = await start();
  const answer = await ask('POST', '/rollouts', body);
  expect(answer.status).toBe(status);
  const [first] = (answer.body['errors'] ?? [{}]) as [{ pointer?: string }];
  expect(first.pointer?.startsWith(pointer ?? '')).toBe(pointer === undefined ? undefined : true);
});

test('the profile of an agent shows what it shall run and what it runs, and is repaired', async () => {
  const { fleet, ask } = await start();
  expect((await ask('GET', '/agents/a1/profile', undefined, 'viewer')).body).toEqual({
    agentId: 'a1',
    desired: null,
    reported: { digest: PREVIOUS, name: `branch@${PREVIOUS.slice(0, 8)}` },
    reportedAt: expect.any(String),
    generation: 0,
    rollout: null,
    drift: null,
    software: ['program', 'runtime'].map((part) => ({
      part,
      desired: null,
      reported: null,
      reportedAt: null,
      drift: null,
    })),
  });
  expect(await ask('POST', '/agents/a1/profile/repair')).toMatchObject({
    status: 409,
    body: { code: 'profile_release_missing' },
  });
  await ask('POST', '/rollouts', { ...UPGRADE, agents: ['a1'] });
  expect((await ask('GET', '/agents/a1/profile')).body).toMatchObject({ rollout: 'r-1' });
  for (let rounds = 0; rounds < 8; rounds += 1) await fleet.round();
  const drift = { code: 'profile_drift', detail: 'conf/agent.conf was changed.', hint: 'Repair it.' };
  const found = { release: RELEASE, changedFiles: ['conf/agent.conf'], overriddenKeys: [] };
  fleet.engine.onFrame(fleet.sessions.get('a1')!, { type: 'release-measured', kind: 'profile', ...found, ...drift });
  expect((await ask('GET', '/agents/a1/profile')).body).toMatchObject({
    desired: { digest: RELEASE, name: NAME },
    reported: { digest: RELEASE, name: NAME },
    generation: 1,
    rollout: null,
    drift: { ...found, reason: drift, reportedAt: expect.any(String) },
  });
  expect(await ask('POST', '/agents/a1/profile/repair', undefined, 'operator')).toMatchObject({ status: 403 });
  const sent = fleet.sent.length;
  const result = { id: null, release: RELEASE, agents: ['a1'], counts: { total: 1, offered: 1 } };
  expect(await ask('POST', '/agents/a1/profile/repair?dryRun=true')).toMatchObject(dryRunOf({ result }));
  expect(fleet.sent.length).toBe(sent);
  expect(await ask('GET', '/rollouts/r-2')).toMatchObject({ status: 404 });
  expect(await ask('POST', '/agents/a1/profile/repair')).toMatchObject({
    status: 202,
    location: '/api/v1/rollouts/r-2',
    body: { counts: { total: 1, offered: 1 } },
  });
  for (let rounds = 0; rounds < 8; rounds += 1) await fleet.round();
  expect((await ask('GET', '/agents/a1/profile')).body).toMatchObject({ generation: 2, drift: null });
  expect(await ask('GET', '/agents/a9/profile')).toMatchObject({ status: 404, body: { code: 'agent_unknown' } });
});

test('a token with a scope begins, sees and changes rollouts of its own agents only', async () => {
  const { rest } = await startRollouts();
  for (const [i, agent] of rest.agents.entries())
    rest.agents[i] = { ...agent, labels: { region: i < 2 ? 'north' : 'south' } };
  const scope = 'label:region=north';
  const made = await rest.request('POST', '/api-tokens', { body: { name: 'n', role: 'administrator', scope } });
  const headers = { authorization: `Bearer ${((await made.json()) as { readonly token: string }).token}` };
  const ask = async (method: string, path: string, body?: unknown) => {
    const answer = await rest.request(method, path, { as: null, headers, ...(body === undefined ? {} : { body }) });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const ofSouth = { ...UPGRADE, agents: ['a3'] };
  expect((await rest.request('POST', '/rollouts', { body: ofSouth })).status).toBe(202);
  expect(await ask('POST', '/rollouts', ofSouth)).toMatchObject({ status: 422, body: { code: 'agent_unknown' } });
  expect(await ask('GET', '/rollouts')).toMatchObject({ body: { items: [], next: null } });
  const begun = await ask('POST', '/rollouts', { ...UPGRADE, waves: [{ count: 1 }, { share: 1 }] });
  expect(begun).toMatchObject({ status: 202, body: { id: 'r-2', scope, counts: { total: 2 } } });
  for (const [method, path] of [
    ['GET', '/rollouts/r-1'],
    ['GET', '/rollouts/r-1/agents'],
    ['POST', '/rollouts/r-1/pause'],
    ['POST', '/rollouts/r-1/rollback'],
  ] as const)
    expect(await ask(method, path)).toMatchObject({ status: 404, body: { code: 'rollout_unknown' } });
  expect((await ask('GET', '/rollouts/r-2/agents')).body['items']).toHaveLength(2);
  expect(await ask('POST', '/rollouts/r-2/pause')).toMatchObject({ status: 200, body: { state: 'paused' } });
  expect(await (await rest.request('GET', '/rollouts')).json()).toMatchObject({ items: [{ scope }, { scope: null }] });

  const [a1] = rest.agents;
  if (a1 !== undefined) rest.agents[0] = { ...a1, labels: { region: 'south' } };
  expect((await ask('GET', '/rollouts/r-2/agents')).body['items']).toMatchObject([{ agent: { id: 'a2' } }]);
  expect(await ask('POST', '/rollouts/r-2/resume')).toMatchObject({
    status: 403,
    body: { code: 'scope_too_narrow', detail: expect.stringContaining('all agents of r-2') },
  });
  expect(rest.refused.at(-1)).toMatchObject({ code: 'scope_too_narrow', caller: 'n' });
});

test('an agent is asked for a measurement, and what it found is shown', async () => {
  const { fleet, ask } = await start();
  await ask('POST', '/rollouts', { ...UPGRADE, agents: ['a1'] });
  for (let rounds = 0; rounds < 8; rounds += 1) await fleet.round();
  const measure = '/agents/a1/profile/measure';
  expect(await ask('POST', measure)).toMatchObject({ status: 501, body: { code: 'agent_cannot_measure' } });
  fleet.agents.get('a1')!.capabilities = ['releases.1', 'releases.measure'];
  fleet.connect('a1');
  fleet.sent.length = 0;
  expect(await ask('POST', measure, undefined, 'viewer')).toMatchObject({ status: 403 });
  expect(await ask('POST', measure, undefined, 'operator')).toEqual({
    status: 202,
    location: '/api/v1/agents/a1/profile',
    body: { agent: { id: 'a1', name: 'a1' } },
  });
  expect(fleet.sent).toEqual([['a1', { type: 'release-measure' }]]);
  const measured = { release: RELEASE, changedFiles: [], overriddenKeys: ['log.level'] };
  const nothing = { code: '', detail: '', hint: '' };
  fleet.engine.onFrame(fleet.sessions.get('a1')!, {
    type: 'release-measured',
    kind: 'profile',
    ...measured,
    ...nothing,
  });
  expect((await ask('GET', '/agents/a1/profile')).body).toMatchObject({ drift: { ...measured, reason: null } });
  fleet.disconnect('a1');
  const away = await ask('POST', measure);
  expect(away).toMatchObject({ status: 503, body: { code: 'agent_offline' } });
});

test('the metrics count the rollouts that have not ended, and their agents by state', async () => {
  const { rest, rollouts } = await startRollouts();
  const metrics = createMetrics();
  const lines = async (): Promise<string[]> => {
    rollouts.measure(metrics);
    const text = await metrics.registry.metrics();
    return text.split('\n').filter((line) => /^queuegate_rollout(?:s|_agents)\{.* [1-9]/.test(line));
  };
  expect(await lines()).toEqual([]);
  await rest.request('POST', '/rollouts', { body: { ...UPGRADE, waves: [{ count: 1 }, { share: 1 }] } });
  expect(await lines()).toEqual([
    'queuegate_rollouts{state="running"} 1',
    'queuegate_rollout_agents{state="waiting"} 2',
    'queuegate_rollout_agents{state="offered"} 1',
    'queuegate_rollout_agents{state="skipped"} 1',
  ]);
  await rest.request('POST', '/rollouts/r-1/pause');
  expect((await lines())[0]).toBe('queuegate_rollouts{state="paused"} 1');
  await rest.request('POST', '/rollouts/r-1/cancel');
  expect(await lines()).toEqual([]);
});
