// What commands do with files of this machine: read one for a request, write one that came in an answer.
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { isCoded, textOf } from '../../shared/errors.ts';
import { replaceOwnFile } from '../../shared/files/secret-file.ts';
import type { CommandCall } from './command.ts';
import { cliFault } from './errors.ts';

/** The environment variable with the password of a key store, so that no flag has it. */
export const KEYSTORE_PASSWORD = 'QUEUEGATE_KEYSTORE_PASSWORD';

/** What a body may hold beside it, as base64. */
const MAX_FILE_BYTES = 180 * 1024;

/** A file with certificates or a key, as REST takes it; with its name for messages. */
export async function fileForRequest(
  path: string,
  what: string,
): Promise<{ readonly content: string; readonly fileName: string }> {
  const bytes = await readBoundedFile({
    path,
    what,
    maxBytes: MAX_FILE_BYTES,
    hint: 'Name a file with certificates or a key: PEM, PKCS#7, PKCS#12 or JKS.',
  });
  return { content: bytes.toString('base64'), fileName: basename(path).replaceAll(/\p{Cc}/gu, '?') };
}

/** The path of a file that is to be uploaded, before anything is asked or sent. Errors: usage. */
export async function fileToUpload(call: CommandCall, path: string): Promise<string> {
  const file = resolve(call.workingFolder, path);
  const found = await stat(file).catch((error: unknown) => {
    throw call.complain(`${file} cannot be read (${textOf(error)})`);
  });
  if (!found.isFile()) throw call.complain(`${file} is not a file`);
  return file;
}

/** A file with a key, and what opens it: --key-file, --alias and --password-file, as members of a body. */
export async function uploadOf(call: CommandCall, path: string, what: string): Promise<Record<string, unknown>> {
  const [keyFile, alias] = [call.text('key-file'), call.text('alias')];
  const password = await call.secret('password-file', KEYSTORE_PASSWORD);
  return {
    ...(await fileForRequest(path, what)),
    ...(keyFile === undefined ? {} : { keyFile: (await fileForRequest(keyFile, 'The key')).content }),
    ...(alias === undefined ? {} : { alias }),
    ...(password === undefined ? {} : { password }),
  };
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
