// Waiting for a final state: it is reached, it never is, and Central is away in between.
import { expect, it, vi } from 'vitest';
import type { CommandCall } from '../../../../central/cli/command.ts';
import { cliFault } from '../../../../central/cli/errors.ts';
import { exitStatusOf } from '../../../../shared/terminal/exit-status.ts';
import { waitForEnd, waitSeconds } from '../../../../central/cli/watching/wait.ts';

const AWAITED = { path: '/changes/c1', what: 'The change c1', command: 'changes show c1', passing: ['pending'] };
const away = cliFault('administration_unreachable', { url: 'u', found: 'f' });

function waiting(answers: readonly (string | Error)[], seconds: number) {
  const left = [...answers];
  const request = vi.fn<() => Promise<{ state: string | undefined }>>(async () => {
    const next = left.length > 1 ? left.shift() : left[0];
    if (next instanceof Error) throw next;
    return { state: next };
  });
  const call = { client: { request }, signal: new AbortController().signal } as unknown as CommandCall;
  return waitForEnd(call, seconds, AWAITED);
}

it('returns what is there once its state is final, also when Central was away meanwhile', async () => {
  expect(await waiting([away, 'confirmed'], 60)).toEqual({ state: 'confirmed' });
});

it('lets Central wait where it can, from the answer before on', async () => {
  const [running, done] = [
    { value: { state: 'running' }, etag: '"1"' },
    { value: { state: 'completed' }, etag: '"2"' },
  ];
  const answers = [running, running, away, done];
  const changed = vi.fn<(path: string, known: unknown, seconds: number) => Promise<unknown>>(async () => {
    const next = answers.shift();
    if (next instanceof Error) throw next;
    return next;
  });
  const call = { client: { changed }, signal: new AbortController().signal } as unknown as CommandCall;
  const ended = await waitForEnd(call, 60, { ...AWAITED, passing: ['running'], isAwaited: true });
  expect(ended).toEqual({ state: 'completed' });
  expect(changed.mock.calls.map(([, known]) => known)).toEqual([undefined, running, running, running]);
  expect(changed.mock.calls[0]?.[2]).toBeCloseTo(60, 0);
});

it('says what it found when the time is up, with exit status 8', async () => {
  const error: unknown = await waiting(['pending'], 0).catch((thrown: unknown) => thrown);
  expect(String(error)).toContain('The change c1 has not reached its final state within 0 s; its state is pending.');
  expect(exitStatusOf(error)).toBe(8);
  expect(exitStatusOf(await waiting([away], 0).catch((thrown: unknown) => thrown))).toBe(8);
});

it('ends at once with an error that does not pass', async () => {
  await expect(waiting([cliFault('change_missing', {})], 60)).rejects.toThrow('No change');
});

it('waits for 10 minutes unless a time is named', () => {
  const seconds = (text: string | undefined) => waitSeconds({ text: () => text, seconds: () => 5 });
  expect([seconds(undefined), seconds(''), seconds('5s')]).toEqual([undefined, 600, 5]);
});
