// The routes and commands of subscriptions, over a real service on a real store.
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { until } from '../../../../flow/processes.ts';
import { temporaryFolder } from '../../../../temporary-folder.ts';
import { startRest, type Rest } from '../../../admin/rest.ts';
import { authority, start, startReceiver, type Scene } from '../../../subscriptions/scene.ts';
import { queuegateFor, type Queuegate } from '../../over-socket.ts';
import { cursorAt } from '../../../../event-cursors.ts';

interface Central {
  readonly scene: Scene;
  readonly rest: Rest;
  readonly queuegate: Queuegate;
}

async function open(): Promise<Central> {
  const scene = await start();
  const rest = await startRest(async () => ({ subscriptions: scene.subscriptions }));
  return { scene, rest, queuegate: await queuegateFor(rest) };
}

const NEW = { name: 'tickets', target: 'https://127.0.0.1:1/hook' };

test('a subscription is created with its secret once, listed, changed by its version and deleted; a viewer reads only', async () => {
  const { rest } = await open();
  const made = await rest.request('POST', '/subscriptions', { body: { ...NEW, filter: { type: 'ticket' } } });
  const { secret, id, ...shown } = (await made.json()) as Record<string, unknown>;
  expect([made.status, made.headers.get('location')]).toEqual([201, `/api/v1/subscriptions/${String(id)}`]);
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(shown).toMatchObject({
    kind: 'webhook',
    state: 'active',
    filter: { type: 'ticket', source: null },
    cursor: cursorAt(0),
  });
  const read = await rest.request('GET', '/subscriptions/TICKETS', { as: 'viewer' });
  expect(await read.text()).not.toContain(String(secret));
  const tag = read.headers.get('etag') ?? '';
  const patch = (ifMatch: string) =>
    rest.request('PATCH', `/subscriptions/${String(id)}`, { body: { name: 'hub' }, headers: { 'if-match': ifMatch } });
  expect((await patch('"9"')).status).toBe(412);
  expect(await (await patch(tag.replace('W/', ''))).json()).toMatchObject({ name: 'hub', filter: { type: 'ticket' } });
  expect(await (await rest.request('GET', '/subscriptions', { as: 'viewer' })).json()).toMatchObject({
    items: [{ name: 'hub' }],
    next: null,
  });
  for (const [method, path] of [
    ['POST', '/subscriptions'],
    ['PATCH', '/subscriptions/hub'],
    ['DELETE', '/subscriptions/hub'],
    ['POST', '/subscriptions/hub/pause'],
    ['POST', '/subscriptions/hub/replay'],
    ['POST', '/subscriptions/hub/rotate-secret'],
  ] as const)
    expect([path, (await rest.request(method, path, { as: 'operator', body: {} })).status]).toEqual([path, 403]);
  expect((await rest.request('DELETE', '/subscriptions/hub')).status).toBe(204);
  expect(await (await rest.request('GET', '/subscriptions/hub')).json()).toMatchObject({
    code: 'subscription_unknown',
  });
});

test.each([
  [{ target: 'https://10.0.0.1/' }, 422, 'subscription_target_invalid'],
  [{ target: 'http://example.com/' }, 422, 'subscription_target_invalid'],
  [{ ca: 'x' }, 422, 'subscription_ca_invalid'],
  [{ filter: { label: 'region==' } }, 400, 'selector_invalid'],
  [{ filter: { agent: 'no-such' } }, 404, 'agent_unknown'],
  [{ filter: { kind: 'x' } }, 400, 'request_invalid'],
  [{ after: 'yesterday' }, 400, 'cursor_invalid'],
  [{ after: '1' }, 400, 'cursor_invalid'],
  [{ after: cursorAt(9) }, 410, 'cursor_ahead'],
  [{ name: '' }, 400, 'request_invalid'],
])('%j is refused', async (wrong, status, code) => {
  const { rest } = await open();
  const refused = await rest.request('POST', '/subscriptions', { body: { ...NEW, ...wrong } });
  expect(await refused.json()).toMatchObject({ status, code });
  expect(await (await rest.request('GET', '/subscriptions')).json()).toMatchObject({ items: [] });
});

test('queuegate creates one with the authority of its receiver, shows how far it is, and what it delivered', async () => {
  const { scene, rest, queuegate } = await open();
  const receiver = await startReceiver();
  const folder = temporaryFolder();
  const [file, out] = [`${folder}/root.pem`, `${folder}/secret`];
  writeFileSync(file, authority().root.certificate);
  const line = `subscriptions create --name tickets --target ${receiver.url} --target-ca-file ${file} --type ticket`;
  const made = await queuegate(`${line} --out ${out}`);
  expect(made).toMatchObject({ status: 0, out: expect.stringContaining(`The secret is in ${out} (mode 0600).`) });
  const key = Buffer.from(readFileSync(out, 'utf8').trim().replace('whsec_', ''), 'base64');
  await scene.append('a1', [{ id: '1', type: 'ticket' }, { id: '2' }]);
  await until(() => (receiver.requests.length > 0 ? true : undefined));
  const { headers, body } = receiver.requests[0]!;
  const text = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
  expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(text).digest('base64')}`);
  const shown = await queuegate('subscriptions show tickets');
  expect(shown.out).toMatch(/^events +type ticket$/m);
  expect(shown.out).toMatch(/^trusts +authorities of its own$/m);
  expect((await queuegate('subscriptions list')).out).toMatch(/^NAME +STATE +BEHIND.*\ntickets +active/);
  await until(async () => {
    const { out: attempts } = await queuegate('subscriptions deliveries tickets');
    return /204/.test(attempts) ? true : undefined;
  });
  expect(await queuegate('subscriptions set tickets --all-events')).toMatchObject({ status: 0 });
  expect(await queuegate('subscriptions replay tickets --after oldest')).toMatchObject({ status: 0 });
  await until(() => (receiver.requests.flatMap(({ events }) => events).length >= 3 ? true : undefined));
  expect((await queuegate('subscriptions pause tickets')).out).toContain('Paused.');
  expect((await queuegate('subscriptions show tickets')).out).toMatch(/^state +paused since/m);
  expect((await queuegate('subscriptions resume tickets')).out).toContain('Resumed.');
  expect((await queuegate('subscriptions rotate-secret tickets')).out).toMatch(/^whsec_/);
  expect(await queuegate('subscriptions set tickets')).toMatchObject({ status: 2 });
  expect(await queuegate('subscriptions delete tickets --yes')).toMatchObject({ status: 0 });
  const entries = (await scene.store.audit.list({ limit: 20 })).map(({ action }) => action);
  for (const action of ['create', 'set', 'replay', 'pause', 'resume', 'rotate-secret', 'delete'])
    expect(entries).toContain(`subscriptions.${action}`);
  expect(JSON.stringify(await scene.store.audit.list({ limit: 20 }))).not.toContain('whsec_');
  expect(rest.unexpected).toEqual([]);
});
