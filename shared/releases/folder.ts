// Measures a folder: which files it has, with size, SHA-256 and executable bit, as a manifest lists them. Reads in
// pieces; refuses what a manifest cannot carry instead of following it.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { textOf } from '../errors.ts';
import { releaseFault } from './errors.ts';
import { assertFiles, MAX_FILES, pathFault, type ReleaseFile } from './manifest.ts';

const PIECE_BYTES = 256 * 1024;
/** Below the folder; a path of 240 characters has fewer. */
const MAX_DEPTH = 120;

interface MeasureOptions {
  /** Paths, relative and with "/", that do not count. */
  readonly isIgnored?: (path: string) => boolean;
  /** Each piece of a file as it is read, to copy it; awaited. */
  readonly onPiece?: (path: string, piece: Buffer) => Promise<void> | void;
  /** A file was read whole. */
  readonly onFile?: (file: ReleaseFile) => Promise<void> | void;
}

/** Errors: release_path_invalid, release_too_large, and those of the file system. */
export async function measureFolder(folder: string, options: MeasureOptions = {}): Promise<ReleaseFile[]> {
  const paths: string[] = [];
  for await (const path of pathsOf(folder, '', options.isIgnored ?? (() => false), 0)) {
    if (paths.push(path) > MAX_FILES)
      throw releaseFault('release_too_large', { found: `more than ${MAX_FILES} files`, allowed: `${MAX_FILES} files` });
  }
  const files: ReleaseFile[] = [];
  for (const path of paths) {
    files.push(await measureFile(folder, path, options));
    await options.onFile?.(files.at(-1)!);
  }
  assertFiles(files);
  return files;
}

async function* pathsOf(
  folder: string,
  below: string,
  isIgnored: (path: string) => boolean,
  depth: number,
): AsyncGenerator<string> {
  const entries = await readdir(join(folder, below), { withFileTypes: true });
  for (const entry of entries.toSorted((one, other) => (one.name < other.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (isIgnored(path)) continue;
    const fault =
      depth > MAX_DEPTH ? 'it is nested too deep' : (pathFault(path) ?? kindFault(entry.isFile(), entry.isDirectory()));
    if (fault !== undefined) throw releaseFault('release_path_invalid', { path, found: fault });
    if (entry.isDirectory()) yield* pathsOf(folder, path, isIgnored, depth + 1);
    else yield path;
  }
}

function kindFault(isFile: boolean, isFolder: boolean): string | undefined {
  return isFile || isFolder ? undefined : 'it is neither a file nor a folder (a link, a device, a socket or a pipe)';
}

async function measureFile(folder: string, path: string, { onPiece }: MeasureOptions): Promise<ReleaseFile> {
  const file = await openPlainFile(join(folder, path), path);
  try {
    const hash = createHash('sha256');
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    let size = 0;
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES);
      if (bytesRead === 0) break;
      size += bytesRead;
      hash.update(piece.subarray(0, bytesRead));
      await onPiece?.(path, piece.subarray(0, bytesRead));
    }
    return { path, size, sha256: hash.digest('hex'), executable: ((await file.stat()).mode & 0o100) !== 0 };
  } finally {
    await file.close();
  }
}

/**
 * Never through a link, and never a pipe that would wait for its writer: what is there may have changed since the
 * folder was read.
 */
async function openPlainFile(file: string, path: string): Promise<FileHandle> {
  let opened: FileHandle;
  try {
    opened = await open(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw releaseFault('release_path_invalid', { path, found: `it cannot be opened (${textOf(error)})` }, error);
  }
  if ((await opened.stat()).isFile()) return opened;
  await opened.close();
  throw releaseFault('release_path_invalid', { path, found: 'it is not a file' });
}
