// The disk reserve of Central: one agent that sends as much as it can takes the disk down to the reserve and no
// further. Central goes on, administrators work, every other agent keeps its messages, and with space again all of it
// arrives. The disk is a small file system of the test's own.
import { spawnSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_BOUNDS } from '../../central/store/space/bounds.ts';
import { openSqliteStore } from '../../central/store/sqlite/sqlite-store.ts';
import type { Item, Message } from '../../shared/delivery/message.ts';
import { auditEntry, DAY, message, NOW, online, registered, ROOM } from '../central/store/samples.ts';
import { CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent } from '../flow/raw-agent.ts';
import { missing } from './tracer.ts';
import { Consumer, metric, onlineAgent, Producer, storedEvents, takenCommands } from './traffic.ts';
import { canMount, mountSmallDisk } from '../small-disk.ts';
import { framesOf } from '../shared/delivery/frames.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const MIB = 1024 * 1024;
const DISK_MIB = 96;
/** A quarter of the disk: the parameter's default is larger. */
const RESERVE = (DISK_MIB / 4) * MIB;
const DATA = 'x'.repeat(50_000);

async function smallDisk(): Promise<string> {
  const folder = await cleanup.folder();
  mountSmallDisk(folder, DISK_MIB, cleanup);
  return folder;
}

/** Makes the small disk larger, as an administrator would. */
function enlarge(disk: string): void {
  expect(spawnSync('mount', ['-o', 'remount,size=512m', disk]).status).toBe(0);
}

/** An agent that sends as fast as its window lets it, and goes on when it is asked to pause. */
class Flood {
  readonly raw: RawAgent;
  readonly #ended: Promise<void>;
  #sent = 0;
  #stopped = false;

  /** `makeItem` gets the number of the item. */
  constructor(raw: RawAgent, makeItem: (number: number) => unknown) {
    this.raw = raw;
    raw.send({ type: 'begin', incarnation: 'flood-flood-flood-flood', next: 1, missing: null });
    this.#ended = (async () => {
      while (!this.#stopped && raw.closed === undefined) {
        // Within the window: a peer that leaves it is ended at once.
        if (this.#sent - this.acknowledged < 48) {
          const items = Array.from({ length: 8 }, (_, i) => makeItem(this.#sent + 1 + i));
          raw.send({ type: 'messages', first: this.#sent + 1, items });
          this.#sent += items.length;
        } else await delay(5);
      }
    })();
  }

  get acknowledged(): number {
    return Number(this.raw.frames.findLast(({ type }) => type === 'ack')?.['through'] ?? 0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }
}

async function hostileAgent(central: CentralProcess): Promise<{ id: string; raw: RawAgent }> {
  await central.change({ 'websocket.enabled': true });
  const key = newKey();
  const id = await enrollKey(central, key, 'hostile');
  const raw = await RawAgent.ws(cleanup, central);
  await raw.welcomed({ id, key, name: 'hostile' });
  return { id, raw };
}

/** An event with so much data. */
function eventOf(id: string, bytes: number): Message {
  const event = { specversion: '1.0', id, source: '/test', type: 'test.thing', data: 'x'.repeat(bytes) };
  return message(id, { json: JSON.stringify(event) });
}

describe.skipIf(missing('root and the right to mount', canMount()))('the disk reserve under load', () => {
  it('one agent that floods events takes the disk to the reserve and no further: Central and its administrators go on, others keep their messages, and with space all of it arrives', async () => {
    const disk = await smallDisk();
    const central = await CentralProcess.start(cleanup, disk);
    const { id, agent } = await onlineAgent(cleanup, central, 'honest');
    const consumer = new Consumer(agent);
    const { id: hostile, raw } = await hostileAgent(central);
    const up = Producer.events(agent, 'up', { pauseMs: 20 });
    const down = Producer.commands(central, id, 'down', { pauseMs: 20 });
    await Promise.all([up.further(20), down.further(20)]);

    const flood = new Flood(raw, (number) => ({
      specversion: '1.0',
      id: `flood-${number}`,
      source: '/flood',
      type: 'flood',
      data: DATA,
    }));
    await raw.frame('pause');
    const problems = await until(async () => {
      const { problems: found } = (await central.rest('GET', '/status')).body as { problems: { code: string }[] };
      return found.some((problem) => problem.code === 'store_reserve') ? found : undefined;
    });
    expect(problems).toHaveLength(1);
    // New sessions meet a store that takes nothing new; the honest agent still accepts from its producers.
    await up.further(50);
    await until(() => down.refusals.length > 0 || undefined);
    expect(down.refusals[0]).toEqual({ status: 503, type: 'urn:queuegate:error:store_reserve', retryAfter: '60' });
    await expect(enrollKey(central, newKey(), 'late')).rejects.toThrow('store_reserve');
    const held = { acknowledged: flood.acknowledged, free: await metric(central, 'queuegate_store_free_bytes') };
    // An administrator works, again and again.
    for (let i = 0; i < 20; i += 1) {
      expect((await central.change({ 'events.retentionDays': 20 + i })).status).toBe(200);
      expect((await central.rest('POST', '/api-tokens', { name: `t${i}`, role: 'viewer' })).status).toBe(201);
    }
    await down.stop();
    expect(flood.acknowledged).toBe(held.acknowledged);
    expect(held.free).toBeGreaterThan(RESERVE / 2);
    expect(await metric(central, 'queuegate_store_reserve_bytes')).toBe(RESERVE);
    expect(central.process.running).toBe(true);
    expect(raw.closed).toBeUndefined();

    await flood.stop();
    enlarge(disk);
    await raw.frame('resume');
    await up.stop();
    expect(await storedEvents(central, id, up.accepted.length)).toEqual(up.accepted);
    expect(await takenCommands(consumer, down.accepted.length)).toEqual(down.accepted);
    const stored = await storedEvents(central, hostile, flood.acknowledged);
    expect(stored.slice(0, flood.acknowledged)).toEqual(
      Array.from({ length: flood.acknowledged }, (_, i) => `flood-${i + 1}`),
    );
    expect((await central.rest('GET', '/status')).body.problems).toEqual([]);
    expect(central.process.stdout.split('the disk reserve of the store is reached').length - 1).toBeLessThanOrEqual(2);
    await consumer.stop();
  }, 180_000);

  it('one agent that floods what is rejected keeps no more than its quota: it is never paused, the loss is counted, and others do not notice', async () => {
    const disk = await smallDisk();
    const central = await CentralProcess.start(cleanup, disk);
    await central.change({ 'deadLetters.maxBytesPerAgent': MIB });
    const { id, agent } = await onlineAgent(cleanup, central, 'honest');
    const { id: hostile, raw } = await hostileAgent(central);
    const up = Producer.events(agent, 'up', { pauseMs: 20 });
    const flood = new Flood(raw, (number) => ({
      specversion: '1.0',
      id: `flood-${number}`,
      source: '/flood',
      type: number,
      data: DATA,
    }));
    // Some 100 MB, more than the disk holds.
    await until(() => flood.acknowledged > 2_000 || undefined, 90_000);
    await up.further(20);
    await flood.stop();
    await up.stop();
    const lost = await until(async () => {
      const { items } = (await central.rest('GET', `/incidents?agent=${hostile}`)).body as {
        items: { code: string; count: number; detail: unknown }[];
      };
      return items.find(({ code }) => code === 'dead_letters_dropped');
    });
    expect(lost).toMatchObject({ detail: { direction: 'up', maxBytesPerAgent: MIB } });
    const { items: deadLetters } = (await central.rest('GET', `/dead-letters?agent=${hostile}&limit=1000`)).body as {
      items: { count: number; text: string }[];
    };
    const kept = deadLetters.reduce((sum, { count }) => sum + count, 0);
    expect(deadLetters.reduce((bytes, { text }) => bytes + text.length, 0)).toBeLessThan(MIB);
    expect(kept + lost.count).toBeGreaterThanOrEqual(2_000);
    expect(raw.frames.some(({ type }) => type === 'pause')).toBe(false);
    expect(await storedEvents(central, id, up.accepted.length)).toEqual(up.accepted);
    expect((await central.rest('GET', '/status')).body.problems).toEqual([]);
  }, 180_000);

  it('a writer that is faster than any look at the disk is refused by the store itself; essential writes, reads and pruning go on, and with space it goes on', async () => {
    const disk = await smallDisk();
    const failures: unknown[] = [];
    const store = await openSqliteStore({
      folder: disk,
      deduplicationMs: DAY,
      onFailure: (error) => failures.push(error),
    });
    cleanup.add(() => store.stop());
    await store.bound({ ...DEFAULT_BOUNDS, reserveBytes: 512 * MIB });
    const epoch = await online(store, 'a1');
    const batch = (number: number): Item[] =>
      Array.from({ length: 500 }, (_, i) => ({
        kind: 'message',
        message: eventOf(`${number}-${i}`, i % 2 === 0 ? 10 : 1_000),
      }));
    // Forty at once: no one looks at the disk in between. What is refused is sent again, as an agent does.
    let taken = 0;
    let refused: unknown;
    for (let before = -1; taken > before;) {
      before = taken;
      const outcomes = await Promise.allSettled(
        Array.from({ length: 40 }, (_, i) =>
          store.inbox.append(
            'a1',
            epoch,
            (before + i) * 500 + 1,
            framesOf((before + i) * 500 + 1, batch(before + i)),
            NOW,
          ),
        ),
      );
      taken += outcomes.filter(({ status }) => status === 'fulfilled').length;
      refused = outcomes.find((outcome) => outcome.status === 'rejected')?.reason;
    }
    expect(refused).toMatchObject({ code: 'store_reserve', retryable: true });
    expect(taken).toBeGreaterThan(10);
    expect(await store.space()).toMatchObject({ state: 'reserved', reserveBytes: RESERVE });
    const { bavail, bsize } = statfsSync(disk);
    expect(bavail * bsize).toBeGreaterThan(RESERVE / 2);

    await expect(store.outbox.append('a1', [message('c1')], ROOM, NOW)).rejects.toMatchObject({
      code: 'store_reserve',
    });
    await expect(registered(store, 'a2')).rejects.toMatchObject({ code: 'store_reserve' });
    for (let i = 0; i < 200; i += 1) await store.audit.append(auditEntry(`act ${i}`));
    expect(await store.inbox.read(0, {}, 10)).toHaveLength(10);
    // What is pruned is free inside the file: no disk has to grow for it.
    await store.prune({
      now: NOW + 1,
      eventsOlderThan: NOW + 1,
      deadLettersOlderThan: 0,
      deduplicationOlderThan: NOW + 1,
      incidentsOlderThan: 0,
    });
    expect((await store.space()).state).not.toBe('reserved');
    expect(await store.inbox.append('a1', epoch, taken * 500 + 1, framesOf(taken * 500 + 1, batch(taken)), NOW)).toBe(
      taken * 500 + 500,
    );
    expect(failures).toEqual([]);
  }, 120_000);
});
