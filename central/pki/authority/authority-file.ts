// Reads the authority from a file, with every fault of it, and writes it as password-protected PKCS#12.
import type { X509Certificate } from 'node:crypto';
import { DEFAULT_PASSWORD } from '../../../shared/keystore/material.ts';
import { byExpiry } from '../../../shared/x509/validity.ts';
import type { Notice } from '../../change/report.ts';
import type { AuthorityMaterial } from './authority.ts';
import { authorityFault, buildChain, CertificateFaults, chainFaults, type CertificateFault } from '../x509/chain.ts';
import { pkiFault } from '../errors.ts';
import type { Generation } from './generations.ts';
import { readUploadedKey, type UploadedKey } from '../x509/upload.ts';

/** Of the entry in an exported file. */
export const AUTHORITY_ALIAS = 'queuegate-authority';
/** The file is as valuable as all agents together: passwords of eight characters are guessed in a day. */
const LEAST_PASSWORD_LENGTH = 12;

interface ReadAuthority {
  readonly material: AuthorityMaterial;
  readonly notices: readonly Notice[];
}

/** Errors: authority_unfit with every fault, those of reading the file. */
export async function readAuthorityFile(
  file: UploadedKey,
  known: readonly X509Certificate[],
  now: number,
): Promise<ReadAuthority> {
  const { key, certificates, notices } = await readUploadedKey(file);
  const own = certificates.filter((certificate) => certificate.checkPrivateKey(key));
  // An authority that was renewed with the same key has two certificates: the one that expires last counts.
  const [signs] = own.toSorted(byExpiry);
  if (signs === undefined) {
    const text =
      certificates.length === 0
        ? 'the file holds no certificate'
        : 'the private key belongs to none of the certificates in the file';
    throw new CertificateFaults('authority_unfit', [{ fault: 'key_mismatch', text }]);
  }
  const built = buildChain(signs, certificates, known);
  const faults: CertificateFault[] = chainFaults(built, now);
  const unfit = authorityFault(signs);
  if (unfit !== undefined) faults.push({ fault: 'issuer_no_authority', text: `the certificate of the key ${unfit}` });
  if (faults.length > 0) throw new CertificateFaults('authority_unfit', faults);
  return { material: { key, chain: built.chain, origin: 'imported' }, notices: [...notices, ...built.notices] };
}

/** Key and chain of a generation as PKCS#12 that openssl and keytool open. Errors: export_password_weak. */
export async function writeAuthorityFile({ key, chain }: Generation, password: string): Promise<Buffer> {
  if (password === DEFAULT_PASSWORD)
    throw pkiFault('export_password_weak', { found: 'is the one that everybody knows from the manuals' });
  if (password.length < LEAST_PASSWORD_LENGTH)
    throw pkiFault('export_password_weak', {
      found: `has ${password.length} characters; allowed are ${LEAST_PASSWORD_LENGTH} and more`,
    });
  const { writeKeyAndChain } = await import('../../../shared/keystore/key-file.ts');
  return await writeKeyAndChain({ alias: AUTHORITY_ALIAS, key, chain }, password);
}
