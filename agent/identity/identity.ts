// Stores who this agent is: its key, which is created here and never leaves the machine, and what it received at
// enrollment.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { lstat, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder, writing } from '../../shared/files/disk-faults.ts';
import { syncFolder } from '../../shared/platform/files.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { firstInPem } from '../../shared/x509/certificates.ts';
import { isCoded, systemCode } from '../../shared/errors.ts';
import { derInPem } from '../../shared/x509/pem.ts';
import { spkiOf } from '../../shared/x509/public-key.ts';
import { createSecretFile, replaceSecretFile } from '../../shared/files/secret-file.ts';
import type { JsonSchema, Static } from '../../shared/wire/json-schema.ts';
import { MAX_ID_LENGTH } from '../../shared/wire/messages.ts';
import { keyThumbprint, readPublicKey } from '../../shared/wire/proof.ts';
import { agentFault } from '../errors.ts';
import { readJsonFile } from '../json-file.ts';

const KEY_FILE = 'agent-key.pem';
/** Asked for with a renewal; it becomes the current one with its first welcome (agent/renewal/renewal.ts). */
const NEXT_KEY_FILE = 'agent-key.next.pem';
/** The key that a recovery brings, until it takes the place of the one before. */
const RECOVERY_KEY_FILE = 'agent-key-recovery.pem';
const IDENTITY_FILE = 'identity.json';
const MAX_FILE_BYTES = 256 * 1024;

const text = { type: 'string', minLength: 1, maxLength: MAX_ID_LENGTH } as const;
const IDENTITY = {
  type: 'object',
  required: ['id', 'name', 'central', 'signingKey', 'certificate', 'host', 'port', 'secure'],
  properties: {
    id: text,
    /** The name it enrolled with; agent.name may say another one since. */
    name: text,
    /** Central's name, as it called itself then. */
    central: text,
    /**
     * Central's signing key: SubjectPublicKeyInfo, DER, base64. A peer that cannot sign with it is not the Central of
     * this agent.
     */
    signingKey: { type: 'string', minLength: 64, maxLength: 1024 },
    /** The agent's certificate with its chain, PEM. */
    certificate: { type: 'string', minLength: 64, maxLength: 65_536 },
    /** The one for the next key, which Central has not welcomed yet. */
    nextCertificate: { type: 'string', minLength: 64, maxLength: 65_536 },
    /** Where it enrolled: the address to dial when no configuration names one. */
    host: { type: 'string', minLength: 1, maxLength: 255 },
    port: { type: 'integer', minimum: 1, maximum: 65_535 },
    secure: { type: 'boolean' },
  },
} as const satisfies JsonSchema;

/** What enrollment left behind. */
export type Identity = Static<typeof IDENTITY>;

export interface AgentKey {
  readonly privateKey: KeyObject;
  /** PEM, for a TLS client certificate. */
  readonly pem: string;
  /** SubjectPublicKeyInfo, DER, base64. */
  readonly publicKey: string;
  /** SHA-256 of it, lower-case hex. */
  readonly thumbprint: string;
}

/** Who an agent is, and the key that proves it. */
export interface Credentials {
  readonly identity: Identity;
  readonly key: AgentKey;
  /** The next key with its certificate: Central may know it already, or it alone. */
  readonly next?: { readonly key: AgentKey; readonly identity: Identity };
}

/**
 * Loads the key of the data folder, or makes it (ECDSA P-256, 0600). Two processes that start at once get the same key:
 * the file appears whole or not at all, and the first one wins.
 */
export async function loadOrCreateKey(folder: string): Promise<AgentKey> {
  return await readOrMakeKey(folder, KEY_FILE);
}

/** The key for a renewal: the existing next key, or a new one, which is on disk before it is used. */
export async function loadOrCreateNextKey(folder: string): Promise<AgentKey> {
  return await readOrMakeKey(folder, NEXT_KEY_FILE);
}

/**
 * The key for a recovery, beside the one in use; the same again until it is adopted, so that a repetition repairs a
 * lost answer.
 */
export async function loadOrCreateRecoveryKey(folder: string): Promise<AgentKey> {
  return await readOrMakeKey(folder, RECOVERY_KEY_FILE);
}

/**
 * The identity on disk is that of the recovery key: it takes the place of the one before. May be called by two
 * processes at once.
 */
export async function adoptRecoveryKey(folder: string): Promise<void> {
  const file = join(folder, KEY_FILE);
  await writing(file, () =>
    rename(join(folder, RECOVERY_KEY_FILE), file).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    }),
  );
}

async function readOrMakeKey(folder: string, name: string): Promise<AgentKey> {
  const file = join(folder, name);
  const existing = await readKey(file);
  if (existing !== undefined) return existing;
  await makeFolder(folder, 0o700);
  const pem = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });
  await createSecretFile(file, Buffer.from(pem)).catch((error: unknown) => {
    // Another process was first: its key counts.
    if (!isCoded(error, 'secret_file_exists')) throw error;
  });
  const made = await readKey(file);
  if (made === undefined) throw agentFault('identity_damaged', { file, found: 'it was removed while it was made' });
  return made;
}

/** The key of the data folder; undefined when there is none. Makes nothing. */
export async function loadKey(folder: string): Promise<AgentKey | undefined> {
  return await readKey(join(folder, KEY_FILE));
}

export async function loadNextKey(folder: string): Promise<AgentKey | undefined> {
  return await readKey(join(folder, NEXT_KEY_FILE));
}

async function readKey(file: string): Promise<AgentKey | undefined> {
  await checkOwner(file);
  const bytes = await readBoundedFile({
    path: file,
    what: 'The key',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Restore it from a backup, or enroll the agent again.',
    ifMissing: 'ignore',
  });
  if (bytes === undefined) return undefined;
  const text = bytes.toString('utf8');
  try {
    const [pkcs8] = derInPem(text, ['PRIVATE KEY']);
    const [sec1] = pkcs8 === undefined ? derInPem(text, ['EC PRIVATE KEY']) : [];
    const privateKey = createPrivateKey({
      key: pkcs8 ?? sec1 ?? Buffer.alloc(0),
      format: 'der',
      type: pkcs8 === undefined ? 'sec1' : 'pkcs8',
    });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
    const publicKey = spkiOf(createPublicKey(privateKey)).toString('base64');
    const readable = readPublicKey(publicKey);
    if (readable === undefined) throw new Error('it is not an ECDSA P-256 key');
    return { privateKey, pem, publicKey, thumbprint: keyThumbprint(readable) };
  } catch (error) {
    // Never the text of the error's cause beyond this: a parser may quote what it read.
    throw agentFault(
      'identity_damaged',
      {
        file,
        found:
          error instanceof Error && error.message.startsWith('it is')
            ? error.message
            : 'it is not a private key in PEM',
      },
      error,
    );
  }
}

/** What another account put into the folder is not who this agent is: that account would have the key too. */
async function checkOwner(file: string): Promise<void> {
  const self = process.geteuid?.();
  if (self === undefined) return;
  try {
    const [found, folder] = await Promise.all([lstat(file), stat(dirname(file))]);
    if (found.isSymbolicLink()) throw agentFault('identity_damaged', { file, found: 'it is a symbolic link' });
    // Root also looks at the folder of the agent's account.
    const owners = self === 0 ? [0, folder.uid] : [0, self];
    if (!owners.includes(found.uid))
      throw agentFault('identity_damaged', { file, found: `it belongs to another account (uid ${found.uid})` });
  } catch (error) {
    // Missing, or not to be entered: reading it says so.
    if (isCoded(error) || systemCode(error) === undefined) throw error;
  }
}

/** Reads what enrollment left; undefined before it. */
export async function loadIdentity(folder: string): Promise<Identity | undefined> {
  const file = identityFile(folder);
  await checkOwner(file);
  const identity = (await readJsonFile({
    path: file,
    what: 'The identity',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Restore it from a backup, or enroll the agent again.',
    schema: IDENTITY,
    damaged: (found, cause) => agentFault('identity_damaged', { file, found }, cause),
  })) as Identity | undefined;
  if (identity === undefined) return undefined;
  if (
    !isCertificate(identity.certificate) ||
    (identity.nextCertificate !== undefined && !isCertificate(identity.nextCertificate))
  )
    throw agentFault('identity_damaged', { file, found: 'its certificate cannot be read' });
  return identity;
}

/** Identity and key, as they belong together now; undefined before enrollment. */
export async function loadCredentials(folder: string): Promise<Credentials | undefined> {
  const identity = await loadIdentity(folder);
  if (identity === undefined) return undefined;
  // A recovery was interrupted after its identity was written, which is when it counts.
  const recovery = await readKey(join(folder, RECOVERY_KEY_FILE));
  if (recovery !== undefined && isForKey(identity.certificate, recovery)) await adoptRecoveryKey(folder);
  const [key, nextKey] = [await loadOrCreateKey(folder), await loadNextKey(folder)];
  const { nextCertificate, ...known } = identity;
  if (nextCertificate === undefined) return { identity, key };
  const ofNext = { ...known, certificate: nextCertificate };
  // The next key has been put in the place of the current one, and nothing after that was done any more.
  if (isForKey(nextCertificate, key)) return { identity: ofNext, key };
  return nextKey !== undefined && isForKey(nextCertificate, nextKey)
    ? { identity, key, next: { key: nextKey, identity: ofNext } }
    : { identity: known, key };
}

/** The next key takes the place of the current one, which is gone after this. */
export async function adoptNextKey(
  folder: string,
  next: { readonly key: AgentKey; readonly identity: Identity },
): Promise<void> {
  const file = join(folder, KEY_FILE);
  await writing(file, () => rename(join(folder, NEXT_KEY_FILE), file));
  await syncFolder(folder);
  await keepIdentity(folder, next.identity);
}

/** True when the first certificate of a PEM text is for this key. Throws when there is none. */
export function isForKey(certificate: string, key: AgentKey): boolean {
  return firstInPem(certificate).checkPrivateKey(key.privateKey);
}

function isCertificate(pem: string): boolean {
  try {
    return firstInPem(pem).raw.length > 0;
  } catch {
    // Whatever it is: no certificate.
    return false;
  }
}

/** After an enrollment: a key that was asked for before it is forgotten. */
export async function saveIdentity(folder: string, identity: Identity): Promise<void> {
  await rm(join(folder, NEXT_KEY_FILE), { force: true });
  await keepIdentity(folder, identity);
}

/** After a renewal. */
export async function keepIdentity(folder: string, identity: Identity): Promise<void> {
  await replaceSecretFile(identityFile(folder), Buffer.from(`${JSON.stringify(identity, null, 2)}\n`));
}

export function identityFile(folder: string): string {
  return join(folder, IDENTITY_FILE);
}
