// Reads what an administrator uploads: certificates, and keys with certificates, in any format. A fault of a file is a
// fault of the request (422), never of Central.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { CodedError, isCoded } from '../../../shared/errors.ts';
import { keystoreFault } from '../../../shared/keystore/errors.ts';
import { parseCertificate, whyUnreadable } from '../../../shared/keystore/material.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { readPkcs7 } from '../../../shared/keystore/pkcs7.ts';
import { notice, type Notice } from '../../change/report.ts';
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
  readonly notices: readonly Notice[];
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
  const { warnings, ...read } = await asFaultOfRequest(
    readKeyAndCertificates({ file, bytes, password, keyPassword, alias, keyBytes }),
  );
  return { ...read, notices: warnings.map((warning) => notice('keystore_warning', { warning })) };
}

/** All certificates of a file. Errors: keystore faults with status 422, certificate_file_missing. */
export async function readUploadedCertificates({
  name: file,
  bytes,
  password,
}: UploadedFile): Promise<X509Certificate[]> {
  const certificates = await asFaultOfRequest(certificatesIn({ name: file, bytes, password }));
  if (certificates.length === 0) throw pkiFault('certificate_file_missing', { file });
  return certificates;
}

/** Windows authorities answer with PKCS#7 (.p7b), which is not a key store. */
async function certificatesIn({ name: file, bytes, password }: UploadedFile): Promise<X509Certificate[]> {
  const bundle = readPkcs7(bytes, file);
  if (bundle !== undefined) return bundle.map((der) => certificateOf(der, file));
  const { entries, leftOut } = await openStore({ bytes, file, password });
  const [fault] = leftOut ?? [];
  if (fault !== undefined) throw fault;
  return entries.flatMap((entry) => entry.certificates).map((der) => certificateOf(der, file));
}

function certificateOf(der: Buffer, file: string): X509Certificate {
  const certificate = parseCertificate(der);
  if (certificate !== undefined) return certificate;
  const found = `a certificate in it cannot be read: ${whyUnreadable(der)}`;
  throw keystoreFault('keystore_damaged', { file, format: 'certificate', found });
}

async function asFaultOfRequest<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isCoded(error) || error.status !== 500) throw error;
    throw new CodedError(error.code, { text: error.message, hint: error.hint, status: 422 }, error.parameters, error);
  }
}
