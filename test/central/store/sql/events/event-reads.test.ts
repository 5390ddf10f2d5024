// Reads with filters against a model that is a list, and the work that they take.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EventFilter } from '../../../../../central/store/message-store.ts';
import type { Item } from '../../../../../shared/delivery/message.ts';
import { framesOf } from '../../../../shared/delivery/frames.ts';
import { ACT, message, NOW } from '../../samples.ts';
import { inProcess } from '../../sqlite/events/in-process.ts';

const AGENTS = ['a1', 'a2', 'a3'] as const;
const TYPES = ['t', 't"quoted', 'tür', 't\\b'];
const SOURCES = ['/s', '/s/1', '/%C3%BC'];

const item: fc.Arbitrary<{ kind: Item['kind']; type: string; source: string; data: string }> = fc.record({
  kind: fc.constantFrom('message', 'message', 'message', 'message', 'tombstone', 'rejected'),
  type: fc.constantFrom(...TYPES),
  source: fc.constantFrom(...SOURCES),
  data: fc.oneof(fc.constantFrom('\n', '}{', '"type":"t"', '€', ''), fc.string({ unit: 'grapheme', maxLength: 40 })),
});
const append = fc.record({ agent: fc.constantFrom(...AGENTS), items: fc.array(item, { maxLength: 12 }) });
const filter: fc.Arbitrary<EventFilter> = fc.record(
  {
    agentId: fc.constantFrom(...AGENTS, 'a9'),
    type: fc.constantFrom(...TYPES, 'none'),
    source: fc.constantFrom(...SOURCES, '/none'),
  },
  { requiredKeys: [] },
);

/** The text of an event as a producer may write it: escapes or not, members in any order. */
function textOf(id: string, { type, source, data }: { type: string; source: string; data: string }): string {
  const plain = JSON.stringify({ data, specversion: '1.0', source, id, type });
  return id.endsWith('7') ? plain.replaceAll('t', String.raw`\u0074`).replace(String.raw`\u0074ype"`, 'type"') : plain;
}

describe('events in runs', () => {
  test('are read with every filter as from a list of them, in pages of any size, with what was sent byte for byte', () => {
    fc.assert(
      fc.property(
        fc.array(append, { maxLength: 12 }),
        fc.array(fc.tuple(filter, fc.integer({ min: 1, max: 9 }), fc.nat(40)), { minLength: 1, maxLength: 6 }),
        (appends, pages) => {
          const store = inProcess();
          const epochs = AGENTS.map((id) => store.online(id, { deduplicates: true }));
          const numbers = new Map<string, number>(AGENTS.map((id) => [id, 0]));
          const model: {
            cursor: number;
            agentId: string;
            number: number;
            type: string;
            source: string;
            json: string;
          }[] = [];
          for (const [at, { agent, items }] of appends.entries()) {
            const first = (numbers.get(agent) ?? 0) + 1;
            const sent = items.map(({ kind, ...attributes }, index): Item => {
              const id = `${at}-${index}`;
              if (kind !== 'message') return { kind, id, source: '/s', reason: 'r', json: '{}' };
              const json = textOf(id, attributes);
              const { type, source } = attributes;
              model.push({ cursor: model.length + 1, agentId: agent, number: first + index, type, source, json });
              return { kind, message: message(id, { type, source, json }) };
            });
            store.append(agent, epochs[AGENTS.indexOf(agent)] ?? 0, first, sent);
            numbers.set(agent, first - 1 + items.length);
          }
          for (const [{ agentId, type, source }, limit, after] of pages) {
            const expected = model.filter(
              (event) =>
                event.cursor > after &&
                (agentId === undefined || event.agentId === agentId) &&
                (type === undefined || event.type === type) &&
                (source === undefined || event.source === source),
            );
            const found = store.readAll(
              {
                ...(agentId === undefined ? {} : { agentId }),
                ...(type === undefined ? {} : { type }),
                ...(source === undefined ? {} : { source }),
              },
              limit,
              after,
            );
            expect(found).toEqual(
              expected.map(({ cursor, agentId: of, number, json }) => ({
                cursor,
                agentId: of,
                incarnation: `log of ${of}`,
                number,
                receivedAt: NOW,
                json,
              })),
            );
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  const batch = (first: number, count: number, changes: (n: number) => { type?: string; source?: string }): Item[] =>
    Array.from({ length: count }, (_, n) => ({
      kind: 'message',
      message: message(`e${first + n}`, changes(first + n)),
    }));

  test('are found where a run has more types and sources than it has keys, which are bounded', () => {
    const store = inProcess();
    const epoch = store.online('a1', { deduplicates: true });
    store.append(
      'a1',
      epoch,
      1,
      batch(1, 100, (n) => ({ type: `type ${n}`, source: `/${n % 2}` })),
    );
    store.append(
      'a1',
      epoch,
      101,
      batch(101, 100, () => ({ type: 'plain' })),
    );
    expect(store.readAll({ type: 'type 7' }, 10)).toMatchObject([{ cursor: 7 }]);
    expect(store.readAll({ type: 'type 7', source: '/0' }, 10)).toEqual([]);
    expect(store.readAll({ type: 'plain' }, 1000)).toHaveLength(100);
    expect(store.count('event_run_key')).toBe(2 + 3);
  });

  test('of which none matches take one look into the index, however many there are', () => {
    const store = inProcess();
    const epoch = store.online('a1', { deduplicates: true });
    for (let first = 1; first <= 3_000; first += 10)
      store.append(
        'a1',
        epoch,
        first,
        batch(first, 10, (n) => ({ type: n % 20 < 10 ? 'even' : 'odd' })),
      );
    for (const nothing of [{ type: 'none' }, { agentId: 'a9' }, { source: '/none', agentId: 'a1' }])
      expect(store.reads.readEvents(0, nothing, 100)).toEqual({ events: [], through: 3_000, last: 3_000 });
  });

  test('are read in steps of bounded work where two filters meet nowhere', () => {
    const store = inProcess();
    const epoch = store.online('a1', { deduplicates: true });
    const runs = 3_000;
    store.commit(() => {
      for (let run = 0; run < runs; run += 1)
        store.writes.appendEvents(
          'a1',
          epoch,
          run + 1,
          framesOf(run + 1, [
            { kind: 'message', message: message(`e${run}`, { source: `/${run % 2}`, type: `t${(run + 1) % 2}` }) },
          ]),
          NOW,
        );
    });
    const ends: number[] = [];
    for (let after = 0; after < runs; after = ends.at(-1) ?? runs) {
      const { events, through } = store.reads.readEvents(after, { type: 't0', source: '/0' }, 100);
      expect(events).toEqual([]);
      ends.push(through);
    }
    expect(ends.length).toBeGreaterThan(1);
    expect(ends.length).toBeLessThan(10);
  });

  test('are one row for each append, with few rows besides, and at most 0.52 KB each on the disk', () => {
    const store = inProcess();
    const epoch = store.online('a1', { deduplicates: true });
    const changes = (): number => Number(store.database.prepare('SELECT total_changes() AS n').get()?.['n']);
    const [frames, size] = [300, 100];
    const text = (n: number): string =>
      JSON.stringify({ specversion: '1.0', id: `e${n}`, source: '/till', type: 'sold', data: 'x'.repeat(140) });
    expect(Buffer.byteLength(text(100_000))).toBeGreaterThan(199);
    const before = changes();
    for (let first = 1; first <= frames * size; first += size) {
      const sent = batch(first, size, () => ({})).map((_, n): Item => {
        const json = text(100_000 + first + n);
        return {
          kind: 'message',
          message: message(`e${100_000 + first + n}`, { source: '/till', type: 'sold', json }),
        };
      });
      store.append('a1', epoch, first, sent);
    }
    // The run, its three keys, what was seen, and the position.
    expect((changes() - before) / frames).toBeLessThanOrEqual(6.1);
    expect(store.count('event_run')).toBe(frames);
    const bytes = Number(
      store.database.prepare('SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size').get()?.[
        'bytes'
      ],
    );
    expect(bytes / (frames * size)).toBeLessThanOrEqual(520);
  });

  test('are pruned by whole runs with their keys and with the logs of which nothing is left, but for the newest', () => {
    const store = inProcess();
    const [a1, a2] = [store.online('a1', { deduplicates: true }), store.online('a2', { deduplicates: true })];
    store.append(
      'a1',
      a1,
      1,
      batch(1, 10, () => ({})),
      NOW,
    );
    store.commit(() =>
      store.writes.beginInbox('a1', a1, { incarnation: 'next', next: 1, missing: null, deduplicates: true }, NOW),
    );
    store.append(
      'a2',
      a2,
      1,
      batch(1, 10, () => ({})),
      NOW + 10,
    );
    store.append(
      'a1',
      a1,
      1,
      batch(11, 10, () => ({})),
      NOW + 20,
    );
    const prune = (olderThan: number): void =>
      store.commit(() => {
        while (store.writes.pruneRuns(olderThan));
        store.writes.pruneOrigins(0);
      });
    prune(NOW + 10);
    expect(store.readAll({}, 100).map(({ cursor }) => cursor)).toEqual(Array.from({ length: 20 }, (_, n) => 11 + n));
    expect(store.readAll({ agentId: 'a1' }, 100)).toHaveLength(10);
    expect([store.count('event_run_key'), store.count('origin')]).toEqual([6, 2]);
    expect([store.reads.prunedThrough(0), store.reads.prunedThrough(9), store.reads.prunedThrough(10)]).toEqual([
      10,
      10,
      null,
    ]);
    expect(store.reads.figures()).toMatchObject({ events: 20, unconvertedEvents: 0 });
    prune(NOW + 1_000);
    expect(store.readAll({}, 100)).toHaveLength(10);
    expect([store.count('event_run_key'), store.reads.lastCursor()]).toEqual([3, 30]);
    // Of a removed agent nothing is left once all events up to then are pruned.
    store.commit(() => store.writes.removeAgent(ACT, 'a2'));
    store.append(
      'a1',
      a1,
      11,
      batch(21, 1, () => ({})),
      NOW + 1_000,
    );
    prune(NOW + 1_000);
    expect(store.count('origin')).toBe(1);
  });

  test('of a log that goes on after it had ended keep their log', () => {
    const store = inProcess();
    const epoch = store.online('a1', { deduplicates: true });
    const begin = (incarnation: string): void =>
      store.commit(() =>
        store.writes.beginInbox('a1', epoch, { incarnation, next: 1, missing: null, deduplicates: true }, NOW),
      );
    store.append(
      'a1',
      epoch,
      1,
      batch(1, 1, () => ({})),
    );
    begin('second');
    store.append(
      'a1',
      epoch,
      1,
      batch(2, 1, () => ({})),
      NOW + 1,
    );
    begin('log of a1');
    store.append(
      'a1',
      epoch,
      1,
      batch(3, 1, () => ({})),
      NOW + 2,
    );
    store.commit(() => {
      store.writes.pruneRuns(NOW + 2);
      store.writes.pruneOrigins(0);
    });
    expect(store.readAll({ agentId: 'a1' }, 10)).toMatchObject([{ cursor: 3, incarnation: 'log of a1' }]);
  });
});
