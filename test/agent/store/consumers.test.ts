// Two programs on one agent: each has its commands, its cursor and its acknowledgement.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Routing, type ConsumerTypes } from '../../../agent/store/routing.ts';
import type { AgentStore } from '../../../agent/store/store.ts';
import type { Item } from '../../../shared/delivery/message.ts';
import { Clock, idsOf, message, openAt } from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const PRINTER = { name: 'printer', types: ['print*'] };
const DISPLAY = { name: 'display', types: ['show*'] };

describe('consumers of the inbox', () => {
  let clock: Clock;
  let folder: string;
  let store: AgentStore;

  async function open(...consumers: ConsumerTypes[]): Promise<string[]> {
    store = openAt(folder, { now: clock.now, inbox: { maxMessages: 100, maxBytes: 1_000_000 } });
    return await store.inbox.route(new Routing(consumers));
  }

  beforeEach(async () => {
    clock = new Clock();
    folder = temporaryFolder();
    await open(PRINTER, DISPLAY);
    await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
  });

  afterEach(async () => {
    await store.stop();
  });

  const command = (id: string, type: string, expiresAt: number | null = null): Item => ({
    kind: 'message',
    message: message(id, { type, expiresAt }),
  });

  async function take(consumer: string, max = 100): Promise<string[]> {
    const taken = await store.inbox.take(consumer, max);
    await store.inbox.deliver(consumer, taken.at(-1)?.cursor ?? 0);
    return idsOf(taken);
  }

  async function cursors(consumer: string): Promise<number[]> {
    return (await store.inbox.take(consumer, 100)).map(({ cursor }) => cursor);
  }

  const waiting = async (): Promise<Record<string, number>> =>
    Object.fromEntries((await store.inbox.consumers()).map(({ name, messages }) => [name, messages]));

  it('each get their commands only, and an acknowledgement of one leaves those of the others', async () => {
    await store.inbox.append(
      1,
      framesOf(1, [
        command('p1', 'print.a'),
        command('s1', 'show.a'),
        command('d1', 'other'),
        command('p2', 'print.b'),
        command('s2', 'show.b'),
      ]),
    );
    expect(await take('printer')).toEqual(['p1', 'p2']);
    expect(await take('display')).toEqual(['s1', 's2']);
    expect(await take('default')).toEqual(['d1']);
    await store.inbox.acknowledge('display', (await cursors('display'))[1] ?? 0);
    expect(await waiting()).toEqual({ default: 1, printer: 2, display: 0 });
    expect(await take('printer')).toEqual(['p1', 'p2']);
    expect(await store.inbox.depth()).toMatchObject({ messages: 3 });
    await expect(store.inbox.take('no-such', 1)).rejects.toMatchObject({ code: 'local_consumer_unknown' });
  });

  it('cannot acknowledge beyond what was delivered to them, nor the command of another one; after a restart they can what was delivered before', async () => {
    await store.inbox.append(1, framesOf(1, [command('p1', 'print'), command('s1', 'show'), command('p2', 'print')]));
    const [first = 0, second = 0] = await cursors('printer');
    const [shown = 0] = await cursors('display');
    for (const through of [9_999, second, first])
      await expect(store.inbox.acknowledge('printer', through)).rejects.toMatchObject({
        code: 'ack_beyond_delivered',
        status: 409,
      });
    expect(await take('printer', 1)).toEqual(['p1']);
    await expect(store.inbox.acknowledge('printer', second)).rejects.toMatchObject({ code: 'ack_beyond_delivered' });
    expect(await take('printer')).toEqual(['p1', 'p2']);
    await expect(store.inbox.acknowledge('printer', shown)).rejects.toMatchObject({
      code: 'cursor_unknown',
      status: 400,
    });
    await store.stop();
    await open(PRINTER, DISPLAY);
    await store.inbox.acknowledge('printer', second);
    await store.inbox.acknowledge('printer', first);
    expect(await take('printer')).toEqual([]);
    expect(await take('display')).toEqual(['s1']);
    expect(await store.inbox.consumers()).toMatchObject([
      { name: 'default', acknowledged: 0 },
      { name: 'printer', types: ['print*'], acknowledged: second, delivered: second, messages: 0, oldestAt: null },
      { name: 'display', acknowledged: 0, delivered: shown, messages: 1, oldestAt: clock.time },
    ]);
  });

  it('can acknowledge after a kill -9 what was delivered right before it, and nothing beyond', async () => {
    const killed = temporaryFolder();
    const script = join(import.meta.dirname, 'deliver-and-die.ts');
    expect(spawnSync(process.execPath, [script, killed], { encoding: 'utf8' })).toMatchObject({
      signal: 'SIGKILL',
      stderr: '',
    });
    const reopened = openAt(killed);
    const [first, second] = await reopened.inbox.take('default', 2);
    await expect(reopened.inbox.acknowledge('default', second?.cursor ?? 0)).rejects.toMatchObject({
      code: 'ack_beyond_delivered',
    });
    await reopened.inbox.acknowledge('default', first?.cursor ?? 0);
    expect(idsOf(await reopened.inbox.take('default', 2))).toEqual(['two']);
    await reopened.stop();
  });

  it('wait for their own commands only', async () => {
    let woken = '';
    const signal = new AbortController().signal;
    const all = ['printer', 'display'].map(async (consumer) => {
      await store.inbox.waitForCommands(consumer, 60_000, signal);
      woken += consumer;
    });
    await store.inbox.append(1, framesOf(1, [command('s1', 'show')]));
    await all[1];
    expect(woken).toBe('display');
    await store.inbox.append(2, framesOf(2, [command('p1', 'print')]));
    await all[0];
    // Behind what was taken there is nothing yet.
    const behind = store.inbox.waitForCommands('printer', 60_000, signal, store.inbox.lastCursor('printer'));
    await store.inbox.append(3, framesOf(3, [command('s2', 'show')]));
    expect(await Promise.race([behind.then(() => 'woken'), store.inbox.depth().then(() => 'waits')])).toBe('waits');
    await store.inbox.append(4, framesOf(4, [command('p2', 'print')]));
    await behind;
  });

  it('keep the commands that were stored for them when the routes change; those of a removed one go to default, in order and with new cursors', async () => {
    await store.inbox.append(
      1,
      framesOf(1, [
        command('p1', 'print'),
        command('d1', 'other'),
        command('s1', 'show'),
        command('p2', 'print'),
        command('d2', 'other'),
      ]),
    );
    expect(await take('default')).toEqual(['d1', 'd2']);
    const before = Math.max(...(await cursors('default')));
    await store.stop();
    expect(await open({ name: 'display', types: ['print*', 'show*'] })).toEqual(['printer']);
    expect(await take('display')).toEqual(['s1']);
    expect(await waiting()).toEqual({ default: 4, display: 1 });
    const moved = await cursors('default');
    expect(Math.min(...moved)).toBeGreaterThan(before);
    await store.inbox.acknowledge('default', before);
    expect(await take('default')).toEqual(['p1', 'd1', 'p2', 'd2']);
    await store.inbox.append(6, framesOf(6, [command('p3', 'print')]));
    expect(await take('display')).toEqual(['s1', 'p3']);
    await store.inbox.acknowledge('default', moved[3] ?? 0);
    expect(await waiting()).toEqual({ default: 0, display: 2 });
    expect(await store.inbox.depth()).toMatchObject({ messages: 2 });
  });

  it('expire on their own, and the totals follow', async () => {
    await store.inbox.setCentralTime(clock.time);
    await store.inbox.append(1, framesOf(1, [command('p1', 'print', clock.time + 5), command('s1', 'show')]));
    expect(await take('printer')).toEqual(['p1']);
    const [cursor = 0] = await cursors('printer');
    clock.time += 5;
    expect(await take('printer')).toEqual([]);
    await store.inbox.acknowledge('printer', cursor);
    expect(await waiting()).toEqual({ default: 0, printer: 0, display: 1 });
  });

  it('are reported with the first number that each has not acknowledged, in the present log of Central', async () => {
    await store.inbox.append(1, framesOf(1, [command('p1', 'print'), command('s1', 'show'), command('p2', 'print')]));
    await take('printer', 1);
    await store.inbox.acknowledge('printer', (await cursors('printer'))[0] ?? 0);
    expect(await store.inbox.consumerPositions()).toMatchObject({
      position: { incarnation: 'A', number: 3 },
      consumers: [
        { name: 'default', types: [], waitingFrom: null, waitingCount: 0 },
        { name: 'printer', types: ['print*'], waitingFrom: 3, waitingCount: 1 },
        { name: 'display', types: ['show*'], waitingFrom: 2, waitingCount: 1 },
      ],
    });
    // Numbers of a log that Central has given up mean nothing in the next one.
    await store.inbox.begin({ incarnation: 'B', next: 1, missing: null });
    await store.inbox.append(1, framesOf(1, [command('s2', 'show')]));
    expect((await store.inbox.consumerPositions()).consumers).toMatchObject([
      { name: 'default', waitingFrom: null },
      { name: 'printer', waitingFrom: null, waitingCount: 1 },
      { name: 'display', waitingFrom: 1, waitingCount: 2 },
    ]);
    expect(await take('display')).toEqual(['s1', 's2']);
  });

  it('are named when the inbox is full: the one that fills it most, from then on until there is room', async () => {
    const listener = vi.fn<() => void>();
    store.inbox.onChanged(listener);
    const many = Array.from({ length: 60 }, (_, index) => command(`p${index}`, 'print'));
    await store.inbox.append(
      1,
      framesOf(1, [...many, ...Array.from({ length: 40 }, (_, index) => command(`s${index}`, 'show'))]),
    );
    expect([store.inbox.fullness(), (await store.inbox.consumerPositions()).inboxFull]).toEqual([null, false]);
    clock.time += 5;
    const before = listener.mock.calls.length;
    const waits = store.inbox.append(101, framesOf(101, [command('s40', 'show')]));
    expect(store.inbox.fullness()).toMatchObject({
      since: clock.time,
      messages: 100,
      bounds: { maxMessages: 100, maxBytes: 1_000_000 },
      consumer: 'printer',
      waiting: 60,
    });
    expect((await store.inbox.consumerPositions()).inboxFull).toBe(true);
    // So that Central hears of it although nothing was stored.
    expect(listener.mock.calls.length).toBe(before + 1);
    await take('display', 1);
    await store.inbox.acknowledge('display', (await cursors('display'))[0] ?? 0);
    await waits;
    expect(store.inbox.fullness()).toBeNull();
    // A session that ends takes what waited with it; the inbox is full until somebody acknowledges.
    const next = store.inbox.append(102, framesOf(102, [command('s41', 'show')]));
    await nextTurn();
    await Promise.all([expect(next).rejects.toMatchObject({ code: 'session_over' }), store.inbox.position()]);
    expect(store.inbox.fullness()).toMatchObject({ consumer: 'printer' });
    await take('printer', 1);
    await store.inbox.acknowledge('printer', (await cursors('printer'))[0] ?? 0);
    expect(store.inbox.fullness()).toBeNull();
  });
});
