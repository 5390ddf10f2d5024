// The part of the contract that bounds what one agent, and strangers, can make the store keep; and that nothing gives
// way in silence.
import { expect, it } from 'vitest';
import type { Item } from '../../../shared/delivery/message.ts';
import {
  DEAD_LETTERS_PER_APPEND,
  DEFAULT_BOUNDS,
  ENROLLMENTS_PER_DAY,
  INCIDENT_INTERVAL_MS,
  INCIDENTS_OF_STRANGERS,
  INCIDENTS_PER_AGENT,
  INCIDENTS_PER_INTERVAL,
  RESTARTS_PER_DAY,
} from '../../../central/store/space/bounds.ts';
import type { Store } from '../../../central/store/store.ts';
import {
  ACT,
  DAY,
  enrollmentToken,
  eventIds,
  items,
  message,
  NOW,
  online,
  registered,
  ROOM,
  eachEngine,
  type Engine,
  type OpenEngine,
} from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

const KIB = 1024;

/** An item that is rejected for a reason of its own, with so much text besides. */
function rejected(reason: string, text = ''): Item {
  return { kind: 'rejected', id: '(none)', source: '', reason, json: JSON.stringify({ [reason]: text }) };
}

function notAnEvent(json: string): Item {
  return {
    kind: 'rejected',
    id: '(none)',
    source: '',
    reason: 'the message is a number; allowed: a JSON object',
    json,
  };
}

export function boundsContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  const letters = async (agentId: string) => (await store.inbox.deadLetters({ limit: 1_000, agentId })).items;

  it('keeps the newest dead letters of an agent up to its quota, and counts those that gave way in one incident and in the figures', async () => {
    await store.bound({ ...DEFAULT_BOUNDS, deadLettersPerAgent: 100 });
    const epoch = await online(store, 'a1');
    for (let number = 1; number <= 250; number += 1)
      await store.inbox.append('a1', epoch, number, framesOf(number, [rejected(`reason ${number}`)]), NOW + number);
    expect((await letters('a1')).map(({ number }) => number)).toEqual(Array.from({ length: 100 }, (_, i) => 250 - i));
    const counted = (await store.agents.incidents({ limit: 9 })).map(({ kind, agentId, count, at, lastAt }) => ({
      kind,
      agentId,
      count,
      at,
      lastAt,
    }));
    expect(counted).toEqual([
      { kind: 'dead_letters_dropped', agentId: 'a1', count: 150, at: NOW + 101, lastAt: NOW + 250 },
    ]);
    expect(await store.stats()).toMatchObject({ deadLetters: 100, deadLettersDropped: 150 });
    store = await engine.restart();
    expect(await store.stats()).toMatchObject({ deadLetters: 100, deadLettersDropped: 150 });
  });

  it('bounds the dead letters of an agent in bytes too', async () => {
    await store.bound({ ...DEFAULT_BOUNDS, deadLetterBytesPerAgent: 64 * KIB });
    const epoch = await online(store, 'a1');
    const text = 'x'.repeat(4 * KIB);
    for (let number = 1; number <= 40; number += 1)
      await store.inbox.append('a1', epoch, number, framesOf(number, [rejected(`reason ${number}`, text)]), NOW);
    const kept = await letters('a1');
    expect(kept.at(0)?.number).toBe(40);
    expect(kept.length).toBeGreaterThan(10);
    expect(kept.reduce((bytes, { json }) => bytes + json.length, 0)).toBeLessThanOrEqual(64 * KIB);
  });

  it('ends a page of dead letters with its bytes as well: what one agent fills is not read in one go', async () => {
    const epoch = await online(store, 'a1');
    // A message that cannot be stored keeps its payload.
    const reused = (number: number): Item => {
      const event = {
        specversion: '1.0',
        id: 'same',
        source: '/test',
        type: 't',
        data: `${number}${'x'.repeat(200 * KIB)}`,
      };
      return { kind: 'message', message: message('same', { json: JSON.stringify(event) }) };
    };
    for (let number = 1; number <= 41; number += 1)
      await store.inbox.append('a1', epoch, number, framesOf(number, [reused(number)]), NOW);
    const numbers: number[] = [];
    for (let before: number | undefined; ;) {
      const { items: page } = await store.inbox.deadLetters({
        limit: 1_000,
        ...(before === undefined ? {} : { before }),
      });
      if (page.length === 0) break;
      expect(page.length).toBeLessThanOrEqual(10);
      numbers.push(...page.map(({ number }) => number));
      before = page.at(-1)?.key;
    }
    expect(numbers).toEqual(Array.from({ length: 40 }, (_, i) => 41 - i));
  });

  it('makes one dead letter of all items of a batch that were rejected for one reason, with their numbers and texts', async () => {
    const epoch = await online(store, 'a1');
    const tombstones: Item[] = ['t1', 't2'].map((id) => ({
      kind: 'tombstone',
      id,
      source: '/test',
      reason: 'expired',
    }));
    await store.inbox.append(
      'a1',
      epoch,
      1,
      framesOf(1, [notAnEvent('0'), ...items('e1'), notAnEvent('1'), ...tombstones]),
      NOW,
    );
    expect(await letters('a1')).toEqual([
      {
        key: 2,
        at: NOW,
        direction: 'up',
        agentId: 'a1',
        number: 4,
        through: 5,
        count: 2,
        id: 't1',
        reason: 'expired',
        json: '{"tombstone":"expired","id":"t1","source":"/test"}\n{"tombstone":"expired","id":"t2","source":"/test"}',
      },
      {
        key: 1,
        at: NOW,
        direction: 'up',
        agentId: 'a1',
        number: 1,
        through: 3,
        count: 2,
        id: '(none)',
        reason: 'the message is a number; allowed: a JSON object',
        json: '0\n1',
      },
    ]);
    expect(await eventIds(store)).toEqual(['e1']);
  });

  it('makes only a few dead letters of a batch, however many reasons it was rejected for, and none of its items is left out of the count', async () => {
    const epoch = await online(store, 'a1');
    await store.inbox.append(
      'a1',
      epoch,
      1,
      framesOf(
        1,
        Array.from({ length: 5_000 }, (_, i) => rejected(`reason ${i}`)),
      ),
      NOW,
    );
    const kept = await letters('a1');
    expect(kept).toHaveLength(DEAD_LETTERS_PER_APPEND);
    expect(kept.reduce((sum, { count }) => sum + count, 0)).toBe(5_000);
    expect(kept.reduce((sum, { json, reason }) => sum + json.length + reason.length, 0)).toBeLessThan(20 * KIB);
  });

  it('lets the rejected items of an agent push out neither the dead letters of another agent nor the expired commands of its own', async () => {
    await store.bound({ ...DEFAULT_BOUNDS, deadLettersPerAgent: 100 });
    const [first, second] = [await online(store, 'a1'), await online(store, 'a2')];
    await store.outbox.append('a1', [message('c1', { expiresAt: NOW })], ROOM, NOW);
    await store.outbox.expire(NOW);
    await store.inbox.append('a2', second, 1, framesOf(1, [rejected('of another agent')]), NOW);
    for (let number = 1; number <= 300; number += 1)
      await store.inbox.append('a1', first, number, framesOf(number, [rejected(`reason ${number}`)]), NOW);
    expect((await letters('a1')).filter(({ direction }) => direction === 'down')).toMatchObject([{ id: 'c1' }]);
    expect(await letters('a2')).toHaveLength(1);
  });

  it('bounds expired commands as well, and what was dropped is counted', async () => {
    await store.bound({ ...DEFAULT_BOUNDS, deadLettersPerAgent: 100 });
    await registered(store, 'a1');
    await store.outbox.append(
      'a1',
      Array.from({ length: 700 }, (_, i) => message(`c${i}`, { expiresAt: NOW })),
      ROOM,
      NOW,
    );
    expect(await store.outbox.expire(NOW)).toBe(700);
    expect(await letters('a1')).toHaveLength(100);
    expect(await store.agents.incidents({ limit: 9 })).toMatchObject([{ kind: 'dead_letters_dropped', count: 600 }]);
  });

  it('takes rows beyond a quota that was lowered away when it prunes', async () => {
    const epoch = await online(store, 'a1');
    for (let number = 1; number <= 300; number += 1)
      await store.inbox.append('a1', epoch, number, framesOf(number, [rejected(`reason ${number}`)]), NOW);
    await store.bound({ ...DEFAULT_BOUNDS, deadLettersPerAgent: 100 });
    await store.prune({
      now: NOW,
      eventsOlderThan: 0,
      deadLettersOlderThan: 0,
      deduplicationOlderThan: 0,
      incidentsOlderThan: 0,
    });
    expect(await letters('a1')).toHaveLength(100);
    expect(await store.stats()).toMatchObject({ deadLetters: 100, deadLettersDropped: 200 });
  });

  it('counts what strangers of one block cause within the interval in one incident, whatever ids they name', async () => {
    for (let i = 0; i < 500; i += 1) {
      await store.agents.recordIncident({
        at: NOW + i,
        kind: 'bad_signature',
        agentId: `made up ${i}`,
        address: `2001:db8::${i}`,
        block: '2001:db8:0:0::/64',
        detail: JSON.stringify({ i }),
        by: 'stranger',
      });
    }
    const of = (at: number) => ({ at, kind: 'bad_signature', agentId: null, address: '192.0.2.7', detail: '{}' });
    await store.agents.recordIncident(of(NOW));
    await store.agents.recordIncident(of(NOW + INCIDENT_INTERVAL_MS));
    expect(
      (await store.agents.incidents({ limit: 9 })).map(({ agentId, address, count, at, lastAt }) => [
        agentId,
        address,
        count,
        at - NOW,
        lastAt - NOW,
      ]),
    ).toEqual([
      [null, '192.0.2.7', 1, INCIDENT_INTERVAL_MS, INCIDENT_INTERVAL_MS],
      [null, '192.0.2.7', 1, 0, 0],
      ['made up 0', '2001:db8::0', 500, 0, 499],
    ]);
  });

  it('keeps so many incidents of strangers in all, and they push out none of the agent that they name', async () => {
    await registered(store, 'a1');
    await store.agents.recordIncident({
      at: NOW,
      kind: 'clone',
      agentId: 'a1',
      address: '192.0.2.7',
      detail: '{}',
      by: 'agent',
    });
    const flood: Promise<void>[] = [];
    for (let i = 0; i < INCIDENTS_OF_STRANGERS + 500; i += 1)
      flood.push(
        store.agents.recordIncident({
          at: NOW + i,
          kind: 'agent_key_mismatch',
          agentId: 'a1',
          address: `198.51.100.${i}`,
          detail: '{}',
        }),
      );
    await Promise.all(flood);
    const kept = await store.agents.incidents({ limit: 2 * INCIDENTS_OF_STRANGERS, agentId: 'a1' });
    expect(kept.filter(({ kind }) => kind === 'agent_key_mismatch')).toHaveLength(INCIDENTS_OF_STRANGERS);
    expect(kept.at(-1)).toMatchObject({ kind: 'clone' });
  });

  it('bounds the incidents of an agent whose log begins again and again, per interval and in all, and counts the rest', async () => {
    const epoch = await online(store, 'a1');
    const other = await online(store, 'a2');
    await store.inbox.begin('a2', other, { incarnation: 'second', next: 1, missing: { from: 1, through: 2 } }, NOW);
    const restart = (i: number, at: number) =>
      store.inbox.begin('a1', epoch, { incarnation: `log ${i}`, next: 1, missing: { from: 1, through: i + 1 } }, at);
    for (let i = 0; i < RESTARTS_PER_DAY; i += 1) await restart(i, NOW + i);
    await expect(restart(RESTARTS_PER_DAY, NOW)).rejects.toMatchObject({ code: 'log_violation' });
    const ofInterval = await store.agents.incidents({ limit: 1_000, agentId: 'a1' });
    expect(ofInterval).toHaveLength(INCIDENTS_PER_INTERVAL);
    expect(ofInterval.reduce((sum, { count }) => sum + count, 0)).toBe(RESTARTS_PER_DAY);
    for (let i = 1; i <= INCIDENTS_PER_AGENT; i += 1) await restart(RESTARTS_PER_DAY + i, NOW + i * DAY);
    expect(await store.agents.incidents({ limit: 2_000, agentId: 'a1' })).toHaveLength(INCIDENTS_PER_AGENT);
    expect(await store.agents.incidents({ limit: 9, agentId: 'a2' })).toHaveLength(1);
  });

  it('takes so many events of one agent in a day and refuses the next with nothing lost; the day after it takes them', async () => {
    await store.bound({ ...DEFAULT_BOUNDS, eventsPerDay: 3 });
    const [first, second] = [await online(store, 'a1'), await online(store, 'a2')];
    await store.inbox.append('a1', first, 1, framesOf(1, items('e1', 'e2')), NOW);
    await store.inbox.append('a1', first, 3, framesOf(3, items('e3', 'e4')), NOW);
    for (let i = 0; i < 3; i += 1)
      await expect(store.inbox.append('a1', first, 5, framesOf(5, items('e5')), NOW + i)).rejects.toMatchObject({
        code: 'events_per_day',
        status: 503,
        retryable: true,
      });
    await store.inbox.append('a2', second, 1, framesOf(1, items('e1')), NOW);
    expect(await store.agents.incidents({ limit: 9 })).toMatchObject([
      { kind: 'events_per_day', agentId: 'a1', count: 1 },
    ]);
    expect(await store.inbox.append('a1', first, 5, framesOf(5, items('e5')), NOW + DAY)).toBe(5);
    await store.bound(DEFAULT_BOUNDS);
    expect(await store.inbox.append('a1', first, 6, framesOf(6, items('e6', 'e7', 'e8', 'e9')), NOW + DAY)).toBe(9);
  });

  it('bounds how often an agent can repeat its enrollment within a day, each of which leaves a certificate', async () => {
    await store.tokens.addEnrollmentToken(enrollmentToken('t', { maxUses: 9 }), ACT);
    const enroll = (now: number) =>
      store.agents.register({ id: 'a1', name: 'a1', publicKey: 'k', keyThumbprint: 'k', now }, 't', ACT);
    const issue = (i: number) =>
      store.certificates.recordIssued(
        {
          thumbprint: `c${i}`,
          agentId: 'a1',
          serial: `s${i}`,
          issuer: 'ca',
          keyThumbprint: 'k',
          notBefore: NOW,
          notAfter: NOW + DAY,
          issuedAt: NOW,
        },
        ACT,
      );
    for (let i = 0; i < ENROLLMENTS_PER_DAY; i += 1) {
      await enroll(NOW);
      await issue(i);
    }
    await expect(enroll(NOW)).rejects.toMatchObject({ code: 'enrollments_per_day', status: 503, retryable: true });
    await enroll(NOW + DAY);
    expect(await registered(store, 'a2')).toMatchObject({ id: 'a2' });
  });

  it('forgets the logs of which no event is left, in steps', async () => {
    const epoch = await online(store, 'a1');
    for (let i = 0; i < 20; i += 1) {
      await store.inbox.begin('a1', epoch, { incarnation: `log ${i}`, next: 1, missing: null }, NOW);
      await store.inbox.append('a1', epoch, 1, framesOf(1, items(`e${i}`)), NOW + i);
    }
    await store.prune({
      now: NOW,
      eventsOlderThan: NOW + 15,
      deadLettersOlderThan: 0,
      deduplicationOlderThan: 0,
      incidentsOlderThan: 0,
    });
    expect((await store.inbox.read(0, { agentId: 'a1' }, 100)).map(({ incarnation }) => incarnation)).toEqual([
      'log 15',
      'log 16',
      'log 17',
      'log 18',
      'log 19',
    ]);
  });
}
