// Reads a whole file named by an operator: checks that it exists, is a regular file, is readable and is small enough.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isCoded, systemCode, textOf } from '../errors.ts';
import { diskFaultOf } from './disk-faults.ts';
import { fileFault } from './errors.ts';

interface BoundedFile {
  readonly path: string;
  /** Begins the sentence of an error: "The truststore". */
  readonly what: string;
  readonly maxBytes: number;
  /** What the reader is to do if the path names nothing, or something else than meant. */
  readonly hint: string;
}

/** Reads the file at once. Throws a file fault; with `ifMissing: 'ignore'` a missing file is `undefined`. */
export async function readBoundedFile(request: BoundedFile & { readonly ifMissing?: 'refuse' }): Promise<Buffer>;
export async function readBoundedFile(
  request: BoundedFile & { readonly ifMissing?: 'refuse' | 'ignore' },
): Promise<Buffer | undefined>;
export async function readBoundedFile(
  request: BoundedFile & { readonly ifMissing?: 'refuse' | 'ignore' },
): Promise<Buffer | undefined> {
  const { path: file, what, maxBytes, hint } = request;
  try {
    // Without O_NONBLOCK (Windows has none) opening a pipe without a writer would wait for ever.
    await using handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const status = await handle.stat();
    if (!status.isFile())
      throw fileFault('file_not_regular', {
        what,
        file,
        found: status.isDirectory() ? 'a folder' : 'a device or pipe',
        hint,
      });
    if (status.size > maxBytes) throw fileFault('file_too_large', { what, file, bytes: status.size, maxBytes, hint });
    return await handle.readFile();
  } catch (error) {
    if (isCoded(error)) throw error;
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      if (request.ifMissing === 'ignore') return undefined;
      throw fileFault('file_missing', { what, file, hint }, error);
    }
    // Windows cannot open a folder at all: EISDIR or EPERM instead of a handle.
    if (code === 'EISDIR') throw fileFault('file_not_regular', { what, file, found: 'a folder', hint }, error);
    const disk = diskFaultOf(file, error);
    if (disk !== undefined) throw disk;
    if (code !== undefined) throw fileFault('file_unreadable', { what, file, found: textOf(error) }, error);
    throw error;
  }
}
