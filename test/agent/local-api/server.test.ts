import { request } from 'node:http';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import type { LocalApiPorts } from '../../../agent/local-api/types.ts';
import type { Message } from '../../../shared/delivery/message.ts';
import { endAll, openApi, type ApiSetting } from './parts.ts';

afterEach(endAll);

async function start(change: Partial<LocalApiPorts> = {}, setting: ApiSetting = {}) {
  const posted: Message[] = [];
  const waiting: (() => void)[] = [];
  const commands: { cursor: number; json: string }[] = [];
  const { api, token, port } = await openApi({
    ...setting,
    ports: {
      append: async (messages) => {
        posted.push(...messages);
        return messages.map((_message, index) => ({ outcome: 'stored', number: index + 1 }) as const);
      },
      take: async (_consumer, max) => commands.slice(0, max),
      waitForCommands: (_consumer, _timeoutMs, signal) =>
        new Promise<void>((resolve) => {
          waiting.push(resolve);
          signal.addEventListener('abort', () => resolve());
        }),
      acknowledge: async (_consumer, through) =>
        void commands.splice(
          0,
          commands.findIndex(({ cursor }) => cursor > through) === -1
            ? commands.length
            : commands.findIndex(({ cursor }) => cursor > through),
        ),
      now: () => Date.parse('2026-11-22T10:00:00Z'),
      ...change,
    },
  });
  const url = `http://127.0.0.1:${port}`;
  const call = async (method: string, path: string, body?: string, authorization = `Bearer ${token}`) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(authorization === '' ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Record<string, unknown> };
  };
  return { api, url, token, posted, commands, waiting, call };
}

describe('the local API', () => {
  it('refuses a missing and a wrong token, and says where the right one is', async () => {
    const { call, token, posted } = await start();
    for (const authorization of [
      '',
      'Bearer wrong',
      token,
      `bearer ${token}`,
      `Bearer ${token}x`,
      `Bearer ${'x'.repeat(8000)}`,
    ]) {
      const answer = await call('POST', '/api/v1/events', '{"type":"t"}', authorization);
      expect(answer).toMatchObject({ status: 401, body: { type: 'urn:queuegate:error:local_unauthorized' } });
      expect(String(answer.body['hint'])).toContain('local-api.json');
      expect(JSON.stringify(answer.body)).not.toContain(token);
    }
    expect(posted).toEqual([]);
  });

  it('listens on loopback only', async () => {
    const { url } = await start();
    const address = Object.values(networkInterfaces())
      .flatMap((entries) => entries ?? [])
      .find((entry) => !entry.internal && entry.family === 'IPv4')?.address;
    expect(address, 'this host has no address but loopback').toBeDefined();
    const outcome = await new Promise((resolve) => {
      request({ host: address, port: Number(new URL(url).port), timeout: 5000 }, () => resolve('answered'))
        .on('error', (error) => resolve('code' in error ? error.code : error.message))
        .end();
    });
    expect(outcome).toBe('ECONNREFUSED');
  });

  it('completes an event and answers with its number once it is on disk', async () => {
    const { call, posted } = await start();
    expect(await call('POST', '/api/v1/events', '{"type":"ticket.issued","data":{"n":1}}')).toMatchObject({
      status: 202,
      body: { items: [{ source: '/agents/branch', outcome: 'stored', number: 1 }] },
    });
    expect(JSON.parse(posted[0]?.json ?? '')).toMatchObject({
      specversion: '1.0',
      source: '/agents/branch',
      time: '2026-11-22T10:00:00.000Z',
      type: 'ticket.issued',
      data: { n: 1 },
    });
  });

  it('takes a batch whole or not at all, and names the event that is wrong', async () => {
    const { call, posted } = await start();
    const answer = await call('POST', '/api/v1/events', '[{"type":"a"},{"type":""}]');
    expect(answer).toMatchObject({ status: 400, body: { type: 'urn:queuegate:error:local_body_bad' } });
    expect(String(answer.body['detail'])).toContain('event 1: /type');
    expect(posted).toEqual([]);
  });

  it('refuses what is not JSON, an empty batch, a body that is too large, an unknown path and a bad query', async () => {
    const { call } = await start();
    expect(await call('POST', '/api/v1/events', 'hello')).toMatchObject({ status: 400 });
    expect(await call('POST', '/api/v1/events', '[]')).toMatchObject({ status: 400 });
    expect(await call('POST', '/api/v1/events', 'x'.repeat(1024 * 1024 + 1))).toMatchObject({ status: 413 });
    expect(await call('GET', '/v2')).toMatchObject({ status: 404, body: { code: 'local_not_found' } });
    expect(await call('GET', '/api/v1/commands?limit=0')).toMatchObject({
      status: 400,
      body: { type: 'urn:queuegate:error:local_query_bad' },
    });
    for (const path of ['/api/v1/commands?max=1', '/api/v1/status?foo=1'])
      expect(await call('GET', path)).toMatchObject({
        status: 400,
        body: {
          code: 'local_parameter_unknown',
          title: 'Local parameter unknown',
          detail: expect.stringContaining('allowed: '),
        },
      });
    expect(await call('POST', '/api/v1/commands/ack', '{"through":-1}')).toMatchObject({ status: 400 });
  });

  it('holds to the largest message that Central allows', async () => {
    const { call } = await start({ maxMessageBytes: () => 1024 });
    expect(await call('POST', '/api/v1/events', JSON.stringify({ type: 't', data: 'x'.repeat(2000) }))).toMatchObject({
      status: 400,
    });
  });

  it('gives out commands in order, waits for the next one, and forgets what was acknowledged', async () => {
    const { call, commands, waiting } = await start();
    const poll = call('GET', '/api/v1/commands?waitSeconds=30');
    while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
    commands.push({ cursor: 1, json: '{"type":"a"}' }, { cursor: 2, json: '{"type":"b"}' });
    for (const wake of waiting) wake();
    expect((await poll).body).toEqual({
      items: [
        { cursor: 1, command: { type: 'a' } },
        { cursor: 2, command: { type: 'b' } },
      ],
      next: null,
    });
    await call('POST', '/api/v1/commands/ack', '{"through":1}');
    expect((await call('GET', '/api/v1/commands')).body).toEqual({
      items: [{ cursor: 2, command: { type: 'b' } }],
      next: null,
    });
  });

  it('answers a long poll that waits when it stops', async () => {
    const { api, call, waiting } = await start();
    const poll = call('GET', '/api/v1/commands?waitSeconds=55');
    while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await api.stop();
    expect((await poll).body).toEqual({ items: [], next: null });
  });
});
