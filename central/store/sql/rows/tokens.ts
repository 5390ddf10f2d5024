// Reads and writes the rows of API tokens and enrollment tokens. The tables hold hashes of the secrets, never the
// secrets.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { CENTRAL_AGENT_NAME, reservation } from '../../agent-names.ts';
import { EXPIRED_ENROLLMENT_TOKEN_MS, MAX_API_TOKENS, MAX_ENROLLMENT_TOKENS } from '../../space/bounds.ts';
import { storeFault } from '../../errors.ts';
import {
  apiTokenVersion,
  type AddedApiToken,
  type ApiTokenChange,
  type ApiTokenRecord,
  type EnrollmentTokenRecord,
  type Role,
} from '../../token-store.ts';

export function tokenWrites(database: SqlDatabase, now: () => number, namesOfCentral: ReadonlySet<string>) {
  return { ...apiTokenWrites(database, now), ...enrollmentTokenWrites(database, namesOfCentral) };
}

function apiTokenWrites(database: SqlDatabase, now: () => number) {
  const add = database.prepare(
    'INSERT INTO api_token (id, name, role, hash, created_at, created_by, expires_at, scope) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const get = database.prepare('SELECT * FROM api_token WHERE id = ?');
  const change = database.prepare(
    'UPDATE api_token SET name = ?, role = ?, expires_at = ?, scope = ?, hash = ? WHERE id = ?',
  );
  const noteUse = database.prepare('UPDATE api_token SET last_used_at = max(?, ifnull(last_used_at, 0)) WHERE id = ?');
  const remove = database.prepare('DELETE FROM api_token WHERE id = ?');
  const count = database.prepare('SELECT count(*) AS tokens FROM api_token');
  const administrators = database.prepare(`
    SELECT count(*) AS others FROM api_token
    WHERE role = 'administrator' AND scope IS NULL AND id <> ? AND (expires_at IS NULL OR expires_at > ?)`);
  const find = (id: string): ApiTokenRecord => {
    const row = get.get(id);
    if (row === undefined) throw storeFault('token_unknown', { id });
    return apiToken(row);
  };
  const assertOtherAdministrator = (id: string): void => {
    if (integer(administrators.get(id, now()), 'others') === 0) throw storeFault('last_administrator', { id });
  };
  return {
    /** Errors: api_tokens_full, first_token_elsewhere. */
    addApiToken(token: AddedApiToken): void {
      const tokens = integer(count.get(), 'tokens');
      if (token.isFirst === true && tokens > 0) throw storeFault('first_token_elsewhere', {});
      if (tokens >= MAX_API_TOKENS) throw storeFault('api_tokens_full', { most: MAX_API_TOKENS });
      const { id, name, role, hash, createdAt, createdBy, expiresAt, scope } = token;
      add.run(id, name, role, storedHash({ hash, scope }), createdAt, createdBy, expiresAt, scope);
    },

    noteApiTokenUse(id: string, at: number): void {
      noteUse.run(at, id);
    },

    /** Errors: token_unknown, last_administrator. */
    removeApiToken(id: string): void {
      if (isAdministrator(find(id))) assertOtherAdministrator(id);
      remove.run(id);
    },

    /** Errors: token_unknown, version_conflict, last_administrator. */
    changeApiToken(id: string, changes: ApiTokenChange, version: number | null): ApiTokenRecord {
      const before = find(id);
      const found = apiTokenVersion(before);
      if (version !== null && version !== found)
        throw storeFault('version_conflict', { subject: `the API token ${id}`, found, expected: version });
      const { name = before.name, role = before.role, expiresAt = before.expiresAt, scope = before.scope } = changes;
      const isShorter = endOf(expiresAt) < endOf(before.expiresAt);
      if (isAdministrator(before) && (!isAdministrator({ role, scope }) || isShorter)) assertOtherAdministrator(id);
      change.run(name, role, expiresAt, scope, storedHash({ hash: before.hash, scope }), id);
      return find(id);
    },
  };
}

/** Of the whole installation: one with a scope cannot take its place. */
function isAdministrator({ role, scope }: Pick<ApiTokenRecord, 'role' | 'scope'>): boolean {
  return role === 'administrator' && scope === null;
}

/** Before the hash of a token with a scope: a version that knows no scopes refuses the token, which it would not limit. */
const SCOPED = 'scoped:';

function storedHash({ hash, scope }: Pick<ApiTokenRecord, 'hash' | 'scope'>): string {
  return scope === null ? hash : `${SCOPED}${hash}`;
}

function endOf(expiresAt: number | null): number {
  return expiresAt ?? Number.POSITIVE_INFINITY;
}

function enrollmentTokenWrites(database: SqlDatabase, namesOfCentral: ReadonlySet<string>) {
  const add = database.prepare(
    'INSERT INTO enrollment_token (id, hash, created_at, created_by, expires_at, uses, max_uses, agent_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const get = database.prepare('SELECT * FROM enrollment_token WHERE id = ?');
  const remove = database.prepare('DELETE FROM enrollment_token WHERE id = ?');
  const count = database.prepare('SELECT count(*) AS tokens FROM enrollment_token');
  const forgetExpired = database.prepare('DELETE FROM enrollment_token WHERE expires_at < ?');
  const bound = database.prepare(
    'SELECT 1 FROM enrollment_token WHERE agent_name = ? COLLATE NOCASE AND uses < max_uses AND expires_at > ?',
  );
  const use = database.prepare('UPDATE enrollment_token SET uses = uses + 1 WHERE id = ?');
  const pruneEnrollmentTokens = (now: number): void => void forgetExpired.run(now - EXPIRED_ENROLLMENT_TOKEN_MS);
  return {
    /**
     * Errors: agent_name_reserved, enrollment_tokens_full. Who may create one for the Central agent is decided above
     * (central/enrollment/tokens.ts).
     */
    addEnrollmentToken(token: EnrollmentTokenRecord): void {
      const { id, hash, createdAt, createdBy, expiresAt, uses, maxUses, agentName } = token;
      const found =
        agentName === null || agentName.toLowerCase() === CENTRAL_AGENT_NAME
          ? undefined
          : reservation(agentName, namesOfCentral);
      if (found !== undefined) throw storeFault('agent_name_reserved', { name: agentName ?? '', found });
      pruneEnrollmentTokens(createdAt);
      if (integer(count.get(), 'tokens') >= MAX_ENROLLMENT_TOKENS)
        throw storeFault('enrollment_tokens_full', { most: MAX_ENROLLMENT_TOKENS });
      add.run(id, hash, createdAt, createdBy, expiresAt, uses, maxUses, agentName);
    },

    pruneEnrollmentTokens,

    /** Errors: token_unknown. */
    removeEnrollmentToken(id: string): void {
      if (remove.run(id).changes === 0) throw storeFault('token_unknown', { id });
    },

    /** True when a token that can still be used is only for this agent name. */
    isBound(name: string, at: number): boolean {
      return bound.get(name, at) !== undefined;
    },

    /** Consumes one use and returns the token. Errors: token_unknown, token_used, token_expired. */
    useEnrollmentToken(id: string, at: number): EnrollmentTokenRecord {
      const row = get.get(id);
      if (row === undefined) throw storeFault('token_unknown', { id });
      const token = enrollmentToken(row);
      if (token.uses >= token.maxUses) throw storeFault('token_used', { id, uses: token.maxUses });
      if (token.expiresAt <= at)
        throw storeFault('token_expired', { id, expiry: new Date(token.expiresAt).toISOString() });
      use.run(id);
      return token;
    },
  };
}

export function tokenReads(database: SqlDatabase) {
  const getApi = database.prepare('SELECT * FROM api_token WHERE id = ?');
  const listApi = database.prepare('SELECT * FROM api_token ORDER BY created_at, id');
  const getEnrollment = database.prepare('SELECT * FROM enrollment_token WHERE id = ?');
  const listEnrollment = database.prepare('SELECT * FROM enrollment_token ORDER BY created_at, id');
  return {
    getApiToken(id: string): ApiTokenRecord | undefined {
      const row = getApi.get(id);
      return row === undefined ? undefined : apiToken(row);
    },
    listApiTokens: () => listApi.all().map(apiToken),
    getEnrollmentToken(id: string): EnrollmentTokenRecord | undefined {
      const row = getEnrollment.get(id);
      return row === undefined ? undefined : enrollmentToken(row);
    },
    listEnrollmentTokens: () => listEnrollment.all().map(enrollmentToken),
  };
}

function apiToken(row: Row): ApiTokenRecord {
  return {
    id: text(row, 'id'),
    name: text(row, 'name'),
    // Written from a Role only.
    role: text(row, 'role') as Role,
    scope: textOrNull(row, 'scope'),
    hash: text(row, 'hash').replace(SCOPED, ''),
    createdAt: integer(row, 'created_at'),
    createdBy: text(row, 'created_by'),
    expiresAt: integerOrNull(row, 'expires_at'),
    lastUsedAt: integerOrNull(row, 'last_used_at'),
  };
}

function enrollmentToken(row: Row): EnrollmentTokenRecord {
  return {
    id: text(row, 'id'),
    hash: text(row, 'hash'),
    createdAt: integer(row, 'created_at'),
    createdBy: text(row, 'created_by'),
    expiresAt: integer(row, 'expires_at'),
    uses: integer(row, 'uses'),
    maxUses: integer(row, 'max_uses'),
    agentName: textOrNull(row, 'agent_name'),
  };
}
