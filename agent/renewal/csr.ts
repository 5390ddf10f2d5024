// Makes the certificate signing request (PKCS#10, RFC 2986) of a renewal. Without a library, because the daemon
// would keep its 40 MiB in memory from its first renewal on.
import { sign } from 'node:crypto';
import { bits, der, ECDSA_SHA256, integer, oid, sequence, set, TAG } from '../../shared/asn1/writer.ts';
import { pemOf } from '../../shared/x509/pem.ts';
import type { AgentKey } from '../identity/identity.ts';

const COMMON_NAME = '2.5.4.3';
/** attributes [0] IMPLICIT SET OF, empty. */
const ATTRIBUTES = 0xa0;
/** X.520 bounds a common name; Central takes the name from its registry, and only the key from here. */
const MAX_COMMON_NAME = 64;

/** Proves that the agent holds the key. */
export function makeRenewalRequest(
  key: Pick<AgentKey, 'privateKey' | 'publicKey'>,
  name: string,
): { readonly pem: string; readonly der: Buffer } {
  const subject = sequence(set(sequence(oid(COMMON_NAME), der(TAG.utf8, Buffer.from(name.slice(0, MAX_COMMON_NAME))))));
  const asked = sequence(integer(0), subject, Buffer.from(key.publicKey, 'base64'), der(ATTRIBUTES));
  const request = sequence(asked, sequence(oid(ECDSA_SHA256)), bits(sign('sha256', asked, key.privateKey)));
  return { pem: pemOf('CERTIFICATE REQUEST', request), der: request };
}
