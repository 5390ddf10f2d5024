import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Turns } from '../../../../central/listeners/limits/turns.ts';

describe("strangers' work in turns", () => {
  it('one block that asks for a thousand things at once gets few per turn of the event loop', async () => {
    const turns = new Turns();
    let done = 0;
    for (let i = 0; i < 1_000; i += 1) turns.take('192.0.2.1', () => (done += 1));
    const perTurn: number[] = [];
    for (let before = 0; done < 1_000; before = done) {
      await nextTurn();
      perTurn.push(done - before);
    }
    expect(Math.max(...perTurn.slice(1))).toBeLessThanOrEqual(4);
  });

  it('another block has its turn next, however much the first one has waiting', async () => {
    const turns = new Turns();
    const order: string[] = [];
    for (let i = 0; i < 100; i += 1) turns.take('192.0.2.1', () => order.push('flood'));
    turns.take('192.0.2.2', () => order.push('honest'));
    while (order.length < 101) await nextTurn();
    expect(order.indexOf('honest')).toBeLessThan(8);
  });

  it('what costs long has a turn of its own; nothing waits while nothing else is to be done', async () => {
    const turns = new Turns();
    const busy = (): void => {
      const end = performance.now() + 3;
      while (performance.now() < end);
    };
    let done = 0;
    turns.take('192.0.2.1', () => (done += 1));
    expect(done).toBe(1);
    await nextTurn();
    for (let i = 0; i < 5; i += 1) {
      turns.take('192.0.2.1', () => {
        busy();
        done += 1;
      });
    }
    expect(done).toBe(2);
    const seen = new Set<number>();
    while (done < 6) {
      await nextTurn();
      seen.add(done);
    }
    expect([...seen]).toEqual([3, 4, 5, 6]);
  });
});
