// Reads what an administrator uploads: certificates, and keys with certificates, in any format. A fault of a file is a fault of the
// request (422), never of Central.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { readCertificate } from '../../../shared/x509/certificates.ts';
import { CodedError, isCoded } from '../../../shared/errors.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { readPkcs7 } from '../../../shared/keystore/pkcs7.ts';
import { pkiFault } from '../errors.ts';

/** A file of a request. */
export interface UploadedFile {
  /** For messages. */
  readonly name: string;
  readonly bytes: Buffer;
  readonly password?: string | undefined;
}

export interface UploadedKey extends UploadedFile {
  readonly keyPassword?: string | undefined;
  readonly alias?: string | undefined;
  /** A second file with the key alone. */
  readonly keyBytes?: Buffer | undefined;
}

interface KeyWithCertificates {
  readonly key: KeyObject;
  readonly certificates: readonly X509Certificate[];
  readonly warnings: readonly string[];
}

/** Errors: keystore faults and those of private keys, all with status 422. */
export async function readUploadedKey({
  name: file,
  bytes,
  password,
  keyPassword,
  alias,
  keyBytes,
}: UploadedKey): Promise<KeyWithCertificates> {
  // Brings node-forge; Central starts without it.
  const { readKeyAndCertificates } = await import('../../../shared/keystore/key-file.ts');
  return await asFaultOfRequest(readKeyAndCertificates({ file, bytes, password, keyPassword, alias, keyBytes }));
}

/** All certificates of a file. Errors: keystore faults with status 422, certificate_file_missing. */
export async function readUploadedCertificates({
  name: file,
  bytes,
  password,
}: UploadedFile): Promise<X509Certificate[]> {
  const ders = await asFaultOfRequest(certificatesIn({ name: file, bytes, password }));
  const certificates = ders.map((der) => readCertificate(der));
  if (certificates.length === 0) throw pkiFault('certificate_file_missing', { file });
  return certificates;
}

/** Windows authorities answer with PKCS#7 (.p7b), which is not a key store. */
async function certificatesIn({ name: file, bytes, password }: UploadedFile): Promise<Buffer[]> {
  const bundle = readPkcs7(bytes, file);
  if (bundle !== undefined) return bundle;
  const { entries } = await openStore({ bytes, file, password });
  return entries.flatMap((entry) => entry.certificates);
}

async function asFaultOfRequest<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isCoded(error) || error.status !== 500) throw error;
    throw new CodedError(error.code, { text: error.message, hint: error.hint, status: 422 }, error.parameters, error);
  }
}
