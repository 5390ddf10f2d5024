// The phases of a rotation, who is named at each, and that nothing changes where it must not.
import { describe, expect, it } from 'vitest';
import { CENTRAL } from '../../../../central/audit.ts';
import { openAuthority, type Authority } from '../../../../central/pki/authority/authority.ts';
import { makeKeyPair } from '../../../../central/pki/x509/key-algorithms.ts';
import { Rotation } from '../../../../central/pki/rotation/rotation.ts';
import { openServerIdentity } from '../../../../central/pki/server/server-identity.ts';
import { issuedCertificate } from '../../../../central/enrollment/credentials.ts';
import type { Refusal } from '../../../../central/pki/trust/publication.ts';
import type { AgentTrust } from '../../../../central/store/certificate-store.ts';
import { createMetrics } from '../../../../central/metrics.ts';
import type { PendingChange } from '../../../../central/change/pending.ts';
import { makeChanges, memoryStore } from '../../fakes.ts';
import { ACT } from '../../store/samples.ts';

const SPEC = { names: ['central.test'], subjectAlternativeNames: [], distinguishedName: '', lifetimeDays: 30 };

/** `store`: of another node. */
async function setUp(store = memoryStore()) {
  let now = Date.now();
  const clock = (): number => now;
  const authority: Authority = await openAuthority({
    keyMaterial: store.keyMaterial,
    central: 'central.test',
    now: clock,
  });
  const identity = await openServerIdentity({ keyMaterial: store.keyMaterial, authority, now: clock });
  await identity.adopt(identity.current() ?? (await identity.make(SPEC)), CENTRAL);
  const pending: { parameters: PendingChange | null } = { parameters: null };
  const changes = makeChanges(clock);
  changes.register({
    subject: 'parameters',
    blockedBy: [],
    agents: { online: async () => [] },
    countsNewSessionsOnly: false,
    pending: () => pending.parameters,
    keep: async () => undefined,
    rollBack: async () => undefined,
  });
  const refusals = new Map<string, Refusal>();
  const asked: string[] = [];
  const rotation = new Rotation({
    authority,
    identity,
    serverCertificates: { generate: () => Promise.reject(new Error('not here')) },
    progress: {
      certificates: store.certificates,
      firstRoot: () => authority.firstRoot,
      publication: { refusalOf: (id) => refusals.get(id), unsupported: async () => new Set(['old']) },
      now: clock,
    },
    look: () => authority.follow(),
    async promote(generation, actor) {
      await authority.promote(generation, actor);
      asked.push('promoted');
    },
    onReplaced: async () => void asked.push('replaced'),
    changes,
    log: { info() {} },
    now: clock,
  });
  const { publicKey } = await makeKeyPair();
  return {
    store,
    authority,
    identity,
    rotation,
    pending,
    refusals,
    asked,
    pass: (ms: number) => (now += ms),
    agent: (id: string, more: Partial<AgentTrust> = {}): void => {
      store.certificates.agents.set(id, {
        id,
        name: id,
        transport: 'wss',
        trusted: [authority.firstRoot],
        offlineSince: null,
        ...more,
      });
    },
    trusts: (id: string, ...roots: string[]) => store.certificates.recordTrust(id, roots),
    renews: async (id: string, lifetimeDays = 30): Promise<void> => {
      await store.certificates.recordIssued(
        issuedCertificate(await authority.issueAgent({ id, name: id, publicKey, lifetimeDays }), authority, id, now),
        ACT,
      );
    },
    roles: () => authority.all().map(({ role }) => role),
  };
}

describe('a rotation', () => {
  it('goes step by step; every other step is refused with the one that is due, and a dry run changes nothing', async () => {
    const { rotation, roles, asked, store } = await setUp();
    const steps = {
      prepare: (request = {}) => rotation.prepare(undefined, request, CENTRAL),
      publish: (request = {}) => rotation.publish(request, CENTRAL),
      switch: (request = {}) => rotation.switch(request, CENTRAL),
      retire: (request = {}) => rotation.retire(request, CENTRAL),
    };
    const order = ['prepare', 'publish', 'switch', 'retire'] as const;
    for (const [place, step] of order.entries()) {
      for (const other of order.filter((one) => one !== step)) {
        await expect(steps[other](), `${other} before ${step}`).rejects.toMatchObject({
          code: 'rotation_wrong_phase',
          parameters: { step: other },
        });
      }
      const [before, entries] = [roles(), store.audit.entries.length];
      expect(await steps[step]({ dryRun: true })).toMatchObject({
        dryRun: true,
        phase: (['idle', 'prepared', 'published', 'switched'] as const)[place],
      });
      expect(roles()).toEqual(before);
      expect(store.audit.entries).toHaveLength(entries);
      expect(await steps[step]()).toMatchObject({
        dryRun: false,
        phase: (['prepared', 'published', 'switched', 'retired'] as const)[place],
      });
    }
    expect(roles()).toEqual(['current', 'retired']);
    expect(asked).toEqual(['promoted', 'replaced']);
    expect(store.audit.entries.map(({ action }) => action).slice(2)).toEqual([
      'ca.rotation.prepare',
      'ca.rotation.publish',
      'ca.rotation.cross-certify',
      'ca.rotation.switch',
      'ca.rotation.retire',
    ]);
    expect(await rotation.prepare(undefined, {}, CENTRAL)).toMatchObject({ phase: 'prepared' });
    expect(roles()).toEqual(['current', 'prepared']);
    await expect(rotation.prepare(undefined, {}, CENTRAL)).rejects.toMatchObject({ code: 'rotation_wrong_phase' });
  });

  it('names who has not acknowledged, each with the reason, and does not switch without them unless forced', async () => {
    const { rotation, agent, trusts, refusals, authority } = await setUp();
    for (const id of ['has', 'old', 'refuses', 'silent']) agent(id);
    agent('away', { offlineSince: Date.parse('2026-11-01T10:00:00Z') });
    agent('null', { trusted: null });
    agent('plain', { transport: 'ws', trusted: [] });
    refusals.set('refuses', {
      code: 'disk_full',
      detail: 'It is read-only.',
      hint: 'Make it writable.',
      at: 5,
    });
    await rotation.prepare(undefined, {}, CENTRAL);
    await rotation.publish({}, CENTRAL);
    await trusts('has', authority.firstRoot, authority.inRole('next')[0]?.id ?? '');
    const { trust, next } = await rotation.status();
    expect(trust).toMatchObject({ registered: 7, acknowledged: 1, unencrypted: 1 });
    expect(trust.missing.map(({ name, why }) => [name, why])).toEqual([
      ['away', 'offline'],
      ['null', 'awaiting-ack'],
      ['old', 'unsupported'],
      ['refuses', 'refused'],
      ['silent', 'awaiting-ack'],
    ]);
    expect(trust.missing.map(({ text }) => text).join(' ')).toMatch(
      /Offline since 2026-11-01T10:00:00.000Z\..*It refused: It is read-only. \(disk_full\)/,
    );
    expect(next).toContain('Waits for 5 agents');
    const metrics = createMetrics();
    await rotation.measure(metrics);
    expect(await metrics.registry.metrics()).toMatch(/queuegate_trust_agents\{state="missing"\} 5/);
    await expect(rotation.switch({}, CENTRAL)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      parameters: { count: '5 agents', names: 'away, null, old, refuses, silent' },
    });
    expect((await rotation.switch({ dryRun: true }, CENTRAL)).missing).toHaveLength(5);
    expect(await rotation.switch({ force: true }, CENTRAL)).toMatchObject({
      phase: 'switched',
      missing: { length: 5 },
    });
  });

  it('does not retire what somebody still depends on: by trust, or by a certificate that is still good', async () => {
    const { rotation, agent, trusts, authority, renews, pass } = await setUp();
    for (const id of ['renewed', 'old-certificate', 'ended', 'old-trust']) agent(id);
    await renews('old-certificate');
    await renews('ended', 1);
    await rotation.prepare(undefined, {}, CENTRAL);
    await rotation.publish({}, CENTRAL);
    const next = authority.inRole('next')[0]?.id ?? '';
    for (const id of ['renewed', 'old-certificate', 'ended']) await trusts(id, next);
    await rotation.switch({ force: true }, CENTRAL);
    await renews('renewed');
    pass(2 * 86_400_000);
    expect((await rotation.status()).issued).toMatchObject({
      renewed: 1,
      others: [{ name: 'old-certificate', why: 'certificate-missing' }],
    });
    await expect(rotation.retire({}, CENTRAL)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      parameters: { count: '2 agents', names: 'old-trust, old-certificate' },
    });
    await trusts('old-trust', next);
    await renews('old-certificate');
    expect(await rotation.retire({}, CENTRAL)).toMatchObject({ phase: 'retired', missing: [] });
  });

  it('leads back from each phase, and names whom that would leave behind', async () => {
    const { rotation, agent, trusts, authority, renews, roles } = await setUp();
    const first = authority.current().id;
    await expect(rotation.rollBack({}, CENTRAL)).rejects.toMatchObject({ code: 'rotation_wrong_phase' });
    await rotation.prepare(undefined, {}, CENTRAL);
    expect(await rotation.rollBack({}, CENTRAL)).toMatchObject({ phase: 'idle' });
    await rotation.prepare(undefined, {}, CENTRAL);
    await rotation.publish({}, CENTRAL);
    const next = authority.inRole('next')[0]?.id ?? '';
    expect(await rotation.rollBack({}, CENTRAL)).toMatchObject({ phase: 'prepared' });
    await rotation.publish({}, CENTRAL);
    await rotation.switch({}, CENTRAL);
    agent('late', { trusted: [next] });
    await renews('late');
    await expect(rotation.rollBack({}, CENTRAL)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      parameters: { names: 'late' },
    });
    await trusts('late', first, next);
    expect(await rotation.rollBack({}, { ...CENTRAL, comment: 'no' })).toMatchObject({ phase: 'published' });
    expect(authority.current().id).toBe(first);
    // Its certificate would be of an authority that no agent knows.
    await expect(rotation.rollBack({}, CENTRAL)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      parameters: { names: 'late' },
    });
    await rotation.switch({}, CENTRAL);
    await rotation.retire({}, CENTRAL);
    expect(roles()).toEqual(['current', 'retired']);
    await expect(rotation.forget(next, CENTRAL)).rejects.toMatchObject({ code: 'authority_in_use' });
    expect(await rotation.rollBack({}, CENTRAL)).toMatchObject({ phase: 'switched' });
    await rotation.retire({}, CENTRAL);
    await rotation.forget(first, CENTRAL);
    await expect(rotation.rollBack({}, CENTRAL)).rejects.toMatchObject({ code: 'rotation_wrong_phase' });
    expect(roles()).toEqual(['current']);
  });

  it('waits while another change waits for its confirmation, and takes turns', async () => {
    const { rotation, pending, roles } = await setUp();
    pending.parameters = {
      id: 'p1',
      owner: { who: 'alice', from: '10.0.0.1', node: 'n1' },
      expiresAt: Date.now(),
      terms: '{}',
    };
    await expect(rotation.prepare(undefined, {}, CENTRAL)).rejects.toMatchObject({ code: 'change_pending' });
    pending.parameters = null;
    const both = await Promise.allSettled([
      rotation.prepare(undefined, {}, CENTRAL),
      rotation.prepare(undefined, {}, CENTRAL),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(roles()).toEqual(['current', 'prepared']);
  });

  it('of two nodes on one store is taken from one of them at each step; the other says how far it is', async () => {
    const one = await setUp();
    const other = await setUp(one.store);
    const steps = [
      (of: typeof one) => of.rotation.prepare(undefined, {}, CENTRAL),
      (of: typeof one) => of.rotation.publish({}, CENTRAL),
      (of: typeof one) => of.rotation.switch({}, CENTRAL),
      (of: typeof one) => of.rotation.rollBack({}, CENTRAL),
      (of: typeof one) => of.rotation.switch({}, CENTRAL),
      (of: typeof one) => of.rotation.retire({}, CENTRAL),
    ];
    const phases = ['prepared', 'published', 'switched', 'published', 'switched', 'retired'];
    for (const [place, step] of steps.entries()) {
      const before = one.store.audit.entries.length;
      const both = await Promise.allSettled([step(one), step(other)]);
      expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
      expect(both.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: { code: 'rotation_wrong_phase', parameters: { found: phases[place] } },
      });
      const acts = one.store.audit.entries.slice(before).map(({ action }) => action);
      expect(acts.filter((action) => action !== 'ca.rotation.cross-certify')).toHaveLength(1);
    }
    await other.authority.follow();
    const shown = ({ authority }: typeof one) => authority.all().map(({ id, role }) => [id, role]);
    expect(shown(other)).toEqual(shown(one));
  });
});
