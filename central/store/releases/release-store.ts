// The part of the store's interface for profiles and releases: the draft of each profile, prepared releases, and the
// content of their files as blobs, in chunks, so that no call holds a whole one. The rules of store.ts apply.
import type { ReleaseKind } from '../../../shared/releases/manifest.ts';
import type { AuditEntry } from '../audit-store.ts';

/** Every chunk of a blob but its last one has this length. */
export const CHUNK_BYTES = 64 * 1024;
export const MAX_PROFILES = 200;
/** Of one kind and name. Preparing one more drops the oldest. */
export const MAX_RELEASES = 100;
/**
 * What nothing refers to is deleted after this time: a blob is stored before the draft or the release that names it.
 */
export const UNUSED_BLOB_MS = 86_400_000;

export interface ProfileRecord {
  readonly name: string;
  /** Of the draft: grows with each change, also over the deletion of the profile. */
  readonly version: number;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly changedAt: number;
  readonly changedBy: string;
  /** Of the draft. */
  readonly fileCount: number;
  readonly bytes: number;
}

export interface DraftFile {
  readonly path: string;
  readonly size: number;
  /** Of its content, lower-case hex: the name of its blob. */
  readonly sha256: string;
  readonly executable: boolean;
}

export interface DraftChange {
  readonly name: string;
  /** Of the draft that the change was made from; null: the profile is new. */
  readonly expectedVersion: number | null;
  /** These files go, before `put`. */
  readonly remove: 'all' | readonly string[];
  /** Files that come, or get another content. */
  readonly put: readonly Omit<DraftFile, 'size'>[];
  readonly by: string;
  readonly now: number;
}

export interface NewRelease {
  /** SHA-256 of the manifest, which is a blob of that name. */
  readonly digest: string;
  readonly kind: ReleaseKind;
  readonly name: string;
  /** Of all files. */
  readonly bytes: number;
  readonly fileCount: number;
  readonly preparedAt: number;
  readonly preparedBy: string;
  readonly comment: string | null;
  readonly ticket: string | null;
  /** SHA-256 of the blob with the signature of the build (shared/releases/build-signature.ts); null: it has none. */
  readonly signature: string | null;
}

export interface BegunBlob {
  /** What beginBlob gave. */
  readonly blob: number;
  /** The time that beginBlob and finishBlob got. */
  readonly usedAt: number;
}

export interface ReleaseRecord extends NewRelease {
  /** Grows with each release. */
  readonly number: number;
}

export interface ReleaseStore {
  /** Begins a blob; gives the number that the next two calls take. */
  beginBlob(now: number): Promise<number>;
  /** Takes `data` over. Chunks come in order, from 0 on; several may be on their way. */
  appendChunk(blob: number, index: number, data: Uint8Array<ArrayBuffer>): Promise<void>;
  /** From here on it is found by its SHA-256. The same content is kept once. */
  finishBlob(blob: number, content: Pick<DraftFile, 'sha256' | 'size'>, now: number): Promise<void>;
  /** Deletes those that nothing names and that were not stored again since: those of an act that was refused. */
  discardBlobs(blobs: readonly BegunBlob[]): Promise<void>;
  /** Of what is stored whole. */
  blobSize(sha256: string): Promise<number | undefined>;
  /**
   * `into`: memory of at least CHUNK_BYTES that is taken over; the chunk is in it then, where the store can do that. So
   * many chunks in a row leave no garbage.
   */
  readChunk(sha256: string, index: number, into?: ArrayBuffer): Promise<Uint8Array<ArrayBuffer> | undefined>;

  /** In order of name; `after` is the last name of the page before. */
  listProfiles(page: { readonly after?: string; readonly limit: number }): Promise<ProfileRecord[]>;
  /** Names are compared case-insensitively. */
  getProfile(name: string): Promise<ProfileRecord | undefined>;
  /** Its files, in the order of the UTF-8 bytes of their paths. */
  draftOf(name: string): Promise<DraftFile[]>;
  /** In the same order; `after` is the last path of the page before. */
  listDraft(name: string, page: { readonly after?: string; readonly limit: number }): Promise<DraftFile[]>;
  draftFile(name: string, path: string): Promise<DraftFile | undefined>;
  /** Errors: profile_unknown, profile_exists, profiles_full, version_conflict, blob_unknown. */
  changeDraft(change: DraftChange, audit: AuditEntry): Promise<ProfileRecord>;
  /** With its draft and its releases. Errors: profile_unknown, profile_in_rollout. */
  removeProfile(name: string, audit: AuditEntry): Promise<void>;

  /**
   * The manifest, the signature and `blobs` (SHA-256 of the files) are stored before. Errors: release_exists,
   * blob_unknown.
   */
  addRelease(release: NewRelease, blobs: readonly string[], audit: AuditEntry): Promise<void>;
  release(digest: string): Promise<ReleaseRecord | undefined>;
  /**
   * Gives a release the signature (SHA-256 of its blob) that it lacks. Errors: release_unknown, release_exists (it has
   * one), blob_unknown.
   */
  signRelease(digest: string, signature: string, audit: AuditEntry): Promise<void>;
  /** Errors: release_unknown, release_in_use (a rollout uses it, or an agent shall have it). */
  removeRelease(digest: string, audit: AuditEntry): Promise<void>;
  /** Releases whose digest begins with `prefix`, the newest first. */
  listReleases(page: {
    readonly kind?: ReleaseKind;
    readonly name?: string;
    readonly prefix?: string;
    /** Number of the last one of the page before. */
    readonly before?: number;
    readonly limit: number;
  }): Promise<ReleaseRecord[]>;
  /** True when the blob is a file of the release, or its manifest. */
  isOfRelease(digest: string, sha256: string): Promise<boolean>;
}
