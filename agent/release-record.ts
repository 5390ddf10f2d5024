// Keeps how far this agent is with releases of each kind, in releases/state.json of its data folder, and finds the
// profile that it runs with by it. Written whole and durably, so that a crash at any moment leaves the record before or
// the one after.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder } from '../shared/files/disk-faults.ts';
import { replaceSecretFile } from '../shared/files/secret-file.ts';
import { isCoded } from '../shared/errors.ts';
import { INSTRUCTION } from '../shared/releases/instruction.ts';
import type { ReleaseKind } from '../shared/releases/manifest.ts';
import { SOFTWARE_PARTS } from '../shared/releases/software.ts';
import type { JsonSchema, Static } from '../shared/wire/json-schema.ts';
import { RELEASE_STATES } from '../shared/wire/release-frames.ts';
import { agentFault } from './errors.ts';
import { readJsonFile } from './json-file.ts';

const MAX_FILE_BYTES = 64 * 1024;
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;

const digest = { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' } as const;
const digestOrNull = { anyOf: [{ type: 'null' }, digest] } as const;
const count = { type: 'integer', minimum: 0, maximum: MAX_NUMBER } as const;
const line = { type: 'string', maxLength: 1024 } as const;

/** The newest instruction of a kind, and how far the agent is with it. */
const PROGRESS = {
  /** As it was signed; its generation is the one that the next one has to exceed. */
  instruction: INSTRUCTION,
  /** For downloads; a secret. */
  ticket: { type: 'string', maxLength: 512 },
  /** As in the frame release-state. */
  state: { enum: RELEASE_STATES },
  /** When the instruction came, by Central's clock: milliseconds since 1970-01-01T00:00:00Z. */
  acceptedAt: count,
  receivedBytes: count,
  totalBytes: count,
  /** Trials that were begun; counted before each. */
  tries: count,
  /** Why it is not further; empty where nothing is wrong. */
  code: { type: 'string', maxLength: 64 },
  detail: line,
  hint: line,
} as const;
const PROGRESS_MEMBERS = [
  'instruction',
  'ticket',
  'state',
  'acceptedAt',
  'receivedBytes',
  'totalBytes',
  'tries',
  'code',
  'detail',
  'hint',
] as const;

const PROFILE = {
  type: 'object',
  required: [...PROGRESS_MEMBERS, 'current', 'candidate', 'previous'],
  properties: {
    ...PROGRESS,
    /** The release that the agent runs; null: the profile of its command line. */
    current: digestOrNull,
    /** What is downloaded, or waits on the disk, to become the current one. */
    candidate: digestOrNull,
    /** The one before, which stays on the disk. */
    previous: digestOrNull,
  },
} as const satisfies JsonSchema;

/** Digests of a program and of a runtime; null: those of the package. */
const PAIR = {
  type: 'object',
  required: SOFTWARE_PARTS,
  properties: { program: digestOrNull, runtime: digestOrNull },
} as const;
const pairOrNull = { anyOf: [{ type: 'null' }, PAIR] } as const;

/** What runs is in the folder of the software, where the launcher looks (deploy/queue-agent/launch). */
const SOFTWARE = {
  type: 'object',
  required: [...PROGRESS_MEMBERS, 'before', 'previous', 'committedAt'],
  properties: {
    ...PROGRESS,
    /** What ran when the trial began; null: none has begun. */
    before: pairOrNull,
    /** What ran before the last commit; null: it is gone. */
    previous: pairOrNull,
    /** The last commit, by Central's clock: milliseconds since 1970-01-01T00:00:00Z. */
    committedAt: count,
  },
} as const satisfies JsonSchema;

const RECORD = {
  type: 'object',
  required: ['format', 'profile', 'software'],
  properties: {
    format: { type: 'integer', minimum: 1, maximum: 1 },
    /** Null: no instruction has come. */
    profile: { anyOf: [{ type: 'null' }, PROFILE] },
    software: { anyOf: [{ type: 'null' }, SOFTWARE] },
  },
} as const satisfies JsonSchema;

interface KindRecords {
  readonly profile: Static<typeof PROFILE>;
  readonly software: Static<typeof SOFTWARE>;
}

/** Of one kind. */
export type KindRecord<K extends ReleaseKind = ReleaseKind> = KindRecords[K];
export type ReleaseRecord = { readonly [K in ReleaseKind]: KindRecords[K] | null };

/** A folder with the files of a release. */
export interface ReleaseFolder {
  readonly release: string;
  readonly folder: string;
}

/** Where the releases of one kind are (agent/releases/folders.ts). */
export interface ReleaseFolders {
  /** With blobs and manifests. */
  readonly root: string;
  /** With a folder for each release, named by its digest. */
  readonly releases: string;
  /** Other accounts of this machine read them too. */
  readonly isPublic: boolean;
}

/** Of a release that was repaired, until it has taken the place of the damaged one: it counts first. */
export const REPAIRED = '.repaired';

export function releaseRecordFile(dataFolder: string): string {
  return join(dataFolder, 'releases', 'state.json');
}

export function profileFolders(dataFolder: string): ReleaseFolders {
  const root = join(dataFolder, 'releases');
  return { root, releases: join(root, 'profiles'), isPublic: false };
}

/** Where a whole release is. */
export function profileReleaseFolder(dataFolder: string, release: string): string {
  return join(profileFolders(dataFolder).releases, release);
}

/** The folder of a release that is on the disk as a whole; undefined: it is not. */
export function findFolder({ releases }: ReleaseFolders, release: string): string | undefined {
  return [`${join(releases, release)}${REPAIRED}`, join(releases, release)].find((path) => existsSync(path));
}

/** Undefined: no release has been offered yet. Errors: release_record_damaged, file faults. */
export async function loadReleaseRecord(dataFolder: string): Promise<ReleaseRecord | undefined> {
  const file = releaseRecordFile(dataFolder);
  const record = await readJsonFile({
    path: file,
    what: 'The record of releases',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Delete it.',
    schema: RECORD,
    damaged: (found, cause) => agentFault('release_record_damaged', { file, found }, cause),
  });
  // It fits the schema.
  return record as ReleaseRecord | undefined;
}

/** On the disk when it resolves. Errors: those of `replaceSecretFile`; then the record is as it was. */
export async function saveReleaseRecord(dataFolder: string, record: ReleaseRecord): Promise<void> {
  await makeFolder(dirname(releaseRecordFile(dataFolder)), 0o700);
  await replaceSecretFile(
    releaseRecordFile(dataFolder),
    Buffer.from(`${JSON.stringify({ format: 1, ...record }, null, 2)}\n`),
  );
}

/** The profile of a release that is on the disk as a whole; undefined: it is not. */
export function findRelease(dataFolder: string, release: string): ReleaseFolder | undefined {
  const folder = findFolder(profileFolders(dataFolder), release);
  return folder === undefined ? undefined : { release, folder };
}

/**
 * The release that this agent runs with; undefined: the profile of its command line. What is wrong is in `warnings`,
 * and the agent runs with the previous release, or with that profile: without a profile it could not be repaired from
 * Central.
 */
export async function runningRelease(
  dataFolder: string,
): Promise<{ readonly found: ReleaseFolder | undefined; readonly warnings: readonly string[] }> {
  let record: ReleaseRecord | undefined;
  try {
    record = await loadReleaseRecord(dataFolder);
  } catch (error) {
    if (!isCoded(error)) throw error;
    return { found: undefined, warnings: [`${error.message} ${error.hint}`] };
  }
  const { current = null, previous = null } = record?.profile ?? {};
  if (current === null) return { found: undefined, warnings: [] };
  const found = findRelease(dataFolder, current);
  if (found !== undefined) return { found, warnings: [] };
  const before = previous === null ? undefined : findRelease(dataFolder, previous);
  const { message, hint } = agentFault('release_missing', {
    release: current,
    folder: profileReleaseFolder(dataFolder, current),
    instead: before === undefined ? 'the profile of its command line' : `the release ${before.release}`,
  });
  return { found: before, warnings: [`${message} ${hint}`] };
}
