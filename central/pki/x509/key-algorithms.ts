// Defines which keys may be used for certificates, how strong they must be, and what WebCrypto calls their algorithms.
// Central's own are ECDSA P-256; an imported authority or server key may be RSA or on a larger curve.
import { generateKeyPair, type KeyObject, type webcrypto } from 'node:crypto';
import { promisify } from 'node:util';

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Kinds of a new server key: P-256, or RSA for authorities that sign nothing else. */
export type KeyKind = 'ec' | 'rsa';

/** NIST SP 800-57 part 1, table 2: 3072 bits are worth the 128 of P-256. */
const RSA_BITS = 3072;
/** SP 800-131A: less than 2048 bits is no longer allowed. */
const LEAST_RSA_BITS = 2048;
/**
 * Curve by OpenSSL's name: WebCrypto's name, and the digest of its strength (RFC 5758 section 3.2, RFC 8446 section
 * 4.2.3).
 */
const CURVES: Readonly<Record<string, { readonly namedCurve: string; readonly hash: string }>> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
  secp521r1: { namedCurve: 'P-521', hash: 'SHA-512' },
};

/** A new key, ECDSA P-256 unless RSA is asked for: what every TLS library and Java from 8 on takes. */
export async function makeKeyPair(kind: KeyKind = 'ec'): Promise<KeyPair> {
  if (kind === 'rsa') return await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS });
  return await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
}

/** How a key is called: "RSA 2048", "EC P-256". */
export function keyName(key: KeyObject): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ec')
    return `EC ${CURVES[details?.namedCurve ?? '']?.namedCurve ?? details?.namedCurve ?? 'of an unknown curve'}`;
  if (type === 'rsa') return `RSA ${details?.modulusLength ?? '?'}`;
  return (type ?? 'unknown').toUpperCase();
}

/** The end of a sentence that says why a key may not be used; undefined when it may. */
export function keyFault(key: KeyObject): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const strong =
    (type === 'rsa' && (details?.modulusLength ?? 0) >= LEAST_RSA_BITS) ||
    (type === 'ec' && Object.hasOwn(CURVES, details?.namedCurve ?? ''));
  return strong
    ? undefined
    : `its key is ${keyName(key)}; allowed are RSA from ${LEAST_RSA_BITS} bits on, and EC P-256, P-384 and P-521`;
}

type Algorithm = Parameters<KeyObject['toCryptoKey']>[0];

interface Signer {
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: { readonly name: string; readonly hash: string };
}

/** A private key as @peculiar/x509 signs with it. The key has passed `keyFault`. */
export function signerOf(privateKey: KeyObject): Signer {
  const { imported, hash } = algorithmsOf(privateKey);
  return {
    key: privateKey.toCryptoKey(imported, false, ['sign']),
    algorithm: { name: (imported as { name: string }).name, hash },
  };
}

/** A public key as @peculiar/x509 takes it. */
export function cryptoPublicKey(publicKey: KeyObject): webcrypto.CryptoKey {
  return publicKey.toCryptoKey(algorithmsOf(publicKey).imported, true, ['verify']);
}

function algorithmsOf(key: KeyObject): { readonly imported: Algorithm; readonly hash: string } {
  const fault = keyFault(key);
  if (fault !== undefined) throw new TypeError(fault);
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (curve !== undefined) return { imported: { name: 'ECDSA', namedCurve: curve.namedCurve }, hash: curve.hash };
  return { imported: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, hash: 'SHA-256' };
}
