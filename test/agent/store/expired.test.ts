// What an agent keeps of commands that expired, until Central has recorded it.
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { ExpiredLog, type ExpiredItem } from '../../../agent/store/expired.ts';
import { MIGRATIONS } from '../../../agent/store/migrations.ts';
import { validate } from '../../../shared/wire/json-schema.ts';
import { EXPIRED_COMMANDS, MAX_EXPIRED_BYTES } from '../../../shared/wire/messages.ts';
import { Clock, message, openAt } from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const entry = (number: number, change: Partial<ExpiredItem> = {}): ExpiredItem => ({
  number,
  throughNumber: number,
  count: 1,
  id: `c${number}`,
  source: '/test',
  consumer: 'default',
  ...change,
});

function logOf(maxEntries?: number): ExpiredLog {
  const database = new DatabaseSync(':memory:');
  for (const migration of MIGRATIONS) database.exec(migration);
  return new ExpiredLog(database, maxEntries);
}

it('keeps what expired in the same commit, over restarts, until Central has recorded it', async () => {
  const folder = temporaryFolder();
  const clock = new Clock();
  const expiring = (id: string) => ({ kind: 'message', message: message(id, { expiresAt: clock.time + 5 }) }) as const;
  let store = openAt(folder, { now: clock.now });
  await store.inbox.setCentralTime(clock.time);
  await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
  await store.inbox.append(1, framesOf(1, [expiring('c1'), expiring('c2')]));
  expect(await store.inbox.expiredBatch()).toBeUndefined();
  clock.time += 5;
  expect(await store.inbox.expire()).toBe(2);
  const batch = { through: 2, items: [entry(1), entry(2)] };
  expect(await store.inbox.expiredBatch()).toEqual(batch);
  await store.stop();
  store = openAt(folder, { now: clock.now });
  expect(await store.inbox.expiredBatch()).toEqual(batch);
  await store.inbox.setExpiredRecorded(1);
  expect(await store.inbox.expiredBatch()).toEqual({ through: 2, items: [entry(2)] });
  await store.inbox.setExpiredRecorded(2);
  expect(await store.inbox.expiredBatch()).toBeUndefined();
  await store.stop();
});

it('fits into a frame, whatever the ids and sources are', () => {
  const log = logOf();
  const wide = { id: '"'.repeat(255), source: 'ü'.repeat(1024), consumer: 'x'.repeat(32) };
  for (let number = 1; number <= 300; number += 1) log.add(entry(number, number % 2 === 0 ? wide : {}));
  let frames = 0;
  let next = 1;
  for (let batch = log.batch(); batch !== undefined; batch = log.batch()) {
    const frame = { type: 'expired', ...batch };
    expect(validate(EXPIRED_COMMANDS, frame)).toBeUndefined();
    expect(Buffer.byteLength(JSON.stringify(frame))).toBeLessThanOrEqual(MAX_EXPIRED_BYTES);
    for (const { number } of batch.items) expect(number).toBe(next++);
    log.recorded(batch.through);
    frames += 1;
  }
  expect([next, frames > 3]).toEqual([301, true]);
});

it('merges the oldest beyond its bound, and loses the number of none', () => {
  const log = logOf(3);
  for (let number = 1; number <= 10; number += 1) log.add(entry(number));
  expect(log.batch()).toEqual({
    through: 10,
    items: [entry(1, { throughNumber: 8, count: 8 }), entry(9), entry(10)],
  });
  log.recorded(10);
  log.add(entry(11));
  expect(log.batch()).toEqual({ through: 11, items: [entry(11)] });
});
