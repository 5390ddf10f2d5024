// The truststore of a profile: its entries, and changes of them. Works on a copy in a folder of its own, with what the
// truststore commands use: the store keeps its format, its other entries and its password.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Breather } from '../../../shared/breather.ts';
import { CodedError, isCoded, textOf } from '../../../shared/errors.ts';
import { DEFAULT_PASSWORD, parseCertificate, subjectLine, thumbprint } from '../../../shared/keystore/material.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { deleteEntry } from '../../../shared/truststore/change.ts';
import { certificatesIn } from '../../../shared/truststore/certificates.ts';
import { addTrusted } from '../../../shared/truststore/import.ts';
import { validityOf } from '../../../shared/x509/validity.ts';

export interface TruststoreEntry {
  readonly alias: string;
  readonly subject: string;
  /** SHA-256, lower-case hex. */
  readonly thumbprint: string;
  /** Null: a date that cannot be read. */
  readonly notAfter: number | null;
  readonly der: Buffer;
}

export interface TruststoreContent {
  readonly format: string;
  /** It opens with the password that every installation has. */
  readonly hasDefaultPassword: boolean;
  readonly entries: readonly TruststoreEntry[];
}

interface TruststoreFile {
  /** Path in the profile. */
  readonly path: string;
  /** Undefined: it is made. */
  readonly bytes: Buffer | undefined;
  readonly password: string | undefined;
}

const PASSWORD_HINT = 'truststore.password or -Djavax.net.ssl.trustStorePassword in the agent.conf of the profile';

/** Errors: those of key stores, with status 422. */
export async function readTruststore({
  path,
  bytes = Buffer.alloc(0),
  password,
}: TruststoreFile): Promise<TruststoreContent> {
  try {
    const store = await openStore({ bytes, file: path, password, passwordHint: PASSWORD_HINT });
    const [entries, breather]: [TruststoreEntry[], Breather] = [[], new Breather()];
    for (const { kind, alias, certificates } of store.entries) {
      const [der] = certificates;
      if (kind === 'trusted' && der !== undefined) entries.push(entryOf(alias, der));
      await breather.pause();
    }
    return {
      format: store.format,
      hasDefaultPassword: store.format !== 'pem' && (password ?? DEFAULT_PASSWORD) === DEFAULT_PASSWORD,
      entries,
    };
  } catch (error) {
    throw asRefusal(error, path, path);
  }
}

function entryOf(alias: string, der: Buffer): TruststoreEntry {
  const { to } = validityOf({ raw: der });
  return {
    alias,
    subject: subjectLine(parseCertificate(der)),
    thumbprint: thumbprint(der).replaceAll(':', '').toLowerCase(),
    notAfter: Number.isNaN(to.getTime()) ? null : to.getTime(),
    der,
  };
}

/** Adds what is not trusted yet. Errors: those of truststores, with status 422. */
export async function addToTruststore(
  truststore: TruststoreFile,
  {
    certificates,
    alias,
    origin,
  }: { readonly certificates: readonly Buffer[]; readonly alias?: string | undefined; readonly origin: string },
): Promise<Buffer> {
  return await changed(truststore, async (file) => {
    const { password } = truststore;
    await addTrusted({ file, certificates, origin, alias, password, passwordHint: PASSWORD_HINT, skipPresent: true });
  });
}

/** Errors: truststore_alias_unknown and others of truststores, with status 422. */
export async function deleteFromTruststore(truststore: TruststoreFile, alias: string): Promise<Buffer> {
  return await changed(truststore, async (file) => {
    await deleteEntry({ file, alias, fingerprint: undefined, password: truststore.password, privateKey: false });
  });
}

/** The certificates of a file that an administrator sent. Errors: those of key stores, with status 422. */
export async function certificatesOf(content: Buffer, fileName: string): Promise<readonly Buffer[]> {
  const name = basename(fileName.replaceAll('\\', '/')) || 'certificate';
  return await inFolder(async (folder) => {
    const file = join(folder, 'upload');
    await writeFile(file, content, { mode: 0o600 });
    try {
      return (await certificatesIn(file)).certificates;
    } catch (error) {
      throw asRefusal(error, file, name);
    }
  });
}

async function changed({ path, bytes }: TruststoreFile, change: (file: string) => Promise<void>): Promise<Buffer> {
  return await inFolder(async (folder) => {
    const file = join(folder, basename(path));
    if (bytes !== undefined) await writeFile(file, bytes, { mode: 0o600 });
    try {
      await change(file);
    } catch (error) {
      throw asRefusal(error, file, path);
    }
    return await readFile(file);
  });
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  // Mode 0700.
  const folder = await mkdtemp(join(tmpdir(), 'queuegate-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The administrator's file is at fault, and not Central; its name is the one that the administrator knows. */
function asRefusal(error: unknown, file: string, name: string): unknown {
  if (!isCoded(error) || error.status !== 500) return error;
  const [text, hint] = [textOf(error), error.hint].map((line) => line.replaceAll(file, () => name));
  return new CodedError(error.code, { text: text ?? '', hint: hint ?? '', status: 422 }, {}, error);
}
