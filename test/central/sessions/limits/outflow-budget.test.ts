import { describe, expect, it } from 'vitest';
import { OutflowBudget } from '../../../../central/sessions/limits/outflow-budget.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i += 1) await Promise.resolve();
};

describe('what waits for slow agents', () => {
  it('600 agents that read nothing hold no more than the budget, and another one that reads goes on', async () => {
    const budget = new OutflowBudget(64 * MIB);
    const frozen = Array.from({ length: 600 }, () => budget.open());
    for (const share of frozen) {
      void (async () => {
        for (let sent = 0; sent < 4 * MIB;) {
          const room = await share.reserve(MIB);
          if (room === 0) return;
          share.read(room);
          sent += room;
        }
      })();
    }
    await settled();
    for (let i = 0; i < 100; i += 1) await settled();
    expect(budget.used).toBeLessThanOrEqual(64 * MIB);
    for (const share of frozen.slice(400)) share.close();
    const reads = budget.open();
    for (let i = 0; i < 100; i += 1) {
      const room = await reads.reserve(MIB);
      expect(room).toBeGreaterThan(0);
      reads.read(room);
      reads.written(room);
    }
  });

  it('while there is room a session reads as far as it may', async () => {
    const budget = new OutflowBudget(64 * MIB);
    const share = budget.open();
    expect(await share.reserve(MIB)).toBe(MIB);
    share.read(100);
    expect(budget.used).toBe(100);
    share.written(100);
    expect(budget.used).toBe(0);
  });

  it('when half is used, one gets a slice, and the next when it was written', async () => {
    const budget = new OutflowBudget(2 * MIB);
    const large = budget.open();
    large.read(await large.reserve(MIB));
    const share = budget.open();
    expect(await share.reserve(MIB)).toBe(64 * KIB);
    share.read(64 * KIB);
    let room = 0;
    void share.reserve(MIB).then((bytes) => (room = bytes));
    await settled();
    expect(room).toBe(0);
    share.written(64 * KIB);
    await settled();
    expect(room).toBe(64 * KIB);
  });

  it('one that waits keeps none behind it from reading', async () => {
    const budget = new OutflowBudget(2 * MIB);
    const frozen = budget.open();
    frozen.read(await frozen.reserve(MIB));
    void frozen.reserve(MIB);
    const share = budget.open();
    expect(await share.reserve(MIB)).toBe(64 * KIB);
  });

  it('a session that ends gets no room and gives back what it held', async () => {
    const budget = new OutflowBudget(MIB);
    const share = budget.open();
    share.read(await share.reserve(512 * KIB));
    const waiting = share.reserve(MIB);
    share.close();
    expect([await waiting, await share.reserve(MIB), budget.used]).toEqual([0, 0, 0]);
    share.written(512 * KIB);
    expect(budget.used).toBe(0);
  });
});
