import { expect, it } from 'vitest';
import {
  MAX_PENDING,
  MAX_PENDING_OF_BLOCK,
  PENDING_MS,
  PendingSignIns,
  type Expected,
} from '../../../../central/auth/oidc/pending.ts';

const expected = (state: string): Expected => ({ state, nonce: 'n', verifier: 'v', replaced: undefined });

it('a sign-in is taken once, and within ten minutes', () => {
  let at = 1_000;
  const pending = new PendingSignIns(() => at);
  const [once, late] = [pending.add('10.0.0.1', expected('one')), pending.add('10.0.0.1', expected('two'))];
  expect([once.length, once === late]).toEqual([43, false]);
  expect(pending.take(once)?.state).toBe('one');
  expect([pending.take(once), pending.take('x')]).toEqual([undefined, undefined]);
  at += PENDING_MS;
  expect(pending.take(late)).toBeUndefined();
  expect(pending.size).toBe(0);
});

it('an address has so many and no more: its oldest one gives way, and no other address loses one', () => {
  const pending = new PendingSignIns(() => 1);
  const other = pending.add('10.0.0.2', expected('other'));
  const ids = Array.from({ length: MAX_PENDING_OF_BLOCK + 1 }, (_, i) => pending.add('10.0.0.1', expected(`s${i}`)));
  expect(pending.size).toBe(MAX_PENDING_OF_BLOCK + 1);
  expect([pending.take(ids[0] ?? ''), pending.take(ids[1] ?? '')?.state, pending.take(other)?.state]).toEqual([
    undefined,
    's1',
    'other',
  ]);
});

it('in all there are so many, however many addresses begin them; the address with most gives way, and what expired is dropped', () => {
  let at = 1;
  const pending = new PendingSignIns(() => at);
  const first = pending.add('192.0.2.1', expected('first'));
  const greedy = Array.from({ length: 50 }, (_, i) => pending.add('192.0.2.2', expected(`g${i}`)));
  for (let i = 0; i < MAX_PENDING - 40; i += 1) pending.add(`10.${i >> 8}.${i & 255}.1`, expected('s'));
  expect(pending.size).toBe(MAX_PENDING);
  expect([pending.take(first)?.state, pending.take(greedy[0] ?? '')]).toEqual(['first', undefined]);
  at += PENDING_MS;
  pending.add('10.0.0.1', expected('new'));
  expect(pending.size).toBe(1);
});
