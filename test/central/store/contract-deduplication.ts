// The part of the contract that concerns repeated messages of agents whose outbox refuses repeats within an incarnation
// (docs/PROTOCOL.md, "Deduplication"), and of those that never said so.
import { expect, it } from 'vitest';
import type { Item } from '../../../shared/delivery/message.ts';
import { isCoded } from '../../../shared/errors.ts';
import type { Store } from '../../../central/store/store.ts';
import {
  claimOf,
  DAY,
  eventIds,
  items,
  message,
  NOW,
  registered,
  eachEngine,
  type Engine,
  type OpenEngine,
} from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

const OTHER_DATA = JSON.stringify({
  specversion: '1.0',
  id: 'm17',
  source: '/test',
  type: 'test.thing',
  data: 'other',
});

export function deduplicationContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  async function begun(id: string, deduplicates: boolean): Promise<number> {
    await registered(store, id);
    const { epoch } = await store.agents.claimSession(claimOf(id));
    await begin(id, epoch, `log of ${id}`, deduplicates);
    return epoch;
  }

  const begin = (id: string, epoch: number, incarnation: string, deduplicates: boolean, next = 1): Promise<void> =>
    store.inbox.begin(id, epoch, { incarnation, next, missing: null, deduplicates }, NOW);

  /** Appends again and again while the store refuses for now, as a session does. */
  async function append(id: string, epoch: number, first: number, sent: readonly Item[], at = NOW): Promise<number> {
    for (;;) {
      try {
        return await store.inbox.append(id, epoch, first, framesOf(first, sent), at);
      } catch (error) {
        if (!isCoded(error, 'deduplication_indexing')) throw error;
      }
    }
  }

  const prune = (now: number, days = 7): Promise<void> =>
    store.prune({
      now,
      eventsOlderThan: 0,
      deadLettersOlderThan: 0,
      deduplicationOlderThan: now - days * DAY,
      incidentsOlderThan: 0,
    });

  it('stores once what a log sends again after it restarted, and names other data under the same id', async () => {
    const epoch = await begun('a1', true);
    const many = Array.from({ length: 5_000 }, (_, n) => `m${n}`);
    for (let first = 1; first <= many.length; first += 1_000)
      expect(await append('a1', epoch, first, items(...many.slice(first - 1, first + 999)))).toBe(first + 999);
    await begin('a1', epoch, 'second', true);
    const again: Item[] = [
      ...items('new', 'm0', 'm4999'),
      { kind: 'message', message: message('m17', { json: OTHER_DATA }) },
      ...items('m2500', 'newer'),
    ];
    expect(await append('a1', epoch, 1, again)).toBe(6);
    expect(await eventIds(store, 5_000)).toEqual(['new', 'newer']);
    expect((await store.inbox.deadLetters({ limit: 9 })).items).toMatchObject([
      { number: 4, id: 'm17', reason: 'id_reused', json: OTHER_DATA },
    ]);
    // Also what came since the restart, and after one more.
    expect(await append('a1', epoch, 7, items('new'))).toBe(7);
    await begin('a1', epoch, 'third', true);
    expect(await append('a1', epoch, 1, items('newer', 'm1', 'last'))).toBe(3);
    expect(await eventIds(store, 5_000)).toEqual(['new', 'newer', 'last']);
  });

  it('goes on with the index of what was seen after it was stopped in the middle', async () => {
    const epoch = await begun('a1', true);
    const many = Array.from({ length: 3_000 }, (_, n) => `m${n}`);
    for (let first = 1; first <= many.length; first += 1_000)
      await append('a1', epoch, first, items(...many.slice(first - 1, first + 999)));
    await begin('a1', epoch, 'second', true);
    await expect(store.inbox.append('a1', epoch, 1, framesOf(1, items('m1')), NOW)).rejects.toMatchObject({
      code: 'deduplication_indexing',
      status: 503,
      retryable: true,
    });
    store = await engine.restart();
    expect(await append('a1', epoch, 1, items(...many, 'new'))).toBe(3_001);
    expect(await eventIds(store, 3_000)).toEqual(['new']);
  });

  it('looks each message up when an agent goes on without the capability, and until it is past when it comes back', async () => {
    const epoch = await begun('a1', true);
    await append('a1', epoch, 1, items('e1', 'e2'));
    await begin('a1', epoch, 'log of a1', false, 3);
    await append('a1', epoch, 3, items('e2', 'e3', 'e3'));
    expect(await eventIds(store)).toEqual(['e1', 'e2', 'e3']);
    await begin('a1', epoch, 'log of a1', true, 6);
    await append('a1', epoch, 6, items('e1', 'e3', 'e4'));
    expect(await eventIds(store)).toEqual(['e1', 'e2', 'e3', 'e4']);
  });

  it('keeps to its retention where that is longer than what agents refuse', async () => {
    const epoch = await begun('a1', true);
    await append('a1', epoch, 1, items('e1'));
    await prune(NOW + DAY, 30);
    await append('a1', epoch, 2, items('e1', 'e2'), NOW + DAY);
    expect(await eventIds(store)).toEqual(['e1', 'e2']);
    // A retention of 7 days again: once it is over, the agent's word counts.
    await prune(NOW + 9 * DAY);
    await append('a1', epoch, 4, items('e3'), NOW + 9 * DAY);
    expect(await eventIds(store)).toEqual(['e1', 'e2', 'e3']);
  });

  it('forgets what was seen before the retention, and takes it for new after a restart', async () => {
    const epoch = await begun('a1', true);
    await append('a1', epoch, 1, items('e1'));
    await append('a1', epoch, 2, items('e2'), NOW + DAY);
    await prune(NOW + 7 * DAY + 1);
    await begin('a1', epoch, 'second', true);
    await append('a1', epoch, 1, items('e1', 'e2'), NOW + 7 * DAY + 1);
    expect(await eventIds(store)).toEqual(['e1', 'e2', 'e1']);
  });

  it('knows the messages of one agent from those of another', async () => {
    const [a1, a2] = [await begun('a1', true), await begun('a2', false)];
    await append('a1', a1, 1, items('e1'));
    await append('a2', a2, 1, items('e1', 'e1'));
    await begin('a2', a2, 'second', true);
    await append('a2', a2, 1, items('e1', 'e2'));
    await begin('a1', a1, 'second', true);
    await append('a1', a1, 1, items('e1', 'e2'));
    expect(await eventIds(store)).toEqual(['e1', 'e1', 'e2', 'e2']);
  });
}
