// Long work leaves the event loop its turns; which work does so is listed here, too.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { makeCertificate, chainPem, privateKeyPem } from '../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../central/pki/x509/key-algorithms.ts';
import { readTruststore } from '../../central/profiles/contents/truststore.ts';
import { verificationFault } from '../../central/profiles/verification.ts';
import { der, explicit, integer, octets, oid, sequence, TAG } from '../../shared/asn1/writer.ts';
import { Breather } from '../../shared/breather.ts';
import { writeJks } from '../../shared/keystore/jks.ts';
import { openStore } from '../../shared/keystore/open.ts';
import { manifestText, parseManifest, readManifest } from '../../shared/releases/manifest.ts';
// Else the first one would wait for it.
import '../../shared/keystore/pkcs12.ts';
import { fixture } from './keystore/peers.ts';

const ROOT = fixture('root-ec.crt');
/** Without pauses, the whole work is one turn. */
const FEW_TURNS = 5;

/** The turns of the event loop during the work, whatever comes of it. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let [turns, ended] = [0, false];
  const result = work()
    .catch(() => undefined)
    .finally(() => (ended = true));
  while (!ended) {
    await nextTurn();
    turns += 1;
  }
  await result;
  return turns;
}

/** A PKCS#12 of some hundred bytes whose MAC takes so many iterations of PKCS#12's own derivation. */
function expensive(iterations: number): Buffer {
  const sha512 = sequence(oid('2.16.840.1.101.3.4.2.3'), der(TAG.null));
  const mac = sequence(sequence(sha512, octets(Buffer.alloc(64))), octets(Buffer.alloc(8)), integer(iterations));
  return sequence(integer(3), sequence(oid('1.2.840.113549.1.7.1'), explicit(octets(sequence()))), mac);
}

function work(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until;);
}

describe('a breather', () => {
  test('waits once a slice is used up, and not before', async () => {
    const breather = new Breather();
    expect(await turnsDuring(() => breather.pause())).toBeLessThanOrEqual(1);
    work(6);
    let isNextTurn = false;
    setImmediate(() => (isNextTurn = true));
    await breather.pause();
    expect(isNextTurn).toBe(true);
  });

  test('shares the turns: however many there are, one of them works in each', async () => {
    const lane = async (): Promise<void> => {
      const breather = new Breather();
      for (let i = 0; i < 3; i += 1) {
        work(6);
        await breather.pause();
      }
    };
    // Fifteen slices; the first of each begins before it has to wait.
    expect(await turnsDuring(() => Promise.all(Array.from({ length: 5 }, lane)))).toBeGreaterThanOrEqual(12);
  });
});

test('the manifest of a release is read in slices', async () => {
  const files = Array.from({ length: 10_000 }, (_, i) => ({
    path: `media/department-${i % 100}/announcements/announcement-${i}.wav`,
    size: 1,
    sha256: 'a'.repeat(64),
    executable: false,
  }));
  const text = manifestText({ kind: 'profile', name: 'p', files });
  expect(await turnsDuring(() => readManifest(text))).toBeGreaterThan(FEW_TURNS);
  expect(await readManifest(text)).toEqual(parseManifest(text));
});

test('a truststore of thousands of roots is tried in slices', async () => {
  const { privateKey: selfKey, publicKey } = await makeKeyPair();
  const order = { subject: 'CN=localhost', publicKey, selfKey, lifetimeDays: 1, now: Date.now() };
  const own = await makeCertificate({
    ...order,
    profile: 'server',
    alternativeNames: [{ type: 'dns', value: 'localhost' }],
  });
  const shown = { key: privateKeyPem(selfKey), chain: chainPem([own]), names: ['localhost'] };
  const others = Array.from({ length: 2_000 }, () => fixture('root-ec.cer'));
  expect(await turnsDuring(() => verificationFault(shown, [...others, own.raw]))).toBeGreaterThan(FEW_TURNS);
  const few = others.slice(0, 2);
  expect(await verificationFault(shown, [...few, own.raw])).toBeUndefined();
  expect(await verificationFault(shown, few)).toMatch(/self-signed certificate|unable to verify/);
});

describe('key stores leave the event loop its turns', () => {
  const entries = Array.from({ length: 3_000 }, (_, i) => ({
    kind: 'trusted' as const,
    alias: `root-${i}`,
    created: undefined,
    certificates: [fixture('root-ec.cer')] as const,
  }));

  test.each<[string, () => Promise<unknown>]>([
    ['a PKCS#12 with many iterations', () => openStore({ bytes: expensive(300_000), file: 'f', password: 'x' })],
    [
      'a bundle with millions of lines in one block and around it',
      () =>
        openStore({
          bytes: Buffer.from(`${'x\n'.repeat(500_000)}-----BEGIN A-----\n${'A\n'.repeat(500_000)}`),
          file: 'f',
        }),
    ],
    ['a bundle of many certificates', () => openStore({ bytes: Buffer.alloc(3_000 * ROOT.length, ROOT), file: 'f' })],
    [
      'a JKS of many certificates with another password',
      () => openStore({ bytes: writeJks(entries, 'x'), file: 'f', password: 'y' }),
    ],
    [
      'the truststore of a profile',
      () => readTruststore({ path: 't', bytes: writeJks(entries, 'changeit'), password: 'changeit' }),
    ],
  ])('%s', async (_title, read) => {
    expect(await turnsDuring(read)).toBeGreaterThan(FEW_TURNS);
  });

  test('PKCS#12 is read one file at a time: many of them do not take all threads of the pool', async () => {
    const ended: string[] = [];
    const read = (name: string, iterations: number): Promise<unknown> =>
      openStore({ bytes: expensive(iterations), file: name, password: 'x' }).catch(() => ended.push(name));
    await Promise.all([read('expensive', 50_000), read('cheap', 1)]);
    expect(ended).toEqual(['expensive', 'cheap']);
  });
});
