// The tables of profiles, releases and blobs, as one step of the migrations (central/store/sqlite/migrations.ts).

/**
 * The key of a chunk is the key of its blob times 4096, plus its index: chunks of one blob are beside each other.
 * `sha256` is null while a blob is written, and again while it is deleted. `profile_file` is the draft of a profile.
 * The manifest of a release is a blob, named by the digest of the release, and in `release_blob` with the files.
 */
export const RELEASES = `
  CREATE TABLE blob (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT UNIQUE,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE blob_chunk (
    key INTEGER PRIMARY KEY,
    data BLOB NOT NULL
  ) STRICT;
  CREATE TABLE profile (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    file_count INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE profile_file (
    profile INTEGER NOT NULL,
    path TEXT NOT NULL,
    blob INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    PRIMARY KEY (profile, path)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX profile_file_blob ON profile_file (blob);
  CREATE TABLE release (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    file_count INTEGER NOT NULL,
    prepared_at INTEGER NOT NULL,
    prepared_by TEXT NOT NULL,
    comment TEXT,
    ticket TEXT
  ) STRICT;
  CREATE INDEX release_name ON release (name COLLATE NOCASE, number);
  CREATE TABLE release_blob (
    release INTEGER NOT NULL,
    blob INTEGER NOT NULL,
    PRIMARY KEY (release, blob)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX release_blob_blob ON release_blob (blob);
  CREATE TRIGGER blobs_of_removed_release AFTER DELETE ON release BEGIN
    DELETE FROM release_blob WHERE release = OLD.number;
  END;
`;
