// The part of the contract for enrollment requests without a token, and for recovery codes.
import { expect, it } from 'vitest';
import type { RequestBounds, EnrollmentRequest } from '../../../central/store/enrollment-store.ts';
import type { Store } from '../../../central/store/store.ts';
import {
  ACT,
  items,
  message,
  NOW,
  online,
  registered,
  ROOM,
  eachEngine,
  type Engine,
  type OpenEngine,
} from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

const HOUR = 3_600_000;
const BOUNDS: RequestBounds = {
  most: 3,
  mostOfBlock: 2,
  silentBefore: 0,
  pendingBefore: 0,
  rejectedBefore: 0,
  acceptedBefore: 0,
};

export function enrollmentContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  const request = (key: string, changes: Partial<EnrollmentRequest> = {}): EnrollmentRequest => ({
    keyThumbprint: key,
    name: `name of ${key}`,
    id: null,
    csr: `request of ${key}`,
    address: `address of ${key}`,
    block: changes.address ?? `address of ${key}`,
    site: `site of ${changes.block ?? key}`,
    transport: 'wss',
    ...changes,
  });
  const agentOf = (key: string, changes = {}) => ({
    id: key,
    name: `name of ${key}`,
    publicKey: `key of ${key}`,
    keyThumbprint: key,
    now: NOW + 5,
    ...changes,
  });
  const submit = (
    key: string,
    changes: Partial<EnrollmentRequest> = {},
    now = NOW,
    bounds: Partial<RequestBounds> = {},
  ) => store.enrollments.submit(request(key, changes), { ...BOUNDS, ...bounds }, now);

  it('keeps who asks, one entry for each key, with what was said last; page by page and over a restart', async () => {
    expect(await submit('aa01')).toEqual({
      ...request('aa01'),
      firstRequestedAt: NOW,
      lastRequestedAt: NOW,
      state: 'pending',
      decidedAt: null,
      decidedBy: null,
      comment: null,
      certificate: null,
    });
    await submit('bb02');
    expect(
      await submit(
        'aa01',
        { name: 'renamed', id: 'pc', csr: 'another', address: '192.0.2.9', transport: 'ws' },
        NOW + 7,
      ),
    ).toMatchObject({
      name: 'renamed',
      id: 'pc',
      csr: 'another',
      address: '192.0.2.9',
      block: '192.0.2.9',
      site: 'site of aa01',
      transport: 'ws',
      firstRequestedAt: NOW,
      lastRequestedAt: NOW + 7,
    });
    store = await engine.restart();
    const keys = async (page: Partial<Parameters<Store['enrollments']['list']>[0]>) =>
      (await store.enrollments.list({ limit: 9, ...page })).map(({ keyThumbprint }) => keyThumbprint);
    expect(await keys({})).toEqual(['aa01', 'bb02']);
    expect(await keys({ after: 'aa01' })).toEqual(['bb02']);
    expect(await keys({ limit: 1 })).toEqual(['aa01']);
    expect([await keys({ prefix: 'bb' }), await keys({ prefix: '_b' }), await keys({ state: 'accepted' })]).toEqual([
      ['bb02'],
      [],
      [],
    ]);
    expect((await store.enrollments.countByState()).pending).toBe(2);
  });

  it('has no room beyond its bounds, in all and for one block of addresses; who is there may submit again', async () => {
    await submit('aa', { address: '2001:db8::1', block: 'x' });
    await submit('bb', { address: '2001:db8::2', block: 'x' });
    await expect(submit('cc', { address: '2001:db8::3', block: 'x' })).rejects.toMatchObject({
      code: 'enrollments_full_of_address',
      status: 503,
    });
    await submit('cc', { block: 'y' });
    expect(await store.enrollments.pendingBlocks(9)).toEqual([
      { block: 'x', pending: 2 },
      { block: 'y', pending: 1 },
    ]);
    expect(await store.enrollments.pendingBlocks(1)).toHaveLength(1);
    await expect(submit('dd', { block: 'y' })).rejects.toMatchObject({ code: 'enrollments_full', status: 503 });
    await submit('aa', { block: 'x' }, NOW + 1);
    await store.enrollments.reject('bb', 'admin', null, NOW, ACT);
    await submit('dd', { block: 'z' });
    expect((await store.enrollments.countByState()).pending).toBe(3);
  });

  it('lets the block that holds the most give way when all places are taken: of it the one that has not asked for longest', async () => {
    const bounds = { most: 4, mostOfBlock: 3 };
    for (const [i, key] of ['a1', 'a2', 'a3'].entries()) await submit(key, { block: 'x' }, NOW + i, bounds);
    await submit('b1', { block: 'y' }, NOW + 3, bounds);
    await submit('a1', { block: 'x' }, NOW + 4, bounds);
    await submit('c1', { block: 'z' }, NOW + 5, bounds);
    const waiting = async () =>
      (await store.enrollments.list({ limit: 9, state: 'pending' })).map(({ keyThumbprint }) => keyThumbprint);
    expect(await waiting()).toEqual(['a1', 'a3', 'b1', 'c1']);
    // No block holds so much more that a place would be fairer elsewhere: who is refused does not push others out in
    // turns.
    await expect(submit('b2', { block: 'y' }, NOW + 6, bounds)).rejects.toMatchObject({ code: 'enrollments_full' });
    await expect(submit('a2', { block: 'x' }, NOW + 6, bounds)).rejects.toMatchObject({ code: 'enrollments_full' });
  });

  it('lets one give way that has been silent, when all places are taken by blocks that hold one each', async () => {
    const bounds = { most: 3 };
    for (const [i, key] of ['a', 'b', 'c'].entries()) await submit(key, {}, NOW + i, bounds);
    await submit('a', {}, NOW + 9, bounds);
    await expect(submit('d', {}, NOW + 10, { ...bounds, silentBefore: NOW })).rejects.toMatchObject({
      code: 'enrollments_full',
    });
    await submit('d', {}, NOW + 10, { ...bounds, silentBefore: NOW + 9 });
    expect((await store.enrollments.list({ limit: 9 })).map(({ keyThumbprint }) => keyThumbprint)).toEqual([
      'a',
      'c',
      'd',
    ]);
  });

  it('lets the site that holds the most give way, when all places are taken by blocks that hold one each', async () => {
    const bounds = { most: 4 };
    for (const [i, key] of ['a', 'b', 'c'].entries()) await submit(key, { site: 'large' }, NOW + i, bounds);
    await submit('d', { site: 'small' }, NOW, bounds);
    await submit('e', { site: 'new' }, NOW + 9, bounds);
    expect((await store.enrollments.list({ limit: 9 })).map(({ keyThumbprint }) => keyThumbprint)).toEqual([
      'b',
      'c',
      'd',
      'e',
    ]);
    await expect(submit('f', { site: 'small' }, NOW + 10, bounds)).rejects.toMatchObject({ code: 'enrollments_full' });
  });

  it('forgets what is old: who has not asked, what was rejected, what was accepted, each by its own bound', async () => {
    await submit('aa');
    await submit('bb');
    await submit('cc');
    await store.enrollments.reject('bb', 'admin', 'no', NOW + 5, ACT);
    await store.enrollments.accept('request of cc', agentOf('cc'), 'admin', ACT);
    const left = async () => (await store.enrollments.list({ limit: 9 })).map(({ keyThumbprint }) => keyThumbprint);
    await store.enrollments.prune({ pendingBefore: NOW, rejectedBefore: NOW + 5, acceptedBefore: NOW + 5 });
    expect(await left()).toEqual(['aa', 'bb', 'cc']);
    await store.enrollments.prune({ pendingBefore: NOW + 1, rejectedBefore: NOW + 5, acceptedBefore: NOW + 5 });
    expect(await left()).toEqual(['bb', 'cc']);
    await store.enrollments.prune({ pendingBefore: 0, rejectedBefore: NOW + 6, acceptedBefore: NOW + 5 });
    expect(await left()).toEqual(['cc']);
    // Submitting prunes as well.
    await submit('dd', {}, NOW + 9, { acceptedBefore: NOW + 6 });
    expect(await left()).toEqual(['dd']);
  });

  it('accepts once, registers the agent in the same transaction, and keeps the certificate for the next repetition', async () => {
    await submit('aa');
    await expect(store.enrollments.accept('another request', agentOf('aa'), 'admin', ACT)).rejects.toMatchObject({
      code: 'enrollment_request_unknown',
      status: 404,
    });
    await registered(store, 'a1', 'Name of AA');
    await expect(store.enrollments.accept('request of aa', agentOf('aa'), 'admin', ACT)).rejects.toMatchObject({
      code: 'agent_name_taken',
    });
    await expect(
      store.enrollments.accept('request of aa', agentOf('aa', { id: 'a1' }), 'admin', ACT),
    ).rejects.toMatchObject({
      code: 'agent_id_taken',
    });
    expect(await submit('aa')).toMatchObject({ state: 'pending' });
    await store.agents.remove('a1', ACT);
    expect(await store.enrollments.accept('request of aa', agentOf('aa'), 'admin', ACT)).toMatchObject({
      id: 'aa',
      enrolledBy: 'admin',
      state: 'enrolled',
    });
    await expect(store.enrollments.accept('request of aa', agentOf('aa'), 'admin', ACT)).rejects.toMatchObject({
      code: 'enrollment_request_unknown',
    });
    await expect(store.enrollments.reject('aa', 'admin', null, NOW, ACT)).rejects.toMatchObject({
      code: 'enrollment_request_unknown',
    });
    await store.enrollments.keepCertificate('aa', 'its certificate');
    store = await engine.restart();
    expect(await submit('aa', { name: 'other' }, NOW + 9)).toMatchObject({
      state: 'accepted',
      name: 'name of aa',
      decidedAt: NOW + 5,
      decidedBy: 'admin',
      certificate: 'its certificate',
      lastRequestedAt: NOW + 9,
    });
    // Removed since: it has to be accepted again.
    await store.agents.remove('aa', ACT);
    expect(await submit('aa')).toMatchObject({ state: 'pending', certificate: null });
  });

  it('keeps a rejection with its comment, and lets it be undone', async () => {
    await submit('aa');
    await store.enrollments.reject('aa', 'admin', 'who is that', NOW + 1, ACT);
    expect(await submit('aa', { name: 'other' }, NOW + 2)).toMatchObject({
      state: 'rejected',
      decidedAt: NOW + 1,
      decidedBy: 'admin',
      comment: 'who is that',
      name: 'name of aa',
    });
    await expect(store.enrollments.reject('zz', 'admin', null, NOW, ACT)).rejects.toMatchObject({
      code: 'enrollment_request_unknown',
    });
    await store.enrollments.accept('request of aa', agentOf('aa'), 'other admin', ACT);
    expect(await submit('aa')).toMatchObject({ state: 'accepted', decidedBy: 'other admin', comment: null });
  });

  it('admits an agent without a token, and keeps the record of one that is there', async () => {
    const agent = await store.enrollments.admit(agentOf('aa'), 'admin', ACT);
    expect(await store.enrollments.admit(agentOf('aa', { name: 'other' }), 'other admin', ACT)).toEqual(agent);
    await expect(
      store.enrollments.admit(agentOf('aa', { keyThumbprint: 'other' }), 'admin', ACT),
    ).rejects.toMatchObject({
      code: 'agent_id_taken',
    });
    await expect(store.enrollments.admit(agentOf('bb', { keyThumbprint: 'aa' }), 'admin', ACT)).rejects.toMatchObject({
      code: 'agent_key_known',
    });
    await expect(store.enrollments.admit(agentOf('bb', { name: 'NAME OF AA' }), 'admin', ACT)).rejects.toMatchObject({
      code: 'agent_name_taken',
    });
  });

  const code = (hash: string) => ({ hash, createdAt: NOW, createdBy: 'admin', expiresAt: NOW + HOUR });
  const recovery = (id: string, hash: string, changes = {}) => ({
    agentId: id,
    hash,
    publicKey: 'new key',
    keyThumbprint: 'new thumbprint',
    now: NOW + 9,
    reason: 'recovered',
    ...changes,
  });

  it('recoveries an agent: another key, the same logs; the old session is over and writes nothing any more', async () => {
    const epoch = await online(store, 'a1');
    await store.outbox.append('a1', [message('c1')], ROOM, NOW);
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW);
    await store.enrollments.putRecoveryCode('a1', code('h1'), ACT);
    expect(await store.enrollments.getRecoveryCode('a1')).toEqual({ ...code('h1'), usedBy: null });
    const agent = await store.enrollments.recover(recovery('a1', 'h1'), ACT);
    expect(agent).toMatchObject({
      id: 'a1',
      name: 'a1',
      publicKey: 'new key',
      keyThumbprint: 'new thumbprint',
      state: 'disconnected',
      stateReason: 'recovered',
      epoch: epoch + 1,
      session: { endedAt: NOW + 9 },
      outbox: { messages: 1 },
      inbox: { number: 1 },
    });
    await expect(store.inbox.append('a1', epoch, 2, framesOf(2, items('e2')), NOW)).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    store = await engine.restart();
    expect(await store.agents.findByKey('new thumbprint')).toMatchObject({ id: 'a1' });
    expect(await store.agents.findByKey('thumbprint of a1')).toBeUndefined();
    // A lost answer is repaired; another key is another machine.
    expect(await store.enrollments.recover(recovery('a1', 'h1'), ACT)).toMatchObject({ epoch: epoch + 1 });
    await expect(
      store.enrollments.recover(recovery('a1', 'h1', { keyThumbprint: 'third' }), ACT),
    ).rejects.toMatchObject({
      code: 'recovery_code_used',
      status: 403,
    });
    expect(await store.enrollments.getRecoveryCode('a1')).toMatchObject({ usedBy: 'new thumbprint' });
  });

  it('lifts the quarantine of the key before', async () => {
    await online(store, 'a1');
    await store.agents.quarantine('a1', NOW + HOUR, NOW, 'clones');
    await store.enrollments.putRecoveryCode('a1', code('h1'), ACT);
    expect(await store.enrollments.recover(recovery('a1', 'h1'), ACT)).toMatchObject({
      state: 'disconnected',
      quarantinedUntil: null,
    });
  });

  it('lifts a revocation with a code that was made after it, and with none from before', async () => {
    await online(store, 'a1');
    await store.enrollments.putRecoveryCode('a1', code('h1'), ACT);
    await store.agents.revoke('a1', { reason: 'keyCompromise', now: NOW + 3, text: 'revoked: keyCompromise' }, ACT);
    await expect(store.enrollments.recover(recovery('a1', 'h1'), ACT)).rejects.toMatchObject({
      code: 'recovery_code_used',
    });
    expect(await store.agents.get('a1')).toMatchObject({ state: 'revoked', keyThumbprint: 'thumbprint of a1' });
    await store.enrollments.putRecoveryCode('a1', code('h2'), ACT);
    expect(await store.enrollments.recover(recovery('a1', 'h2'), ACT)).toMatchObject({
      state: 'disconnected',
      keyThumbprint: 'new thumbprint',
    });
    // The key that came by it is revoked in its turn: the code that it came by is gone.
    await store.agents.revoke('a1', { reason: 'keyCompromise', now: NOW + 12, text: 'revoked: keyCompromise' }, ACT);
    await expect(store.enrollments.recover(recovery('a1', 'h2'), ACT)).rejects.toMatchObject({
      code: 'recovery_code_used',
    });
  });

  it('knows one code for each agent: expired, replaced, or of another key, it changes nothing', async () => {
    await registered(store, 'a1');
    await registered(store, 'a2');
    await store.enrollments.putRecoveryCode('a1', code('h1'), ACT);
    await expect(store.enrollments.recover(recovery('a1', 'h1', { now: NOW + HOUR }), ACT)).rejects.toMatchObject({
      code: 'recovery_code_expired',
    });
    await expect(
      store.enrollments.recover(recovery('a1', 'h1', { keyThumbprint: 'thumbprint of a2' }), ACT),
    ).rejects.toMatchObject({ code: 'agent_key_known' });
    await store.enrollments.putRecoveryCode('a1', code('h2'), ACT);
    expect(await store.enrollments.getRecoveryCode('a1')).toMatchObject({ hash: 'h2', usedBy: null });
    await expect(store.enrollments.recover(recovery('a1', 'h1'), ACT)).rejects.toMatchObject({
      code: 'recovery_code_used',
    });
    expect(await store.agents.get('a1')).toMatchObject({ keyThumbprint: 'thumbprint of a1', epoch: 0 });
    await store.enrollments.removeRecoveryCode('a1', ACT);
    expect(await store.enrollments.getRecoveryCode('a1')).toBeUndefined();
    await expect(store.enrollments.removeRecoveryCode('a1', ACT)).rejects.toMatchObject({
      code: 'recovery_code_missing',
    });
    await expect(store.enrollments.putRecoveryCode('a9', code('h9'), ACT)).rejects.toMatchObject({
      code: 'agent_unknown',
    });
    expect(await store.enrollments.getRecoveryCode('a2')).toBeUndefined();
    // It goes with its agent, and does not come back with another one of the same id.
    await store.agents.remove('a1', ACT);
    expect(await store.enrollments.getRecoveryCode('a1')).toBeUndefined();
    await store.enrollments.admit({ id: 'a1', name: 'a1', publicKey: 'k', keyThumbprint: 't', now: NOW }, 'admin', ACT);
    expect(await store.enrollments.getRecoveryCode('a1')).toBeUndefined();
  });
}
