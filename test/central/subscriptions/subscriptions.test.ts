// Webhooks, to real receivers over TLS: nothing is lost, the order of each agent is kept, and nothing else waits.
import { createHmac } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { createMetrics } from '../../../central/metrics.ts';
import { until } from '../../flow/processes.ts';
import { makeBank } from '../pki/server/bank.ts';
import { DAY } from '../store/samples.ts';
import { ADMINISTRATOR, authority, start, startReceiver, type Delivered, type Receiver, type Scene } from './scene.ts';

const HOUR = 3_600_000;

const numbered = (from: number, count: number, more: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ id: String(from + i), ...more }));
const idsOf = (requests: readonly Delivered[]): string[] =>
  requests.flatMap(({ events }) => events.map(({ id, queuegateagent }) => `${queuegateagent} ${id}`));
const received = async ({ requests }: Receiver, count: number): Promise<void> => {
  await until(() => (requests.flatMap(({ events }) => events).length >= count ? true : undefined));
};

describe('a webhook', () => {
  test('gets the events from its creation on as signed batches, each with its agent, byte for byte, and each once', async () => {
    const receiver = await startReceiver();
    const scene = await start();
    await scene.append('a1', [{ id: 'before' }]);
    const { view, secret } = await scene.create(receiver.url);
    expect(view).toMatchObject({ state: 'active', cursor: 1, lag: { count: 0, seconds: 0 } });
    await scene.append('a1', [{ id: '1', data: { umlaut: 'ü', number: 1e2 } }, { id: '2' }]);
    await scene.append('a2', [{ id: '1' }]);
    await received(receiver, 3);
    expect(idsOf(receiver.requests)).toEqual(['a1 1', 'a1 2', 'a2 1']);
    expect(receiver.requests[0]?.body).toContain('"data":{"umlaut":"ü","number":100}');
    for (const { headers, body } of receiver.requests) {
      expect(headers['content-type']).toBe('application/cloudevents-batch+json; charset=utf-8');
      const [id, timestamp] = [String(headers['webhook-id']), String(headers['webhook-timestamp'])];
      const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
      expect(key).toHaveLength(32);
      const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
      expect(headers['webhook-signature']).toBe(`v1,${expected}`);
      expect(Math.abs(Date.now() / 1000 - Number(timestamp))).toBeLessThan(60);
    }
    await until(async () => ((await scene.store.subscriptions.list())[0]?.cursor === 4 ? true : undefined));
    const next = await scene.restart();
    await scene.append('a1', [{ id: '3' }]);
    await received(receiver, 4);
    expect(idsOf(receiver.requests)).toHaveLength(4);
    expect((await next.deliveries('tickets', { limit: 10 }))[0]).toMatchObject({
      status: 204,
      attempt: 1,
      failure: null,
    });
  });

  test('that is down gets everything in order once it is back, with the same webhook-id for the same batch', async () => {
    const receiver = await startReceiver();
    const port = Number(new URL(receiver.url).port);
    const scene = await start();
    await scene.create(receiver.url);
    await receiver.stop();
    await scene.append('a1', numbered(1, 250));
    await until(() => (scene.waits.length >= 3 ? true : undefined));
    expect(await scene.subscriptions.find('tickets')).toMatchObject({
      state: 'failing',
      failing: { failure: { code: 'webhook_unreachable' } },
      lag: { count: 250 },
    });
    const again = await startReceiver(port);
    again.answer = (response, number) => void response.writeHead(number === 1 ? 500 : 200).end();
    await received(again, 350);
    expect(again.requests[1]?.headers['webhook-id']).toBe(again.requests[0]?.headers['webhook-id']);
    expect(again.requests[2]?.headers['webhook-id']).not.toBe(again.requests[0]?.headers['webhook-id']);
    expect(idsOf(again.requests.slice(1))).toEqual(numbered(1, 250).map(({ id }) => `a1 ${id}`));
    await until(async () => ((await scene.subscriptions.find('tickets')).state === 'active' ? true : undefined));
  });

  test('that is down for an hour is tried less and less often, and then gets all of it, in the order of each agent', async () => {
    const receiver = await startReceiver();
    const port = Number(new URL(receiver.url).port);
    const began = Date.now();
    let clock = began;
    let again: Receiver | undefined;
    const waits: number[] = [];
    const appended = new Map<string, string[]>([
      ['a1', []],
      ['a2', []],
    ]);
    const slowest = { ms: 0 };
    const scene: Scene = await start({
      now: () => clock,
      timing: {
        timeoutMs: 2_000,
        // The time passes here, agents go on sending meanwhile, and after an hour the receiver is back.
        async sleep(ms) {
          clock += ms;
          waits.push(ms);
          for (const [agentId, ids] of appended) {
            const events = numbered(ids.length + 1, 40);
            const from = performance.now();
            await scene.append(agentId, events);
            slowest.ms = Math.max(slowest.ms, performance.now() - from);
            ids.push(...events.map(({ id }) => id));
          }
          if (clock - began >= HOUR) again ??= await startReceiver(port);
        },
      },
    });
    await scene.create(receiver.url);
    await receiver.stop();
    await scene.append('a1', [{ id: 'first' }]);
    const back = await until(() => again);
    const down = [...waits];
    await until(async () => {
      const { state, lag } = await scene.subscriptions.find('tickets');
      return state === 'active' && lag.count === 0 ? true : undefined;
    });
    // 5 s at first, then at most 5 minutes, and never less than half of it.
    expect(down.length).toBeLessThan(HOUR / 150_000 + 8);
    expect(Math.max(...down)).toBeLessThanOrEqual(300_000);
    expect(Math.min(...down.slice(7))).toBeGreaterThanOrEqual(150_000);
    for (const [agentId, ids] of appended) {
      const own = idsOf(back.requests).filter((one) => one.startsWith(`${agentId} `));
      expect(own).toEqual([...(agentId === 'a1' ? ['a1 first'] : []), ...ids.map((id) => `${agentId} ${id}`)]);
    }
    expect(slowest.ms).toBeLessThan(2_000);
    expect(await scene.subscriptions.find('tickets')).toMatchObject({ failing: null });
  });

  test('that answers 410 is paused with the reason, is a problem, and continues where it was when it is resumed', async () => {
    const receiver = await startReceiver();
    receiver.answer = (response) => void response.writeHead(410).end();
    const scene = await start();
    await scene.create(receiver.url);
    await scene.append('a1', numbered(1, 2));
    await until(async () => ((await scene.subscriptions.find('tickets')).state === 'paused' ? true : undefined));
    expect(scene.subscriptions.problems()).toMatchObject([{ code: 'subscription_paused' }]);
    expect((await scene.store.audit.list({ limit: 1 }))[0]).toMatchObject({
      action: 'subscriptions.pause',
      who: 'central',
    });
    receiver.answer = undefined;
    await scene.append('a1', [{ id: '3' }]);
    expect(await scene.subscriptions.resume('TICKETS', ADMINISTRATOR)).toMatchObject({ state: 'active' });
    await received(receiver, 5);
    expect(idsOf(receiver.requests).slice(-3)).toEqual(['a1 1', 'a1 2', 'a1 3']);
    expect(scene.subscriptions.problems()).toEqual([]);
  });

  test('whose certificate is not trusted gets nothing, and everything after its authority is set', async () => {
    const other = makeBank(['localhost']);
    const receiver = await startReceiver(0, other);
    const scene = await start();
    await scene.create(receiver.url);
    await scene.append('a1', numbered(1, 2));
    await until(() => (scene.waits.length > 0 ? true : undefined));
    const { failing } = await scene.subscriptions.find('tickets');
    expect(failing?.failure).toMatchObject({ code: 'webhook_tls_failed' });
    expect(receiver.requests).toEqual([]);
    await scene.subscriptions.set('tickets', { ca: other.root.certificate }, null, ADMINISTRATOR);
    await received(receiver, 2);
    // The authority of another one is none of its own.
    await scene.subscriptions.set('tickets', { ca: authority().root.certificate }, null, ADMINISTRATOR);
    await scene.append('a1', [{ id: '3' }]);
    await until(async () => ((await scene.subscriptions.find('tickets')).state === 'failing' ? true : undefined));
    expect(idsOf(receiver.requests)).toEqual(['a1 1', 'a1 2']);
  });

  test('that does not answer in time is tried again; events are appended meanwhile as without it', async () => {
    const receiver = await startReceiver();
    const scene = await start({ timing: { timeoutMs: 300 } });
    receiver.answer = () => undefined;
    await scene.create(receiver.url);
    for (let i = 1; i <= 20; i += 1) await scene.append('a1', [{ id: String(i) }]);
    await until(async () => {
      const { failing } = await scene.subscriptions.find('tickets');
      return failing?.failure.code === 'webhook_timeout' ? true : undefined;
    });
    expect(await scene.store.inbox.lastCursor()).toBe(20);
    await scene.subscriptions.pause('tickets', ADMINISTRATOR);
    expect(await scene.subscriptions.find('tickets')).toMatchObject({ state: 'paused', lag: { count: 20 } });
  });

  test('slows Central down by Retry-After; a redirect is a failure and is not followed; a long answer is not read', async () => {
    const elsewhere = await startReceiver();
    const receiver = await startReceiver();
    receiver.answer = (response, number) => {
      if (number === 1) return void response.writeHead(503, { 'retry-after': '120' }).end();
      if (number === 2) return void response.writeHead(307, { location: elsewhere.url }).end();
      if (number === 3) return void response.writeHead(200).end(Buffer.alloc(512 * 1024));
      response.writeHead(204).end();
    };
    const scene = await start();
    await scene.create(receiver.url);
    await scene.append('a1', [{ id: '1' }]);
    await until(async () => ((await scene.subscriptions.find('tickets')).lag.count === 0 ? true : undefined));
    expect(scene.waits[0]).toBe(120_000);
    expect(scene.waits).toHaveLength(2);
    expect(elsewhere.requests).toEqual([]);
    expect(await scene.subscriptions.deliveries('tickets', { limit: 9 })).toMatchObject([
      { attempt: 3, status: 200, failure: null },
      { attempt: 2, status: 307, failure: { code: 'webhook_refused' } },
      { attempt: 1, status: 503 },
    ]);
  });

  test('gets only what fits its filter; its position passes what does not', async () => {
    const receiver = await startReceiver();
    const north = new Set(['a1']);
    const scene = await start({ agents: { idsWith: async () => north } });
    const filter = { type: 'ticket', source: '/printer', agentId: null, label: 'region=north' };
    await scene.create(receiver.url, { filter });
    const fitting = { type: 'ticket', source: '/printer' };
    await scene.append('a1', [
      { id: '1', ...fitting },
      { id: '2', type: 'ticket' },
      { id: '3', source: '/printer' },
    ]);
    await scene.append('a2', [{ id: '4', ...fitting }]);
    await scene.append('a1', [{ id: '5', ...fitting }, { id: '6' }]);
    await received(receiver, 2);
    expect(idsOf(receiver.requests)).toEqual(['a1 1', 'a1 5']);
    await until(async () => ((await scene.subscriptions.find('tickets')).cursor === 6 ? true : undefined));
    expect(await scene.subscriptions.find('tickets')).toMatchObject({ lag: { count: 0, seconds: 0 } });
  });

  test('is replayed from any position, with other ids; a rotated secret signs beside the new one for a day', async () => {
    const receiver = await startReceiver();
    const clock = { ms: Date.now() };
    const scene = await start({ now: () => clock.ms });
    const { secret } = await scene.create(receiver.url);
    await scene.append('a1', numbered(1, 3));
    await received(receiver, 3);
    await scene.subscriptions.replay('tickets', 1, ADMINISTRATOR);
    await received(receiver, 5);
    expect(idsOf(receiver.requests).slice(3)).toEqual(['a1 2', 'a1 3']);
    const rotated = await scene.subscriptions.rotateSecret('tickets', ADMINISTRATOR);
    expect(rotated.secret).not.toBe(secret);
    const signedBy = ({ headers, body }: Delivered, one: string): boolean => {
      const text = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
      const key = Buffer.from(one.replace('whsec_', ''), 'base64');
      const signature = createHmac('sha256', key).update(text).digest('base64');
      return String(headers['webhook-signature']).split(' ').includes(`v1,${signature}`);
    };
    await scene.append('a1', [{ id: '4' }]);
    await received(receiver, 6);
    const [both] = receiver.requests.slice(-1);
    expect([signedBy(both!, secret), signedBy(both!, rotated.secret)]).toEqual([true, true]);
    clock.ms += DAY + 1;
    await scene.append('a1', [{ id: '5' }]);
    await received(receiver, 7);
    const [one] = receiver.requests.slice(-1);
    expect([signedBy(one!, secret), signedBy(one!, rotated.secret)]).toEqual([false, true]);
  });

  test('misses events that were deleted before it got them: they are counted, and are a problem for a day', async () => {
    const receiver = await startReceiver();
    const scene = await start();
    await scene.create(receiver.url);
    await scene.subscriptions.pause('tickets', ADMINISTRATOR);
    for (const event of numbered(1, 5)) await scene.append('a1', [event]);
    const later = Date.now() + 1000;
    const limits = { now: later, deadLettersOlderThan: 0, deduplicationOlderThan: 0, incidentsOlderThan: 0 };
    await scene.store.prune({ ...limits, eventsOlderThan: later, undeliveredOlderThan: later });
    const gone = (await scene.store.inbox.prunedThrough(0)) ?? 0;
    expect(gone).toBeGreaterThan(0);
    await scene.subscriptions.resume('tickets', ADMINISTRATOR);
    await received(receiver, 5 - gone);
    await until(async () => ((await scene.subscriptions.find('tickets')).record.lostCount === gone ? true : undefined));
    expect(scene.subscriptions.problems()).toMatchObject([{ code: 'subscription_events_lost' }]);
    expect((await scene.store.subscriptions.list())[0]).toMatchObject({ lostCount: gone });
  });

  test('that is deleted gets nothing more; names and limits are those of the store', async () => {
    const receiver = await startReceiver();
    const scene = await start();
    await scene.create(receiver.url);
    await expect(scene.create(receiver.url, { name: 'Tickets' })).rejects.toMatchObject({
      code: 'subscription_name_taken',
    });
    await scene.subscriptions.remove('tickets', ADMINISTRATOR);
    await scene.append('a1', numbered(1, 2));
    await expect(scene.subscriptions.find('tickets')).rejects.toMatchObject({ code: 'subscription_unknown' });
    expect(await scene.subscriptions.list()).toEqual([]);
    expect(receiver.requests).toEqual([]);
  });
});

describe('the state of subscriptions', () => {
  test('is in the metrics, by name, and a failure of a minute is a problem', async () => {
    const receiver = await startReceiver();
    receiver.answer = (response) => void response.writeHead(500).end();
    const clock = { ms: Date.now() };
    const scene = await start({ now: () => clock.ms });
    await scene.create(receiver.url);
    await scene.append('a1', numbered(1, 3));
    await until(async () => ((await scene.subscriptions.find('tickets')).state === 'failing' ? true : undefined));
    expect(scene.subscriptions.problems()).toEqual([]);
    clock.ms += 60_000;
    expect(scene.subscriptions.problems()).toMatchObject([{ code: 'subscription_failing' }]);
    const metrics = createMetrics();
    await scene.subscriptions.measure(metrics);
    const text = await metrics.registry.metrics();
    expect(text).toContain('queuegate_subscription_lag_events{subscription="tickets"} 3');
    expect(text).toContain('queuegate_subscription_failing{subscription="tickets"} 1');
    expect(text).toMatch(/queuegate_subscription_lag_seconds\{subscription="tickets"\} (?:59|60|61)/);
  });

  test('a store that takes nothing for a while loses nothing: the batch is delivered again', async () => {
    const receiver = await startReceiver();
    const scene = await start();
    await scene.create(receiver.url);
    vi.spyOn(scene.store.subscriptions, 'record').mockRejectedValueOnce(new Error('store_reserve'));
    await scene.append('a1', [{ id: '1' }]);
    await received(receiver, 2);
    expect(idsOf(receiver.requests)).toEqual(['a1 1', 'a1 1']);
  });
});
