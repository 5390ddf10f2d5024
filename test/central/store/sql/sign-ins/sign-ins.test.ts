import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { MAX_SIGN_INS, MAX_SIGN_INS_OF_OWNER } from '../../../../../central/store/space/bounds.ts';
import {
  SIGN_INS,
  SIGN_INS_OF_PEOPLE,
  signInReads,
  signInWrites,
} from '../../../../../central/store/sql/sign-ins/sign-ins.ts';

it('keeps so many sign-ins in all and no more, the newest', () => {
  const database = new DatabaseSync(':memory:');
  database.exec(
    `CREATE TABLE api_token (id TEXT PRIMARY KEY, role TEXT, scope TEXT) STRICT; ${SIGN_INS} ${SIGN_INS_OF_PEOPLE}`,
  );
  const writes = signInWrites(database);
  const reads = signInReads(database);
  const ids = Array.from({ length: MAX_SIGN_INS + 1 }, (_, i) => `s${i}`);
  for (const [i, id] of ids.entries()) {
    const owner = `t${Math.floor(i / MAX_SIGN_INS_OF_OWNER)}`;
    writes.addSignIn({ id, hash: 'h', owner, person: null, createdAt: 1, expiresAt: 2 }, null);
  }
  expect(ids.filter((id) => reads.getSignIn(id) === undefined)).toEqual(['s0']);
  database.close();
});
