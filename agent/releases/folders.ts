// The folders of releases on the agent's disk, of one kind: assembles one from blobs and from files that are there
// already, measures it before it counts, puts it into place in one step, and removes what is not used any more. A
// folder is never written after that.
import { constants, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder, writing } from '../../shared/files/disk-faults.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { replaceSecretFile } from '../../shared/files/secret-file.ts';
import { isCoded, systemCode } from '../../shared/errors.ts';
import { syncFolder } from '../../shared/platform/files.ts';
import { MAX_SIGNATURE_BYTES } from '../../shared/releases/build-signature.ts';
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
import { findFolder, REPAIRED, type ReleaseFolders } from '../release-record.ts';

const MANIFEST = '.json';
const SIGNATURE = '.signature.json';
const UNFINISHED = '.unfinished';

export function blobsFolder({ root }: ReleaseFolders): string {
  return join(root, 'blobs');
}

function manifestsFolder({ root }: ReleaseFolders): string {
  return join(root, 'manifests');
}

function folderMode({ isPublic }: ReleaseFolders): number {
  return isPublic ? 0o755 : 0o700;
}

/** `text` of the manifest, and that of its build signature, if it has one. Errors: disk faults. */
export async function saveManifest(
  folders: ReleaseFolders,
  release: string,
  text: string,
  signature?: string,
): Promise<void> {
  const folder = manifestsFolder(folders);
  await makeFolder(folder, folderMode(folders));
  if (signature !== undefined) await replaceSecretFile(join(folder, `${release}${SIGNATURE}`), Buffer.from(signature));
  await replaceSecretFile(join(folder, `${release}${MANIFEST}`), Buffer.from(text));
}

/** The manifest of this digest; undefined: it is not here, or not the one that it was. */
export async function loadManifest(folders: ReleaseFolders, release: string): Promise<Manifest | undefined> {
  const text = await loadText(folders, `${release}${MANIFEST}`, MAX_MANIFEST_BYTES);
  return text === undefined || manifestDigest(text) !== release ? undefined : parseManifest(text);
}

/** The text of its build signature, which nothing has verified; undefined: it has none here. */
export async function loadSignature(folders: ReleaseFolders, release: string): Promise<string | undefined> {
  return await loadText(folders, `${release}${SIGNATURE}`, MAX_SIGNATURE_BYTES);
}

async function loadText(folders: ReleaseFolders, name: string, maxBytes: number): Promise<string | undefined> {
  const bytes = await readBoundedFile({
    path: join(manifestsFolder(folders), name),
    what: 'The manifest',
    maxBytes,
    hint: 'Delete it.',
    ifMissing: 'ignore',
  }).catch((error: unknown) => {
    if (!isCoded(error)) throw error;
    return undefined;
  });
  return bytes?.toString('utf8');
}

/**
 * The files of folders that a new release may have too, by SHA-256: path. A folder that cannot be measured has none.
 */
export async function reusableFiles(folders: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const folder of folders) {
    try {
      for (const { path, sha256 } of await measureFolder(folder)) found.set(sha256, join(folder, path));
    } catch {
      // A profile placed by hand may hold what a release cannot; then all is downloaded.
    }
  }
  return found;
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
export async function intactBytes(folders: ReleaseFolders, release: string): Promise<number | undefined> {
  const [found, manifest] = [findFolder(folders, release), await loadManifest(folders, release)];
  if (found === undefined || manifest === undefined) return undefined;
  return (await driftOf(found, manifest)).length === 0 ? releaseBytes(manifest) : undefined;
}

interface Assembly {
  readonly folders: ReleaseFolders;
  readonly release: string;
  readonly manifest: Manifest;
  /** Where each file is, by SHA-256. */
  readonly sources: ReadonlyMap<string, string>;
  /** Before and after each effect on the disk. */
  readonly onStep: (step: string) => void;
}

/** Has the release in its folder. Errors: release_incomplete (what was assembled is gone), disk faults. */
export async function assemble({ folders, release, manifest, sources, onStep }: Assembly): Promise<void> {
  const folder = join(folders.releases, release);
  const unfinished = `${folder}${UNFINISHED}`;
  await makeFolder(folders.releases, folderMode(folders));
  await writing(unfinished, async () => {
    await rm(unfinished, { recursive: true, force: true });
    const made = new Set<string>();
    await makeBelow(folders, unfinished, unfinished, made);
    for (const file of manifest.files) {
      const source = sources.get(file.sha256) ?? join(blobsFolder(folders), file.sha256);
      await makeBelow(folders, unfinished, dirname(join(unfinished, file.path)), made);
      await place(folders, file, source, join(unfinished, file.path));
      onStep(`placed ${file.path}`);
    }
    for (const each of made) await syncFolder(each);
  });
  const files = await measureFolder(unfinished);
  if (manifestDigest(manifestText({ ...manifest, files })) !== release) {
    await rm(unfinished, { recursive: true, force: true });
    throw agentFault('release_incomplete', { release });
  }
  onStep('assembled');
  // A release that is there already has changed on the disk: the new folder counts from its name on, then the old one
  // goes.
  const isRepair = existsSync(folder);
  const placed = isRepair ? `${folder}${REPAIRED}` : folder;
  await writing(placed, async () => {
    await rm(`${folder}${REPAIRED}`, { recursive: true, force: true });
    await rename(unfinished, placed);
    await syncFolder(folders.releases);
  });
  onStep('named');
  if (isRepair) await finishRepair(folders, release);
}

/** Makes a folder and those between it and `root`, whatever the umask is; each once. */
async function makeBelow(folders: ReleaseFolders, root: string, folder: string, made: Set<string>): Promise<void> {
  if (made.has(folder)) return;
  if (folder !== root) await makeBelow(folders, root, dirname(folder), made);
  await mkdir(folder);
  await chmod(folder, folderMode(folders));
  made.add(folder);
}

async function place({ isPublic }: ReleaseFolders, file: ReleaseFile, source: string, target: string): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await using handle = await open(target, 'r+');
  const [plain, executable] = isPublic ? [0o644, 0o755] : [0o600, 0o700];
  await handle.chmod(file.executable ? executable : plain);
  await handle.sync();
}

/** Puts a repaired folder into the place of the damaged one. May be called again after a crash. */
async function finishRepair({ releases }: ReleaseFolders, release: string): Promise<void> {
  const folder = join(releases, release);
  if (!existsSync(`${folder}${REPAIRED}`)) return;
  await writing(folder, async () => {
    await rm(folder, { recursive: true, force: true });
    await rename(`${folder}${REPAIRED}`, folder);
    await syncFolder(releases);
  });
}

/** Removes the folders and manifests of all releases but these, and, unless one is downloaded, the blobs. */
export async function prune(
  folders: ReleaseFolders,
  keep: readonly (string | null)[],
  { withBlobs }: { readonly withBlobs: boolean },
): Promise<void> {
  for (const release of keep) if (release !== null) await finishRepair(folders, release);
  for (const name of await namesIn(folders.releases))
    if (!keep.includes(name)) await rm(join(folders.releases, name), { recursive: true, force: true });
  for (const name of await namesIn(manifestsFolder(folders)))
    if (!keep.includes(name.split('.', 1)[0] ?? '')) await rm(join(manifestsFolder(folders), name), { force: true });
  if (withBlobs) await rm(blobsFolder(folders), { recursive: true, force: true });
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return [];
  });
}
