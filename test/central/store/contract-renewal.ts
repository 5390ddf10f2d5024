// The part of the contract that concerns renewal (the next key, a certificate renewed twice) and revocation.
import { beforeEach, expect, it } from 'vitest';
import type { IssuedCertificate, NewRenewal } from '../../../central/store/certificate-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { ACT, claimOf, DAY, NOW, registered, eachEngine, type Engine, type OpenEngine } from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

export function renewalContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;
  let epoch: number;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });
  beforeEach(async () => {
    await registered(store, 'a1');
    await store.certificates.recordIssued(issued('c1'), ACT);
    ({ epoch } = await store.agents.claimSession(claimOf('a1')));
  });

  const issued = (thumbprint: string, changes: Partial<IssuedCertificate> = {}): IssuedCertificate => ({
    thumbprint,
    agentId: 'a1',
    serial: `serial of ${thumbprint}`,
    issuer: 'root',
    keyThumbprint: 'thumbprint of a1',
    notBefore: NOW,
    notAfter: NOW + 30 * DAY,
    issuedAt: NOW,
    ...changes,
  });
  const renewal = (
    thumbprint: string,
    changes: Partial<IssuedCertificate> = {},
    more: Partial<NewRenewal> = {},
  ): NewRenewal => ({
    certificate: issued(thumbprint, changes),
    epoch,
    renews: 'c1',
    publicKey: `key behind ${thumbprint}`,
    chain: `chain of ${thumbprint}`,
    address: '192.0.2.7',
    ...more,
  });
  const NEXT = { keyThumbprint: 'next key' };
  const revokedOf = async () =>
    (await store.certificates.revokedBy({ issuer: 'root', endsAfter: NOW, limit: 9 })).map(
      ({ thumbprint, revoked }) => `${thumbprint} ${revoked.reason}`,
    );

  it('shows with the agent the certificate that it is validated by', async () => {
    expect(await store.agents.get('a1')).toMatchObject({
      certificate: {
        thumbprint: 'c1',
        serial: 'serial of c1',
        issuer: 'root',
        notAfter: NOW + 30 * DAY,
        installedAt: null,
        revoked: null,
      },
      next: null,
      revocation: null,
    });
  });

  it('a certificate for the same key is the newest at once, and nothing is revoked by it', async () => {
    expect(await store.certificates.recordRenewal(renewal('c2'))).toEqual({ outcome: 'issued', chain: 'chain of c2' });
    await store.certificates.recordInstalled('a1', 'c2', NOW + 5);
    store = await engine.restart();
    expect(await store.agents.get('a1')).toMatchObject({
      keyThumbprint: 'thumbprint of a1',
      certificate: { thumbprint: 'c2', installedAt: NOW + 5 },
      next: null,
    });
    expect(await revokedOf()).toEqual([]);
  });

  it('a certificate for another key waits with it for the first session, which makes both current and supersedes what was before', async () => {
    await store.certificates.recordRenewal(renewal('c2', NEXT));
    store = await engine.restart();
    const waiting = {
      keyThumbprint: 'thumbprint of a1',
      certificate: { thumbprint: 'c1' },
      next: { publicKey: 'key behind c2', keyThumbprint: 'next key', certificate: { thumbprint: 'c2' } },
    };
    expect(await store.agents.get('a1')).toMatchObject(waiting);
    // Until then the key before is as good as ever.
    expect(await store.agents.claimSession(claimOf('a1'))).toMatchObject({ promoted: false });
    expect(await store.agents.get('a1')).toMatchObject(waiting);
    expect(await store.agents.claimSession(claimOf('a1', NEXT))).toMatchObject({ epoch: epoch + 2, promoted: true });
    expect(await store.agents.get('a1')).toMatchObject({
      publicKey: 'key behind c2',
      keyThumbprint: 'next key',
      certificate: { thumbprint: 'c2', revoked: null },
      next: null,
    });
    expect(await revokedOf()).toEqual(['c1 superseded']);
    expect(await store.certificates.find('c1')).toMatchObject({
      agentId: 'a1',
      revoked: { at: NOW, reason: 'superseded' },
    });
    await expect(store.agents.claimSession(claimOf('a1'))).rejects.toMatchObject({ code: 'agent_unknown' });
  });

  it('the same request again gets the same certificate, before and after the first session with its key', async () => {
    await store.certificates.recordRenewal(renewal('c2', NEXT));
    expect(await store.certificates.recordRenewal(renewal('c3', NEXT))).toEqual({
      outcome: 'repeated',
      chain: 'chain of c2',
    });
    ({ epoch } = await store.agents.claimSession(claimOf('a1', NEXT)));
    expect(await store.certificates.recordRenewal(renewal('c4', NEXT))).toEqual({
      outcome: 'repeated',
      chain: 'chain of c2',
    });
    expect((await store.certificates.ofAgent('a1', 9)).map(({ thumbprint }) => thumbprint).toSorted()).toEqual([
      'c1',
      'c2',
    ]);
  });

  it('but a new one when the first has ended, or another authority signs now', async () => {
    await store.certificates.recordRenewal(renewal('c2', { ...NEXT, notAfter: NOW + 1 }));
    expect(await store.certificates.recordRenewal(renewal('c3', { ...NEXT, issuedAt: NOW + 1 }))).toMatchObject({
      outcome: 'issued',
    });
    expect(
      await store.certificates.recordRenewal(renewal('c4', { ...NEXT, issuedAt: NOW + 2, issuer: 'another root' })),
    ).toMatchObject({ outcome: 'issued' });
    expect(await store.agents.get('a1')).toMatchObject({ next: { certificate: { thumbprint: 'c4' } } });
  });

  it('a certificate that is renewed twice, with two keys, is found out, with the address of the first; and changes nothing', async () => {
    await store.certificates.recordRenewal(renewal('c2', NEXT));
    const before = await store.agents.get('a1');
    expect(await store.certificates.recordRenewal(renewal('c3', { keyThumbprint: 'third key' }))).toEqual({
      outcome: 'twice',
      address: '192.0.2.7',
    });
    expect(await store.agents.get('a1')).toEqual(before);
  });

  it('a lost answer for the same key is not a second renewal; one that was installed is', async () => {
    await store.certificates.recordRenewal(renewal('c2'));
    expect(await store.certificates.recordRenewal(renewal('c3', { ...NEXT, issuedAt: NOW + 1 }))).toMatchObject({
      outcome: 'issued',
    });
    await store.certificates.recordRenewal(renewal('d2', {}, { renews: 'c3' }));
    await store.certificates.recordInstalled('a1', 'd2', NOW);
    expect(
      await store.certificates.recordRenewal(renewal('d3', { keyThumbprint: 'third key' }, { renews: 'c3' })),
    ).toMatchObject({ outcome: 'twice' });
  });

  it('knows which certificates may be renewed: the current one, the next one, and those that were renewed; none that no one issued', async () => {
    const may = async (...thumbprints: string[]): Promise<boolean[]> =>
      await Promise.all(thumbprints.map((thumbprint) => store.certificates.mayRenew('a1', thumbprint)));
    expect(await may('c1', 'made up')).toEqual([true, false]);
    await store.certificates.recordRenewal(renewal('c2', NEXT));
    expect(await may('c1', 'c2', 'made up')).toEqual([true, true, false]);
    ({ epoch } = await store.agents.claimSession(claimOf('a1', NEXT)));
    expect(await may('c1', 'c2')).toEqual([true, true]);
    await store.certificates.recordIssued(issued('c3'), ACT);
    expect([...(await may('c2', 'c3')), await store.certificates.mayRenew('a2', 'c3')]).toEqual([false, true, false]);
  });

  it('forgets certificates that have ended, all but the last ones and the current one', async () => {
    for (let i = 0; i < 100; i += 1)
      await store.certificates.recordIssued(issued(`old ${i}`, { issuedAt: NOW - 1_000 + i, notAfter: NOW - 1 }), ACT);
    await store.certificates.recordIssued(issued('c5'), ACT);
    await store.certificates.recordRenewal(renewal('c6', {}, { renews: 'c5' }));
    const kept = (await store.certificates.ofAgent('a1', 999)).map(({ thumbprint }) => thumbprint);
    expect(kept.length).toBeLessThan(70);
    expect(kept).toEqual(expect.arrayContaining(['c1', 'c5', 'c6', 'old 99']));
  });

  it('takes no renewal from a session that is over, and no key of another agent', async () => {
    await expect(store.certificates.recordRenewal(renewal('c2', {}, { epoch: epoch - 1 }))).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    await registered(store, 'a2');
    await expect(
      store.certificates.recordRenewal(renewal('c2', { keyThumbprint: 'thumbprint of a2' })),
    ).rejects.toMatchObject({ code: 'agent_key_known' });
    expect(await store.agents.get('a1')).toMatchObject({ certificate: { thumbprint: 'c1' }, next: null });
  });

  it('revokes an agent with all its certificates, fences its session off, and lets it in by no key', async () => {
    await store.certificates.recordRenewal(renewal('c2', NEXT));
    const newer = await store.agents.revoke(
      'a1',
      {
        reason: 'keyCompromise',
        now: NOW + 9,
        text: 'revoked: keyCompromise',
      },
      ACT,
    );
    expect(newer).toBe(epoch + 1);
    store = await engine.restart();
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'revoked',
      stateSince: NOW + 9,
      stateReason: 'revoked: keyCompromise',
      revocation: { at: NOW + 9, reason: 'keyCompromise' },
      next: null,
      certificate: { revoked: { at: NOW + 9, reason: 'keyCompromise' } },
      session: { endedAt: NOW + 9 },
    });
    expect(await revokedOf()).toEqual(['c1 keyCompromise', 'c2 keyCompromise']);
    await expect(store.agents.claimSession(claimOf('a1'))).rejects.toMatchObject({ code: 'agent_revoked' });
    await expect(store.agents.claimSession(claimOf('a1', NEXT))).rejects.toMatchObject({ code: 'agent_unknown' });
    await expect(store.inbox.append('a1', epoch, 1, framesOf(1, []), NOW)).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    await expect(
      store.agents.register(
        { id: 'a1', name: 'a1', publicKey: 'k', keyThumbprint: 'thumbprint of a1', now: NOW },
        'token-a1',
        ACT,
      ),
    ).rejects.toMatchObject({ code: 'agent_revoked' });
    await store.agents.endSession({ agentId: 'a1', epoch, now: NOW + 10, reason: 'late' });
    expect((await store.agents.countByState()).revoked).toBe(1);
    // Nothing waits for what a revoked agent trusts.
    expect(await store.certificates.trust({ limit: 9 })).toEqual([]);
    // There is no warning of the end of what is not valid anyway.
    expect([
      await store.certificates.soonest({ limit: 9 }),
      await store.certificates.countUntil(NOW + 99 * DAY),
    ]).toEqual([[], 0]);
    expect((await store.agents.list({ limit: 9, states: ['revoked'] })).map(({ id }) => id)).toEqual(['a1']);
    await expect(store.agents.revoke('a9', { reason: 'unspecified', now: NOW, text: '' }, ACT)).rejects.toMatchObject({
      code: 'agent_unknown',
    });
  });

  it("a removed agent's certificates are revoked, and stay in the list until they end, page by page", async () => {
    await store.certificates.recordIssued(issued('c2', { notAfter: NOW + 5 }), ACT);
    await store.certificates.recordIssued(issued('c3', { issuer: 'another root' }), ACT);
    await store.agents.remove('a1', ACT);
    expect(await revokedOf()).toEqual(['c1 cessationOfOperation', 'c2 cessationOfOperation']);
    expect(
      (await store.certificates.revokedBy({ issuer: 'root', endsAfter: NOW + 5, limit: 9 })).map(
        ({ serial }) => serial,
      ),
    ).toEqual(['serial of c1']);
    expect(
      (await store.certificates.revokedBy({ issuer: 'root', endsAfter: NOW, after: 'c1', limit: 9 })).map(
        ({ thumbprint }) => thumbprint,
      ),
    ).toEqual(['c2']);
    expect(await store.certificates.revokedBy({ issuer: 'root', endsAfter: NOW, limit: 1 })).toHaveLength(1);
  });
}
