import { afterEach, describe, expect, it, vi } from 'vitest';
import { EventHub } from '../../../central/messaging/event-hub.ts';

/** A store whose answer a test holds back. */
class Cursor {
  newest = 0;
  asked = 0;
  #answers: (() => void)[] = [];

  lastCursor = (): Promise<number> =>
    new Promise((resolve) => {
      this.asked += 1;
      const { newest } = this;
      this.#answers.push(() => resolve(newest));
    });

  answer(): void {
    for (const answer of this.#answers.splice(0)) answer();
  }
}

async function state(waiting: Promise<void>): Promise<'waiting' | 'awake'> {
  return await Promise.race([
    waiting.then(() => 'awake' as const),
    new Promise<'waiting'>((resolve) => setImmediate(() => resolve('waiting'))),
  ]);
}

afterEach(() => void vi.useRealTimers());

describe('those who wait for events', () => {
  it('wake at a commit, all of them', async () => {
    const cursor = new Cursor();
    const hub = new EventHub(cursor);
    const all = [1, 2].map(() => hub.wait(0, new AbortController().signal));
    cursor.answer();
    expect(await Promise.all(all.map((one) => state(one)))).toEqual(['waiting', 'waiting']);
    hub.notify();
    await Promise.all(all);
  });

  it('miss no commit that happens while they begin to wait: before the look at the store, and between the look and its answer', async () => {
    const before = new Cursor();
    before.newest = 1;
    const waiting = new EventHub(before).wait(0, new AbortController().signal);
    before.answer();
    await waiting;

    const between = new Cursor();
    const hub = new EventHub(between);
    const raced = hub.wait(0, new AbortController().signal);
    expect(between.asked).toBe(1);
    // The look saw nothing; the commit comes before its answer.
    between.newest = 1;
    hub.notify();
    between.answer();
    expect(await state(raced)).toBe('awake');
  });

  it('go when they are aborted, and when the store fails', async () => {
    const gone = new AbortController();
    const hub = new EventHub({ lastCursor: () => Promise.resolve(0) });
    const waiting = hub.wait(0, gone.signal);
    expect(await state(waiting)).toBe('waiting');
    gone.abort();
    await waiting;
    await hub.wait(0, AbortSignal.abort());
    await new EventHub({ lastCursor: () => Promise.reject(new Error('the store failed')) }).wait(
      0,
      new AbortController().signal,
    );
  });

  it('find what no hint announced: another Central committed it to the same store', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    let newest = 0;
    const hub = new EventHub({ lastCursor: () => Promise.resolve(newest) }, 1_000);
    const [behind, ahead] = [hub.wait(0, new AbortController().signal), hub.wait(1, new AbortController().signal)];
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await state(behind)).toBe('waiting');
    newest = 1;
    await vi.advanceTimersByTimeAsync(1_000);
    expect([await state(behind), await state(ahead)]).toEqual(['awake', 'waiting']);
  });

  it('cost nothing when there are none', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const hub = new EventHub({ lastCursor: () => Promise.resolve(0) }, 1_000);
    const waiting = hub.wait(0, new AbortController().signal);
    expect(vi.getTimerCount()).toBe(1);
    hub.notify();
    await waiting;
    expect(vi.getTimerCount()).toBe(0);
  });
});
