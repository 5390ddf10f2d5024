// Reads and writes the rows of profiles and of their drafts: which blob each path has.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, text, type Row } from '../../../../shared/sqlite/row.ts';
import { storeFault } from '../../errors.ts';
import { MAX_PROFILES, type DraftChange, type DraftFile, type ProfileRecord } from '../../releases/release-store.ts';
import { ROLLOUT_OF_RELEASE } from '../rollouts/schema.ts';
import { blobKeys } from './blobs.ts';

export function profileWrites(database: SqlDatabase) {
  const get = database.prepare('SELECT * FROM profile WHERE name = ?');
  const removeFiles = database.prepare('DELETE FROM profile_file WHERE profile = ?');
  const remove = database.prepare('DELETE FROM profile WHERE key = ?');
  const inRollout = database.prepare(`
    SELECT rollout FROM (SELECT (${ROLLOUT_OF_RELEASE} LIMIT 1) AS rollout FROM release
      WHERE kind = 'profile' AND name = ? COLLATE NOCASE) AS one WHERE rollout IS NOT NULL LIMIT 1`);
  const removeReleases = database.prepare("DELETE FROM release WHERE kind = 'profile' AND name = ? COLLATE NOCASE");
  return {
    changeDraft: draftChanges(database),

    /** Errors: profile_unknown, profile_in_rollout. */
    removeProfile(name: string): void {
      const row = get.get(name);
      if (row === undefined) throw storeFault('profile_unknown', { name });
      const key = integer(row, 'key');
      const rollout = inRollout.get(name);
      if (rollout !== undefined)
        throw storeFault('profile_in_rollout', {
          name: text(row, 'name'),
          rollout: `r-${integer(rollout, 'rollout')}`,
        });
      removeReleases.run(name);
      removeFiles.run(key);
      remove.run(key);
    },
  };
}

function draftChanges(database: SqlDatabase): (change: DraftChange) => ProfileRecord {
  const get = database.prepare('SELECT * FROM profile WHERE name = ?');
  const count = database.prepare('SELECT count(*) AS profiles FROM profile');
  const add = database.prepare(`
    INSERT INTO profile (name, version, created_at, created_by, changed_at, changed_by, file_count, bytes)
    VALUES (?1, ?2, ?2, ?3, ?2, ?3, 0, 0) RETURNING key`);
  const removeFiles = database.prepare('DELETE FROM profile_file WHERE profile = ?');
  const removeFile = database.prepare('DELETE FROM profile_file WHERE profile = ? AND path = ?');
  const put = database.prepare(`
    INSERT INTO profile_file (profile, path, blob, executable) VALUES (?, ?, ?, ?)
    ON CONFLICT (profile, path) DO UPDATE SET blob = excluded.blob, executable = excluded.executable`);
  const keyOf = blobKeys(database);
  const update = database.prepare(`
    UPDATE profile SET version = ?2, changed_at = ?3, changed_by = ?4,
      (file_count, bytes) = (SELECT count(*), coalesce(sum(size), 0) FROM profile_file JOIN blob ON blob.key = blob WHERE profile = ?1)
    WHERE key = ?1 RETURNING *`);

  const begin = ({
    name,
    expectedVersion,
    by,
    now,
  }: DraftChange): { readonly key: number; readonly version: number } => {
    const row = get.get(name);
    if (expectedVersion === null) {
      if (row !== undefined) throw storeFault('profile_exists', { name: text(row, 'name') });
      if (integer(count.get(), 'profiles') >= MAX_PROFILES) throw storeFault('profiles_full', { most: MAX_PROFILES });
      return { key: integer(add.get(name, now, by), 'key'), version: now };
    }
    if (row === undefined) throw storeFault('profile_unknown', { name });
    const found = integer(row, 'version');
    if (found !== expectedVersion)
      throw storeFault('version_conflict', {
        subject: `the profile ${text(row, 'name')}`,
        found,
        expected: expectedVersion,
      });
    // By the clock, so that a profile of the same name that comes later has no version of this one.
    return { key: integer(row, 'key'), version: Math.max(found + 1, now) };
  };

  return (change) => {
    const { key, version } = begin(change);
    if (change.remove === 'all') removeFiles.run(key);
    else for (const path of change.remove) removeFile.run(key, path);
    for (const { path, sha256, executable } of change.put) put.run(key, path, keyOf(sha256), executable ? 1 : 0);
    return profileRow(update.get(key, version, change.now, change.by));
  };
}

export function profileReads(database: SqlDatabase) {
  const get = database.prepare('SELECT * FROM profile WHERE name = ?');
  const list = database.prepare('SELECT * FROM profile WHERE name > ? ORDER BY name LIMIT ?');
  const files = `
    SELECT path, size, sha256, executable FROM profile_file JOIN blob ON blob.key = profile_file.blob
    WHERE profile = (SELECT key FROM profile WHERE name = ?)`;
  const draft = database.prepare(`${files} ORDER BY path`);
  const page = database.prepare(`${files} AND path > ? ORDER BY path LIMIT ?`);
  const file = database.prepare(`${files} AND path = ?`);
  return {
    getProfile(name: string): ProfileRecord | undefined {
      const row = get.get(name);
      return row === undefined ? undefined : profileRow(row);
    },
    listProfiles: (after: string, limit: number) => list.all(after, limit).map(profileRow),
    draftOf: (name: string) => draft.all(name).map(fileRow),
    listDraft: (name: string, after: string, limit: number) => page.all(name, after, limit).map(fileRow),
    draftFile(name: string, path: string): DraftFile | undefined {
      const row = file.get(name, path);
      return row === undefined ? undefined : fileRow(row);
    },
  };
}

function profileRow(row: Row | undefined): ProfileRecord {
  return {
    name: text(row, 'name'),
    version: integer(row, 'version'),
    createdAt: integer(row, 'created_at'),
    createdBy: text(row, 'created_by'),
    changedAt: integer(row, 'changed_at'),
    changedBy: text(row, 'changed_by'),
    fileCount: integer(row, 'file_count'),
    bytes: integer(row, 'bytes'),
  };
}

function fileRow(row: Row): DraftFile {
  return {
    path: text(row, 'path'),
    size: integer(row, 'size'),
    sha256: text(row, 'sha256'),
    executable: integer(row, 'executable') === 1,
  };
}
