import { describe, expect, test } from 'vitest';
import {
  AttemptRecords,
  MAX_RECORDS_PER_INTERVAL,
  MOST_RECORDS,
  RECORD_INTERVAL_MS,
  type AttemptIncident,
} from '../../../central/auth/records/attempt-records.ts';
import { FIRST_RECORD_MS } from '../../../central/auth/records/counted-records.ts';
import { createApiTokens } from '../../../central/auth/api-tokens.ts';
import { CENTRAL } from '../../../central/audit.ts';
import {
  createWrongAttempts,
  MAX_BLOCKS_OF_SITE,
  MAX_DELAY_MS,
  MAX_DELAYED,
  MAX_DELAYED_OF_BLOCK,
  MAX_DELAYED_OF_SITE,
  MAX_SITES_OF_FAMILY,
  type WrongAttempt,
} from '../../../central/auth/wrong-attempts.ts';
import { memoryStore } from '../fakes.ts';

/** Waits end when the test lets them. */
function setUp() {
  const clock = { now: 1_000_000 };
  const waits: number[] = [];
  const held: (() => void)[] = [];
  const counted: string[] = [];
  const hold = { on: false };
  const attempts = createWrongAttempts({
    now: () => clock.now,
    wait: (ms) => {
      waits.push(ms);
      return hold.on ? new Promise((resolve) => held.push(resolve)) : Promise.resolve();
    },
    onWrong: ({ secret }, block) => void counted.push(`${secret} ${block}`),
  });
  const wrong = (address: string, secret: WrongAttempt['secret'] = 'api-token') => attempts.slow({ secret, address });
  return { clock, waits, held, counted, hold, attempts, wrong };
}

describe('wrong secrets', () => {
  test('are answered more and more slowly, up to a bound, whatever kind of secret they are', async () => {
    const { waits, wrong } = setUp();
    for (let i = 0; i < 12; i += 1)
      await wrong('192.0.2.7', (['api-token', 'recovery-code', 'enrollment-token'] as const)[i % 3]);
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, MAX_DELAY_MS, MAX_DELAY_MS, MAX_DELAY_MS, MAX_DELAY_MS]);
  });

  test('that another node slowed down count here too', async () => {
    const { attempts, clock, waits, wrong } = setUp();
    attempts.heard('192.0.2.7', 5);
    await wrong('192.0.2.7');
    await wrong('198.51.100.1');
    attempts.heard('2001:db8:0:1::/64', 3);
    await wrong('2001:db8:0:1::9');
    expect(waits).toEqual([1_000, 250]);
    // They are forgotten as those of this node.
    clock.now += 600_001;
    await wrong('192.0.2.7');
    expect(waits).toHaveLength(2);
  });

  test('are counted for the whole /64 of an IPv6 address, and for no other', async () => {
    const { waits, counted, wrong } = setUp();
    for (let i = 0; i < 8; i += 1) await wrong(`2001:db8:0:1::${i}`);
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000]);
    expect(new Set(counted)).toEqual(new Set(['api-token 2001:db8:0:1::/64']));
    await wrong('2001:db8:0:2::1');
    await wrong('198.51.100.1');
    expect(waits).toHaveLength(5);
  });

  test('are forgotten after a quiet time', async () => {
    const { clock, waits, wrong } = setUp();
    for (let i = 0; i < 9; i += 1) await wrong('192.0.2.7');
    const before = waits.length;
    clock.now += 600_001;
    await wrong('192.0.2.7');
    expect(waits).toHaveLength(before);
  });

  test('wait in bounded numbers: for one block, for one site, and in all; beyond, the answer is immediate and says to come later', async () => {
    const { hold, held, attempts, wrong } = setUp();
    hold.on = true;
    const refused = { code: 'too_many_attempts', status: 429 };
    const outcomes: Promise<unknown>[] = [];
    for (let i = 0; i < 3; i += 1) await wrong('192.0.2.7');
    for (let i = 0; i < MAX_DELAYED_OF_BLOCK; i += 1) outcomes.push(wrong('192.0.2.7'));
    await expect(wrong('192.0.2.7')).rejects.toMatchObject(refused);
    expect(attempts.delayed).toBe(MAX_DELAYED_OF_BLOCK);
    // Another site is not concerned; each of its blocks waits until the site has as many as it may.
    const codes = new Set<unknown>();
    const flood = async (address: (i: number) => string, times: number): Promise<void> => {
      for (let i = 0; i < times; i += 1)
        outcomes.push(wrong(address(i)).catch((error: { code: unknown }) => codes.add(error.code)));
    };
    await flood((i) => `2001:db8:0:${i.toString(16)}::1`, 2_000);
    expect(attempts.delayed).toBe(MAX_DELAYED_OF_BLOCK + MAX_DELAYED_OF_SITE);
    for (let site = 0; site < 40; site += 1) await flood((i) => `10.${site}.0.${i % 200}`, 1_000);
    expect(attempts.delayed).toBe(MAX_DELAYED);
    for (const end of held) end();
    await Promise.all(outcomes);
    expect(codes).toEqual(new Set(['too_many_attempts']));
    expect(attempts.delayed).toBe(0);
  });

  test('of an attacker with a whole IPv6 /32 flush nothing that is known of others, and fill no memory', async () => {
    const { attempts, waits, wrong } = setUp();
    for (let i = 0; i < 4; i += 1) for (const address of ['192.0.2.7', '2001:db8::1']) await wrong(address);
    const before = waits.length;
    for (let i = 0; i < 20_000; i += 1) await wrong(`2001:dead:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::1`);
    expect(attempts.size).toBeLessThanOrEqual(2 + MAX_BLOCKS_OF_SITE);
    // Its blocks are fresh each time, and slowed down all the same: the site is counted as a whole.
    expect(waits.slice(before).at(-1)).toBe(MAX_DELAY_MS);
    const flooded = waits.length;
    for (const address of ['192.0.2.7', '2001:db8::1']) await wrong(address);
    expect(waits.slice(flooded)).toEqual([500, 500]);
    for (let i = 0; i < 2_000; i += 1)
      for (let j = 0; j < 3; j += 1) await wrong(`${(0x2100 + i).toString(16)}:${j}::1`);
    expect(attempts.size).toBeLessThanOrEqual(1 + MAX_SITES_OF_FAMILY * MAX_BLOCKS_OF_SITE);
  });

  test('never lock the owner out: the right token is taken at once, from the same address, while thousands of wrong ones wait', async () => {
    const { hold, waits, attempts } = setUp();
    const store = memoryStore();
    const apiTokens = createApiTokens({ tokens: store.tokens, attempts, now: Date.now });
    const { token } = await apiTokens.create({ name: 'a', role: 'viewer', expiresAt: null }, CENTRAL);
    const written = store.audit.entries.length;
    hold.on = true;
    const wrong = `Bearer ${token.slice(0, -2)}${token.endsWith('AA') ? 'BB' : 'AA'}`;
    const codes: unknown[] = [];
    for (let i = 0; i < 5_000; i += 1)
      void apiTokens.authenticate(wrong, '192.0.2.7').catch((error: { code: string }) => codes.push(error.code));
    expect(await apiTokens.authenticate(`Bearer ${token}`, '192.0.2.7')).toMatchObject({ name: 'a' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(codes).toHaveLength(5_000 - MAX_DELAYED_OF_BLOCK);
    expect(waits).toHaveLength(MAX_DELAYED_OF_BLOCK);
    // Nothing was written for any of them.
    expect(store.audit.entries).toHaveLength(written);
  });
});

describe('the record of wrong secrets', () => {
  function records() {
    const clock = { now: 0 };
    const timers: { at: number; run: () => void }[] = [];
    const made: AttemptIncident[] = [];
    const all = new AttemptRecords({
      record: (incident) => made.push(incident),
      now: () => clock.now,
      after: (ms, run) => timers.push({ at: clock.now + ms, run }),
    });
    const pass = (ms: number): void => {
      for (const until = clock.now + ms; ;) {
        const next = timers.toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined || next.at > until) return void (clock.now = until);
        timers.splice(timers.indexOf(next), 1);
        clock.now = next.at;
        next.run();
      }
    };
    return { made, all, pass, timers };
  }

  test('is one for each interval, block, kind of secret and agent, with a count', () => {
    const { made, all, pass, timers } = records();
    for (let i = 0; i < 700; i += 1) all.count({ secret: 'api-token', address: '' }, '192.0.2.7');
    for (let i = 0; i < 3; i += 1) all.count({ secret: 'recovery-code', address: '', agentId: 'a1' }, '192.0.2.7');
    pass(FIRST_RECORD_MS);
    expect(made).toMatchObject([
      {
        kind: 'wrong_api_tokens',
        agentId: null,
        address: '192.0.2.7',
        at: FIRST_RECORD_MS,
        detail: { attempts: 700, since: '1970-01-01T00:00:00.000Z' },
      },
      { kind: 'wrong_recovery_codes', agentId: 'a1', address: '192.0.2.7', detail: { attempts: 3 } },
    ]);
    expect(timers).toEqual([]);
    // As long as it goes on: once per interval.
    for (let i = 0; i < 60; i += 1) {
      all.count({ secret: 'api-token', address: '' }, '192.0.2.7');
      pass(RECORD_INTERVAL_MS / 30);
    }
    expect(made.slice(2).map(({ detail }) => detail['attempts'])).toHaveLength(2);
    pass(RECORD_INTERVAL_MS);
    expect(made.slice(2).reduce((sum, { detail }) => sum + Number(detail['attempts']), 0)).toBe(60);
  });

  test('is bounded in rows however many addresses guess: the rest is counted together, and no attempt is lost', () => {
    const { made, all, pass } = records();
    for (let i = 0; i < 30_000; i += 1) {
      all.count(
        { secret: i % 2 === 0 ? 'api-token' : 'enrollment-token', address: '' },
        `2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::/64`,
      );
      if (i % 100 === 0) pass(1_000);
    }
    // 300 seconds have passed.
    expect(made.length).toBeLessThanOrEqual(2 * MOST_RECORDS);
    pass(3 * RECORD_INTERVAL_MS);
    expect(made.filter(({ address }) => address !== null).length).toBeLessThanOrEqual(4 * MAX_RECORDS_PER_INTERVAL);
    expect(made.reduce((sum, { detail }) => sum + Number(detail['attempts']), 0)).toBe(30_000);
  });
});
