import { afterEach, describe, expect, it, vi } from 'vitest';
import { openDescriptors, shareDescriptors } from '../../../../central/listeners/limits/descriptors.ts';

afterEach(() => vi.useRealTimers());

describe('the file descriptors', () => {
  it.each([
    [64, 47],
    [256, 47],
    [1_024, 47],
    [65_536, 60],
  ])('of a limit of %i are divided so that all shares together fit, and each kind has some', (limit, used) => {
    const { sessions, handshakes, administration } = shareDescriptors(limit, used);
    for (const open of [0, Math.floor(sessions / 2), sessions]) {
      expect(Math.min(sessions, handshakes(open), administration)).toBeGreaterThan(0);
      expect(open + 3 * handshakes(open) + 2 * administration).toBeLessThanOrEqual(Math.max(10, limit - used - 16));
    }
  });

  it('of a limit of 20,000 let 5,000 agents of an installation that restarts connect at once', () => {
    expect(shareDescriptors(20_000, 60).handshakes(0)).toBeGreaterThan(4_900);
  });

  it('bound nothing where the system names no limit', () => {
    const { sessions, handshakes, administration } = shareDescriptors(Number.MAX_SAFE_INTEGER, 0);
    expect(Math.min(sessions, handshakes(0), administration)).toBeGreaterThan(1_000_000);
  });

  it('are a warning at the start when they are fewer than agents.max, and once a minute when they are used up', () => {
    vi.useFakeTimers();
    const warn = vi.fn<(facts: object, text: string) => void>();
    const { onSessionsFull, sessions } = openDescriptors({ warn }, 10_000, { limit: 256, used: 47 });
    expect(warn.mock.calls).toMatchObject(
      [[{ code: 'descriptors_few', openFiles: 256, maxSessions: sessions }, '']].map(([facts]) => [
        facts,
        expect.stringContaining(`allows ${sessions} agents`),
      ]),
    );
    for (let i = 0; i < 3; i += 1) onSessionsFull();
    expect(warn).toHaveBeenCalledTimes(2);
    vi.advanceTimersByTime(60_001);
    onSessionsFull();
    expect(warn.mock.calls[2]?.[0]).toMatchObject({ code: 'descriptors_full', openFiles: 256 });
  });

  it('cause no warning when they suffice', () => {
    const warn = vi.fn<(facts: object, text: string) => void>();
    openDescriptors({ warn }, 10_000, { limit: 1_048_576, used: 47 });
    openDescriptors({ warn }, 10_000, { limit: Number.MAX_SAFE_INTEGER, used: 0 });
    expect(warn).not.toHaveBeenCalled();
  });
});

describe('a reached limit of open files', () => {
  it('is a problem of the status while agents are refused, and some minutes after', () => {
    vi.useFakeTimers();
    const descriptors = openDescriptors({ warn() {} }, 100, { limit: 64, used: 47 });
    expect(descriptors.problems()).toEqual([]);
    const startedAt = Date.now();
    descriptors.onSessionsFull();
    vi.advanceTimersByTime(200_000);
    descriptors.onSessionsFull();
    vi.advanceTimersByTime(200_000);
    expect(descriptors.problems()).toMatchObject([{ code: 'descriptors_full', startedAt }]);
    vi.advanceTimersByTime(200_000);
    expect(descriptors.problems()).toEqual([]);
  });
});
