// The part of the contract that concerns agents' certificates, what agents trust, and the warnings that were given.
import { expect, it } from 'vitest';
import type { IssuedCertificate } from '../../../central/store/certificate-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { ACT, claimOf, DAY, NOW, registered, eachEngine, type Engine, type OpenEngine } from './samples.ts';

export function certificateContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  const issued = (
    thumbprint: string,
    agentId: string,
    days: number,
    changes: Partial<IssuedCertificate> = {},
  ): IssuedCertificate => ({
    thumbprint,
    agentId,
    serial: `serial of ${thumbprint}`,
    issuer: 'root',
    keyThumbprint: `thumbprint of ${agentId}`,
    notBefore: NOW,
    notAfter: NOW + days * DAY,
    issuedAt: NOW,
    ...changes,
  });

  it('lists the newest certificate of each agent by its end, page by page, and keeps all over a restart', async () => {
    for (const id of ['a1', 'a2', 'a3']) await registered(store, id, `name of ${id}`);
    const [old, c1, c2, c3] = [
      issued('c0', 'a1', 1),
      issued('c1', 'a1', 30, { issuedAt: NOW + 1 }),
      issued('c2', 'a2', 10),
      issued('c3', 'a3', 10),
    ];
    for (const certificate of [old, c3, c2, c1]) await store.certificates.recordIssued(certificate, ACT);
    store = await engine.restart();
    const named = (certificate: IssuedCertificate) => ({ ...certificate, name: `name of ${certificate.agentId}` });
    expect(await store.certificates.soonest({ limit: 9 })).toEqual([named(c2), named(c3), named(c1)]);
    const [first] = await store.certificates.soonest({ limit: 1 });
    expect(await store.certificates.soonest({ limit: 9, ...(first === undefined ? {} : { after: first }) })).toEqual([
      named(c3),
      named(c1),
    ]);
    expect(await store.certificates.soonest({ limit: 9, until: NOW + 10 * DAY })).toEqual([named(c2), named(c3)]);
    expect([
      await store.certificates.countUntil(NOW),
      await store.certificates.countUntil(NOW + 10 * DAY),
      await store.certificates.countUntil(NOW + 99 * DAY),
    ]).toEqual([0, 2, 3]);
    expect((await store.certificates.ofAgent('a1', 9)).map(({ thumbprint }) => thumbprint)).toEqual(['c1', 'c0']);
  });

  it('keeps the certificates of an agent that was removed, and counts them no more', async () => {
    await registered(store, 'a1');
    await store.certificates.recordIssued(issued('c1', 'a1', 30), ACT);
    await store.agents.remove('a1', ACT);
    expect(await store.certificates.soonest({ limit: 9 })).toEqual([]);
    expect(await store.certificates.countUntil(NOW + 99 * DAY)).toBe(0);
    expect(await store.certificates.ofAgent('a1', 9)).toHaveLength(1);
    await expect(store.certificates.recordIssued(issued('c2', 'a1', 30), ACT)).rejects.toMatchObject({
      code: 'agent_unknown',
    });
    expect(await store.certificates.ofAgent('a1', 9)).toHaveLength(1);
  });

  it('knows what each agent was asked to trust, and how it came last', async () => {
    for (const id of ['a1', 'a2']) await registered(store, id);
    await store.agents.claimSession(claimOf('a2', { transport: 'ws' }));
    await store.certificates.recordTrust('a1', ['r1', 'r2']);
    store = await engine.restart();
    expect(await store.certificates.trust({ limit: 9 })).toEqual([
      { id: 'a1', name: 'a1', transport: null, trusted: ['r1', 'r2'], offlineSince: NOW },
      { id: 'a2', name: 'a2', transport: 'ws', trusted: null, offlineSince: null },
    ]);
    expect([
      await store.certificates.trustOf('a1'),
      await store.certificates.trustOf('a2'),
      await store.certificates.trustOf('a9'),
    ]).toEqual([['r1', 'r2'], null, null]);
    await store.agents.endSession({ agentId: 'a2', epoch: 1, now: NOW + 5, reason: 'gone' });
    expect((await store.certificates.trust({ limit: 9 })).map(({ offlineSince }) => offlineSince)).toEqual([
      NOW,
      NOW + 5,
    ]);
    expect((await store.certificates.trust({ limit: 9, after: 'a1' })).map(({ id }) => id)).toEqual(['a2']);
    await expect(store.certificates.recordTrust('a9', [])).rejects.toMatchObject({ code: 'agent_unknown' });
  });

  it('remembers warnings, and forgets old ones', async () => {
    await store.certificates.recordExpiryWarnings(
      [
        { thumbprint: 'c1', days: 60, at: NOW },
        { thumbprint: 'c2', days: 30, at: NOW },
      ],
      0,
    );
    await store.certificates.recordExpiryWarnings([{ thumbprint: 'c1', days: 14, at: NOW + DAY }], 0);
    store = await engine.restart();
    expect(await store.certificates.expiryWarnings(['c1', 'c2', 'c3'])).toEqual([14, 30, null]);
    await store.certificates.recordExpiryWarnings([], NOW + 1);
    expect(await store.certificates.expiryWarnings(['c1', 'c2', 'c3'])).toEqual([14, null, null]);
  });
}
