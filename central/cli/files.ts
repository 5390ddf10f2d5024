// What commands do with files of this machine: read one for a request, write one that came in an answer.
import { basename } from 'node:path';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { isCoded, textOf } from '../../shared/errors.ts';
import { replaceOwnFile } from '../../shared/files/secret-file.ts';
import { cliFault } from './errors.ts';

/** What a body may hold beside it, as base64. */
const MAX_FILE_BYTES = 180 * 1024;

/** A file with certificates or a key, as REST takes it; with its name for messages. */
export async function fileForRequest(
  path: string,
  what: string,
): Promise<{ readonly file: string; readonly name: string }> {
  const bytes = await readBoundedFile({
    path,
    what,
    maxBytes: MAX_FILE_BYTES,
    hint: 'Name a file with certificates or a key: PEM, PKCS#7, PKCS#12 or JKS.',
  });
  return { file: bytes.toString('base64'), name: basename(path).replaceAll(/\p{Cc}/gu, '?') };
}

/** Writes what is not a secret. Errors: file_not_written, secret_file_unsafe. */
export async function writeAnswer(file: string, bytes: Buffer): Promise<void> {
  try {
    await replaceOwnFile(file, bytes);
  } catch (error) {
    if (isCoded(error, 'secret_file_unsafe')) throw error;
    throw cliFault('file_not_written', { file, found: textOf(error) }, error);
  }
}
