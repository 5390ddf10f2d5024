// The part of the contract that concerns what administrators change: parameters, tokens, key material, and the audit of
// it all.
import { expect, it } from 'vitest';
import {
  EXPIRED_ENROLLMENT_TOKEN_MS,
  MAX_API_TOKENS,
  MAX_ENROLLMENT_TOKENS,
  MAX_SIGN_INS_OF_OWNER,
} from '../../../central/store/space/bounds.ts';
import { CHAIN_START, chainHash } from '../../../central/store/audit-store.ts';
import type { KeyMaterialChange } from '../../../central/store/key-material-store.ts';
import type { PendingParameters } from '../../../central/store/parameter-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { apiTokenVersion, type ApiTokenRecord, type SignInRecord } from '../../../central/store/token-store.ts';
import { ACT, auditEntry, enrollmentToken, NOW, eachEngine, type Engine, type OpenEngine } from './samples.ts';

const signInOf = (owner: string, id: string): SignInRecord => ({
  id,
  hash: 'h'.repeat(64),
  owner,
  person: null,
  createdAt: NOW,
  expiresAt: NOW + 60_000,
});

const ANY_AUDIT = {
  actors: null,
  actions: null,
  targets: null,
  number: null,
  from: null,
  to: null,
  text: null,
  result: null,
};

export function administrationContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  const row = (name: string, value: string | null) => ({ name, value, changedBy: 'admin', changedAt: NOW });
  const pending: PendingParameters = {
    id: 'p1',
    owner: { who: 'admin', from: '10.0.0.1', node: 'n1' },
    expiresAt: NOW + 60_000,
    before: [{ name: 'a', value: null }],
    terms: '{"share":90}',
  };

  it('begins with no parameters at version 0', async () => {
    expect(await store.parameters.load()).toEqual({ version: 0, rows: [], pending: null });
  });

  it('saves values, the pending mark and the audit entry in one, and keeps them over a restart', async () => {
    const saved = await store.parameters.save({
      expectedVersion: 0,
      rows: [row('b', '2'), row('a', '1')],
      pending,
      audit: auditEntry('parameters.set'),
    });
    expect(saved).toEqual({ version: 1, rows: [row('a', '1'), row('b', '2')], pending });
    store = await engine.restart();
    expect(await store.parameters.load()).toEqual(saved);
    expect(await store.audit.list({ limit: 9 })).toMatchObject([{ number: 1, action: 'parameters.set' }]);
    expect(
      await store.parameters.save({
        expectedVersion: 1,
        rows: [row('a', null)],
        pending: null,
        audit: auditEntry('parameters.restore'),
      }),
    ).toEqual({
      version: 2,
      rows: [row('a', null), row('b', '2')],
      pending: null,
    });
  });

  it('refuses a change that was made from another version, wholly', async () => {
    const change = { expectedVersion: 0, rows: [row('a', '1')], pending: null, audit: auditEntry('x') };
    const outcomes = await Promise.allSettled([
      store.parameters.save(change),
      store.parameters.save({ ...change, rows: [row('a', '2')] }),
    ]);
    expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { reason: { code: 'version_conflict', status: 412 } }]);
    expect(await store.parameters.load()).toMatchObject({ version: 1, rows: [row('a', '1')] });
    expect(await store.audit.list({ limit: 9 })).toHaveLength(1);
  });

  const apiToken = (id: string, changes: Partial<ApiTokenRecord> = {}): ApiTokenRecord => ({
    id,
    name: `token ${id}`,
    role: 'viewer',
    hash: `hash of ${id}`,
    createdAt: NOW,
    createdBy: 'admin',
    expiresAt: null,
    lastUsedAt: null,
    scope: null,
    ...changes,
  });

  it('notes the last use of an API token over a restart, never an earlier one, and leaves its version as it is', async () => {
    const token = apiToken('t1', { role: 'administrator' });
    await store.tokens.addApiToken(token, ACT);
    await store.tokens.noteApiTokenUse('t1', NOW + 5);
    await store.tokens.noteApiTokenUse('t1', NOW + 3);
    await store.tokens.noteApiTokenUse('gone', NOW);
    store = await engine.restart();
    const used = { ...token, lastUsedAt: NOW + 5 };
    expect(await store.tokens.listApiTokens()).toEqual([used]);
    expect(apiTokenVersion(used)).toBe(apiTokenVersion(token));
  });

  it('adds a first API token only where there is none', async () => {
    await store.tokens.addApiToken({ ...apiToken('t1'), isFirst: true }, ACT);
    await expect(store.tokens.addApiToken({ ...apiToken('t2'), isFirst: true }, ACT)).rejects.toMatchObject({
      code: 'first_token_elsewhere',
    });
    await store.tokens.addApiToken(apiToken('t3'), ACT);
    expect((await store.tokens.listApiTokens()).map(({ id }) => id)).toEqual(['t1', 't3']);
  });

  it('keeps so many API tokens and so many enrollment tokens, and forgets enrollment tokens that expired long ago', async () => {
    await Promise.all(
      Array.from({ length: MAX_API_TOKENS }, (_, i) => store.tokens.addApiToken(apiToken(`t${i}`), ACT)),
    );
    await expect(store.tokens.addApiToken(apiToken('more'), ACT)).rejects.toMatchObject({
      code: 'api_tokens_full',
      status: 409,
    });
    await store.tokens.removeApiToken('t0', ACT);
    await store.tokens.addApiToken(apiToken('more'), ACT);

    await store.tokens.addEnrollmentToken(enrollmentToken('old', { expiresAt: NOW + 1 }), ACT);
    const valid = (id: string) => enrollmentToken(id, { createdAt: NOW + EXPIRED_ENROLLMENT_TOKEN_MS + 2 });
    await Promise.all(
      Array.from({ length: MAX_ENROLLMENT_TOKENS }, (_, i) => store.tokens.addEnrollmentToken(valid(`e${i}`), ACT)),
    );
    expect(await store.tokens.getEnrollmentToken('old')).toBeUndefined();
    await expect(store.tokens.addEnrollmentToken(valid('more'), ACT)).rejects.toMatchObject({
      code: 'enrollment_tokens_full',
      status: 409,
    });
  });

  it('keeps API tokens, and never lets go of the last administrator', async () => {
    const first = apiToken('t1', { role: 'administrator' });
    const viewer = apiToken('t2', { createdAt: NOW + 1 });
    // One that has expired administers nothing.
    const expired = apiToken('t3', { role: 'administrator', expiresAt: 1, createdAt: NOW + 2 });
    for (const token of [first, viewer, expired]) await store.tokens.addApiToken(token, ACT);
    expect(await store.tokens.listApiTokens()).toEqual([first, viewer, expired]);
    expect(await store.tokens.getApiToken('t2')).toEqual(viewer);
    expect(await store.tokens.getApiToken('none')).toBeUndefined();
    await expect(store.tokens.removeApiToken('t1', ACT)).rejects.toMatchObject({
      code: 'last_administrator',
      status: 409,
    });
    await store.tokens.addApiToken(apiToken('t4', { role: 'administrator' }), ACT);
    await store.tokens.removeApiToken('t1', ACT);
    await store.tokens.removeApiToken('t2', ACT);
    await expect(store.tokens.removeApiToken('t2', ACT)).rejects.toMatchObject({ code: 'token_unknown', status: 404 });
  });

  it('ends the sign-ins of an API token with it, and with its role and scope', async () => {
    for (const id of ['t1', 't2', 't3', 't4']) {
      await store.tokens.addApiToken(apiToken(id), ACT);
      await store.tokens.addSignIn(signInOf(id, `s-${id}`), null, ACT);
    }
    await store.tokens.addSignIn(signInOf('t4', 's-next'), 's-t4', ACT);
    store = await engine.restart();
    await store.tokens.removeApiToken('t1', ACT);
    await store.tokens.changeApiToken('t2', { role: 'operator' }, null, ACT);
    await store.tokens.changeApiToken('t3', { scope: 'label:region=north' }, null, ACT);
    await store.tokens.changeApiToken('t4', { name: 'other' }, null, ACT);
    for (const id of ['s-t1', 's-t2', 's-t3', 's-t4']) expect(await store.tokens.getSignIn(id)).toBeUndefined();
    expect(await store.tokens.getSignIn('s-next')).toEqual(signInOf('t4', 's-next'));
    await store.tokens.removeSignIn('s-next', ACT);
    expect(await store.tokens.getSignIn('s-next')).toBeUndefined();
  });

  it('keeps so many sign-ins of a token and no more, the newest', async () => {
    for (const id of ['t1', 't2']) await store.tokens.addApiToken(apiToken(id), ACT);
    await store.tokens.addSignIn(signInOf('t2', 'other'), null, ACT);
    for (let i = 0; i <= MAX_SIGN_INS_OF_OWNER; i += 1)
      await store.tokens.addSignIn(signInOf('t1', `s${i}`), null, ACT);
    expect(await store.tokens.getSignIn('s0')).toBeUndefined();
    expect(await store.tokens.getSignIn('s1')).toMatchObject({ owner: 't1' });
    expect(await store.tokens.getSignIn('other')).toMatchObject({ owner: 't2' });
    // One that has expired makes room when the next one begins.
    await store.tokens.addSignIn({ ...signInOf('t2', 'late'), createdAt: NOW + 60_000 }, null, ACT);
    expect(await store.tokens.getSignIn('other')).toBeUndefined();
  });

  it('changes name, role and expiry of an API token, and the last administrator keeps role and time', async () => {
    await store.tokens.addApiToken(apiToken('t1', { role: 'administrator' }), ACT);
    await store.tokens.addApiToken(apiToken('t2', { expiresAt: NOW + 1 }), ACT);
    const before = await store.tokens.changeApiToken('t2', { name: 'wall' }, null, ACT);
    expect(before).toEqual(apiToken('t2', { name: 'wall', expiresAt: NOW + 1 }));
    const changed = { role: 'operator', expiresAt: null } as const;
    expect(await store.tokens.changeApiToken('t2', changed, apiTokenVersion(before), ACT)).toMatchObject(changed);
    expect(await store.tokens.getApiToken('t2')).toMatchObject({ name: 'wall', ...changed });
    await expect(
      store.tokens.changeApiToken('t2', { role: 'viewer' }, apiTokenVersion(before), ACT),
    ).rejects.toMatchObject({ code: 'version_conflict', status: 412 });
    await expect(store.tokens.changeApiToken('none', {}, null, ACT)).rejects.toMatchObject({ code: 'token_unknown' });

    for (const change of [{ role: 'viewer' }, { expiresAt: NOW + 9 }] as const)
      await expect(store.tokens.changeApiToken('t1', change, null, ACT)).rejects.toMatchObject({
        code: 'last_administrator',
      });
    expect(await store.tokens.changeApiToken('t1', { name: 'chief' }, null, ACT)).toMatchObject({ name: 'chief' });
    await store.tokens.changeApiToken('t2', { role: 'administrator' }, null, ACT);
    expect(await store.tokens.changeApiToken('t1', { role: 'viewer' }, null, ACT)).toMatchObject({ role: 'viewer' });
  });

  it('lets two administrators not remove each other at the same moment', async () => {
    for (const id of ['t1', 't2']) await store.tokens.addApiToken(apiToken(id, { role: 'administrator' }), ACT);
    const outcomes = await Promise.allSettled([
      store.tokens.removeApiToken('t1', ACT),
      store.tokens.removeApiToken('t2', ACT),
    ]);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected']);
  });

  it('keeps the scope of API tokens over a restart, and lets go of no administrator for one with a scope', async () => {
    const scoped = apiToken('t1', { role: 'administrator', scope: 'label:region=north' });
    const first = apiToken('t2', { role: 'administrator', createdAt: NOW + 1 });
    for (const token of [scoped, first]) await store.tokens.addApiToken(token, ACT);
    store = await engine.restart();
    expect(await store.tokens.listApiTokens()).toEqual([scoped, first]);
    expect(apiTokenVersion(scoped)).not.toBe(apiTokenVersion({ ...scoped, scope: null }));
    const refused = { code: 'last_administrator', status: 409 };
    await expect(store.tokens.removeApiToken('t2', ACT)).rejects.toMatchObject(refused);
    const narrower = { scope: 'label:region=north' };
    await expect(store.tokens.changeApiToken('t2', narrower, null, ACT)).rejects.toMatchObject(refused);
    expect(await store.tokens.changeApiToken('t1', { scope: null }, null, ACT)).toEqual({ ...scoped, scope: null });
    expect(await store.tokens.changeApiToken('t2', narrower, null, ACT)).toEqual({ ...first, ...narrower });
    expect(await store.tokens.getApiToken('t2')).toEqual({ ...first, ...narrower });
  });

  it('keeps whether maintenance mode is enabled over a restart, with the entry of the act', async () => {
    expect(await store.maintenance.load()).toEqual({ enabledAt: null, retryAfterSeconds: 60 });
    await store.maintenance.save({ enabledAt: NOW, retryAfterSeconds: 90 }, auditEntry('maintenance.enable'));
    store = await engine.restart();
    expect(await store.maintenance.load()).toEqual({ enabledAt: NOW, retryAfterSeconds: 90 });
    await store.maintenance.save({ enabledAt: null, retryAfterSeconds: 90 }, auditEntry('maintenance.disable'));
    expect(await store.maintenance.load()).toEqual({ enabledAt: null, retryAfterSeconds: 90 });
    expect(await store.audit.list({ limit: 9 })).toMatchObject([
      { action: 'maintenance.disable' },
      { action: 'maintenance.enable' },
    ]);
  });

  it('keeps enrollment tokens until they are removed', async () => {
    const token = enrollmentToken('t1', { agentName: 'branch-12', maxUses: 5 });
    await store.tokens.addEnrollmentToken(token, ACT);
    expect(await store.tokens.getEnrollmentToken('t1')).toEqual(token);
    expect(await store.tokens.listEnrollmentTokens()).toEqual([token]);
    await store.tokens.removeEnrollmentToken('t1', ACT);
    await expect(store.tokens.removeEnrollmentToken('t1', ACT)).rejects.toMatchObject({
      code: 'token_unknown',
      status: 404,
    });
  });

  it('writes key material all or none, with its audit entry', async () => {
    const { keyMaterial } = store;
    const rows = async (): Promise<unknown> => (await store.keyMaterial.load('root')).rows;
    const created = [
      { name: 'root.key', value: 'k1' },
      { name: 'root.crt', value: 'c1' },
      { name: 'root.key.note', value: 'n1' },
    ];
    await keyMaterial.put([{ subject: 'root', version: 0, entries: created }], auditEntry('pki.create'));
    const replaced = [{ name: 'root.crt', value: 'c2' }];
    await keyMaterial.put([{ subject: 'root', version: 1, entries: replaced }], auditEntry('pki.replace'));
    store = await engine.restart();
    expect(await rows()).toEqual([
      { name: 'root.crt', value: 'c2' },
      { name: 'root.key', value: 'k1' },
      { name: 'root.key.note', value: 'n1' },
    ]);
    expect((await store.audit.list({ limit: 9 })).map((entry) => entry.action)).toEqual(['pki.replace', 'pki.create']);
    await store.keyMaterial.put(
      [
        {
          subject: 'root',
          version: 2,
          entries: [
            { name: 'root.key', value: null },
            { name: 'root.key.note', value: null },
          ],
        },
        { subject: 'a', version: 0, entries: [{ name: 'a.crt', value: 'c3' }] },
        // Another subject, although its name begins with the same letters.
        { subject: 'rootless', version: 0, entries: [{ name: 'rootless.crt', value: 'c4' }] },
      ],
      auditEntry('pki.retire'),
    );
    expect(await store.keyMaterial.names()).toEqual(['a.crt', 'root.crt', 'rootless.crt']);
    expect(await rows()).toEqual([{ name: 'root.crt', value: 'c2' }]);
    expect(await store.keyMaterial.load('none')).toEqual({ version: 0, rows: [] });
  });

  it('lets two writers of key material not overwrite each other: the second has to read what the first wrote', async () => {
    const { keyMaterial } = store;
    const change = (version: number, value: string | null) => ({
      subject: 'root',
      version,
      entries: [{ name: 'root.key', value }],
    });
    const put = async (...changes: KeyMaterialChange[]): Promise<void> =>
      await keyMaterial.put(changes, auditEntry('pki.change'));
    const other = { subject: 'other', version: 0, entries: [{ name: 'other.crt', value: 'x' }] };
    const outcomes = await Promise.allSettled([put(change(0, 'first')), put(other, change(0, 'second'))]);
    expect(outcomes).toMatchObject([
      { status: 'fulfilled' },
      {
        status: 'rejected',
        reason: { code: 'key_material_conflict', status: 409, parameters: { subject: 'root', found: 1, expected: 0 } },
      },
    ]);
    expect(await keyMaterial.load('root')).toEqual({ version: 1, rows: [{ name: 'root.key', value: 'first' }] });
    // Nothing of the loser: neither its other subject nor its audit entry.
    expect(await keyMaterial.load('other')).toEqual({ version: 0, rows: [] });
    expect(await store.audit.list({ limit: 9 })).toHaveLength(1);
    // A deletion counts as well: one that knows the subject from before writes no key under it again.
    await put(change(1, null));
    await expect(put(change(0, 'from before'))).rejects.toMatchObject({ code: 'key_material_conflict' });
    await put(change(2, 'after it'));
    expect((await keyMaterial.load('root')).version).toBe(3);
  });

  it('writes the entry of an act in its transaction, in order; an act that is refused leaves none', async () => {
    const act = (action: string) => auditEntry(action);
    const apiToken: ApiTokenRecord = {
      id: 't1',
      name: 'a',
      role: 'administrator',
      hash: 'h',
      createdAt: NOW,
      createdBy: 'central',
      expiresAt: null,
      lastUsedAt: null,
      scope: null,
    };
    const agent = (id: string) => ({ id, name: id, publicKey: `key ${id}`, keyThumbprint: `thumb ${id}`, now: NOW });
    await store.tokens.addApiToken(apiToken, act('one'));
    await expect(store.tokens.removeApiToken('t1', act('refused'))).rejects.toMatchObject({
      code: 'last_administrator',
    });
    await expect(store.tokens.removeApiToken('t9', act('refused'))).rejects.toMatchObject({ code: 'token_unknown' });
    await store.tokens.addEnrollmentToken(enrollmentToken('e1', {}), act('two'));
    await store.agents.register(agent('a'), 'e1', act('three'));
    await expect(store.agents.register(agent('b'), 'e9', act('refused'))).rejects.toMatchObject({
      code: 'token_unknown',
    });
    await store.enrollments.admit(agent('c'), 'admin', act('four'));
    await expect(
      store.enrollments.admit({ ...agent('d'), keyThumbprint: 'thumb c' }, 'admin', act('refused')),
    ).rejects.toMatchObject({ code: 'agent_key_known' });
    await store.agents.revoke('a', { reason: 'keyCompromise', now: NOW, text: 'stolen' }, act('five'));
    await store.agents.remove('c', act('six'));
    for (const refused of [
      store.agents.remove('c', act('refused')),
      store.agents.revoke('c', { reason: 'keyCompromise', now: NOW, text: '' }, act('refused')),
      store.enrollments.reject('nothing', 'admin', null, NOW, act('refused')),
      store.tokens.removeEnrollmentToken('e9', act('refused')),
    ])
      await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/_unknown$/) });
    const actions = (await store.audit.list({ limit: 99 })).map(({ action }) => action);
    expect(actions.toReversed()).toEqual(['one', 'two', 'three', 'four', 'five', 'six']);
  });

  it('chains the audit entries so that each can be verified, page by page', async () => {
    for (let n = 1; n <= 5; n += 1)
      await store.audit.append(auditEntry(`act ${n}`, { at: NOW + n, comment: n === 2 ? 'why' : null, ticket: 'T-1' }));
    const all = await store.audit.list({ limit: 9 });
    expect(all.map((entry) => entry.number)).toEqual([5, 4, 3, 2, 1]);
    let before = CHAIN_START;
    for (const { number, hash, ...entry } of all.toReversed()) {
      expect(hash).toBe(chainHash(before, number, entry));
      before = hash;
    }
    expect((await store.audit.list({ limit: 2, before: 4 })).map((entry) => entry.number)).toEqual([3, 2]);
  });

  it('ends a page of the audit log with its bytes as well, and goes on behind it', async () => {
    const detail = JSON.stringify({ agents: 'x'.repeat(300_000) });
    for (let n = 1; n <= 20; n += 1) await store.audit.append(auditEntry(`act ${n}`, { at: NOW + n, detail }));
    for (const order of ['newest', 'oldest'] as const) {
      const numbers: number[] = [];
      let [after, pages]: [number | null, number] = [null, 0];
      do {
        const { entries, next } = await store.audit.find({ limit: 1_000, order, after, filter: ANY_AUDIT });
        expect(entries.reduce((length, entry) => length + entry.detail.length, 0)).toBeLessThan(2 * 1024 * 1024 + 1);
        numbers.push(...entries.map(({ number }) => number));
        after = next;
        pages += 1;
      } while (after !== null);
      expect(pages).toBeGreaterThanOrEqual(3);
      const all = Array.from({ length: 20 }, (_, i) => i + 1);
      expect(numbers).toEqual(order === 'oldest' ? all : all.toReversed());
    }
  });

  it('takes nothing more once it is stopped, and may be stopped twice', async () => {
    const accepted = store.audit.append(auditEntry('last'));
    const stopped = store.stop();
    await accepted;
    await stopped;
    await store.stop();
    await expect(store.audit.append(auditEntry('late'))).rejects.toMatchObject({ code: 'store_stopped' });
    await expect(store.agents.get('a1')).rejects.toMatchObject({ code: 'store_stopped' });
    store = await engine.restart();
    expect(await store.audit.list({ limit: 9 })).toHaveLength(1);
  });
}
