// Names, labels, notes and disabling over REST; the rules of names are those of the store (contract-agent-changes.ts).
import { expect, test } from 'vitest';
import { agentRecord } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';

async function withAgent(): Promise<Rest> {
  const rest = await startRest();
  rest.agents.push(agentRecord({ name: 'branch-1', id: 'a1' }));
  return rest;
}
const bodyOf = async (answer: Response): Promise<unknown> => answer.json();

test('a patch merges labels, and null restores what the agent has by default', async () => {
  const rest = await withAgent();
  const patch = (body: unknown, headers = {}) => rest.request('PATCH', '/agents/BRANCH-1', { body, headers });
  const first = await patch({ name: 'kasse-1', labels: { region: 'north', 'example.com/tier': '' }, notes: 'Main' });
  expect([first.status, first.headers.get('etag')]).toEqual([200, '"1"']);
  expect(await bodyOf(first)).toMatchObject({
    name: 'kasse-1',
    nameSource: 'administrator',
    labels: { region: 'north', 'example.com/tier': '' },
    notes: 'Main',
  });
  const content = { 'content-type': 'application/merge-patch+json' };
  const second = await rest.request('PATCH', '/agents/a1', { body: { labels: { region: null } }, headers: content });
  expect(await bodyOf(second)).toMatchObject({ name: 'kasse-1', labels: { 'example.com/tier': '' }, notes: 'Main' });
  const third = await rest.request('PATCH', '/agents/a1', { body: { name: null, labels: null, notes: null } });
  expect(await bodyOf(third)).toMatchObject({ nameSource: 'agent', labels: {}, notes: '' });
  const shown = await rest.request('GET', '/agents/a1');
  expect(shown.headers.get('etag')).toBe('"3"');
});

test('a patch for another version is refused with the present tag and who made the change', async () => {
  const rest = await withAgent();
  await rest.request('PATCH', '/agents/a1', { body: { notes: 'x' }, headers: { 'if-match': '"0"' } });
  const refused = await rest.request('PATCH', '/agents/a1', { body: { notes: 'y' }, headers: { 'if-match': '"0"' } });
  expect([refused.status, refused.headers.get('etag')]).toEqual([412, '"1"']);
  expect(await bodyOf(refused)).toMatchObject({ code: 'version_conflict', changedBy: 'administrator' });
  const wrong = await rest.request('PATCH', '/agents/a1', { body: { notes: 'y' }, headers: { 'if-match': 'x' } });
  expect(await bodyOf(wrong)).toMatchObject({ status: 400, errors: [{ header: 'If-Match', found: 'x' }] });
});

test.each([
  [{ labels: { '-x': 'v' } }, '#/labels/-x'],
  [{ labels: { 'a/b': 'no blanks' } }, '#/labels/a~1b'],
  [{ labels: { k: 7 } }, '#/labels/k'],
  [{ labels: 'region=north' }, '#/labels'],
  [{ labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, null])) }, '#/labels'],
  [{ notes: 'x'.repeat(1025) }, '#/notes'],
  [{ name: 'no blanks' }, '#/name'],
  [{ state: 'disabled' }, '#/state'],
])('the patch %j is refused at its place', async (body, pointer) => {
  const rest = await withAgent();
  const answer = await rest.request('PATCH', '/agents/a1', { body });
  expect(answer.status).toBe(400);
  expect(await bodyOf(answer)).toMatchObject({ code: 'request_invalid', errors: [{ pointer }] });
  expect(rest.agents[0]).toMatchObject({ version: 0 });
});

test('an agent is disabled and enabled; a dry run reports the session that would end and changes nothing', async () => {
  const rest = await withAgent();
  rest.agents[0] = { ...agentRecord({ name: 'branch-1', id: 'a1' }), state: 'online' };
  const dry = await rest.request('POST', '/agents/a1/disable?dryRun=true');
  expect(await bodyOf(dry)).toMatchObject({
    dryRun: true,
    changed: [{ name: 'state', from: 'online', to: 'disabled' }],
    cutOff: { count: 1, items: [{ agent: { id: 'a1' }, reason: 'agent-disabled' }] },
    needsForce: false,
  });
  expect(rest.agents[0]).toMatchObject({ state: 'online' });
  expect(await bodyOf(await rest.request('POST', '/agents/a1/disable?comment=theft'))).toMatchObject({
    state: 'disabled',
  });
  const enabling = await rest.request('POST', '/agents/a1/enable?dryRun=true');
  expect(await bodyOf(enabling)).toMatchObject({
    changed: [{ name: 'state', from: 'disabled', to: 'enrolled' }],
    cutOff: { count: 0 },
  });
  expect(await bodyOf(await rest.request('POST', '/agents/a1/enable'))).toMatchObject({ state: 'disconnected' });
  expect((await rest.request('POST', '/agents/a1/disable', { as: 'operator' })).status).toBe(403);
});

test('a revoked agent is neither disabled nor enabled, in a dry run either', async () => {
  const rest = await withAgent();
  rest.agents[0] = { ...agentRecord({ name: 'branch-1', id: 'a1' }), state: 'revoked' };
  for (const path of ['disable', 'enable', 'disable?dryRun=true', 'enable?dryRun=true'])
    expect(await bodyOf(await rest.request('POST', `/agents/a1/${path}`))).toMatchObject({
      status: 409,
      code: 'agent_revoked',
    });
});

test('the list has the agents of its labels and names; a filter that is repeated means one of its values', async () => {
  const rest = await withAgent();
  rest.agents[0] = { ...agentRecord({ name: 'branch-1', id: 'a1' }), labels: { region: 'north' } };
  rest.agents.push(
    { ...agentRecord({ name: 'depot-1' }), labels: { region: 'south' } },
    agentRecord({ name: 'depot-2' }),
  );
  const names = async (query: string) => {
    const { items } = (await bodyOf(await rest.request('GET', `/agents?${query}`))) as { items: { name: string }[] };
    return items.map(({ name }) => name);
  };
  expect(await names('label=region%3Dnorth')).toEqual(['branch-1']);
  expect(await names('label=region%3Dnorth&label=region%3Dsouth')).toEqual(['branch-1', 'depot-1']);
  expect(await names('label=region!%3Dnorth&name=DEPOT-*')).toEqual(['depot-1', 'depot-2']);
  expect(await names('name=*-1&name=*-2&limit=2')).toEqual(['branch-1', 'depot-1']);
  const refused = await rest.request('GET', '/agents?label=region');
  expect(await bodyOf(refused)).toMatchObject({
    status: 400,
    code: 'selector_invalid',
    errors: [{ parameter: 'label', found: 'region' }],
  });
  expect(await bodyOf(await rest.request('GET', '/agents?name=a%20b'))).toMatchObject({
    status: 400,
    errors: [{ parameter: 'name' }],
  });
});
