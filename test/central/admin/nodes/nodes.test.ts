// Nodes through REST: a Central with the store in its data folder shows itself; of several, one is drained or deleted.
import { expect, test } from 'vitest';
import { nodeRecord } from '../../forwarding/two-nodes.ts';
import { startRest, type Rest } from '../rest.ts';
import { startNodes } from './several-nodes.ts';

async function ask(rest: Rest, method: string, path: string, body?: unknown) {
  const response = await rest.request(method, path, body === undefined ? {} : { body });
  return { status: response.status, body: response.status === 204 ? null : await response.json() };
}

test('a Central with its own store is one node, which leads, and can neither be drained nor deleted', async () => {
  const rest = await startRest();
  const { body } = await ask(rest, 'GET', '/nodes');
  expect(body).toMatchObject({ items: [{ name: 'n1', state: 'alive', leader: true, drainedAt: null }], next: null });
  expect(await ask(rest, 'POST', '/nodes/n1/drain')).toMatchObject({ status: 409, body: { code: 'node_alone' } });
  expect(await ask(rest, 'POST', '/nodes/n1/drain', { cancel: true })).toMatchObject({ status: 202 });
  expect(await ask(rest, 'DELETE', '/nodes/n1')).toMatchObject({ status: 409, body: { code: 'node_alive' } });
  expect(await ask(rest, 'GET', '/nodes/n2')).toMatchObject({ status: 404, body: { code: 'node_unknown' } });
});

test('shows each node with its figures', async () => {
  const b = nodeRecord({ name: 'b', leads: true, sessions: 3, appliedParameters: 7, clockOffsetMs: -1_500 });
  const rest = await startNodes(nodeRecord({ name: 'a' }), { ...b, address: 'https://b.test:9160' });
  expect((await ask(rest, 'GET', '/nodes?limit=1')).body).toMatchObject({ items: [{ name: 'a', leader: false }] });
  expect((await ask(rest, 'GET', '/nodes/b')).body).toEqual({
    name: 'b',
    state: 'alive',
    leader: true,
    version: '0',
    address: 'https://b.test:9160',
    startedAt: '1970-01-01T00:00:00.001Z',
    lastSeenAt: '1970-01-01T00:00:00.001Z',
    clockOffsetSeconds: -1.5,
    sessionCount: 3,
    appliedParameters: 7,
    drainedAt: null,
  });
});

test('drains a node while another one admits agents, and ends the drain', async () => {
  const rest = await startNodes(
    nodeRecord({ name: 'a' }),
    nodeRecord({ name: 'b' }),
    nodeRecord({ name: 'c', state: 'dead' }),
  );
  const drained = await ask(rest, 'POST', '/nodes/a/drain?ticket=CHG-1', {});
  expect(drained).toMatchObject({ status: 202, body: { name: 'a', drainedAt: '1970-01-01T00:01:00.000Z' } });
  expect(await ask(rest, 'POST', '/nodes/b/drain')).toMatchObject({ status: 409, body: { code: 'node_alone' } });
  expect(await ask(rest, 'POST', '/nodes/a/drain', { cancel: true })).toMatchObject({ body: { drainedAt: null } });
  expect(await ask(rest, 'POST', '/nodes/x/drain')).toMatchObject({ status: 404, body: { code: 'node_unknown' } });
  expect((await rest.request('POST', '/nodes/b/drain', { as: 'operator', body: {} })).status).toBe(403);
  expect(rest.acts).toMatchObject([
    { action: 'nodes.drain', detail: '{"node":"a","cancel":false}', ticket: 'CHG-1' },
    { action: 'nodes.drain', detail: '{"node":"a","cancel":true}' },
  ]);
});

test('deletes a node that is stopped or dead, and none that works', async () => {
  const rest = await startNodes(nodeRecord({ name: 'a' }), nodeRecord({ name: 'c', state: 'dead' }));
  expect(await ask(rest, 'DELETE', '/nodes/a')).toMatchObject({ status: 409, body: { code: 'node_alive' } });
  expect(await ask(rest, 'DELETE', '/nodes/c')).toMatchObject({ status: 204 });
  expect(await ask(rest, 'DELETE', '/nodes/c')).toMatchObject({ status: 404, body: { code: 'node_unknown' } });
});
