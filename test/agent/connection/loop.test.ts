import { describe, expect, it } from 'vitest';
import { connectionLoop, connectWithKeys, type LoopState } from '../../../agent/connection/loop.ts';
import type { ConnectionEnd, DialPlan } from '../../../agent/connection/connection.ts';
import { PROVEN_LIFE_MS } from '../../../shared/backoff.ts';
import { agentFault } from '../../../agent/errors.ts';
import { refusal } from '../../../shared/wire/refusals.ts';

const REVOKED = refusal('agent_revoked', { reason: 'keyCompromise' });
const CUT = refusal('heartbeat_lost', { seconds: 50 });

/**
 * Runs the loop over these ends of connections, one a dial, and stops it after the last: what it said, and what it
 * asked of the backoff.
 */
async function looped(ends: readonly ConnectionEnd[], hosts = 1) {
  const states: LoopState[] = [];
  const backoff: (number | 'reset')[] = [];
  const stop = new AbortController();
  let dials = 0;
  let changes = 0;
  const plans = Array.from(
    { length: hosts },
    (_, host) => ({ target: { host: `central-${host}` } }) as unknown as DialPlan,
  );
  await connectionLoop(
    {
      plans: async () => plans,
      async connect() {
        const end = ends[dials];
        dials += 1;
        if (end === undefined) throw new Error('one dial too many');
        return end;
      },
      changed: async (signal) => {
        changes += 1;
        if (dials === ends.length) return stop.abort();
        // A wait for the backoff ends by its time; a wait for a change after a refusal, by the change.
        if (states.at(-1)?.state === 'waiting')
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
      backoff: { next: (atLeastMs = 0) => (backoff.push(atLeastMs), 0), reset: () => void backoff.push('reset') },
      onState: (state) => states.push(state),
    },
    stop.signal,
  );
  return { states: states.map(({ state }) => state), backoff, dials, changes };
}

const end = (over: Partial<ConnectionEnd>): ConnectionEnd => ({
  reason: CUT,
  terminal: false,
  retryAfterMs: 0,
  onlineMs: 0,
  ...over,
});

describe('an agent that was refused for good', () => {
  it('dials no more until something on its disk changes, and then at once', async () => {
    const { states, dials, changes, backoff } = await looped([
      end({ reason: REVOKED, terminal: true }),
      end({ reason: REVOKED, terminal: true }),
    ]);
    expect(states).toEqual(['connecting', 'stopped-by-refusal', 'connecting', 'stopped-by-refusal']);
    expect([dials, changes]).toEqual([2, 2]);
    // No wait was drawn between the two: the change ended it, and the backoff begins again.
    expect(backoff).toEqual(['reset', 'reset']);
  });

  it('by one of two hosts goes on with the other', async () => {
    const { states, dials } = await looped([end({ reason: REVOKED, terminal: true }), end({})], 2);
    expect([states.at(-1), dials]).toEqual(['waiting', 2]);
  });
});

describe('an agent whose line is cut', () => {
  it('waits as long as Central asked, and backs off further until a session has lived', async () => {
    const { backoff } = await looped([
      end({ retryAfterMs: 7_000 }),
      end({ onlineMs: PROVEN_LIFE_MS - 1 }),
      end({ onlineMs: PROVEN_LIFE_MS }),
      end({}),
    ]);
    expect(backoff).toEqual([7_000, 0, 'reset', 0, 0]);
  });

  it('watches its disk while it waits, and no longer', async () => {
    const stop = new AbortController();
    const watches: AbortSignal[] = [];
    let dials = 0;
    await connectionLoop(
      {
        plans: async () => [{} as DialPlan],
        async connect() {
          // Each watch of the waits before has ended.
          expect(watches.map(({ aborted }) => aborted)).toEqual(watches.map(() => true));
          dials += 1;
          if (dials === 3) stop.abort();
          return end({});
        },
        async changed(signal) {
          watches.push(signal);
          // The first wait ends by its time, the second by a change.
          if (watches.length === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve));
        },
        backoff: { next: () => (dials === 1 ? 0 : 3_600_000), reset: () => undefined },
        onState: () => undefined,
      },
      stop.signal,
    );
    expect([dials, watches.length]).toEqual([3, 2]);
  });

  it('of several hosts obeys the longest wait', async () => {
    const { backoff } = await looped([end({ retryAfterMs: 9_000 }), end({ retryAfterMs: 1_000 })], 2);
    expect(backoff).toEqual([9_000]);
  });
});

describe('a round', () => {
  it('ends with the first host that gives a session, when that session ends', async () => {
    const { dials, backoff } = await looped(
      [end({ retryAfterMs: 5_000 }), end({ onlineMs: 1, retryAfterMs: 3_000 })],
      3,
    );
    expect([dials, backoff]).toEqual([2, [3_000]]);
  });

  it('is over for good only when all hosts refuse for good, in any order', async () => {
    const refused = end({ reason: REVOKED, terminal: true });
    for (const [ends, last] of [
      [[refused, refused], 'stopped-by-refusal'],
      [[end({}), refused], 'waiting'],
    ] as const)
      expect((await looped(ends, 2)).states.at(-1)).toBe(last);
  });

  it('says why it ended, and with which code Central refused', async () => {
    const stop = new AbortController();
    const states: LoopState[] = [];
    await connectionLoop(
      {
        plans: async () => [{} as DialPlan],
        connect: async () => end({ refusedWith: 'busy' }),
        changed: async () => stop.abort(),
        backoff: { next: () => 7, reset: () => undefined },
        onState: (state) => states.push(state),
      },
      stop.signal,
    );
    expect(states).toEqual([
      { state: 'connecting' },
      { state: 'waiting', reason: CUT, refusedWith: 'busy', retryInMs: 7 },
    ]);
  });
});

describe('a loop without anything to dial', () => {
  async function unplanned(fault: Error): Promise<string[]> {
    const stop = new AbortController();
    const states: LoopState[] = [];
    await connectionLoop(
      {
        plans: async () => {
          throw fault;
        },
        connect: async () => {
          throw new Error('dialed');
        },
        changed: async () => stop.abort(),
        backoff: { next: () => 60_000, reset: () => undefined },
        onState: (state) => states.push(state),
      },
      stop.signal,
    );
    return states.map(({ state }) => state);
  }

  it('waits for a change where only a person can fix the cause, and tries again where time can', async () => {
    expect(await unplanned(refusal('agent_revoked', { reason: 'r' }))).toEqual(['connecting', 'stopped-by-refusal']);
    expect(await unplanned(agentFault('connection_refused', { target: 't' }))).toEqual(['connecting', 'waiting']);
  });

  it('fails with a fault of the program', async () => {
    await expect(unplanned(new TypeError('a fault'))).rejects.toThrow('a fault');
  });

  it('dials nothing when it was stopped before', async () => {
    const states: LoopState[] = [];
    await connectionLoop(
      {
        plans: () => Promise.reject(new Error('planned')),
        connect: () => Promise.reject(new Error('dialed')),
        changed: () => Promise.reject(new Error('waited')),
        backoff: { next: () => 0, reset: () => undefined },
        onState: (state) => states.push(state),
      },
      AbortSignal.abort(),
    );
    expect(states).toEqual([]);
  });

  it('stops in the middle of a wait', async () => {
    const stop = new AbortController();
    const stopped = connectionLoop(
      {
        plans: async () => [{} as DialPlan],
        connect: async () => end({}),
        changed: () => new Promise(() => undefined),
        backoff: { next: () => 3_600_000, reset: () => undefined },
        onState: ({ state }) => {
          if (state === 'waiting') setImmediate(() => stop.abort());
        },
      },
      stop.signal,
    );
    await expect(stopped).resolves.toBeUndefined();
  });
});

describe('the keys of a renewal', () => {
  const [current, next] = [
    { key: 'k1', identity: 'i1' },
    { key: 'k2', identity: 'i2' },
  ] as unknown as [Pick<DialPlan, 'key' | 'identity'>, NonNullable<DialPlan['next']>];
  const plan = { ...current, name: 'branch', next } as DialPlan;

  async function dialed(dialPlan: DialPlan, refusedWith?: string) {
    const plans: DialPlan[] = [];
    const last = await connectWithKeys(dialPlan, async (one) => {
      plans.push(one);
      return end(refusedWith === undefined ? {} : { refusedWith });
    });
    return { plans, last };
  }

  it('are tried newest first, and the current one when Central does not know it', async () => {
    expect((await dialed(plan)).plans).toEqual([{ ...next, name: 'branch' }]);
    expect((await dialed(plan, 'busy')).plans).toHaveLength(1);
    const { plans, last } = await dialed(plan, 'agent_key_mismatch');
    expect(plans).toEqual([
      { ...next, name: 'branch' },
      { ...current, name: 'branch' },
    ]);
    expect(last.refusedWith).toBe('agent_key_mismatch');
  });

  it('are one without a renewal', async () => {
    const { next: _, ...without } = plan;
    expect((await dialed(without, 'agent_key_mismatch')).plans).toEqual([{ ...current, name: 'branch' }]);
  });
});
