// Profiles and their releases over a store in memory, for tests of what is in front of them.
import { ProfileReleases } from '../../central/profiles/releases.ts';
import { Profiles } from '../../central/profiles/profiles.ts';
import { ProfileReader } from '../../central/profiles/report.ts';
import { SoftwareReleases } from '../../central/software/software-releases.ts';
import { storeFault } from '../../central/store/errors.ts';
import type { AuditEntry } from '../../central/store/audit-store.ts';
import type {
  DraftFile,
  ProfileRecord,
  ReleaseRecord,
  ReleaseStore,
} from '../../central/store/releases/release-store.ts';
import type { ServerCredentials } from '../../central/pki/server/slots.ts';

interface MemoryReleases {
  readonly profiles: Profiles;
  readonly profileReleases: ProfileReleases;
  readonly software: SoftwareReleases;
  readonly audit: AuditEntry[];
  /** How often all files of a draft were read. */
  readonly wholeDrafts: () => number;
  /** The content that was begun, by its number, and what of it was discarded. */
  readonly blobs: { readonly begun: () => number; readonly discarded: readonly number[] };
  /** May be changed by the test. */
  readonly settings: {
    wss: boolean;
    ws: boolean;
    certificate: ServerCredentials | undefined;
    bundle: readonly Buffer[];
  };
}

export function memoryReleases(now: () => number = () => 1_790_000_000_000): MemoryReleases {
  const writing = new Map<number, Buffer[]>();
  const blobs = new Map<string, Buffer[]>();
  const drafts = new Map<string, { profile: ProfileRecord; files: Map<string, DraftFile> }>();
  const releases: ReleaseRecord[] = [];
  const audit: AuditEntry[] = [];
  const discarded: number[] = [];
  const sizeOf = (sha256: string): number => (blobs.get(sha256) ?? []).reduce((sum, { length }) => sum + length, 0);
  let wholeDrafts = 0;
  const draftOf = (name: string): DraftFile[] =>
    [...(drafts.get(name)?.files.values() ?? [])].toSorted((one, other) => (one.path < other.path ? -1 : 1));
  const store: ReleaseStore = {
    async beginBlob() {
      writing.set(writing.size + 1, []);
      return writing.size;
    },
    appendChunk: async (blob, _index, data) => void writing.get(blob)?.push(Buffer.from(data)),
    finishBlob: async (blob, { sha256 }) => void blobs.set(sha256, writing.get(blob) ?? []),
    discardBlobs: async (begun) => void discarded.push(...begun.map(({ blob }) => blob)),
    blobSize: async (sha256) => (blobs.has(sha256) ? sizeOf(sha256) : undefined),
    async readChunk(sha256, index) {
      const chunk = blobs.get(sha256)?.[index];
      return chunk === undefined ? undefined : new Uint8Array(chunk);
    },
    listProfiles: async () => Array.from(drafts.values(), ({ profile }) => profile),
    getProfile: async (name) => drafts.get(name)?.profile,
    async draftOf(name) {
      wholeDrafts += 1;
      return draftOf(name);
    },
    listDraft: async (name, { after = '', limit }) =>
      draftOf(name)
        .filter(({ path }) => path > after)
        .slice(0, limit),
    draftFile: async (name, path) => drafts.get(name)?.files.get(path),
    async changeDraft({ name, expectedVersion, remove, put, by }, entry) {
      const present = drafts.get(name);
      if (present !== undefined && present.profile.version !== expectedVersion)
        throw storeFault('version_conflict', {
          subject: name,
          found: present.profile.version,
          expected: expectedVersion ?? 0,
        });
      const files = new Map(remove === 'all' ? [] : present?.files);
      for (const path of remove === 'all' ? [] : remove) files.delete(path);
      for (const file of put) files.set(file.path, { ...file, size: sizeOf(file.sha256) });
      const profile = {
        name,
        version: (present?.profile.version ?? 0) + 1,
        createdAt: now(),
        createdBy: by,
        changedAt: now(),
        changedBy: by,
        fileCount: files.size,
        bytes: [...files.values()].reduce((sum, { size }) => sum + size, 0),
      };
      drafts.set(name, { profile, files });
      audit.push(entry);
      return profile;
    },
    async removeProfile(name, entry) {
      if (!drafts.delete(name)) throw storeFault('profile_unknown', { name });
      audit.push(entry);
    },
    async addRelease(release, _blobs, entry) {
      releases.unshift({ ...release, number: releases.length + 1 });
      audit.push(entry);
    },
    async signRelease(digest, signature, entry) {
      const at = releases.findIndex((release) => release.digest === digest && release.signature === null);
      const [found] = at === -1 ? [] : releases.splice(at, 1);
      if (found === undefined) throw storeFault('release_unknown', { release: digest.slice(0, 8) });
      releases.splice(at, 0, { ...found, signature });
      audit.push(entry);
    },
    async removeRelease(digest, entry) {
      const at = releases.findIndex((release) => release.digest === digest);
      if (at === -1) throw storeFault('release_unknown', { release: digest.slice(0, 8) });
      releases.splice(at, 1);
      audit.push(entry);
    },
    release: async (digest) => releases.find((release) => release.digest === digest),
    listReleases: async ({ kind, name, prefix = '', limit }) =>
      releases
        .filter(
          (release) =>
            (kind === undefined || release.kind === kind) &&
            (name === undefined || release.name === name) &&
            release.digest.startsWith(prefix),
        )
        .slice(0, limit),
    isOfRelease: async () => true,
  };
  const settings: MemoryReleases['settings'] = { wss: true, ws: true, certificate: undefined, bundle: [] };
  const reader = new ProfileReader(store);
  return {
    profiles: new Profiles({ store, reader, trustBundle: () => settings.bundle, now }),
    profileReleases: new ProfileReleases({
      store,
      reader,
      values: () => ({ 'websocket.enabled': settings.ws, 'websocket.secure.enabled': settings.wss }),
      certificate: () => settings.certificate,
      now,
    }),
    software: new SoftwareReleases({ store, now }),
    audit,
    wholeDrafts: () => wholeDrafts,
    blobs: { begun: () => writing.size, discarded },
    settings,
  };
}
