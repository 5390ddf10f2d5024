// The memory of what was committed gives what the store gives: both are asked the same, step by step, over the real
// engine; and races between calls, over an engine whose answers the test holds back.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { rememberCommitted, type EngineStore } from '../../../../central/store/memory/committed.ts';
import type { EventFilter, EventMessage, StoredEvent } from '../../../../central/store/message-store.ts';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { unpackEntries } from '../../../../central/store/sql/packed-items.ts';
import { createReads, type Reads } from '../../../../central/store/sql/reads.ts';
import { databasePath } from '../../../../central/store/sqlite/threads/thread-data.ts';
import type { Store } from '../../../../central/store/store.ts';
import type { ApiTokenRecord } from '../../../../central/store/token-store.ts';
import type { Item } from '../../../../shared/delivery/message.ts';
import { openReader } from '../../../../shared/sqlite/database.ts';
import { WorkerHost } from '../../../../shared/sqlite/worker/host.ts';
import { ACT, claimOf, DAY, items, message, NOW, online, registered, ROOM } from '../samples.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

afterEach(() => void vi.restoreAllMocks());

/** Numbers from 0 up to `below`, the same in each run (Park and Miller's generator). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

describe('over the real engine, every answer is the one of the database', () => {
  let folder: string;
  let store: Store;
  let database: ReturnType<typeof openReader>;
  let raw: Reads;
  let readByStore: number;

  beforeEach(async () => {
    folder = temporaryFolder();
    store = await openSqliteStore({
      folder,
      deduplicationMs: DAY,
      onFailure: (error) => {
        throw error;
      },
    });
    database = openReader(databasePath(folder), 1024);
    raw = createReads(database, []);
    readByStore = 0;
    // oxlint-disable-next-line typescript/unbound-method -- called with the host that it belongs to
    const { call } = WorkerHost.prototype;
    vi.spyOn(WorkerHost.prototype, 'call').mockImplementation(function (this: WorkerHost<never>, method, ...rest) {
      if (['readEvents', 'readCommands', 'prunedThrough', 'lastCursor'].includes(method)) readByStore += 1;
      return call.call(this, method, ...rest) as never;
    });
  });
  afterEach(async () => {
    database.close();
    await store.stop();
  });

  function rawEvents(after: number, filter: EventFilter, limit: number): StoredEvent[] {
    for (let from = after; ;) {
      const { events, through, last } = raw.readEvents(from, filter, limit);
      if (events.length > 0 || through >= last) return events;
      from = through;
    }
  }

  it('of events: in order, filtered, pruned, repeated, in small and in large appends', async () => {
    const next = numbers(11);
    const epochs = { a: await online(store, 'a'), b: await online(store, 'b') };
    const last = { a: 0, b: 0 };
    let now = NOW;
    let asked = 0;
    for (let step = 0; step < 70; step += 1) {
      now += next(DAY / 6);
      const id = next(2) === 0 ? 'a' : 'b';
      const count = next(12) === 0 ? 65 + next(40) : next(5);
      const appended: Item[] = Array.from({ length: count }, (_, i) =>
        next(9) === 0
          ? { kind: 'tombstone', id: `t${step}-${i}`, source: '/test', reason: 'expired' }
          : {
              kind: 'message',
              message: message(`m${next(6) === 0 ? next(50) : `${step}-${i}`}`, {
                type: `type ${next(3)}`,
                source: `/source/${next(3)}`,
              }),
            },
      );
      last[id] = await store.inbox.append(id, epochs[id], last[id] + 1, framesOf(last[id] + 1, appended), now);
      if (next(25) === 0) {
        const olderThan = now - DAY / 4;
        await store.prune({
          now,
          eventsOlderThan: olderThan,
          deadLettersOlderThan: olderThan,
          deduplicationOlderThan: olderThan,
          incidentsOlderThan: olderThan,
        });
      }
      const newest = raw.lastCursor();
      expect(await store.inbox.lastCursor()).toBe(newest);
      for (let look = 0; look < 4; look += 1) {
        const after = Math.max(0, newest - next(look === 0 ? 400 : 12));
        const filter = {
          ...(next(3) === 0 ? { agentId: next(2) === 0 ? 'a' : 'b' } : {}),
          ...(next(3) === 0 ? { type: `type ${next(3)}` } : {}),
          ...(next(3) === 0 ? { source: `/source/${next(4)}` } : {}),
        };
        const limit = 1 + next(20);
        asked += 2;
        expect(await store.inbox.read(after, filter, limit)).toEqual(rawEvents(after, filter, limit));
        expect(await store.inbox.prunedThrough(after)).toBe(raw.prunedThrough(after));
      }
    }
    // Most readers are up to date.
    expect(readByStore).toBeLessThan(asked / 2);
  });

  it('of commands: appended, repeated, acknowledged, expired, numbered again, with and without a session', async () => {
    const next = numbers(12);
    const ids = ['a', 'b'];
    const state = new Map<string, { epoch: number; known: number }>();
    for (const id of ids) state.set(id, { epoch: await online(store, id), known: 0 });
    let now = NOW;
    let asked = 0;
    for (let step = 0; step < 90; step += 1) {
      now += 1_000;
      const id = ids[next(2)] ?? 'a';
      const log = state.get(id) ?? { epoch: 0, known: 0 };
      const stored = unpackEntries(raw.readCommands(id, 0, 10_000, 100_000_000));
      switch (next(14)) {
        case 0: {
          if (next(2) === 0) break;
          if (next(2) === 0) await store.agents.endSession({ agentId: id, epoch: log.epoch, now, reason: 'test' });
          // An agent that has forgotten everything: the log is numbered again once something was acknowledged.
          const { epoch, down } = await store.agents.claimSession(claimOf(id));
          log.epoch = epoch;
          log.known = down.next - 1;
          break;
        }
        case 1:
        case 2:
        case 3: {
          const count = next(5) === 0 ? 10 + next(30) : 1 + next(3);
          const messages = Array.from({ length: count }, (_, i) =>
            message(`c${next(8) === 0 ? next(200) : `${step}-${i}`}`, {
              expiresAt: next(15) === 0 ? now + next(20_000) : null,
            }),
          );
          await store.outbox.append(id, messages, ROOM, now);
          break;
        }
        case 4:
        case 5: {
          const through = stored[next(stored.length + 1)]?.number;
          if (through !== undefined) {
            log.known = Math.max(log.known, through);
            await store.outbox.acknowledge(id, log.epoch, through);
          }
          break;
        }
        case 6:
          if (next(2) === 0) await store.outbox.expire(now);
          break;
        default:
      }
      const newest = unpackEntries(raw.readCommands(id, 0, 10_000, 100_000_000)).at(-1)?.number ?? log.known;
      for (let look = 0; look < 4; look += 1) {
        const after = Math.max(log.known, newest - next(look === 0 ? 30 : 3));
        const [maxItems, maxBytes] = [1 + next(20), 1 + next(4_000)];
        asked += 1;
        expect(await store.outbox.read(id, after, maxItems, maxBytes)).toEqual(
          unpackEntries(raw.readCommands(id, after, maxItems, maxBytes)),
        );
      }
    }
    expect(readByStore).toBeLessThan(asked);
    await store.agents.remove('a', ACT);
    await expect(store.outbox.read('a', 0, 1, 1)).rejects.toMatchObject({ code: 'agent_unknown' });
  });

  it('of tokens: one that was removed is unknown at once, one that cannot be removed is not', async () => {
    const record: ApiTokenRecord = {
      id: '1',
      name: 'n',
      role: 'administrator',
      hash: 'h',
      createdAt: NOW,
      createdBy: 'test',
      expiresAt: null,
      lastUsedAt: null,
      scope: null,
    };
    await store.tokens.addApiToken(record, ACT);
    await store.tokens.addApiToken({ ...record, id: '2', role: 'viewer' }, ACT);
    for (const id of ['1', '2', '1', '2']) expect(await store.tokens.getApiToken(id)).toMatchObject({ id });
    await store.tokens.changeApiToken('2', { role: 'operator' }, null, ACT);
    expect(await store.tokens.getApiToken('2')).toMatchObject({ role: 'operator' });
    await store.tokens.removeApiToken('2', ACT);
    expect(await store.tokens.getApiToken('2')).toBeUndefined();
    await expect(store.tokens.removeApiToken('1', ACT)).rejects.toMatchObject({ code: 'last_administrator' });
    expect(await store.tokens.getApiToken('1')).toEqual(record);
  });

  it('of the commands of an agent that another one replaced under the same id', async () => {
    await online(store, 'a');
    expect(await store.outbox.read('a', 0, 9, 9_999)).toEqual([]);
    await store.outbox.append('a', [message('c1')], ROOM, NOW);
    await store.agents.remove('a', ACT);
    await store.tokens.addEnrollmentToken(
      {
        id: 'again',
        hash: 'h',
        createdAt: NOW,
        createdBy: 'x',
        expiresAt: NOW + DAY,
        uses: 0,
        maxUses: 1,
        agentName: null,
      },
      ACT,
    );
    await store.agents.register(
      { id: 'a', name: 'a', publicKey: 'other', keyThumbprint: 'other', now: NOW },
      'again',
      ACT,
    );
    expect(await store.outbox.read('a', 0, 9, 9_999)).toEqual([]);
    await registered(store, 'b');
    expect(await store.outbox.read('b', 0, 9, 9_999)).toEqual([]);
  });
});

/** An engine whose answers are given by hand: each call waits until the test answers it. */
function byHand() {
  const waiting = new Map<string, ((value: unknown) => void)[]>();
  const called = (name: string) => () =>
    new Promise((resolve) => waiting.set(name, [...(waiting.get(name) ?? []), resolve]));
  const answer = async (name: string, value: unknown): Promise<void> => {
    waiting.get(name)?.shift()?.(value);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const part = (...names: string[]) => Object.fromEntries(names.map((name) => [name, called(name)]));
  const engine = {
    agents: part('claimSession', 'endSession', 'remove'),
    outbox: Object.fromEntries(
      ['append', 'read', 'acknowledge', 'expire'].map((name) => [name, called(`commands.${name}`)]),
    ),
    inbox: { ...part('append', 'read', 'prunedThrough'), lastCursor: async () => 7 },
    tokens: part('getApiToken', 'removeApiToken'),
  } as unknown as EngineStore;
  return { engine, answer, calls: (name: string) => waiting.get(name)?.length ?? 0 };
}

const stored = (cursor: number): StoredEvent => ({
  cursor,
  agentId: 'a',
  incarnation: 'i',
  number: cursor,
  receivedAt: NOW,
  json: '{}',
});

/** A session for which commands may wait. */
const claimed = (epoch: number) => ({ epoch, newest: 1, down: { incarnation: 'i', next: 1, missing: null } });

const textOf = (number: number): EventMessage => ({ number, type: 't', source: '/s', json: `{"n":${number}}` });

describe('while calls are on their way', () => {
  it('an event that a reader saw before its append was answered is not forgotten by the next reader', async () => {
    const { engine, answer, calls } = byHand();
    const { inbox } = await rememberCommitted(engine);
    const appending = inbox.append('a', 1, 8, framesOf(8, items('e8')), NOW);
    // This reader is behind what is remembered; the reading thread sees the commit already.
    const behind = inbox.read(5, {}, 10);
    await answer('read', [stored(6), stored(7), stored(8)]);
    await behind;
    expect(await inbox.lastCursor()).toBe(8);
    // An empty answer from memory would say that there is nothing behind 7.
    const upToDate = inbox.read(7, {}, 10);
    expect(calls('read')).toBe(1);
    await answer('read', [stored(8)]);
    expect(await upToDate).toHaveLength(1);
    await answer('append', { through: 8, incarnation: 'i', firstCursor: 8, stored: 1, events: [textOf(8)] });
    expect(await appending).toBe(8);
    expect(await inbox.read(7, {}, 10)).toMatchObject([{ cursor: 8 }]);
    expect(calls('read')).toBe(0);
  });

  it('cursors that this process did not append leave the reads before them to the store', async () => {
    const { engine, answer, calls } = byHand();
    const { inbox } = await rememberCommitted(engine);
    const appending = inbox.append('a', 1, 1, framesOf(1, items('e1', 'e2')), NOW);
    await answer('append', {
      through: 2,
      incarnation: 'i',
      firstCursor: 20,
      stored: 2,
      events: [textOf(1), textOf(2)],
    });
    await appending;
    expect(await inbox.lastCursor()).toBe(21);
    expect(await inbox.read(19, {}, 10)).toMatchObject([{ cursor: 20 }, { cursor: 21 }]);
    void inbox.read(18, {}, 10);
    expect(calls('read')).toBe(1);
  });

  it('an empty read that an append has overtaken does not say that the log ends there', async () => {
    const { engine, answer, calls } = byHand();
    const { agents, outbox } = await rememberCommitted(engine);
    void agents.claimSession(claimOf('a'));
    await answer('claimSession', claimed(1));
    const reading = outbox.read('a', 0, 9, 999);
    const appending = outbox.append('a', [message('c1')], ROOM, NOW);
    await answer('commands.append', [{ outcome: 'stored', number: 1 }]);
    await appending;
    await answer('commands.read', []);
    expect(await reading).toEqual([]);
    void outbox.read('a', 0, 9, 999);
    expect(calls('commands.read')).toBe(1);
  });

  it('a read that began before the log was numbered again says nothing of the new one', async () => {
    const { engine, answer, calls } = byHand();
    const { agents, outbox } = await rememberCommitted(engine);
    void agents.claimSession(claimOf('a'));
    await answer('claimSession', claimed(1));
    const reading = outbox.read('a', 9, 9, 999);
    void agents.claimSession(claimOf('a'));
    await answer('commands.read', []);
    await reading;
    await answer('claimSession', claimed(2));
    void outbox.read('a', 9, 9, 999);
    expect(calls('commands.read')).toBe(1);
  });

  it('a command that expired is read from the store as soon as it may be something else there', async () => {
    const { engine, answer, calls } = byHand();
    const { agents, outbox } = await rememberCommitted(engine);
    void agents.claimSession(claimOf('a'));
    await answer('claimSession', claimed(1));
    void outbox.read('a', 0, 9, 999);
    await answer('commands.read', []);
    void outbox.append('a', [message('c1', { expiresAt: NOW + 5 })], ROOM, NOW);
    await answer('commands.append', [{ outcome: 'stored', number: 1 }]);
    expect(await outbox.read('a', 0, 9, 999)).toMatchObject([{ number: 1, expiresAt: NOW + 5 }]);
    void outbox.expire(NOW + 5);
    void outbox.read('a', 0, 9, 999);
    expect(calls('commands.read')).toBe(1);
  });

  it('a token that is removed while it is looked up is not remembered', async () => {
    const { engine, answer, calls } = byHand();
    const { tokens } = await rememberCommitted(engine);
    const record = { id: 't' };
    const looking = tokens.getApiToken('t');
    const removing = tokens.removeApiToken('t', ACT);
    await answer('removeApiToken', undefined);
    await removing;
    await answer('getApiToken', record);
    await looking;
    void tokens.getApiToken('t');
    expect(calls('getApiToken')).toBe(1);
    await answer('getApiToken', undefined);

    const during = tokens.removeApiToken('t', ACT);
    void tokens.getApiToken('t');
    await answer('getApiToken', record);
    await answer('removeApiToken', undefined);
    await during;
    void tokens.getApiToken('t');
    expect(calls('getApiToken')).toBe(1);
  });
});
