// Uploads of certificates as the field has them: a server certificate without a subject is taken, and every file that
// cannot be is a fault of the request (422) with a code, never of Central.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { buildChain, chainFaults } from '../../../../central/pki/x509/chain.ts';
import { readUploadedCertificates, readUploadedKey } from '../../../../central/pki/x509/upload.ts';
import { firstInPem } from '../../../../shared/x509/certificates.ts';
import { isCoded } from '../../../../shared/errors.ts';

const FIELD = new URL('../../../fixtures/field-files/', import.meta.url).pathname;
const field = (name: string): Buffer => readFileSync(`${FIELD}${name}`);
const NOW = Date.parse('2027-01-01T00:00:00Z');

test('takes a certificate without a subject, its chain and its key', async () => {
  const { key, certificates } = await readUploadedKey({
    name: 'es-chain.pem',
    bytes: field('es-chain.pem'),
    keyBytes: field('es.key'),
  });
  const [leaf, ...rest] = certificates;
  if (leaf === undefined) throw new Error('the file has certificates');
  expect(leaf.checkPrivateKey(key)).toBe(true);
  const built = buildChain(leaf, rest, []);
  expect([built.complete, built.chain.length]).toEqual([true, 2]);
  expect(chainFaults(built, NOW)).toEqual([]);
});

test('names such a certificate by its alternative names', () => {
  const built = buildChain(firstInPem(field('es.pem').toString()), [], []);
  expect(chainFaults(built, NOW)).toEqual([
    expect.objectContaining({ fault: 'chain_incomplete', text: expect.stringContaining('valid for DNS:central') }),
  ]);
});

test('refuses a chain with a date that is not a date', () => {
  const built = buildChain(firstInPem(field('bad-feb30.pem').toString()), [], []);
  expect(chainFaults(built, NOW).map(({ fault }) => fault)).toContain('date_unreadable');
});

describe('every file of the field is taken, or refused with a code and status 422', () => {
  test.each(readdirSync(FIELD).filter((name) => name !== 'README.md'))('%s', async (name) => {
    for (const read of [
      () => readUploadedCertificates({ name, bytes: field(name) }),
      () => readUploadedKey({ name, bytes: field(name) }),
    ]) {
      const error: unknown = await read().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error === undefined || (isCoded(error) && error.status === 422), String(error)).toBe(true);
    }
  });
});
