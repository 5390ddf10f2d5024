// Reads the files in the folder of a task. Its program has the account that the folder belongs to and may have put there
// what it likes: a link is not followed, and a pipe, whose opening would wait for a writer, holds up nothing.
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/** The supervisor writes a line. */
const MAX_TEXT_BYTES = 4096;

/**
 * `account`: of the runner. A link in the place of a folder could lead to a file that only the agent can read: what
 * belongs to another account does not count.
 * Undefined: the file is missing, is not a regular one, or cannot be opened. All are treated alike: as one that was not
 * written, whatever the program did to it.
 */
export async function openTaskFile(path: string, account?: number): Promise<FileHandle | undefined> {
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  // The error is dropped: the program can cause any of them (it removed the file, made it a link, took the permission),
  // and each caller says what a missing file means for the task.
  const file = await open(path, flags).catch(() => undefined);
  if (file === undefined) return undefined;
  const found = await file.stat();
  if (found.isFile() && (account === undefined || found.uid === account)) return file;
  await file.close();
  return undefined;
}

/** The beginning of such a file; empty where there is none. */
export async function taskFileText(path: string, account?: number): Promise<string> {
  const file = await openTaskFile(path, account);
  if (file === undefined) return '';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_TEXT_BYTES), 0, MAX_TEXT_BYTES, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
