// What commands do with files of this machine: read one for a request, write one that came in an answer.
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { isCoded, textOf } from '../../shared/errors.ts';
import { replaceOwnFile, replaceSecretFile } from '../../shared/files/secret-file.ts';
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
  await written(file, replaceOwnFile(file, bytes));
}

/** Writes what may be a secret, for this account only (0600). Errors: as `writeAnswer`. */
export async function writeSecretAnswer(file: string, bytes: Buffer): Promise<void> {
  await written(file, replaceSecretFile(file, bytes));
}

async function written(file: string, act: Promise<void>): Promise<void> {
  try {
    await act;
  } catch (error) {
    if (isCoded(error, 'secret_file_unsafe')) throw error;
    throw cliFault('file_not_written', { file, found: textOf(error) }, error);
  }
}

/** The PEM text of the authorities in the file that this option names; undefined: the option is not set. */
export async function authoritiesFile(call: CommandCall, option: string): Promise<string | undefined> {
  const file = call.text(option);
  return file === undefined ? undefined : await readAuthorities(call, file);
}

/** The PEM text of the authorities in this file. */
export async function readAuthorities(call: CommandCall, file: string): Promise<string> {
  const { content } = await fileForRequest(await fileToUpload(call, file), 'The file with the authorities');
  return Buffer.from(content, 'base64').toString('utf8');
}
