// Makes certificates with any bytes as dates, which no tool makes: signed by their own key, for the host "localhost".
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { bits, der, sequence, set, TAG } from '../../../shared/asn1/writer.ts';

/** A UTCTime (or what claims to be one). */
export function utcTime(text: string): Buffer {
  return der(TAG.utcTime, Buffer.from(text, 'latin1'));
}

export function generalizedTime(text: string): Buffer {
  return der(TAG.generalizedTime, Buffer.from(text, 'latin1'));
}

export interface DatedCertificate {
  readonly der: Buffer;
  readonly key: KeyObject;
}

/** ecdsa-with-SHA256. */
const ALGORITHM = sequence(der(TAG.oid, Buffer.from('2a8648ce3d040302', 'hex')));
const COMMON_NAME = der(TAG.oid, Buffer.from('550403', 'hex'));
const firstKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** `times`: the content of its validity. */
export function datedCertificate(...times: readonly Buffer[]): DatedCertificate {
  return selfSigned(firstKeys, times);
}

/** One of the same name with a key of its own. */
export function namesake(): Buffer {
  return selfSigned(generateKeyPairSync('ec', { namedCurve: 'P-256' }), ['250101000000Z', '490101000000Z'].map(utcTime))
    .der;
}

function selfSigned(keys: { publicKey: KeyObject; privateKey: KeyObject }, times: readonly Buffer[]): DatedCertificate {
  const name = sequence(set(sequence(COMMON_NAME, der(TAG.utf8, Buffer.from('localhost')))));
  const signed = sequence(
    der(TAG.integer, Buffer.from([1])),
    ALGORITHM,
    name,
    sequence(...times),
    name,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
  );
  return { der: sequence(signed, ALGORITHM, bits(sign('sha256', signed, keys.privateKey))), key: keys.privateKey };
}
