// A webhook the whole way: a program at a branch posts events, Central is killed in the middle, and the receiver gets each of them, in order.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { authority, startReceiver } from '../central/subscriptions/scene.ts';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

it('events of a branch reach a receiver in order, also over kill -9 of Central while the receiver is down', async () => {
  const folder = await cleanup.folder();
  const central = await CentralProcess.start(cleanup, folder);
  const agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
  await central.online('branch-1');
  const receiver = await startReceiver();
  const file = join(await cleanup.folder(), 'root.pem');
  await writeFile(file, authority().root.certificate);
  const create = ['subscriptions', 'create', '--name', 'tickets', '--target', receiver.url, '--target-ca-file', file];
  expect(await central.cli(...create)).toMatchObject({ code: 0 });
  const post = async (from: number, count: number): Promise<void> => {
    const events = Array.from({ length: count }, (_, i) => ({ type: 'com.example.ticket', id: String(from + i) }));
    expect((await agent.local('POST', '/api/v1/events', events)).status).toBe(202);
  };
  const ids = () => receiver.requests.flatMap(({ events }) => events.map(({ id }) => Number(id)));
  await post(1, 10);
  const refused = await until(async () => {
    const { body } = await central.rest('GET', '/subscriptions/tickets');
    return body.lastError === null ? undefined : body.lastError;
  });
  expect(refused).toMatchObject({ code: 'webhook_address_denied' });
  expect(ids()).toEqual([]);

  await central.change({ 'webhooks.allowedAddresses': ['127.0.0.1', '::1'] });
  await central.cli('subscriptions', 'resume', 'tickets');
  await until(() => (ids().length >= 10 ? true : undefined));
  receiver.answer = (response) => void response.writeHead(503).end();
  await post(11, 20);
  await until(async () =>
    (await central.rest('GET', '/subscriptions/tickets')).body.state === 'failing' ? true : undefined,
  );
  const before = receiver.requests.length;
  await central.process.stop('SIGKILL');
  receiver.answer = undefined;
  await CentralProcess.start(cleanup, folder);
  await until(() => (receiver.requests.slice(before).flatMap(({ events }) => events).length >= 20 ? true : undefined));
  expect(ids().slice(0, 10)).toEqual(Array.from({ length: 10 }, (_, i) => i + 1));
  const last = receiver.requests.slice(before).flatMap(({ events }) => events.map(({ id }) => Number(id)));
  expect(last).toEqual(Array.from({ length: 20 }, (_, i) => 11 + i));
});
