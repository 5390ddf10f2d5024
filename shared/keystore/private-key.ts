// Opens and protects the private keys of key entries, so that a store can get another password or format and keep them.
// An opened key is only for the next protection: never for a message, a log or a file.
import { Asn1Fault, membersOf, octetsOf, smallIntegerOf } from '../asn1/reader.ts';
import { readElement } from '../asn1/structure.ts';
import { octets, sequence } from '../asn1/writer.ts';
import { isCoded } from '../errors.ts';
import { keystoreFault } from './errors.ts';
import { BadData } from './java-data.ts';
import { protectJksKey, unlockJksKey } from './jks.ts';
import type { KeyEntry } from './material.ts';
import { CannotDecrypt, decrypt, encrypt, PKCS12_LIMITS } from './pkcs12/crypto.ts';
import {
  candidates,
  TooMuchWork,
  UnknownAlgorithm,
  workBudget,
  type Budget,
  type Password,
} from './pkcs12/derivation.ts';

/**
 * The key of an entry as PKCS#8 (DER). Without a password those that a store opens with are tried. Throws
 * keystore_key_password_wrong, keystore_key_unsupported.
 */
export async function openKey(
  { key, protection }: Pick<KeyEntry, 'key' | 'protection'>,
  password: string | undefined,
  budget: Budget = workBudget(),
): Promise<Buffer> {
  if (protection === 'none') return key;
  let wrong: unknown;
  for (const candidate of candidates(password)) {
    try {
      if (protection === 'pkcs8') return await openPkcs8Key(key, candidate, budget);
      if (candidate !== null) return unlockJksKey(key, candidate);
    } catch (error) {
      if (!isCoded(error, 'keystore_key_password_wrong')) throw error;
      wrong ??= error;
    }
  }
  throw wrong;
}

/** Protects a key (PKCS#8, DER) as an entry of JKS or PKCS#12 holds it. */
export async function protectKey(pkcs8: Buffer, protection: 'jks' | 'pkcs8', password: string): Promise<Buffer> {
  return protection === 'jks' ? protectJksKey(pkcs8, password) : await protectPkcs8Key(pkcs8, password);
}

/** EncryptedPrivateKeyInfo (RFC 5958 section 3) with AES-256. */
export async function protectPkcs8Key(pkcs8: Buffer, password: string): Promise<Buffer> {
  const { algorithm, content } = await encrypt(pkcs8, password);
  return sequence(algorithm, octets(content));
}

async function openPkcs8Key(key: Buffer, password: Password, budget: Budget): Promise<Buffer> {
  try {
    const [algorithm, content] = membersOf(readElement(key, PKCS12_LIMITS, 'the private key'), 'the private key');
    const plain = await decrypt(algorithm, octetsOf(content, 'the private key'), password, budget);
    // A wrong password leaves a fitting padding once in 256 times, but no PrivateKeyInfo (RFC 5958 section 2).
    const [version, , inner] = membersOf(readElement(plain, PKCS12_LIMITS, 'the private key'), 'the private key');
    smallIntegerOf(version, 'the version of the private key');
    octetsOf(inner, 'the private key');
    return plain;
  } catch (error) {
    if (error instanceof UnknownAlgorithm || error instanceof TooMuchWork)
      throw keystoreFault(
        'keystore_key_unsupported',
        {
          found: error instanceof TooMuchWork ? 'a key derivation of millions of iterations' : error.message,
          allowed: 'what keytool and openssl write',
        },
        error,
      );
    if (error instanceof CannotDecrypt || error instanceof BadData || error instanceof Asn1Fault)
      throw keystoreFault('keystore_key_password_wrong', {}, error);
    throw error;
  }
}
