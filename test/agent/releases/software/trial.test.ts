// When a process that is the trial of its own software has proved itself, failed, or says nothing
// (agent/releases/software/trial.ts).
import { expect, it } from 'vitest';
import { COMMIT_SECONDS, proveSession, type Connection } from '../../../../agent/releases/software/trial.ts';

const online = (sessionId: string): Connection => ({ state: 'online', central: { sessionId }, stateReason: null });
const away = (code: string, state = 'waiting'): Connection => ({
  state,
  central: null,
  stateReason: { code, detail: `It is ${code}.`, hint: 'h' },
});

/** What it decides, and after how many seconds, when the connection is as `look` says at each second. */
async function decided(look: (second: number) => Connection) {
  let time = 0;
  const verdict = await proveSession(
    {
      connection: () => look(time / 1000),
      trialSeconds: 300,
      clock: () => time,
      wait: async (ms) => {
        time += ms;
      },
    },
    new AbortController().signal,
  );
  return { kind: verdict?.kind ?? 'proved', code: verdict?.reason.code, seconds: time / 1000 };
}

it('is proved by a session of a minute', async () => {
  expect(await decided((second) => (second < 5 ? away('connection_refused') : online('s1')))).toEqual({
    kind: 'proved',
    seconds: 5 + COMMIT_SECONDS,
  });
});

it('counts the minute of each session on its own, and lets one that was welcomed in time finish it', async () => {
  expect(await decided((second) => online(second < 50 ? 's1' : 's2'))).toMatchObject({ kind: 'proved', seconds: 110 });
  expect(await decided((second) => (second < 299 ? away('connection_refused') : online('s1')))).toMatchObject({
    kind: 'proved',
    seconds: 359,
  });
});

it('fails at once with a refusal for good, or where TLS fails', async () => {
  expect(await decided(() => away('refused', 'stopped-by-refusal'))).toEqual({
    kind: 'failed',
    code: 'refused',
    seconds: 0,
  });
  expect(await decided(() => away('tls_untrusted'))).toMatchObject({ kind: 'failed', code: 'tls_untrusted' });
});

it('says nothing where Central is away or asks to wait until the time is over', async () => {
  for (const code of ['connection_refused', 'refused', 'throttled'])
    expect(await decided(() => away(code))).toEqual({ kind: 'inconclusive', code, seconds: 300 });
  // Central that goes away and comes back every half minute.
  expect(
    await decided((second) => (second % 40 < 30 ? online(`s${Math.floor(second / 40)}`) : away('going_away'))),
  ).toMatchObject({ kind: 'inconclusive', code: 'going_away', seconds: 310 });
});
