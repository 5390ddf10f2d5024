import { describe, expect, it } from 'vitest';
import { ByteGate, type Pass } from '../../../../central/sessions/limits/byte-gate.ts';

const MIB = 1024 * 1024;

/** Enters, and notes when it is in. */
function enter(gate: ByteGate, bytes: number, name: string, order: string[]): Pass {
  const pass = gate.enter(bytes);
  void pass.entered.then((isIn) => isIn && order.push(name));
  return pass;
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i += 1) await Promise.resolve();
};

describe('ByteGate', () => {
  it('lets in as much as it may, and the next when something left', async () => {
    const gate = new ByteGate(8 * MIB);
    const order: string[] = [];
    const first = enter(gate, 5 * MIB, 'first', order);
    enter(gate, 4 * MIB, 'second', order);
    await settled();
    expect([order, gate.inside]).toEqual([['first'], 5 * MIB]);
    first.leave();
    first.leave();
    await settled();
    expect([order, gate.inside]).toEqual([['first', 'second'], 4 * MIB]);
  });

  it('lets in one that is larger than all it may, alone', async () => {
    const gate = new ByteGate(MIB);
    const order: string[] = [];
    const large = enter(gate, 3 * MIB, 'large', order);
    enter(gate, 1, 'small', order);
    await settled();
    expect(order).toEqual(['large']);
    large.leave();
    await settled();
    expect(order).toEqual(['large', 'small']);
  });

  it('small ones pass the large ones that wait', async () => {
    const gate = new ByteGate(MIB);
    const order: string[] = [];
    const inside = enter(gate, MIB, 'inside', order);
    for (let i = 0; i < 3; i += 1) enter(gate, MIB, `large ${i}`, order);
    enter(gate, 100, 'small', order);
    inside.leave();
    await settled();
    expect(order.slice(0, 2)).toEqual(['inside', 'small']);
  });

  it('but not for ever: of four turns a large one has one', async () => {
    const gate = new ByteGate(MIB);
    const order: string[] = [];
    const passes = [enter(gate, MIB, 'inside', order), enter(gate, MIB, 'large', order)];
    for (let i = 0; i < 20; i += 1) passes.push(enter(gate, MIB / 32, `small ${i}`, order));
    passes[0]?.leave();
    await settled();
    for (const pass of passes.slice(2)) {
      if (order.includes('large')) break;
      pass.leave();
      await settled();
    }
    expect(order.indexOf('large')).toBeLessThanOrEqual(4);
  });

  it('who leaves before it is in never gets in, and takes nothing', async () => {
    const gate = new ByteGate(MIB);
    const order: string[] = [];
    const inside = enter(gate, MIB, 'inside', order);
    const waiting = enter(gate, MIB, 'waiting', order);
    waiting.leave();
    expect(await waiting.entered).toBe(false);
    inside.leave();
    await settled();
    expect([order, gate.inside]).toEqual([['inside'], 0]);
  });
});
