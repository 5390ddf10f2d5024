// Reads and writes the rows of prepared releases. The manifest of a release is a blob, named by the digest of the
// release.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import type { ReleaseKind } from '../../../../shared/releases/manifest.ts';
import { storeFault } from '../../errors.ts';
import { MAX_RELEASES, type NewRelease, type ReleaseRecord } from '../../releases/release-store.ts';
import { ROLLOUT_OF_RELEASE } from '../rollouts/schema.ts';
import { blobKeys } from './blobs.ts';

export function releaseWrites(database: SqlDatabase) {
  const find = database.prepare('SELECT 1 FROM release WHERE digest = ?');
  const add = database.prepare(`
    INSERT INTO release (digest, kind, name, bytes, file_count, prepared_at, prepared_by, comment, ticket, signature)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number`);
  const sign = database.prepare(
    'UPDATE release SET signature = ? WHERE digest = ? AND signature IS NULL RETURNING number',
  );
  const addBlob = database.prepare('INSERT INTO release_blob (release, blob) VALUES (?, ?) ON CONFLICT DO NOTHING');
  const dropOldest = database.prepare(`
    DELETE FROM release WHERE number IN (SELECT number FROM release WHERE kind = ? AND name = ? COLLATE NOCASE
      ORDER BY number DESC LIMIT -1 OFFSET ${MAX_RELEASES})
      AND NOT EXISTS (${ROLLOUT_OF_RELEASE})
      AND digest NOT IN (SELECT desired FROM agent_release WHERE desired IS NOT NULL
        UNION SELECT previous FROM agent_release WHERE previous IS NOT NULL)`);
  const userOf = database.prepare(`
    SELECT (${ROLLOUT_OF_RELEASE} LIMIT 1) AS rollout,
      (SELECT count(*) FROM agent_release WHERE release.digest IN (desired, previous, reported)) AS agents
    FROM release WHERE digest = ?`);
  const remove = database.prepare('DELETE FROM release WHERE digest = ?');
  const keyOf = blobKeys(database);
  return {
    /** Errors: release_exists, blob_unknown. */
    addRelease(release: NewRelease, blobs: readonly string[]): void {
      const { digest, kind, name, bytes, fileCount, preparedAt, preparedBy, comment, ticket, signature } = release;
      if (find.get(digest) !== undefined)
        throw storeFault('release_exists', { release: `${name}@${digest.slice(0, 8)}` });
      const row = add.get(digest, kind, name, bytes, fileCount, preparedAt, preparedBy, comment, ticket, signature);
      const number = integer(row, 'number');
      for (const sha256 of [digest, ...blobs, ...(signature === null ? [] : [signature])])
        addBlob.run(number, keyOf(sha256));
      dropOldest.run(kind, name);
    },

    /** Errors: release_unknown, release_exists, blob_unknown. */
    signRelease(digest: string, signature: string): void {
      const release = digest.slice(0, 8);
      if (find.get(digest) === undefined) throw storeFault('release_unknown', { release });
      const row = sign.get(signature, digest);
      if (row === undefined) throw storeFault('release_exists', { release });
      addBlob.run(integer(row, 'number'), keyOf(signature));
    },

    /** Errors: release_unknown, release_in_use. */
    removeRelease(digest: string): void {
      const row = userOf.get(digest);
      const release = digest.slice(0, 8);
      if (row === undefined) throw storeFault('release_unknown', { release });
      const [rollout, agents] = [integerOrNull(row, 'rollout'), integer(row, 'agents')];
      if (rollout !== null)
        throw storeFault('release_in_use', { release, found: `the rollout r-${rollout} has not ended` });
      if (agents > 0)
        throw storeFault('release_in_use', { release, found: `agents run it or return to it: ${agents}` });
      remove.run(digest);
    },
  };
}

export function releaseReads(database: SqlDatabase) {
  const get = database.prepare('SELECT * FROM release WHERE digest = ?');
  const list = database.prepare(`
    SELECT * FROM release WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR name = ?2 COLLATE NOCASE)
      AND substr(digest, 1, length(?3)) = ?3 AND number < ?4 ORDER BY number DESC LIMIT ?5`);
  const isOf = database.prepare(`
    SELECT 1 FROM release_blob WHERE release = (SELECT number FROM release WHERE digest = ?)
      AND blob = (SELECT key FROM blob WHERE sha256 = ?)`);
  return {
    getRelease(digest: string): ReleaseRecord | undefined {
      const row = get.get(digest);
      return row === undefined ? undefined : releaseRow(row);
    },
    listReleases: (kind: ReleaseKind | null, name: string | null, prefix: string, before: number, limit: number) =>
      list.all(kind, name, prefix, before, limit).map(releaseRow),
    isOfRelease: (digest: string, sha256: string) => isOf.get(digest, sha256) !== undefined,
  };
}

function releaseRow(row: Row): ReleaseRecord {
  return {
    number: integer(row, 'number'),
    digest: text(row, 'digest'),
    // Written from a ReleaseKind only.
    kind: text(row, 'kind') as ReleaseKind,
    name: text(row, 'name'),
    bytes: integer(row, 'bytes'),
    fileCount: integer(row, 'file_count'),
    preparedAt: integer(row, 'prepared_at'),
    preparedBy: text(row, 'prepared_by'),
    comment: textOrNull(row, 'comment'),
    ticket: textOrNull(row, 'ticket'),
    signature: textOrNull(row, 'signature'),
  };
}
