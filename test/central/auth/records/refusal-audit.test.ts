import { expect, test } from 'vitest';
import { authFault } from '../../../../central/auth/errors.ts';
import { FIRST_RECORD_MS } from '../../../../central/auth/records/counted-records.ts';
import {
  MAX_REFUSALS_PER_INTERVAL,
  RefusalAudit,
  REFUSAL_INTERVAL_MS,
} from '../../../../central/auth/records/refusal-audit.ts';
import { pkiFault } from '../../../../central/pki/errors.ts';
import type { AuditEntry } from '../../../../central/store/audit-store.ts';
import { storeFault } from '../../../../central/store/errors.ts';
import { refusal } from '../../../../shared/wire/refusals.ts';

const TOKEN = `qg_0123456789abcdef_${'s'.repeat(43)}`;
const wrongToken = authFault('unauthenticated', { found: 'this token is not known (it may have been removed)' });
const forbidden = (name: string) => authFault('forbidden', { needed: 'administrator', name, role: 'viewer' });

function setUp() {
  const clock = { now: 0 };
  const timers: { at: number; run: () => void }[] = [];
  const entries: AuditEntry[] = [];
  const logged: object[] = [];
  const store = { isFull: false };
  const refusals = new RefusalAudit({
    store: {
      async appendRefusals(entry) {
        if (store.isFull) throw storeFault('store_reserve', { available: 1, reserve: 2 });
        entries.push(entry);
      },
    },
    log: { error: (facts: object) => void logged.push(facts) },
    now: () => clock.now,
    after: (ms, run) => timers.push({ at: clock.now + ms, run }),
  });
  async function pass(ms: number): Promise<void> {
    for (const until = clock.now + ms; ;) {
      const next = timers.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > until) return void (clock.now = until);
      timers.splice(timers.indexOf(next), 1);
      clock.now = next.at;
      next.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const detailOf = ({ detail }: AuditEntry) => JSON.parse(detail) as Record<string, unknown>;
  const counted = () => entries.reduce((sum, entry) => sum + Number(detailOf(entry)['count']), 0);
  return { refusals, entries, logged, store, pass, detailOf, counted };
}

test('refusals of one source are one entry after five seconds, then one an hour with the count', async () => {
  const { refusals, entries, pass, detailOf } = setUp();
  for (let i = 0; i < 700; i += 1) refusals.record(wrongToken, { address: '192.0.2.7', route: 'GET /api/v1/status' });
  await pass(FIRST_RECORD_MS);
  expect(entries).toMatchObject([{ action: 'api-tokens.refuse', who: 'unauthenticated', from: '192.0.2.7' }]);
  expect(entries.map(detailOf)).toEqual([
    {
      code: 'unauthenticated',
      route: 'GET /api/v1/status',
      text: 'The request has no valid API token: this token is not known (it may have been removed).',
      count: 700,
      since: '1970-01-01T00:00:00.000Z',
    },
  ]);
  for (let i = 0; i < 60; i += 1) {
    refusals.record(wrongToken, { address: '192.0.2.7' });
    await pass(REFUSAL_INTERVAL_MS / 60);
  }
  await pass(REFUSAL_INTERVAL_MS);
  expect(entries.length).toBeLessThanOrEqual(3);
  expect(refusals.waiting).toBe(0);
});

test('each kind of refusal has its action; the actor is the token where there is a valid one', async () => {
  const { refusals, entries, detailOf } = setUp();
  const address = '2001:db8:0:1::7';
  for (const fault of [
    wrongToken,
    authFault('too_many_attempts', { secret: 'recovery code', block: 'x' }),
    forbidden('monitoring'),
    pkiFault('enrollment_refused', {}),
    pkiFault('recovery_code_unknown', { name: 'branch-7' }),
    refusal('agent_key_mismatch', { id: 'a1' }),
    refusal('bad_signature', {}),
    refusal('address_denied', { address, listener: 'wss' }),
  ])
    refusals.record(fault, {
      address,
      listener: 'wss',
      ...(fault.code === 'forbidden' ? { caller: 'monitoring' } : {}),
    });
  // A valid token from an address where its role does not count.
  refusals.record(authFault('address_denied', { address, rule: 'access.viewer' }), { address, caller: 'reports' });
  // Daily business.
  for (const fault of [refusal('going_away', {}), refusal('hello_timeout', { seconds: 1 })])
    refusals.record(fault, { address, listener: 'wss' });
  await refusals.flush();
  expect(entries.map((entry) => [entry.action, entry.who, entry.from, detailOf(entry)['count']])).toEqual([
    ['api-tokens.refuse', 'unauthenticated', '2001:db8:0:1::/64', 1],
    ['agents.recovery-code.refuse', 'unauthenticated', '2001:db8:0:1::/64', 2],
    ['api-tokens.forbid', 'monitoring', address, 1],
    ['api-tokens.forbid', 'reports', address, 1],
    ['enrollment-tokens.refuse', 'unauthenticated', '2001:db8:0:1::/64', 1],
    ['agents.refuse', 'unauthenticated', '2001:db8:0:1::/64', 1],
    ['agents.refuse', 'unauthenticated', '2001:db8:0:1::/64', 1],
    ['addresses.refuse', 'unauthenticated', '2001:db8:0:1::/64', 1],
  ]);
  expect(entries.map((entry) => detailOf(entry)['id'] ?? null)).toEqual([
    null,
    null,
    null,
    null,
    null,
    'a1',
    null,
    null,
  ]);
});

test('however many addresses are refused, the entries are bounded and every refusal is counted', async () => {
  const { refusals, entries, pass, counted } = setUp();
  for (let i = 0; i < 5_000; i += 1) {
    const address = `2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::1`;
    refusals.record(i % 2 === 0 ? wrongToken : refusal('agent_unknown', { id: `a${i}` }), { address });
    if (i % 50 === 0) await pass(10_000);
  }
  // What token holders cause has entries of its own, whatever strangers do.
  refusals.record(forbidden('monitoring'), { address: '192.0.2.7', caller: 'monitoring' });
  await pass(FIRST_RECORD_MS);
  expect(entries.filter(({ action }) => action === 'api-tokens.forbid')).toHaveLength(1);
  await pass(3 * REFUSAL_INTERVAL_MS);
  expect(entries.length).toBeLessThanOrEqual(3 * 2 * (MAX_REFUSALS_PER_INTERVAL + 1) + 1);
  expect(counted()).toBe(5_001);
});

test('at the disk reserve refusals are counted and written when there is room; what a stop loses is logged', async () => {
  const { refusals, entries, logged, store, pass, counted } = setUp();
  store.isFull = true;
  for (let i = 0; i < 20; i += 1) {
    refusals.record(wrongToken, { address: '192.0.2.7' });
    await pass(60_000);
  }
  expect([entries.length, refusals.waiting]).toEqual([0, 20]);
  store.isFull = false;
  await pass(2 * FIRST_RECORD_MS);
  expect([counted(), refusals.waiting]).toEqual([20, 0]);

  store.isFull = true;
  for (let i = 0; i < 3; i += 1) refusals.record(wrongToken, { address: '192.0.2.8' });
  await refusals.flush();
  expect(logged).toEqual([{ refusals: 3 }]);
});

test('no entry holds a token, also where one was typed in the place of a name', async () => {
  const { refusals, entries } = setUp();
  refusals.record(pkiFault('recovery_code_unknown', { name: TOKEN }), { address: '192.0.2.7' });
  refusals.record(refusal('agent_unknown', { id: `x${TOKEN}` }), { address: '192.0.2.7' });
  await refusals.flush();
  expect(entries).toHaveLength(2);
  expect(JSON.stringify(entries)).not.toContain('sss');
});
