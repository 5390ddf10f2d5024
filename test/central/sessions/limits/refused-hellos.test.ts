import { expect, it } from 'vitest';
import { RefusedHellos } from '../../../../central/sessions/limits/refused-hellos.ts';
import type { RefusedHello } from '../../../../central/store/agent-store.ts';
import { refusal } from '../../../../shared/wire/refusals.ts';
import type { Hello } from '../../../../shared/wire/messages.ts';
import { shownThumbprint } from '../../../../shared/wire/proof.ts';

const EXPIRED = refusal('certificate_expired', { date: '2026-11-22T10:00:00.000Z', graceDays: 30 });
const MINUTE = 60_000;

function setUp(failure?: Error) {
  const clock = { now: 0 };
  const [recorded, failures]: [RefusedHello[], unknown[]] = [[], []];
  const refused = new RefusedHellos({
    agents: {
      async recordRefusal(one) {
        if (failure !== undefined) throw failure;
        recorded.push(one);
      },
    },
    log: { debug: (facts) => void failures.push(facts) },
    now: () => clock.now,
  });
  return { clock, recorded, failures, refused };
}

const helloOf = (id: string, key = 'AAAA') => ({ id, key }) as Hello;

it('a refusal is recorded with its reason and the key of the hello, and the time after which the agent may log in', () => {
  const { refused, recorded } = setUp();
  refused.record(helloOf('a'), EXPIRED);
  refused.record(helloOf('b'), refusal('agent_login_rate', { id: 'b', seconds: 3 }));
  expect(recorded).toEqual([
    {
      agentId: 'a',
      keyThumbprint: shownThumbprint('AAAA'),
      reason: `certificate_expired: ${EXPIRED.message}`,
      until: null,
      now: 0,
    },
    expect.objectContaining({ agentId: 'b', until: 3_000 }),
  ]);
});

it('what says nothing of the agent is not recorded: a stranger, an act of an administrator, Central itself', () => {
  const { refused, recorded } = setUp();
  for (const reason of [
    refusal('bad_signature', {}),
    refusal('agent_key_mismatch', { id: 'a' }),
    refusal('agent_disabled', {}),
    refusal('internal', {}),
    refusal('maintenance', { seconds: 5 }),
  ])
    refused.record(helloOf('a'), reason);
  expect(recorded).toEqual([]);
});

it('an agent that is refused again and again is recorded once a minute; one that was welcomed, at once', () => {
  const { clock, refused, recorded } = setUp();
  for (; clock.now < 3 * MINUTE; clock.now += 1_000) {
    refused.record(helloOf('a'), clock.now % 2_000 === 0 ? EXPIRED : refusal('binding_mismatch', {}));
  }
  expect(recorded.map(({ now }) => now)).toEqual([0, MINUTE, 2 * MINUTE]);
  refused.record(helloOf('a', 'BBBB'), EXPIRED);
  refused.welcomed({ hello: helloOf('a'), keyThumbprint: shownThumbprint('AAAA') });
  refused.record(helloOf('a'), EXPIRED);
  expect(recorded).toHaveLength(5);
});

it('a store that fails is logged, and refuses nothing', async () => {
  const { refused, failures } = setUp(new Error('full'));
  refused.record(helloOf('a'), EXPIRED);
  await expect.poll(() => failures).toEqual([{ agent: 'a', error: 'full' }]);
});
