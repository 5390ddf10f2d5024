// What a trial makes of each way in which a release is welcomed, or is not.
import { expect, it } from 'vitest';
import type { ConnectionEnd, DialPlan } from '../../../../agent/connection/connection.ts';
import { agentFault } from '../../../../agent/errors.ts';
import { tryRelease } from '../../../../agent/releases/profile/trial.ts';
import { refusal } from '../../../../shared/wire/refusals.ts';

type End = Partial<ConnectionEnd> & Pick<ConnectionEnd, 'reason'>;

const unreachable = agentFault('connection_refused', { target: 'wss://c:1' });
const refused = agentFault('refused', { found: 'No.', hint: 'h' });

/** Dials with these outcomes, the last one again and again; null: welcomed. */
async function tried(
  outcomes: readonly (End | null)[],
  { trialSeconds = 300, isOnline = (): boolean => true, life = Number.POSITIVE_INFINITY, after = unreachable } = {},
) {
  let time = 0;
  let dials = 0;
  const { promise: lost, resolve } = Promise.withResolvers<ConnectionEnd>();
  const verdict = await tryRelease(
    {
      plans: () => Promise.resolve([{} as DialPlan]),
      attempt: () => {
        const outcome = outcomes[Math.min(dials, outcomes.length - 1)];
        dials += 1;
        const ended: ConnectionEnd = { terminal: false, retryAfterMs: 0, onlineMs: 0, reason: unreachable, ...outcome };
        return outcome === null
          ? { welcomed: Promise.resolve(true), ended: lost, end: () => undefined }
          : { welcomed: Promise.resolve(false), ended: Promise.resolve(ended), end: () => undefined };
      },
      isOnline,
      trialSeconds,
      clock: () => time,
      wait: async (ms, signal) => {
        if (life < ms) {
          resolve({ terminal: false, retryAfterMs: 0, onlineMs: life, reason: after });
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
        }
        time += ms;
      },
    },
    new AbortController().signal,
  );
  const reason = verdict.kind === 'proved' ? '' : verdict.reason.code;
  return { verdict: `${verdict.kind} ${reason}`.trim(), dials, seconds: time / 1000 };
}

it('proves a release by its welcome and ten seconds', async () => {
  expect(await tried([null])).toEqual({ verdict: 'proved', dials: 1, seconds: 10 });
  expect(await tried([{ reason: unreachable }, null])).toMatchObject({ verdict: 'proved', dials: 2 });
});

it('fails a release at once that is refused for good, or whose truststore does not verify', async () => {
  expect(await tried([{ reason: refused, terminal: true, refusedWith: 'agent_unknown' }])).toEqual({
    verdict: 'failed refused',
    dials: 1,
    seconds: 0,
  });
  const untrusted = agentFault('tls_wrong_name', { target: 't', host: 'h', names: 'n' });
  expect(await tried([{ reason: untrusted }])).toEqual({ verdict: 'failed tls_wrong_name', dials: 1, seconds: 0 });
});

it('fails a release that three dials over at least a minute do not reach, and one that the time of its trial ends', async () => {
  expect(await tried([{ reason: unreachable }])).toEqual({
    verdict: 'failed connection_refused',
    dials: 3,
    seconds: 60,
  });
  const ws = { reason: refused, refusedWith: 'ws_disabled' };
  expect(await tried([ws])).toMatchObject({ verdict: 'failed refused', dials: 3 });
  expect(await tried([{ reason: unreachable }], { trialSeconds: 30 })).toMatchObject({ dials: 2, seconds: 30 });
  // Another Central answers: that it is dialed slowly is this side's own rule.
  const foreign = { reason: refusal('unproven_central', {}), retryAfterMs: 60_000 };
  expect(await tried([foreign])).toMatchObject({ verdict: 'failed unproven_central', dials: 3 });
});

it.each([
  ['a Central that is busy', { reason: refused, refusedWith: 'busy', retryAfterMs: 20_000 }],
  ['one that limits logins', { reason: refused, refusedWith: 'agent_login_rate' }],
  ['one that drains', { reason: unreachable, retryAfterMs: 5_000 }],
  ['a proxy with HTTP 503', { reason: unreachable, isThrottled: true }],
] as const)('does not fail a release for %s', async (_, end) => {
  expect((await tried([end])).verdict).toMatch(/^inconclusive/);
  expect(await tried([end, end, end, null])).toMatchObject({ verdict: 'proved', dials: 4 });
});

it('does not fail a release while the old one has no session either, or for a line that is lost after the welcome', async () => {
  expect(await tried([{ reason: unreachable }], { isOnline: () => false })).toMatchObject({
    verdict: 'inconclusive connection_refused',
    dials: 1,
  });
  expect(await tried([null], { life: 4_000 })).toMatchObject({ verdict: 'inconclusive connection_refused' });
});
