// Reads and writes the rows of sign-ins: the sessions of browsers. The table holds hashes of their secrets, never the
// secrets. Bounded, so that they need no room of their own below the reserve.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, text, textOrNull } from '../../../../shared/sqlite/row.ts';
import { MAX_SIGN_INS, MAX_SIGN_INS_OF_OWNER } from '../../space/bounds.ts';
import type { SignedInPerson, SignInRecord } from '../../token-store.ts';

/** They end with their token, and with its role and scope. */
export const SIGN_INS = `
  CREATE TABLE sign_in (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX sign_in_owner ON sign_in (owner);
  CREATE TRIGGER sign_ins_of_deleted_token AFTER DELETE ON api_token BEGIN
    DELETE FROM sign_in WHERE owner = OLD.id;
  END;
  CREATE TRIGGER sign_ins_of_changed_token AFTER UPDATE OF role, scope ON api_token
    WHEN OLD.role <> NEW.role OR OLD.scope IS NOT NEW.scope BEGIN
    DELETE FROM sign_in WHERE owner = OLD.id;
  END;
`;

/** A JSON document, since it is read and written whole; null: the owner is an API token. */
export const SIGN_INS_OF_PEOPLE = 'ALTER TABLE sign_in ADD COLUMN person TEXT';

export function signInWrites(database: SqlDatabase) {
  const add = database.prepare(
    'INSERT INTO sign_in (id, hash, owner, person, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const remove = database.prepare('DELETE FROM sign_in WHERE id = ?');
  const expire = database.prepare('DELETE FROM sign_in WHERE expires_at <= ?');
  const boundOwner = database.prepare(`
    DELETE FROM sign_in WHERE owner = ?1 AND number NOT IN (
      SELECT number FROM sign_in WHERE owner = ?1 ORDER BY number DESC LIMIT ${MAX_SIGN_INS_OF_OWNER})`);
  const boundAll = database.prepare(`
    DELETE FROM sign_in WHERE number NOT IN (SELECT number FROM sign_in ORDER BY number DESC LIMIT ${MAX_SIGN_INS})`);
  return {
    addSignIn(signIn: SignInRecord, replaced: string | null): void {
      const { id, hash, owner, person, createdAt, expiresAt } = signIn;
      if (replaced !== null) remove.run(replaced);
      expire.run(createdAt);
      add.run(id, hash, owner, person === null ? null : JSON.stringify(person), createdAt, expiresAt);
      boundOwner.run(owner);
      boundAll.run();
    },
    removeSignIn(id: string): void {
      remove.run(id);
    },
  };
}

export function signInReads(database: SqlDatabase) {
  const get = database.prepare('SELECT id, hash, owner, person, created_at, expires_at FROM sign_in WHERE id = ?');
  return {
    getSignIn(id: string): SignInRecord | undefined {
      const row = get.get(id);
      if (row === undefined) return undefined;
      const person = textOrNull(row, 'person');
      return {
        id: text(row, 'id'),
        hash: text(row, 'hash'),
        owner: text(row, 'owner'),
        // Written from a person only.
        person: person === null ? null : (JSON.parse(person) as SignedInPerson),
        createdAt: integer(row, 'created_at'),
        expiresAt: integer(row, 'expires_at'),
      };
    },
  };
}
