// What changes by itself is waited for: a drain, a rollout, a change. With the tag of an earlier answer and
// waitSeconds.
import { fastify } from 'fastify';
import { expect, onTestFinished, test } from 'vitest';
import { sendOnceChanged } from '../../../../central/admin/changes/waiting.ts';
import { agentRecord } from '../../fakes.ts';
import { NAME, startRollouts } from '../releases/scene.ts';
import { startRest } from '../rest.ts';

test('a drain is answered at once without a tag, with 304 while it is the same, and when it is another one', async () => {
  const rest = await startRest();
  for (const name of ['a', 'b', 'c']) rest.agents.push({ ...agentRecord({ name }), state: 'online' });
  const body = { agents: ['all'], withinSeconds: 600 };
  const made = (await (await rest.request('POST', '/drains', { body })).json()) as { readonly id: string };
  const path = `/drains/${made.id}`;
  const first = await rest.request('GET', `${path}?waitSeconds=55`);
  expect(await first.json()).toMatchObject({ state: 'draining' });
  const headers = { 'if-none-match': first.headers.get('etag') ?? '' };
  const same = await rest.request('GET', path, { headers });
  expect([same.status, same.headers.get('etag'), await same.text()]).toEqual([
    304,
    first.headers.get('etag')?.replace('W/', ''),
    '',
  ]);
  const waiting = rest.request('GET', `${path}?waitSeconds=55`, { headers });
  await rest.request('POST', `${path}/cancel`);
  expect(await (await waiting).json()).toMatchObject({ state: 'canceled' });
});

test('the time of a wait ends with 304; what goes away meanwhile is 404', async () => {
  const rest = await startRest();
  rest.agents.push({ ...agentRecord({ name: 'a' }), state: 'disconnected' });
  const made = await rest.request('POST', '/drains', { body: { agents: ['all'], withinSeconds: 600 } });
  const { id } = (await made.json()) as { readonly id: string };
  const tag = (await rest.request('GET', `/drains/${id}`)).headers.get('etag') ?? '';
  const waited = await rest.request('GET', `/drains/${id}?waitSeconds=1`, { headers: { 'if-none-match': tag } });
  expect(waited.status).toBe(304);
  for (const [path, status] of [
    ['/drains/none?waitSeconds=55', 404],
    ['/changes/none?waitSeconds=55', 404],
    [`/drains/${id}?waitSeconds=56`, 400],
    [`/drains/${id}?waitSeconds=x`, 400],
  ] as const)
    expect([path, (await rest.request('GET', path)).status]).toEqual([path, status]);
});

test('a hundred requests that wait for the same are one look four times a second', async () => {
  let looks = 0;
  const app = fastify();
  onTestFinished(async () => await app.close());
  app.get('/thing', async (request, reply) =>
    sendOnceChanged(request, reply, () => {
      looks += 1;
      return { name: 'the same' };
    }),
  );
  const tag = (await app.inject('/thing')).headers.etag ?? '';
  const headers = { 'if-none-match': tag };
  const waiting = Array.from({ length: 100 }, () => app.inject({ url: '/thing?waitSeconds=1', headers }));
  for (const { statusCode } of await Promise.all(waiting)) expect(statusCode).toBe(304);
  // The first and the last look of each are its own; each by itself would look six hundred times.
  expect(looks).toBeLessThanOrEqual(300);
});

test('one session of a browser is never answered what another one may see', async () => {
  const app = fastify();
  onTestFinished(async () => await app.close());
  app.get('/thing', async (request, reply) =>
    sendOnceChanged(request, reply, () => ({ seenBy: request.headers.cookie ?? '' })),
  );
  const ask = async (cookie: string) => {
    const tag = (await app.inject({ url: '/thing', headers: { cookie } })).headers.etag ?? '';
    return await app.inject({ url: '/thing?waitSeconds=1', headers: { cookie, 'if-none-match': tag } });
  };
  const answers = await Promise.all(['queuegate=a', 'queuegate=b'].map(ask));
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([304, 304]);
});

test('a client that leaves while it waits is waited for no longer', async () => {
  const rest = await startRest();
  rest.agents.push({ ...agentRecord({ name: 'a' }), state: 'disconnected' });
  const made = await rest.request('POST', '/drains', { body: { agents: ['all'], withinSeconds: 600 } });
  const { id } = (await made.json()) as { readonly id: string };
  const tag = (await rest.request('GET', `/drains/${id}`)).headers.get('etag') ?? '';
  const leaving = new AbortController();
  const headers = { 'if-none-match': tag };
  const request = rest.request('GET', `/drains/${id}?waitSeconds=55`, { headers, signal: leaving.signal });
  await rest.request('GET', '/status');
  leaving.abort();
  await expect(request).rejects.toThrow('abort');
  expect(rest.unexpected).toEqual([]);
});

test('a rollout is waited for until it is another one', async () => {
  const { rest } = await startRollouts();
  const body = { kind: 'profile', release: NAME, stage: 'upgrade', agents: ['all'] };
  expect((await rest.request('POST', '/rollouts', { body })).status).toBe(202);
  const tag = (await rest.request('GET', '/rollouts/r-1')).headers.get('etag') ?? '';
  const waiting = rest.request('GET', '/rollouts/r-1?waitSeconds=55', { headers: { 'if-none-match': tag } });
  await rest.request('POST', '/rollouts/r-1/pause');
  expect(await (await waiting).json()).toMatchObject({ id: 'r-1', state: 'paused' });
});
