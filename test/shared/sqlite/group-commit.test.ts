import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CodedError } from '../../../shared/errors.ts';
import { storeFailure } from '../../../shared/sqlite/errors.ts';
import { GroupCommit, type Durability, type Outcome, type Work } from '../../../shared/sqlite/group-commit.ts';

const refusal = (): CodedError => new CodedError('refused', { text: 'refused', hint: 'test' }, {});

/** An executor whose commits end when the test says so. */
class Disk {
  readonly batches: number[] = [];
  readonly durabilities: string[] = [];
  failNext: Error | undefined;
  #release: (() => void) | undefined;
  #held = false;

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#release?.();
  }

  readonly execute = async (batch: readonly Work[], durability: Durability): Promise<Outcome[]> => {
    this.batches.push(batch.length);
    this.durabilities.push(durability);
    const outcomes = batch.map((work): Outcome => {
      try {
        return { ok: true, value: work() };
      } catch (error) {
        return { ok: false, error };
      }
    });
    if (this.#held) await new Promise<void>((resolve) => (this.#release = resolve));
    if (this.failNext !== undefined) throw this.failNext;
    return outcomes;
  };
}

function open(disk: Disk, bounds: { maxBatchCalls?: number; maxBatchBytes?: number; lazyMs?: number } = {}) {
  const onFailure = vi.fn<(error: CodedError) => void>();
  const group = new GroupCommit({
    execute: disk.execute,
    failure: (error) => storeFailure(error, '/data'),
    onFailure,
    ...bounds,
  });
  return { group, onFailure };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('GroupCommit', () => {
  it('makes one batch of what one turn brings, and the next of all that arrives while a commit runs', async () => {
    const disk = new Disk();
    const { group } = open(disk);
    disk.hold();
    const first = [group.run(() => 1), group.run(() => 2)];
    await nextTurn();
    const second = Array.from({ length: 50 }, (_, index) => group.run(() => index));
    expect(group.waiting).toBe(52);
    await nextTurn();
    disk.release();
    expect(await Promise.all(first)).toEqual([1, 2]);
    expect(await Promise.all(second)).toHaveLength(50);
    expect(disk.batches).toEqual([2, 50]);
    expect(group.waiting).toBe(0);
  });

  it('answers no one before the commit', async () => {
    const disk = new Disk();
    const { group } = open(disk);
    disk.hold();
    let answered = false;
    const call = group.run(() => 1).then(() => (answered = true));
    await nextTurn();
    await nextTurn();
    expect(disk.batches).toEqual([1]);
    expect(answered).toBe(false);
    disk.release();
    await call;
  });

  it('does not wait for the disk only where all calls of a batch may do without', async () => {
    const disk = new Disk();
    const { group } = open(disk);
    await group.run(() => 1, { unsynced: true });
    await Promise.all([group.run(() => 2, { unsynced: true }), group.run(() => 3, { unsynced: true })]);
    await Promise.all([group.run(() => 4, { unsynced: true }), group.run(() => 5)]);
    await Promise.all([group.run(() => 6, { lazy: true }), group.run(() => 7, { unsynced: true })]);
    expect(disk.durabilities).toEqual(['unsynced', 'unsynced', 'synced', 'synced']);
  });

  it('bounds a batch in calls and in bytes; a larger call is a batch of its own', async () => {
    const disk = new Disk();
    const { group } = open(disk, { maxBatchCalls: 3, maxBatchBytes: 100 });
    await Promise.all([0, 0, 0, 0, 60, 60, 500, 1].map((bytes) => group.run(() => bytes, { bytes })));
    expect(disk.batches).toEqual([3, 2, 1, 1, 1]);
  });

  it('runs what goes first before all that waits, in its own order, and the rest as it came', async () => {
    const disk = new Disk();
    const { group } = open(disk, { maxBatchCalls: 2 });
    const ran: string[] = [];
    const run = (name: string, first = false): Promise<number> => group.run(() => ran.push(name), { first });
    disk.hold();
    const running = run('a');
    await nextTurn();
    await nextTurn();
    const waiting = [run('b'), run('c'), run('login 1', true), run('d'), run('login 2', true), run('login 3', true)];
    disk.release();
    await Promise.all([running, ...waiting]);
    expect(ran).toEqual(['a', 'login 1', 'login 2', 'login 3', 'b', 'c', 'd']);
    expect(disk.batches).toEqual([1, 2, 2, 2]);
  });

  it('lets a call fail alone with its own error', async () => {
    const disk = new Disk();
    const { group, onFailure } = open(disk);
    const calls = [
      group.run(() => 'a'),
      group.run(() => {
        throw refusal();
      }),
      group.run(() => {
        throw new TypeError('a defect');
      }),
      group.run(() => 'b'),
    ];
    expect(await Promise.allSettled(calls)).toMatchObject([
      { value: 'a' },
      { reason: { code: 'refused' } },
      { reason: { code: 'store_defect' } },
      { value: 'b' },
    ]);
    expect(onFailure).not.toHaveBeenCalled();
  });

  it('ends for good when a commit fails: the batch, what waits, and all that comes later, and says so once', async () => {
    const disk = new Disk();
    const { group, onFailure } = open(disk);
    disk.hold();
    const calls = [group.run(() => 1)];
    await nextTurn();
    calls.push(
      group.run(() => 2),
      group.run(() => 3, { lazy: true }),
    );
    disk.failNext = Object.assign(new Error('database or disk is full'), { errcode: 13 });
    disk.release();
    expect(await Promise.allSettled(calls)).toMatchObject(
      calls.map(() => ({ status: 'rejected', reason: { code: 'store_failed', status: 503 } })),
    );
    disk.failNext = undefined;
    await expect(group.run(() => 4)).rejects.toMatchObject({
      code: 'store_failed',
      hint: expect.stringContaining('Free space on the disk of /data'),
    });
    expect(onFailure).toHaveBeenCalledTimes(1);
    expect(disk.batches).toEqual([1]);
    await group.stop();
  });

  it('lets a lazy call wait for company, in its place in the order, but not for ever', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const disk = new Disk();
    const { group } = open(disk, { lazyMs: 50 });
    const order: string[] = [];
    const lazy = group.run(() => order.push('ack'), { lazy: true });
    await nextTurn();
    await nextTurn();
    expect(disk.batches).toEqual([]);
    await group.run(() => order.push('resume'));
    await lazy;
    expect(order).toEqual(['ack', 'resume']);
    expect(disk.batches).toEqual([2]);
    const alone = group.run(() => order.push('alone'), { lazy: true });
    vi.advanceTimersByTime(50);
    await alone;
    expect(disk.batches).toEqual([2, 1]);
  });

  it('stops after everything accepted is committed, lazy calls at once, and takes nothing more', async () => {
    const disk = new Disk();
    const { group } = open(disk, { lazyMs: 3_600_000 });
    const lazy = group.run(() => 'ack', { lazy: true });
    const stopped = group.stop();
    await expect(group.run(() => 1)).rejects.toMatchObject({ code: 'store_stopped' });
    expect(await lazy).toBe('ack');
    await stopped;
    await group.stop();
    expect(disk.batches).toEqual([1]);
  });

  it('stops at once when there is nothing to do', async () => {
    const { group } = open(new Disk());
    await expect(Promise.race([group.stop(), wait(5_000, 'late')])).resolves.toBeUndefined();
  });
});
