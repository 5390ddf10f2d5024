// The forms in which a private key can lie somewhere it must not: as PEM however it is broken into lines, as DER, as
// its secret numbers, each of them as bytes, hex or base64, also in the middle of something larger that was encoded as
// a whole.
import { createPrivateKey } from 'node:crypto';

export interface Secret {
  /** Whose key, for messages. */
  readonly name: string;
  /** PEM, PKCS#8 or the key's own format, unencrypted; or the bytes of a symmetric key, base64url. */
  readonly pem: string;
}

interface Form {
  readonly name: string;
  readonly needle: string;
  /**
   * Where it is looked for: the bytes as they are, or without white space and escaped line breaks, or so in lower case.
   */
  readonly in: 'bytes' | 'joined' | 'lower';
}

/** Members of a private JWK that are secret (RFC 7518 sections 6.2.2, 6.3.2, RFC 8037 section 2). */
const SECRET_NUMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const;

/**
 * Base64 text that is in the base64 of anything that has `bytes` in it, for each of the three places that they can
 * begin at.
 */
function alignedBase64(bytes: Buffer): string[] {
  return [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    // What the neighbours have a part in is left out.
    return text.slice(offset === 0 ? 0 : offset + 1, Math.floor(((offset + bytes.length) * 4) / 3) - 1);
  });
}

function encoded(name: string, bytes: Buffer): Form[] {
  const base64 = alignedBase64(bytes);
  return [
    { name: `${name}, bytes`, needle: bytes.toString('latin1'), in: 'bytes' },
    { name: `${name}, hex`, needle: bytes.toString('hex'), in: 'lower' },
    ...base64.map((needle) => ({ name: `${name}, base64`, needle, in: 'joined' }) as const),
    ...base64
      .filter((needle) => /[+/]/.test(needle))
      .map(
        (needle) =>
          ({
            name: `${name}, base64url`,
            needle: needle.replaceAll('+', '-').replaceAll('/', '_'),
            in: 'joined',
          }) as const,
      ),
  ];
}

/**
 * PEM is base64 of DER: it is found by that, with and without line breaks. Of the DER only what is secret is looked for
 * besides.
 */
export function formsOf(pem: string): Form[] {
  if (!pem.startsWith('-----')) return encoded('key', Buffer.from(pem, 'base64url'));
  const key = createPrivateKey(pem);
  const jwk = key.export({ format: 'jwk' });
  const numbers = SECRET_NUMBERS.flatMap((member) => {
    const value = jwk[member];
    return value === undefined ? [] : encoded(`secret number ${member}`, Buffer.from(value, 'base64url'));
  });
  // PKCS#8, and what is inside of it.
  const der = [
    key.export({ format: 'der', type: 'pkcs8' }),
    ...(key.asymmetricKeyType === 'ec'
      ? [key.export({ format: 'der', type: 'sec1' })]
      : key.asymmetricKeyType === 'rsa'
        ? [key.export({ format: 'der', type: 'pkcs1' })]
        : []),
  ];
  // Encoded as a text once more, as a file is in a request to import it: the first line is enough, and stays the first.
  const lines = [pem, key.export({ format: 'pem', type: 'pkcs8' })].map((text) => text.split('\n')[1] ?? '');
  return [
    ...numbers,
    ...der.flatMap((bytes) => encoded('DER', bytes)),
    ...lines.flatMap((line) => encoded('PEM line', Buffer.from(line))),
  ];
}

/** What was found of `secrets` in `bytes`: name and form of each. */
export function foundIn(bytes: Buffer, secrets: readonly Secret[]): string[] {
  const text = bytes.toString('latin1');
  const joined = text.replaceAll(/\\[rn]|\s+/g, '');
  const texts = { bytes: text, joined, lower: joined.toLowerCase() };
  return secrets.flatMap(({ name, pem }) =>
    formsOf(pem)
      .filter((form) => texts[form.in].includes(form.needle))
      .map((form) => `${name} (${form.name})`),
  );
}
