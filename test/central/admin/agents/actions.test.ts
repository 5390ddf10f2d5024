import { expect, test } from 'vitest';
import { agentRecord } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';

/** Three agents in the north, one of them revoked; one in the south. */
async function withAgents(): Promise<Rest> {
  const rest = await startRest();
  for (const [name, region, state] of [
    ['branch-1', 'north', 'online'],
    ['branch-2', 'north', 'disconnected'],
    ['branch-3', 'north', 'revoked'],
    ['branch-4', 'south', 'online'],
  ] as const)
    rest.agents.push({ ...agentRecord({ name }), labels: { region }, state });
  return rest;
}
const act = async (rest: Rest, body: unknown, query = ''): Promise<unknown> =>
  (await rest.request('POST', `/agent-actions${query}`, { body })).json();
const states = (rest: Rest) => rest.agents.map(({ state }) => state);

test('one call disables a region; what one agent refuses stops no other', async () => {
  const rest = await withAgents();
  const answer = await rest.request('POST', '/agent-actions', {
    body: { verb: 'disable', agents: ['label:region=north', 'branch-1'] },
  });
  expect(answer.status).toBe(202);
  expect(await answer.json()).toMatchObject({
    items: [
      { agent: { name: 'branch-1' }, outcome: 'accepted', problem: null },
      { agent: { name: 'branch-2' }, outcome: 'accepted', problem: null },
      { agent: { name: 'branch-3' }, outcome: 'refused', problem: { code: 'agent_revoked', status: 409 } },
    ],
    acceptedCount: 2,
    refusedCount: 1,
  });
  expect(states(rest)).toEqual(['disabled', 'disabled', 'revoked', 'online']);
});

test('labels and revocations of several agents are one call, too', async () => {
  const rest = await withAgents();
  expect(
    await act(rest, { verb: 'labels', agents: ['name:branch-*'], labels: { region: null, tier: 'a' } }),
  ).toMatchObject({
    acceptedCount: 3,
  });
  expect(rest.agents[3]).toMatchObject({ labels: { tier: 'a' } });
  await act(rest, { verb: 'revoke', agents: ['branch-2'], reason: 'keyCompromise' });
  expect(rest.revoked).toMatchObject([{ id: 'branch-2', reason: 'keyCompromise' }]);
});

test('a dry run counts the agents, names those that it would cut off and refuse, and changes nothing', async () => {
  const rest = await withAgents();
  expect(await act(rest, { verb: 'disable', agents: ['all'] }, '?dryRun=true')).toMatchObject({
    dryRun: true,
    changed: [
      { name: 'branch-1', from: 'online', to: 'disabled' },
      { name: 'branch-2', from: 'disconnected', to: 'disabled' },
      { name: 'branch-4', from: 'online', to: 'disabled' },
    ],
    cutOff: { count: 2 },
    notices: [{ code: 'agents_refused', detail: expect.stringContaining('branch-3') }],
    needsForce: false,
    result: { agentCount: 4 },
  });
  expect(
    await act(rest, { verb: 'labels', agents: ['branch-4'], labels: { region: 'east' } }, '?dryRun=true'),
  ).toMatchObject({ changed: [{ name: 'branch-4', from: { region: 'south' }, to: { region: 'east' } }] });
  expect(states(rest)).toEqual(['online', 'disconnected', 'revoked', 'online']);
});

test.each([
  [{ verb: 'disable', agents: ['label:region=west'] }, 422, 'selector_empty'],
  [{ verb: 'disable', agents: ['label:region'] }, 400, 'selector_invalid'],
  [{ verb: 'disable', agents: ['unknown'] }, 422, 'agent_unknown'],
  [{ verb: 'disable', agents: [] }, 400, 'request_invalid'],
  [{ verb: 'delete', agents: ['all'] }, 400, 'request_invalid'],
  [{ verb: 'labels', agents: ['all'] }, 400, 'request_invalid'],
  [{ verb: 'labels', agents: ['all'], labels: { '-': '' } }, 400, 'request_invalid'],
  [{ verb: 'enable', agents: ['all'], labels: { a: 'b' } }, 400, 'request_invalid'],
  [{ verb: 'enable', agents: ['all'], reason: 'keyCompromise' }, 400, 'request_invalid'],
])('%j is refused as a whole', async (body, status, code) => {
  const rest = await withAgents();
  expect(await act(rest, body)).toMatchObject({ status, code });
  expect(states(rest)).toEqual(['online', 'disconnected', 'revoked', 'online']);
});
