// How agents are asked to renew: the spread follows from the number that is online, which may come from a database.
import { expect, it } from 'vitest';
import { Renewals } from '../../../central/agents/renewal.ts';
import type { Authority } from '../../../central/pki/authority/authority.ts';
import type { Session } from '../../../central/sessions/session.ts';
import type { CentralControl } from '../../../shared/wire/messages.ts';

function setUp() {
  const counts: PromiseWithResolvers<number>[] = [];
  const warnings: object[] = [];
  const unused = {} as never;
  const renewals = new Renewals({
    agents: unused,
    certificates: unused,
    authority: { current: () => ({ id: 'root-1' }) } as unknown as Authority,
    lifetimeDays: () => 90,
    online() {
      const count = Promise.withResolvers<number>();
      counts.push(count);
      return count.promise;
    },
    rate: unused,
    incidents: unused,
    metrics: unused,
    log: { debug() {}, info() {}, warn: (facts) => void warnings.push(facts) },
    now: () => 0,
  });
  const session = (capabilities: readonly string[] = ['renewal']) => {
    const sent: CentralControl[] = [];
    const facts = { capabilities };
    const sendControl = (frame: CentralControl): void => void sent.push(frame);
    return { sent, session: { facts, sendControl } as unknown as Session };
  };
  const settle = async () => {
    for (let i = 0; i < 10; i += 1) await Promise.resolve();
  };
  return { renewals, counts, warnings, session, settle };
}

it('counts the agents that are online once for all sessions that are asked meanwhile', async () => {
  const { renewals, counts, session, settle } = setUp();
  const [one, other, old] = [session(), session(), session([])];
  for (const asked of [one, other, old]) renewals.askToRenew(asked.session);
  expect([counts.length, one.sent.length]).toEqual([1, 0]);
  counts[0]?.resolve(101);
  await settle();
  expect([one.sent, other.sent, old.sent]).toEqual([
    [{ type: 'renew-now', spreadSeconds: 3 }],
    [{ type: 'renew-now', spreadSeconds: 3 }],
    [],
  ]);
  renewals.askToRenew(one.session);
  expect(counts).toHaveLength(2);
});

it('asks no agent and warns when the number online cannot be read; the next request counts again', async () => {
  const { renewals, counts, warnings, session, settle } = setUp();
  const one = session();
  renewals.askToRenew(one.session);
  counts[0]?.reject(new Error('the database is gone'));
  await settle();
  expect([one.sent, warnings]).toEqual([[], [{ error: 'the database is gone' }]]);
  renewals.askToRenew(one.session);
  counts[1]?.resolve(1);
  await settle();
  expect(one.sent).toEqual([{ type: 'renew-now', spreadSeconds: 1 }]);
});

it('asks at the welcome for what another authority issued, and for what is not valid yet', async () => {
  const { renewals, counts, session, settle } = setUp();
  const welcomed = async (certificate: object) => {
    const { sent, session: opened } = session();
    Object.assign(opened.facts, { certificate });
    renewals.onOpened(opened);
    for (const count of counts.splice(0)) count.resolve(1);
    await settle();
    return sent.length;
  };
  const good = { issuer: 'root-1', notBefore: -1, notAfter: 1 };
  expect(await welcomed(good)).toBe(0);
  expect(await welcomed({ ...good, issuer: 'root-0' })).toBe(1);
  expect(await welcomed({ ...good, notBefore: 1 })).toBe(1);
});
