// The rows of API tokens as another version of the software would read them.
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { isSecret, makeSecret } from '../../../../../central/auth/secrets.ts';
import { tokenReads, tokenWrites } from '../../../../../central/store/sql/rows/tokens.ts';

const TABLES = `
  CREATE TABLE api_token (
    id TEXT PRIMARY KEY, name TEXT, role TEXT, hash TEXT, created_at INTEGER, created_by TEXT, expires_at INTEGER,
    last_used_at INTEGER, scope TEXT
  );
  CREATE TABLE enrollment_token (
    id TEXT, hash TEXT, created_at INTEGER, created_by TEXT, expires_at INTEGER, uses INTEGER, max_uses INTEGER,
    agent_name TEXT
  );`;

it('the hash of a token with a scope is none for a version that knows no scopes', () => {
  const database = new DatabaseSync(':memory:');
  database.exec(TABLES);
  const [writes, reads] = [tokenWrites(database, () => 1, new Set()), tokenReads(database)];
  const { id, token, hash } = makeSecret('qg');
  const secret = token.slice(-43);
  const record = { id, name: 'x', hash, createdAt: 1, createdBy: 'x', expiresAt: null, lastUsedAt: null } as const;
  const stored = () => String(database.prepare('SELECT hash FROM api_token').get()?.['hash']);
  writes.addApiToken({ ...record, role: 'viewer', scope: 'label:region=north' });
  expect([isSecret(secret, stored()), isSecret(secret, reads.getApiToken(id)?.hash)]).toEqual([false, true]);
  writes.changeApiToken(id, { scope: null }, null);
  expect([isSecret(secret, stored()), isSecret(secret, reads.getApiToken(id)?.hash)]).toEqual([true, true]);
  writes.changeApiToken(id, { scope: 'label:region=south' }, null);
  expect([isSecret(secret, stored()), isSecret(secret, reads.getApiToken(id)?.hash)]).toEqual([false, true]);
  database.close();
});
