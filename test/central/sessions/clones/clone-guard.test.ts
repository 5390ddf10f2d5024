// With several nodes the store decides what two copies of a key are; with one process its memory does.
import { expect, it } from 'vitest';
import { CloneGuard, QUARANTINE_MS } from '../../../../central/sessions/clones/clone-guard.ts';
import type { SessionRecord } from '../../../../central/store/agent-store.ts';

const NOW = 1_790_000_000_000;
const COPY = { hello: { id: 'a', bootId: 'two' }, origin: { address: '192.0.2.1' } };
const LAST = { bootId: 'one', since: NOW - 1_000, address: '192.0.2.2' } as SessionRecord;

function setUp(isClone: boolean, areSeveral = true) {
  const seen = { asked: [] as unknown[], quarantined: [] as unknown[], incidents: [] as object[] };
  const sawBoot = async (...asked: unknown[]): Promise<boolean> => {
    seen.asked.push(asked);
    return isClone;
  };
  const guard = new CloneGuard({
    store: {
      agents: { quarantine: async (...words: unknown[]) => void seen.quarantined.push(words) },
      nodes: areSeveral ? { sawBoot } : undefined,
    } as never,
    incidents: { record: (incident) => void seen.incidents.push(incident) },
    now: () => NOW,
  });
  return { guard, seen };
}

it('refers an agent with a boot other than the last one to the store, and quarantines both', async () => {
  const { guard, seen } = setUp(true);
  await expect(guard.refuse(COPY, undefined, LAST)).rejects.toMatchObject({ code: 'quarantined' });
  expect(seen.asked).toEqual([['a', 'two', NOW]]);
  expect(seen.quarantined).toEqual([['a', NOW + QUARANTINE_MS, NOW, expect.stringContaining('quarantined')]]);
  expect(seen.incidents).toMatchObject([
    { kind: 'clone', detail: { boots: ['two', 'one'], otherAddress: '192.0.2.2' } },
  ]);
});

it('does not where the last session is of this boot, long ago, or was claimed at once', async () => {
  const { guard, seen } = setUp(true);
  await guard.refuse(COPY, undefined, null);
  await guard.refuse(COPY, undefined, { ...LAST, bootId: 'two' });
  await guard.refuse(COPY, undefined, { ...LAST, since: NOW - 60_001 });
  await guard.refuseClaimed(COPY, undefined);
  expect(seen.asked).toEqual([]);
  expect([guard.isSteady(COPY.hello), guard.terms({ keyAlone: true, expiresAfter: 0 })]).toEqual([
    true,
    { keyAlone: true, expiresAfter: 0, otherBootSince: NOW - 60_000 },
  ]);
});

it('remembers by itself where there is one process', async () => {
  const { guard } = setUp(true, false);
  await guard.refuse(COPY, undefined, null);
  await guard.refuseClaimed({ ...COPY, hello: { id: 'a', bootId: 'one' } }, undefined);
  expect([guard.isSteady(COPY.hello), guard.isSteady({ id: 'a', bootId: 'one' })]).toEqual([false, true]);
  expect(guard.terms({ keyAlone: true, expiresAfter: 0 })).toEqual({ keyAlone: true, expiresAfter: 0 });
  guard.forget('a');
  expect(guard.isSteady(COPY.hello)).toBe(true);
});
