// The folders of releases on the agent's disk: assembles one from blobs and from files that are there already, measures it before
// it counts, puts it into place in one step, and removes what is not used any more. A folder is never written after that.
import { constants, existsSync } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder, writing } from '../../shared/files/disk-faults.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { replaceSecretFile } from '../../shared/files/secret-file.ts';
import { isCoded, systemCode } from '../../shared/errors.ts';
import { syncFolder } from '../../shared/platform/files.ts';
import { measureFolder } from '../../shared/releases/folder.ts';
import {
  manifestDigest,
  manifestText,
  MAX_MANIFEST_BYTES,
  parseManifest,
  releaseBytes,
  type Manifest,
  type ReleaseFile,
} from '../../shared/releases/manifest.ts';
import { agentFault } from '../errors.ts';
import { findRelease, profileReleaseFolder, releasesFolder, repairedReleaseFolder } from '../release-record.ts';

const UNFINISHED = '.unfinished';

export function blobsFolder(dataFolder: string): string {
  return join(releasesFolder(dataFolder), 'blobs');
}

function manifestsFolder(dataFolder: string): string {
  return join(releasesFolder(dataFolder), 'manifests');
}

function profilesFolder(dataFolder: string): string {
  return profileReleaseFolder(dataFolder, '.');
}

/** Errors: disk faults. */
export async function saveManifest(dataFolder: string, release: string, text: string): Promise<void> {
  await makeFolder(manifestsFolder(dataFolder), 0o700);
  await replaceSecretFile(join(manifestsFolder(dataFolder), `${release}.json`), Buffer.from(text));
}

/** The manifest of this digest; undefined: it is not here, or not the one that it was. */
export async function loadManifest(dataFolder: string, release: string): Promise<Manifest | undefined> {
  const bytes = await readBoundedFile({
    path: join(manifestsFolder(dataFolder), `${release}.json`),
    what: 'The manifest',
    maxBytes: MAX_MANIFEST_BYTES,
    hint: 'Delete it.',
    ifMissing: 'ignore',
  }).catch((error: unknown) => {
    if (!isCoded(error)) throw error;
    return undefined;
  });
  const text = bytes?.toString('utf8');
  return text === undefined || manifestDigest(text) !== release ? undefined : parseManifest(text);
}

/** The files of a folder that a new release may have too, by SHA-256: path. A folder that cannot be measured has none. */
export async function reusableFiles(folder: string): Promise<Map<string, string>> {
  try {
    const files = await measureFolder(folder);
    return new Map(files.map(({ path, sha256 }) => [sha256, join(folder, path)]));
  } catch {
    // A profile placed by hand may hold what a release cannot; then all is downloaded.
    return new Map();
  }
}

/** What differs between a folder and its manifest, by path; empty: nothing. */
export async function driftOf(folder: string, manifest: Manifest): Promise<string[]> {
  const look = ({ size, sha256, executable }: ReleaseFile): string => `${size} ${sha256} ${executable}`;
  let found: ReleaseFile[];
  try {
    found = await measureFolder(folder);
  } catch (error) {
    if (!isCoded(error, 'release_path_invalid')) throw error;
    return [String(error.parameters['path'] ?? folder)];
  }
  const wanted = new Map(manifest.files.map((file) => [file.path, look(file)]));
  const changed = found.filter((file) => wanted.get(file.path) !== look(file)).map(({ path }) => path);
  const there = new Set(found.map(({ path }) => path));
  return [...changed, ...manifest.files.map(({ path }) => path).filter((path) => !there.has(path))];
}

/** The bytes of a release that is on the disk and has not changed there; undefined: it is not. */
export async function intactBytes(dataFolder: string, release: string): Promise<number | undefined> {
  const [found, manifest] = [findRelease(dataFolder, release), await loadManifest(dataFolder, release)];
  if (found === undefined || manifest === undefined) return undefined;
  return (await driftOf(found.folder, manifest)).length === 0 ? releaseBytes(manifest) : undefined;
}

interface Assembly {
  readonly dataFolder: string;
  readonly release: string;
  readonly manifest: Manifest;
  /** Where each file is, by SHA-256. */
  readonly sources: ReadonlyMap<string, string>;
  /** Before and after each effect on the disk. */
  readonly onStep: (step: string) => void;
}

/** Has the release in its folder. Errors: release_incomplete (what was assembled is gone), disk faults. */
export async function assemble({ dataFolder, release, manifest, sources, onStep }: Assembly): Promise<void> {
  const folder = profileReleaseFolder(dataFolder, release);
  const unfinished = `${folder}${UNFINISHED}`;
  await writing(unfinished, async () => {
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true, mode: 0o700 });
    const folders = new Set([unfinished]);
    for (const file of manifest.files) {
      await place(file, sources.get(file.sha256) ?? join(blobsFolder(dataFolder), file.sha256), unfinished, folders);
      onStep(`placed ${file.path}`);
    }
    for (const each of folders) await syncFolder(each);
  });
  const files = await measureFolder(unfinished);
  if (manifestDigest(manifestText({ ...manifest, files })) !== release) {
    await rm(unfinished, { recursive: true, force: true });
    throw agentFault('release_incomplete', { release });
  }
  onStep('assembled');
  // A release that is there already has changed on the disk: the new folder counts from its name on, then the old one goes.
  const isRepair = existsSync(folder);
  const placed = isRepair ? repairedReleaseFolder(dataFolder, release) : folder;
  await writing(placed, async () => {
    await rm(repairedReleaseFolder(dataFolder, release), { recursive: true, force: true });
    await rename(unfinished, placed);
    await syncFolder(dirname(placed));
  });
  onStep('named');
  if (isRepair) await finishRepair(dataFolder, release);
}

async function place(file: ReleaseFile, source: string, root: string, folders: Set<string>): Promise<void> {
  const target = join(root, file.path);
  for (let folder = dirname(target); !folders.has(folder); folder = dirname(folder)) folders.add(folder);
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await using handle = await open(target, 'r+');
  await handle.chmod(file.executable ? 0o700 : 0o600);
  await handle.sync();
}

/** Puts a repaired folder into the place of the damaged one. May be called again after a crash. */
async function finishRepair(dataFolder: string, release: string): Promise<void> {
  const [repaired, folder] = [repairedReleaseFolder(dataFolder, release), profileReleaseFolder(dataFolder, release)];
  if (!existsSync(repaired)) return;
  await writing(folder, async () => {
    await rm(folder, { recursive: true, force: true });
    await rename(repaired, folder);
    await syncFolder(dirname(folder));
  });
}

/** Removes the folders and manifests of all releases but these, and, unless one is downloaded, the blobs. */
export async function prune(
  dataFolder: string,
  keep: readonly (string | null)[],
  { withBlobs }: { readonly withBlobs: boolean },
): Promise<void> {
  for (const release of keep) if (release !== null) await finishRepair(dataFolder, release);
  for (const name of await namesIn(profilesFolder(dataFolder)))
    if (!keep.includes(name)) await rm(join(profilesFolder(dataFolder), name), { recursive: true, force: true });
  for (const name of await namesIn(manifestsFolder(dataFolder)))
    if (!keep.some((release) => name === `${release}.json`))
      await rm(join(manifestsFolder(dataFolder), name), { force: true });
  if (withBlobs) await rm(blobsFolder(dataFolder), { recursive: true, force: true });
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return [];
  });
}
