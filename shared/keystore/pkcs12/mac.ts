// The MAC of a PKCS#12 file: its own (RFC 7292 section 4) and PBMAC1 (RFC 9579), which OpenSSL 3.4, NSS and FIPS
// installations write.
import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { membersOf, octetsOf, oidOf, smallIntegerOf, type Asn1Element } from '../../asn1/reader.ts';
import { der, integer, octets, oid, sequence, TAG } from '../../asn1/writer.ts';
import {
  boundedSalt,
  derivedKey,
  deriveKey,
  HASHES,
  HMACS,
  UnknownAlgorithm,
  workBudget,
  type Budget,
  type HashName,
  type Password,
} from './derivation.ts';

/** What keytool writes since JDK 17. */
const ITERATIONS = 10_000;
const PBMAC1 = '1.2.840.113549.1.5.14';

/** MacData of RFC 7292 section 4: does it fit `content` under `password`? Constant-time comparison. */
export async function macFits(
  macData: Asn1Element,
  content: Buffer,
  password: Password,
  budget: Budget,
): Promise<boolean> {
  const [digestInfo, salt, iterations] = membersOf(macData, 'the MAC');
  const [algorithm, digest] = membersOf(digestInfo, 'the MAC');
  const [id, parameters] = membersOf(algorithm, 'the MAC algorithm');
  const name = oidOf(id, 'the MAC algorithm');
  const found = octetsOf(digest, 'the MAC');
  const expected =
    name === PBMAC1
      ? await pbmac1(parameters, content, password, budget)
      : await ownMac(
          hashNamed(name),
          password,
          boundedSalt(salt),
          iterations === undefined ? 1 : smallIntegerOf(iterations, 'the iteration count'),
          content,
          budget,
        );
  return found.length === expected.length && timingSafeEqual(found, expected);
}

/** A MacData with SHA-256 over `content`. */
export async function makeMac(content: Buffer, password: string): Promise<Buffer> {
  const salt = randomBytes(20);
  const value = await ownMac('sha256', password, salt, ITERATIONS, content, workBudget());
  const digestInfo = sequence(sequence(oid('2.16.840.1.101.3.4.2.1'), der(TAG.null)), octets(value));
  return sequence(digestInfo, octets(salt), integer(ITERATIONS));
}

/** RFC 9579 section 4: all is in the parameters, and salt and iterations of the MacData do not count. */
async function pbmac1(
  parameters: Asn1Element | undefined,
  content: Buffer,
  password: Password,
  budget: Budget,
): Promise<Buffer> {
  const [kdf, scheme] = membersOf(parameters, 'the PBMAC1 parameters');
  const name = oidOf(membersOf(scheme, 'the MAC of PBMAC1')[0], 'the MAC of PBMAC1');
  const hashName = HMACS[name];
  if (hashName === undefined) throw new UnknownAlgorithm(`the MAC ${name} in PBMAC1`);
  return createHmac(hashName, await derivedKey(kdf, password, undefined, budget))
    .update(content)
    .digest();
}

function hashNamed(name: string): HashName {
  const hashName = HASHES[name];
  if (hashName === undefined) throw new UnknownAlgorithm(`the MAC algorithm ${name}`);
  return hashName;
}

async function ownMac(
  hashName: HashName,
  password: Password,
  salt: Buffer,
  iterations: number,
  content: Buffer,
  budget: Budget,
): Promise<Buffer> {
  const keyBytes = hash(hashName, '', 'buffer').length;
  return createHmac(hashName, await deriveKey(hashName, password, salt, 3, iterations, keyBytes, budget))
    .update(content)
    .digest();
}
