// What commands do with files of this machine: read one for a request, write one that came in an answer.
import { basename } from 'node:path';
import { replaceFile } from '../../shared/atomic-file.ts';
import { readBoundedFile } from '../../shared/bounded-file.ts';
import { textOf } from '../../shared/errors.ts';
import { cliFault } from './errors.ts';

/** What a body may hold beside it, as base64. */
const MAX_FILE_BYTES = 180 * 1024;

/** A file with certificates or a key, as REST takes it; with its name for messages. */
export async function fileForRequest(path: string, what: string): Promise<{ readonly file: string; readonly name: string }> {
  const bytes = await readBoundedFile({ path, what, maxBytes: MAX_FILE_BYTES, mend: 'Name a file with certificates or a key: PEM, PKCS#7, PKCS#12 or JKS.' });
  return { file: bytes.toString('base64'), name: basename(path).replaceAll(/\p{Cc}/gu, '?') };
}

/** Errors: file_not_written. */
export async function writeAnswer(file: string, bytes: Buffer, mode: number): Promise<void> {
  try {
    await replaceFile(file, bytes, mode);
  } catch (error) {
    throw cliFault('file_not_written', { file, found: textOf(error) }, error);
  }
}
