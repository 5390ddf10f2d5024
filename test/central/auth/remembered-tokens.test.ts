import { expect, test } from 'vitest';
import { RememberedTokens } from '../../../central/auth/remembered-tokens.ts';
import { makeSecret } from '../../../central/auth/secrets.ts';
import { storeFault } from '../../../central/store/errors.ts';

test('the 1,000 tokens that were confirmed last are remembered', async () => {
  const { token, hash } = makeSecret('qg');
  const secret = token.split('_').slice(2).join('_');
  const away = storeFault('store_away', { since: 'then', found: 'it is down' });
  let isAway = false;
  const getApiToken = async (id: string) => {
    if (isAway) throw away;
    const made = { createdAt: 1, createdBy: 'b', expiresAt: null, lastUsedAt: null };
    return { id, hash, name: 'a', role: 'viewer' as const, scope: null, ...made };
  };
  const known = new RememberedTokens({ getApiToken }, () => 1_000);
  for (let i = 0; i < 1_001; i += 1) await known.find(`token-${i}`, secret);
  isAway = true;
  expect(await known.findRemembered('token-1', secret)).toMatchObject({ id: 'token-1' });
  await expect(known.findRemembered('token-0', secret)).rejects.toBe(away);
  await expect(known.find('token-1', secret)).rejects.toBe(away);
});
