import { describe, expect, it } from 'vitest';
import { Mutex } from '../../shared/mutex.ts';

describe('a mutex', () => {
  it('starts a job only when the one before it has settled, in the order of submission', async () => {
    const mutex = new Mutex();
    const first = Promise.withResolvers<string>();
    const order: string[] = [];
    const jobs = [
      mutex.runExclusive(async () => {
        order.push('first starts');
        const text = await first.promise;
        order.push('first ends');
        return text;
      }),
      mutex.runExclusive(async () => order.push('second')),
      mutex.runExclusive(async () => order.push('third')),
    ];
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(['first starts']);
    first.resolve('done');
    expect(await Promise.all(jobs)).toEqual(['done', 3, 4]);
    expect(order).toEqual(['first starts', 'first ends', 'second', 'third']);
  });

  it('rejects a failed job with its own error, also one thrown before any await, and runs the next', async () => {
    const mutex = new Mutex();
    const failed = mutex.runExclusive(() => {
      throw new Error('disk full');
    });
    const next = mutex.runExclusive(async () => 'runs');
    await expect(failed).rejects.toThrow('disk full');
    expect(await next).toBe('runs');
  });
});
