// Whatever the bytes are: a store, or an error with a code. Never another exception, a hang, or memory without bound.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { isCoded } from '../../../shared/errors.ts';
import { readJks, unlockJksKey } from '../../../shared/keystore/jks.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { readPem } from '../../../shared/keystore/pem.ts';
import { readPkcs12, writePkcs12 } from '../../../shared/keystore/pkcs12.ts';
import { fixture } from './peers.ts';

const SEEDS = [
  'truststore.jks',
  'keystore.jks',
  'truststore-pkcs12.jks',
  'keystore-modern.p12',
  'keystore-legacy-rc2.p12',
  'root-rsa.crt',
  'root-ec.cer',
];
/** Far above what the largest of these files takes, far below a copy per announced length. */
const MAX_GROWTH_BYTES = 300 * 1024 * 1024;

/** Undefined, or what was thrown without a code. */
async function thrownBy(read: () => unknown): Promise<unknown> {
  try {
    await read();
    return undefined;
  } catch (error) {
    return isCoded(error) ? undefined : error;
  }
}

/** A fixture with some bytes changed, cut or doubled. */
const mutated = fc
  .tuple(
    fc.constantFrom(...SEEDS),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
    fc.nat(),
    fc.nat(),
    fc.constantFrom('keep', 'cut', 'double'),
  )
  .map(([name, changes, from, length, what]) => {
    const bytes = fixture(name);
    for (const [offset, value] of changes) bytes[offset % bytes.length] = value;
    const begin = from % bytes.length;
    const end = Math.min(bytes.length, begin + (length % 64));
    if (what === 'cut') return Buffer.concat([bytes.subarray(0, begin), bytes.subarray(end)]);
    if (what === 'double') return Buffer.concat([bytes.subarray(0, end), bytes.subarray(begin)]);
    return bytes;
  });

test('mutated stores of other tools are opened or refused with a code', async () => {
  const before = process.memoryUsage().rss;
  await fc.assert(
    fc.asyncProperty(mutated, async (bytes) => {
      expect(await thrownBy(async () => await openStore({ bytes, file: 'f', password: 'changeit' }))).toBeUndefined();
    }),
    { numRuns: 1_500 },
  );
  expect(process.memoryUsage().rss - before).toBeLessThan(MAX_GROWTH_BYTES);
});

test('random bytes are refused with a code by every reader', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 400 }),
      fc.constantFrom('', 'feedfeed', 'feedfeed0000000200000001', '3082', '30820100020103'),
      async (tail, head) => {
        const bytes = Buffer.concat([Buffer.from(head, 'hex'), tail]);
        for (const read of [openStore, readJks, readPem, readPkcs12])
          expect(await thrownBy(async () => await read({ bytes, file: 'f' }))).toBeUndefined();
        expect(await thrownBy(() => unlockJksKey(bytes, 'changeit'))).toBeUndefined();
      },
    ),
    { numRuns: 500 },
  );
});

test('what is authentic but no certificate passes through PKCS#12 unharmed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 64 }),
      fc.string({ maxLength: 20 }),
      async (der, alias) => {
        const entry = {
          kind: 'trusted',
          alias: alias.toLowerCase(),
          created: undefined,
          certificates: [Buffer.from(der)],
        } as const;
        expect(
          (await readPkcs12({ bytes: await writePkcs12([entry], 'pw'), file: 'f', password: 'pw' })).entries,
        ).toEqual([entry]);
      },
    ),
    { numRuns: 20 },
  );
});

test('a file of nothing but tiny ASN.1 elements is bounded in time and memory', async () => {
  const body = Buffer.alloc(1024 * 1024 - 8, Buffer.from('0500', 'hex'));
  const bytes = Buffer.concat([
    Buffer.from('3083', 'hex'),
    Buffer.from((body.length + 3).toString(16).padStart(6, '0'), 'hex'),
    Buffer.from('020103', 'hex'),
    body,
  ]);
  expect(await thrownBy(async () => await openStore({ bytes, file: 'f' }))).toBeUndefined();
  expect(
    await thrownBy(
      async () => await openStore({ bytes: Buffer.alloc(1024 * 1024, Buffer.from('30800000', 'hex')), file: 'f' }),
    ),
  ).toBeUndefined();
});
