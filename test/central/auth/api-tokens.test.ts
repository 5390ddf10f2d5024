import { describe, expect, test, vi } from 'vitest';
import { createEnrollmentTokens } from '../../../central/enrollment/tokens.ts';
import { assertRole, createApiTokens } from '../../../central/auth/api-tokens.ts';
import { isSecret, makeSecret } from '../../../central/auth/secrets.ts';
import { auditEntry, CENTRAL } from '../../../central/audit.ts';
import { postgresFault } from '../../../central/store/postgres/errors.ts';
import { storeFault } from '../../../central/store/errors.ts';
import { memoryStore, NO_DELAY } from '../fakes.ts';

function setUp() {
  const store = memoryStore();
  const clock = { now: 1_000_000 };
  const options = { tokens: store.tokens, attempts: NO_DELAY, now: () => clock.now };
  return { store, clock, apiTokens: createApiTokens(options), enrollmentTokens: createEnrollmentTokens(options) };
}

const administrator = (apiTokens: ReturnType<typeof setUp>['apiTokens']): Promise<string> =>
  apiTokens.createAdministrator('first administrator', CENTRAL, async () => {});

describe('API tokens', () => {
  test('an administrator without expiry is valid only once its text is kept', async () => {
    const { store, apiTokens } = setUp();
    const kept: string[] = [];
    const token = await apiTokens.createAdministrator('first administrator', CENTRAL, async (text) => {
      expect(await apiTokens.list()).toEqual([]);
      kept.push(text);
    });
    expect(token).toMatch(/^qg_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
    expect(kept).toEqual([token]);
    expect(await apiTokens.authenticate(`Bearer ${token}`, '10.0.0.7')).toMatchObject({
      name: 'first administrator',
      role: 'administrator',
    });
    expect([await apiTokens.isValid(token), await apiTokens.isValid(`${token}x`), await apiTokens.isValid('')]).toEqual(
      [true, false, false],
    );
    const full = new Error('no room');
    await expect(apiTokens.createAdministrator('another', CENTRAL, () => Promise.reject(full))).rejects.toBe(full);
    expect(await store.tokens.listApiTokens()).toHaveLength(1);
  });

  test('have the time of their last use, which is written once a minute and token, and by nothing but a use', async () => {
    const { store, clock, apiTokens } = setUp();
    const { token, record } = await apiTokens.create({ name: 'monitor', role: 'viewer', expiresAt: null }, CENTRAL);
    const other = await apiTokens.create({ name: 'wall', role: 'viewer', expiresAt: null }, CENTRAL);
    const written = vi.spyOn(store.tokens, 'noteApiTokenUse');
    await expect(apiTokens.authenticate(`Bearer ${token}x`, '10.0.0.7')).rejects.toThrow('no valid API token');
    await apiTokens.isValid(token);
    expect(written).not.toHaveBeenCalled();
    for (const elapsed of [0, 59_999, 1]) {
      clock.now += elapsed;
      for (let i = 0; i < 3; i += 1) await apiTokens.authenticate(`Bearer ${token}`, '10.0.0.7');
    }
    expect(written.mock.calls).toEqual([
      [record.id, 1_000_000],
      [record.id, 1_060_000],
    ]);
    written.mockRejectedValueOnce(new Error('the store takes nothing now'));
    await apiTokens.authenticate(`Bearer ${other.token}`, '10.0.0.7');
    expect((await apiTokens.list()).map(({ lastUsedAt }) => lastUsedAt)).toEqual([1_060_000, null]);
  });

  test('that the store confirmed within a day are enough where it is away, for what needs nothing of it', async () => {
    const { store, clock, apiTokens } = setUp();
    const { token, record } = await apiTokens.create({ name: 'monitor', role: 'viewer', expiresAt: null }, CENTRAL);
    const other = await apiTokens.create({ name: 'wall', role: 'viewer', expiresAt: clock.now + 5_000 }, CENTRAL);
    const unused = await apiTokens.create({ name: 'unused', role: 'viewer', expiresAt: null }, CENTRAL);
    const enter = async (text: string, remembered = true): Promise<string> =>
      (await apiTokens.authenticate(`Bearer ${text}`, '10.0.0.7', { remembered })).name;
    expect([await enter(token), await enter(other.token)]).toEqual(['monitor', 'wall']);
    const read = vi.spyOn(store.tokens, 'getApiToken');
    const away = storeFault('store_away', { since: 'then', found: 'it is down' });
    read.mockRejectedValue(away);
    expect([await enter(token), await enter(other.token)]).toEqual(['monitor', 'wall']);
    // A read that had begun before.
    read.mockRejectedValueOnce(postgresFault('store_away_unknown', { found: 'it is down' }));
    expect(await enter(token)).toBe('monitor');
    await expect(enter(token, false)).rejects.toBe(away);
    await expect(enter(unused.token)).rejects.toBe(away);
    await expect(enter(`${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`)).rejects.toBe(away);
    clock.now += 5_000;
    await expect(enter(other.token)).rejects.toThrow('expired');
    clock.now += 24 * 3_600_000 - 5_000;
    expect(await enter(token)).toBe('monitor');
    clock.now += 1;
    await expect(enter(token)).rejects.toBe(away);
    // What is seen as deleted is forgotten.
    read.mockRestore();
    expect(await enter(token)).toBe('monitor');
    await store.tokens.removeApiToken(record.id, auditEntry(CENTRAL, 'api-tokens.delete', {}, clock.now));
    await expect(enter(token)).rejects.toMatchObject({ code: 'unauthenticated' });
    vi.spyOn(store.tokens, 'getApiToken').mockRejectedValue(away);
    await expect(enter(token)).rejects.toBe(away);
  });

  test('are kept as a hash only, and never shown again', async () => {
    const { store, apiTokens } = setUp();
    const { token } = await apiTokens.create({ name: 'monitor', role: 'viewer', expiresAt: null }, CENTRAL);
    const secret = token.split('_').slice(2).join('_');
    expect(JSON.stringify([await store.tokens.listApiTokens(), store.audit.entries])).not.toContain(secret);
    const [view] = await apiTokens.list();
    expect(view).not.toHaveProperty('hash');
    expect(view).toMatchObject({ name: 'monitor', role: 'viewer', createdBy: 'central' });
  });

  test('a wrong secret, an unknown id, another form, an expired or a removed token are refused', async () => {
    const { clock, apiTokens } = setUp();
    await administrator(apiTokens);
    const { token, record } = await apiTokens.create(
      { name: 'a', role: 'viewer', expiresAt: clock.now + 1000 },
      CENTRAL,
    );
    await apiTokens.authenticate(`Bearer ${token}`, '10.0.0.7');
    const swapped = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
    for (const header of [
      undefined,
      '',
      token,
      `Basic ${token}`,
      `Bearer ${swapped}`,
      `Bearer ${token.replace(record.id, '0'.repeat(16))}`,
      `Bearer ${token}x`,
      'Bearer qg__',
    ]) {
      await expect(apiTokens.authenticate(header, '10.0.0.7')).rejects.toMatchObject({
        code: 'unauthenticated',
        status: 401,
      });
    }
    clock.now += 1000;
    await expect(apiTokens.authenticate(`Bearer ${token}`, '10.0.0.7')).rejects.toMatchObject({
      message: expect.stringContaining('expired'),
    });
    await apiTokens.remove(record.id, CENTRAL);
    await expect(apiTokens.authenticate(`Bearer ${token}`, '10.0.0.7')).rejects.toMatchObject({
      code: 'unauthenticated',
    });
  });

  test('the last administrator stays', async () => {
    const { apiTokens } = setUp();
    await administrator(apiTokens);
    const [only] = await apiTokens.list();
    await expect(apiTokens.remove(only?.id ?? '', CENTRAL)).rejects.toMatchObject({ code: 'last_administrator' });
  });

  test('a role may do what those below it may, and no more', () => {
    const operator = { tokenId: 'x', name: 'x', role: 'operator', scope: null, expiresAt: null } as const;
    assertRole(operator, 'viewer');
    assertRole(operator, 'operator');
    expect(() => assertRole(operator, 'administrator')).toThrow(/requires the role administrator/);
  });
});

describe('enrollment tokens', () => {
  test('are recognized by their secret, and their text is shown once', async () => {
    const { enrollmentTokens } = setUp();
    const { token, record } = await enrollmentTokens.create(
      { lifetimeSeconds: 1800, maxUses: 1, agentName: null },
      CENTRAL,
    );
    expect(token).toMatch(/^qge_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
    expect(record.expiresAt).toBe(1_000_000 + 30 * 60_000);
    expect((await enrollmentTokens.verify(token))?.id).toBe(record.id);
    expect(await enrollmentTokens.verify(`${token}x`)).toBeUndefined();
    expect(await enrollmentTokens.verify(token.replace(record.id, '0'.repeat(16)))).toBeUndefined();
    expect((await enrollmentTokens.list())[0]).not.toHaveProperty('hash');
  });

  test('removing one is written down', async () => {
    const { store, enrollmentTokens } = setUp();
    const { record } = await enrollmentTokens.create({ lifetimeSeconds: 60, maxUses: 1, agentName: null }, CENTRAL);
    await enrollmentTokens.remove(record.id, { who: 'anna', from: '::1' });
    expect(store.audit.entries.at(-1)).toMatchObject({ who: 'anna', action: 'enrollment-tokens.delete' });
    await expect(enrollmentTokens.remove(record.id, CENTRAL)).rejects.toMatchObject({ code: 'token_unknown' });
  });
});

test('secrets have 256 random bits and no two are the same', () => {
  const secrets = Array.from({ length: 100 }, () => makeSecret('qg'));
  expect(new Set(secrets.map(({ token }) => token)).size).toBe(100);
  const secret = secrets[0]?.token.split('_').slice(2).join('_') ?? '';
  expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
  expect(isSecret(secret, secrets[0]?.hash)).toBe(true);
  expect(isSecret(secret, undefined)).toBe(false);
  expect(isSecret('', '')).toBe(false);
});
