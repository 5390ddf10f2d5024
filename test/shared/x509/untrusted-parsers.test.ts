// Holds that no text and no unchecked bytes reach the parsers of libraries: only the files named here may call them,
// and why.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const sources = ['central', 'agent', 'shared'].flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }));

/** Calls of parsers, and the files that may make them. */
const ALLOWED: readonly { readonly call: RegExp; readonly files: Readonly<Record<string, string>> }[] = [
  {
    call: /new X509Certificate\(/,
    files: {
      'shared/x509/certificates.ts': 'behind the bounded check',
      'central/pki/x509/certificate.ts': 'made here a line before',
    },
  },
  // Its names may be undefined: peerCertificate fills them in.
  { call: /getPeerX509Certificate\(/, files: { 'shared/x509/certificates.ts': 'where empty names are filled in' } },
  { call: /new Pkcs10CertificateRequest\(|\bPemConverter\b|forge\.pem|forge\.pki/, files: {} },
  {
    call: /new Name\(/,
    files: {
      'central/pki/x509/certificate.ts': 'DER of a checked certificate',
      'central/pki/x509/distinguished-name.ts': 'parts that were read in one pass',
    },
  },
  { call: /forge\.(?!rc2|util)/, files: {} },
  { call: /createPublicKey\(\{/, files: { 'shared/x509/public-key.ts': 'written here byte by byte' } },
  {
    call: /createPrivateKey\((?!\{[^}]*format: 'der')/,
    files: {
      'central/pki/authority/generations.ts': "Central's own sealed store",
      'central/pki/server/server-certificates.ts': "Central's own sealed store",
      'central/pki/server/server-identity.ts': "Central's own sealed store",
      'central/pki/server/slots.ts': "Central's own sealed store",
      'central/pki/authority/signing-key.ts': "Central's own sealed store",
      'shared/keystore/key-file.ts': 'an encrypted key of OpenSSL, its two headers checked and its text written by us',
    },
  },
  // For a date that is not in the calendar they return what was in memory before: validityOf reads the bytes.
  { call: /\bvalid(From|To)(Date)?\b|\bvalid_(from|to)\b/, files: {} },
  { call: /BEGIN [^'`]*\[\\s\\S\]|BEGIN [^'`]*\.\*|BEGIN [^'`]*\[\^-\]\+-----END/, files: {} },
];

/** The code of a file, without its comments. */
function codeOf(file: string): string {
  return readFileSync(join(root, file), 'utf8')
    .split('\n')
    .filter((line) => !/^\s*(\/\/|\*|\/\*)/.test(line))
    .join('\n');
}

describe('untrusted text and bytes', () => {
  test('hands no text and no unchecked bytes to an X.509 or ASN.1 parser', () => {
    const found = sources.flatMap((file) => {
      const code = codeOf(file);
      return ALLOWED.filter(({ call, files }) => call.test(code) && !Object.hasOwn(files, file)).map(
        ({ call }) => `${file}: ${String(call)}`,
      );
    });
    expect(found).toEqual([]);
  });

  test('reads the dates of certificates out of their bytes, in tests and measurements too', () => {
    const dates = /\.valid(From|To)(Date)?\b|\.valid_(from|to)\b/;
    const all = ['test', 'bench'].flatMap((folder) =>
      globSync(`${folder}/**/*.ts`, { cwd: root, exclude: ['**/node_modules/**'] }),
    );
    expect(all.filter((file) => dates.test(codeOf(file)))).toEqual([]);
  });

  test('every exception is still needed', () => {
    const stale = ALLOWED.flatMap(({ call, files }) =>
      Object.keys(files)
        .filter((file) => !call.test(readFileSync(join(root, file), 'utf8')))
        .map((file) => `${file}: ${String(call)}`),
    );
    expect(stale).toEqual([]);
  });
});
