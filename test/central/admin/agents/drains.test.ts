import { expect, test } from 'vitest';
import { agentRecord } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';

async function withAgents(): Promise<Rest> {
  const rest = await startRest();
  for (const name of ['branch-1', 'branch-2', 'branch-3'])
    rest.agents.push({ ...agentRecord({ name }), state: name === 'branch-3' ? 'disconnected' : 'online' });
  return rest;
}

test('an operator drains agents: accepted, with its place, its terms and its counts', async () => {
  const rest = await withAgents();
  const body = { agents: ['name:branch-*'], withinSeconds: 600, retryAfterSeconds: 5 };
  const answer = await rest.request('POST', '/drains', { body, as: 'operator' });
  const drain = (await answer.json()) as { id: string };
  expect([answer.status, answer.headers.get('location')]).toEqual([202, `/api/v1/drains/${drain.id}`]);
  expect(drain).toMatchObject({
    ...body,
    state: 'draining',
    createdBy: 'operator',
    agentCount: 3,
    offlineCount: 1,
    waitingCount: 1,
    awayCount: 1,
    reconnectedCount: 0,
  });
  const listed = await rest.request('GET', '/drains?state=draining', { as: 'viewer' });
  expect(await listed.json()).toMatchObject({ items: [{ id: drain.id }], next: null });
  const canceled = await rest.request('POST', `/drains/${drain.id}/cancel?comment=enough`, { as: 'operator' });
  expect(await canceled.json()).toMatchObject({ state: 'canceled', waitingCount: 1 });
  expect(await (await rest.request('GET', `/drains/${drain.id}`)).json()).toMatchObject({ state: 'canceled' });
  expect(await (await rest.request('GET', '/drains?state=draining')).json()).toEqual({ items: [], next: null });
});

test('the time is that of agents.drain.spreadSeconds unless it is set; a dry run ends no session', async () => {
  const rest = await withAgents();
  const dry = await rest.request('POST', '/drains?dryRun=true', { body: { agents: ['all'] } });
  expect(await dry.json()).toMatchObject({
    dryRun: true,
    cutOff: { count: 2, items: [{ agent: { name: 'branch-1' }, reason: 'agent-drained' }, {}] },
    needsForce: false,
    result: { agentCount: 3 },
  });
  expect(await (await rest.request('GET', '/drains')).json()).toMatchObject({ items: [] });
  const made = await rest.request('POST', '/drains', { body: { agents: ['all'] } });
  expect(await made.json()).toMatchObject({ withinSeconds: 30, retryAfterSeconds: 0 });
});

test.each([
  [{ agents: ['label:x=y'] }, 422, 'selector_empty'],
  [{ agents: ['all'], withinSeconds: -1 }, 400, 'request_invalid'],
  [{ agents: ['all'], retryAfterSeconds: 86_401 }, 400, 'request_invalid'],
  [{}, 400, 'request_invalid'],
])('%j is refused', async (body, status, code) => {
  const rest = await withAgents();
  expect(await (await rest.request('POST', '/drains', { body })).json()).toMatchObject({ status, code });
});

test('a drain that is unknown is 404; a viewer ends no session', async () => {
  const rest = await withAgents();
  expect(await (await rest.request('GET', '/drains/none')).json()).toMatchObject({
    status: 404,
    code: 'drain_unknown',
  });
  expect((await rest.request('POST', '/drains', { body: { agents: ['all'] }, as: 'viewer' })).status).toBe(403);
});
