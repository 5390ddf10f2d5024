// Writes files that hold secrets, or that others may read and must not be able to exchange: created exclusively with
// their mode, never through a link, never keeping a foreign owner, mode or hard link. For files of others, such as
// truststores, shared/files/atomic-file.ts.
import { constants, type Stats } from 'node:fs';
import { link, lstat, open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemCode } from '../errors.ts';
import { writing } from './disk-faults.ts';
import { fileFault } from './errors.ts';
import { HAS_FILE_MODES, hasOneName, syncFolder } from '../platform/files.ts';
import { foreignLinkIn, isForeign } from './path-links.ts';
import { unfinishedName } from './unfinished-files.ts';

const MODE = 0o600;
const PUBLIC_MODE = 0o644;
const GROUP_MODE = 0o640;
const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;
const EXCLUSIVELY = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

/** A file that has its content, but not yet its name. */
interface UnfinishedSecretFile {
  readonly handle: FileHandle;
  /** Where it is until then. */
  readonly temporary: string;
  /** Makes it durable and gives it its name. Errors: secret_file_exists, secret_file_unsafe, file_unwritable. */
  finish(): Promise<void>;
  /** Removes it, unless it is finished. */
  discard(): Promise<void>;
}

/**
 * Writes a file that must not exist yet. Errors: secret_file_exists, secret_file_unsafe, file_unwritable; then nothing
 * was written.
 */
export async function createSecretFile(path: string, bytes: Uint8Array): Promise<void> {
  await writeWhole(path, bytes, 'create');
}

/**
 * Writes a file, in the place of one that this account (or root) owns if there is one: never through a link, and
 * whatever its mode was, it is 0600 then. Errors: secret_file_unsafe, file_unwritable; then the old file is as it was.
 */
export async function replaceSecretFile(path: string, bytes: Uint8Array): Promise<void> {
  await writeWhole(path, bytes, 'replace');
}

/**
 * The same for a secret that the members of one group may read (0640). Errors: also file_unwritable for EPERM, when
 * this account is not a member.
 */
export async function replaceGroupFile(path: string, bytes: Uint8Array, groupId: number): Promise<void> {
  await writeWhole(path, bytes, 'replace', GROUP_MODE, groupId);
}

/** The same for files that everyone may read and only this account may change: a root certificate, a request. */
export async function replaceOwnFile(path: string, bytes: Uint8Array): Promise<void> {
  await writeWhole(path, bytes, 'replace', PUBLIC_MODE);
}

/**
 * Begins a file that must not exist yet, for content that comes in pieces. `temporary`: its name until it is finished,
 * beside it.
 */
export async function beginSecretFile(path: string, temporary?: string): Promise<UnfinishedSecretFile> {
  return await writing(path, () => begin(path, 'create', temporary));
}

/**
 * Throws secret_file_exists when there is anything at `path`, and secret_file_unsafe when its folder is not fit for a
 * secret: before the secret is made.
 */
export async function checkSecretFile(path: string): Promise<void> {
  await writing(path, () => check(resolve(path), 'create'));
}

type Act = 'create' | 'replace';

async function writeWhole(path: string, bytes: Uint8Array, act: Act, mode = MODE, groupId?: number): Promise<void> {
  await writing(path, async () => {
    const file = await begin(path, act, undefined, mode, groupId);
    try {
      await file.handle.writeFile(bytes);
      await file.finish();
    } finally {
      await file.discard();
    }
  });
}

async function begin(
  path: string,
  act: Act,
  temporary?: string,
  mode = MODE,
  groupId?: number,
): Promise<UnfinishedSecretFile> {
  const target = resolve(path);
  await check(target, act);
  const unnamed = temporary === undefined ? unfinishedName(target) : resolve(temporary);
  if (temporary !== undefined) {
    // What an earlier attempt left behind is removed; what another account put there is not.
    await checkReplaceable(unnamed);
    await rm(unnamed, { force: true });
  }
  const handle = await open(unnamed, EXCLUSIVELY, MODE);
  let finished = false;
  return {
    handle,
    temporary: unnamed,
    async finish() {
      if (groupId !== undefined) await handle.chown(process.geteuid?.() ?? -1, groupId);
      const own = await checkOwn(handle, target, mode);
      await handle.sync();
      await (act === 'create' ? nameExclusively(unnamed, target) : rename(unnamed, target));
      await handle.close();
      finished = true;
      // Another account that may write to the folder could have replaced the file before it got its name.
      const named = await lstat(target);
      if (named.ino !== own.ino || named.dev !== own.dev || !hasOneName(named)) {
        throw unsafe(
          target,
          'it was exchanged while it was written',
          'Choose a folder that no other account may write to.',
        );
      }
      await syncFolder(dirname(target));
    },
    async discard() {
      if (finished) return;
      await handle.close().catch(() => undefined);
      await rm(unnamed, { force: true });
    },
  };
}

async function check(target: string, act: Act): Promise<void> {
  await checkFolder(target);
  if (act === 'replace') return await checkReplaceable(target);
  if ((await lstatIfThere(target)) !== undefined) throw fileFault('secret_file_exists', { file: target });
}

/** The folder keeps others from exchanging the file, and no link of another account leads there. */
async function checkFolder(target: string): Promise<void> {
  if (!HAS_FILE_MODES) return;
  const link = await foreignLinkIn(dirname(target), 'fail');
  if (link !== undefined) throw unsafe(target, link, 'Name the folder itself, not the link.');
  const folder = await realpath(dirname(target));
  const { mode } = await stat(folder);
  if ((mode & WORLD_WRITABLE) !== 0 && (mode & STICKY) === 0) {
    throw unsafe(
      target,
      `every account may write to the folder ${folder}, and remove and exchange files there`,
      `Choose a folder that only this account may write to, or take that right away: chmod o-w ${folder}`,
    );
  }
}

async function checkReplaceable(target: string): Promise<void> {
  const found = await lstatIfThere(target);
  if (found === undefined) return;
  if (found.isSymbolicLink())
    throw unsafe(target, 'it is a symbolic link', 'Remove the link, or name the file that it points to.');
  if (!found.isFile())
    throw unsafe(
      target,
      found.isDirectory() ? 'it is a folder' : 'it is a device, socket or pipe',
      'Name another file.',
    );
  if (!HAS_FILE_MODES) return;
  if (isForeign(found))
    throw unsafe(
      target,
      `it belongs to another account (uid ${found.uid})`,
      'Remove it, name another file, or run this as that account.',
    );
  if (found.nlink > 1) throw unsafe(target, `it has ${found.nlink} hard links`, 'Remove it, or name another file.');
}

/** A file system without modes and owners (FAT, some network mounts) would show the secret to everyone. */
async function checkOwn(handle: FileHandle, target: string, mode: number): Promise<Stats> {
  if (HAS_FILE_MODES) await handle.chmod(mode);
  const own = await handle.stat();
  if (HAS_FILE_MODES && mode !== PUBLIC_MODE && (own.mode & 0o7777) !== mode) {
    throw unsafe(
      target,
      `its file system does not keep the mode 0${mode.toString(8)} (found: ${(own.mode & 0o7777).toString(8).padStart(4, '0')})`,
      'Choose a folder on a file system with Unix permissions.',
    );
  }
  return own;
}

/**
 * link(2) fails where there is anything; rename(2) would replace it. File systems without hard links get a second look
 * instead.
 */
async function nameExclusively(unnamed: string, target: string): Promise<void> {
  try {
    await link(unnamed, target);
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST') throw fileFault('secret_file_exists', { file: target }, error);
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EISDIR'].includes(code)) throw error;
    if ((await lstatIfThere(target)) !== undefined) throw fileFault('secret_file_exists', { file: target }, error);
    return await rename(unnamed, target);
  }
  await rm(unnamed);
}

export async function lstatIfThere(path: string): Promise<Stats | undefined> {
  return await lstat(path).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
}

function unsafe(file: string, found: string, hint: string): Error {
  return fileFault('secret_file_unsafe', { file, found, action: hint });
}
