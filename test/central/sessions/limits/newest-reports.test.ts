import { expect, it } from 'vitest';
import { NewestReports } from '../../../../central/sessions/limits/newest-reports.ts';

interface Report {
  readonly number: number;
}

it('writes one report of an agent at a time, and of those that come meanwhile the newest only', async () => {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const reports = new NewestReports<Report>(async (agentId, { number }) => {
    begun.push(`${agentId} ${number}`);
    await new Promise<void>((resolve) => ends.push(resolve));
  });
  for (let number = 1; number <= 1_000; number += 1) reports.note('a1', { number });
  reports.note('a2', { number: 7 });
  expect(begun).toEqual(['a1 1', 'a2 7']);
  ends[0]?.();
  await expect.poll(() => begun).toEqual(['a1 1', 'a2 7', 'a1 1000']);
  ends[2]?.();
  ends[1]?.();
  // Nothing waits any more: the next one is written at once.
  await new Promise((resolve) => setImmediate(resolve));
  expect(begun).toHaveLength(3);
  reports.note('a1', { number: 1_001 });
  expect(begun.at(-1)).toBe('a1 1001');
});
