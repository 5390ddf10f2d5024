import { describe, expect, it } from 'vitest';
import { connectionLoop, type LoopState } from '../../../agent/connection/loop.ts';
import type { ConnectionEnd, DialPlan } from '../../../agent/connection/connection.ts';
import { PROVEN_LIFE_MS } from '../../../shared/backoff.ts';
import { refusal } from '../../../shared/wire/refusals.ts';

const REVOKED = refusal('agent_revoked', { reason: 'keyCompromise' });
const CUT = refusal('heartbeat_lost', { seconds: 50 });

/** Runs the loop over these ends of connections, one a dial, and stops it after the last: what it said, and what it asked of the backoff. */
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
    // No wait was drawn between the two: the change ended it.
    expect(backoff.filter((entry) => entry !== 'reset')).toEqual([]);
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

  it('of several hosts obeys the longest wait', async () => {
    const { backoff } = await looped([end({ retryAfterMs: 9_000 }), end({ retryAfterMs: 1_000 })], 2);
    expect(backoff).toEqual([9_000]);
  });
});
