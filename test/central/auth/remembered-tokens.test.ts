import { expect, test } from 'vitest';
import { RememberedTokens } from '../../../central/auth/remembered-tokens.ts';
import { makeSecret } from '../../../central/auth/secrets.ts';

test('the 1,000 tokens that were confirmed last are remembered', () => {
  const remembered = new RememberedTokens(() => 1_000);
  const { id, token, hash } = makeSecret('qg');
  const secret = token.split('_').slice(2).join('_');
  const of = { name: 'a', role: 'viewer', scope: null, createdAt: 1, createdBy: 'b', expiresAt: null } as const;
  remembered.keep({ ...of, id, hash, lastUsedAt: null });
  for (let i = 0; i < 999; i += 1) remembered.keep({ ...of, id: `other-${i}`, hash, lastUsedAt: null });
  expect(remembered.find(id, secret)).toMatchObject({ id });
  remembered.keep({ ...of, id: 'one more', hash, lastUsedAt: null });
  expect(remembered.find(id, secret)).toBeUndefined();
});
