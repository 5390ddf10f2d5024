// Loads the key that encrypts the private keys in the store: from a file, the environment, a systemd credential, or,
// without any of them, a file in the data folder that is created on the first start.
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { createSecretFile } from '../../../shared/files/secret-file.ts';
import { isOpenToOthers } from '../../../shared/platform/files.ts';
import { KEY_BYTES, keyEncryptionKey, type KeyEncryptionKey } from './envelope.ts';
import { pkiFault } from '../errors.ts';

/** The environment variable; main.ts takes it out of the environment that child processes get. */
const KEY_VARIABLE = 'QUEUEGATE_KEY_ENCRYPTION_KEY';
/** Name of the systemd credential (LoadCredential=queuegate-key:..., LoadCredentialEncrypted=). */
const CREDENTIAL = 'queuegate-key';
/** In the data folder. */
const KEY_FILE = 'key-encryption-key';
const MAX_KEY_FILE_BYTES = 1024;
const READABLE_BY_OTHERS = 0o077;

export interface KeySources {
  readonly dataFolder: string;
  /** Setting `keyEncryption.file`. */
  readonly file: string | undefined;
  /** Setting `keyEncryption.previousFile`: the key before, while it is being changed. */
  readonly previousFile: string | undefined;
  /** What KEY_VARIABLE holds. */
  readonly environment: string | undefined;
  /** What systemd names in CREDENTIALS_DIRECTORY. */
  readonly credentialsFolder: string | undefined;
}

interface KeyLog {
  warn(facts: object, text: string): void;
}

/**
 * The configured key, or the one in the data folder; undefined when there is none yet. Errors: key_encryption_key_bad,
 * file faults.
 */
export async function findKey(sources: KeySources, log: KeyLog): Promise<KeyEncryptionKey | undefined> {
  const { file, environment, credentialsFolder, dataFolder } = sources;
  if (file !== undefined) return await readKeyFile(file, 'refuse', log);
  if (environment !== undefined)
    return keyFrom(Buffer.from(environment, 'utf8'), `the environment variable ${KEY_VARIABLE}`);
  // systemd keeps others out by an access list, which modes do not show: no warning about them.
  const credential =
    credentialsFolder === undefined ? undefined : await readKeyFile(join(credentialsFolder, CREDENTIAL), 'ignore');
  return credential ?? (await readKeyFile(join(dataFolder, KEY_FILE), 'ignore', log));
}

/** The key before, where one is named. Errors: key_encryption_key_bad, file faults. */
export async function findPreviousKey(
  { previousFile }: KeySources,
  log: KeyLog,
): Promise<KeyEncryptionKey | undefined> {
  return previousFile === undefined ? undefined : await readKeyFile(previousFile, 'refuse', log);
}

/** Makes one in the data folder; it is on disk before anything is encrypted with it. */
export async function makeKey(dataFolder: string): Promise<KeyEncryptionKey> {
  const file = join(dataFolder, KEY_FILE);
  const bytes = randomBytes(KEY_BYTES);
  await createSecretFile(file, Buffer.from(`${bytes.toString('base64')}\n`));
  return keyEncryptionKey(bytes, file);
}

async function readKeyFile(
  path: string,
  ifMissing: 'refuse' | 'ignore',
  log?: KeyLog,
): Promise<KeyEncryptionKey | undefined> {
  const hint =
    'Name the file with the key of this data folder. A new one for a new data folder: openssl rand -base64 32';
  const bytes = await readBoundedFile({
    path,
    what: 'The key-encryption key',
    maxBytes: MAX_KEY_FILE_BYTES,
    hint,
    ifMissing,
  });
  if (bytes === undefined) return undefined;
  if (isOpenToOthers(await stat(path), READABLE_BY_OTHERS))
    log?.warn({ file: path }, 'other accounts may read the key-encryption key (chmod 600)');
  return keyFrom(bytes, path);
}

/** 32 bytes: raw, or as base64 or hex. Anything else is refused: what people make up can be guessed. */
function keyFrom(found: Buffer, origin: string): KeyEncryptionKey {
  const text = found.toString('latin1').trim();
  const printable = /^[\x20-\x7e]*$/.test(text);
  let bytes: Buffer | undefined;
  if (/^[0-9A-Fa-f]{64}$/.test(text)) bytes = Buffer.from(text, 'hex');
  else if (/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) bytes = Buffer.from(text, 'base64');
  else if (found.length === KEY_BYTES && !printable) bytes = found;
  if (bytes?.length !== KEY_BYTES)
    throw pkiFault('key_encryption_key_bad', {
      origin,
      found: printable ? `a text of ${text.length} characters` : `${found.length} bytes`,
    });
  return keyEncryptionKey(bytes, origin);
}
