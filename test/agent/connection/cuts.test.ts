import { describe, expect, it } from 'vitest';
import type { ConnectionEnd } from '../../../agent/connection/connection.ts';
import { watchCuts } from '../../../agent/connection/cuts.ts';
import { agentFault } from '../../../agent/errors.ts';
import { refusal } from '../../../shared/wire/refusals.ts';

const cut = agentFault('closed', { target: 'wss://central:9150', found: 'the line was cut' });
const lost = refusal('heartbeat_lost', { seconds: 50 });

/** The codes with which sessions of these lives end. */
function codes(ends: readonly (readonly [onlineMs: number, reason?: Error])[]): string[] {
  const named = watchCuts();
  return ends.map(
    ([onlineMs, reason = cut]) =>
      named({ onlineMs, reason, terminal: false, retryAfterMs: 0 } as ConnectionEnd).reason.code,
  );
}

describe('sessions that are cut', () => {
  it('after the same time again and again are named from the third on, whatever dials failed in between', () => {
    expect(codes([[10_020], [10_090], [10_010], [10_400]])).toEqual([
      'closed',
      'closed',
      'session_cut_regularly',
      'session_cut_regularly',
    ]);
    expect(codes([[60_000], [0, agentFault('connection_refused', { target: 't' })], [61_500], [65_000]])).toEqual([
      'closed',
      'connection_refused',
      'closed',
      'session_cut_regularly',
    ]);
  });

  it('after different times, or that end for another reason, are daily business', () => {
    expect(codes([[10_000], [25_000], [11_000], [4_000], [60_000]])).not.toContain('session_cut_regularly');
    expect(codes([[10_000], [10_000], [10_000, lost], [10_000], [10_000]])).not.toContain('session_cut_regularly');
    expect(codes([[7_200_000], [7_200_000], [7_200_000]])).not.toContain('session_cut_regularly');
  });

  it('may differ by two seconds, or by a tenth of the longest', () => {
    expect(codes([[10_000], [12_000], [11_000]]).at(-1)).toBe('session_cut_regularly');
    expect(codes([[10_000], [12_001], [11_000]]).at(-1)).toBe('closed');
    expect(codes([[90_000], [100_000], [95_000]]).at(-1)).toBe('session_cut_regularly');
    expect(codes([[89_999], [100_000], [95_000]]).at(-1)).toBe('closed');
    expect(codes([[3_600_000], [3_600_000], [3_600_000]]).at(-1)).toBe('session_cut_regularly');
    expect(codes([[3_600_001], [3_600_001], [3_600_001]]).at(-1)).toBe('closed');
  });

  it('count by the last three alone', () => {
    expect(codes([[100_000], [10_000], [10_000], [10_000]])).toEqual([
      'closed',
      'closed',
      'closed',
      'session_cut_regularly',
    ]);
  });

  it('within a second are named with one', () => {
    const named = watchCuts();
    const ends = [100, 100, 100].map((onlineMs) => named({ onlineMs, reason: cut, terminal: false, retryAfterMs: 0 }));
    expect(ends.at(-1)?.reason).toMatchObject({ parameters: { seconds: 1, target: 'wss://central:9150' }, cause: cut });
  });

  it('are named with their time and what to change', () => {
    const named = watchCuts();
    const end = { onlineMs: 10_020, reason: cut, terminal: false, retryAfterMs: 0 };
    named(end);
    named(end);
    const { reason } = named(end);
    expect(reason.message).toBe(
      'The connection to wss://central:9150 was cut 3 times in a row, each time after about 10 seconds.',
    );
    expect(reason.hint).toContain('proxy_read_timeout');
  });
});
