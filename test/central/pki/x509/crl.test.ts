// The revocation lists, read by openssl: what is on them, who signed them, how long they are good; and when they are
// made.
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CENTRAL } from '../../../../central/audit.ts';
import { openAuthority, type Authority } from '../../../../central/pki/authority/authority.ts';
import { chainPem, makeCertificate, thumbprintOf } from '../../../../central/pki/x509/certificate.ts';
import { makeCrl } from '../../../../central/pki/x509/crl.ts';
import { makeKeyPair } from '../../../../central/pki/x509/key-algorithms.ts';
import { RevocationLists } from '../../../../central/pki/revocation-lists.ts';
import type { CertificateStore, RevocationReason } from '../../../../central/store/certificate-store.ts';
import { memoryStore } from '../../fakes.ts';
import { lacksPeer } from '../../../flow/false-hosts.ts';

const DAY = 86_400_000;
const folder = mkdtempSync(join(tmpdir(), 'queuegate-crl-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function openssl(...args: string[]): { code: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  return { code: status, text: `${stdout}${stderr}` };
}

let authority: Authority;
let [stolen, old, good]: X509Certificate[] = [];
beforeAll(async () => {
  authority = await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now: Date.now });
  const issue = async (name: string) =>
    await authority.issueAgent({ id: name, name, publicKey: (await makeKeyPair()).publicKey, lifetimeDays: 30 });
  [stolen, old, good] = [await issue('stolen'), await issue('old'), await issue('good')];
});

const revoked = (certificate: X509Certificate | undefined, reason: RevocationReason, at = Date.now()) => ({
  thumbprint: certificate === undefined ? '' : thumbprintOf(certificate),
  serial: certificate?.serialNumber ?? '',
  revoked: { at, reason },
});

/** Lists over what a test says is revoked. */
function lists(entries: () => ReturnType<typeof revoked>[], clock = { now: Date.now() }) {
  const asked: number[] = [];
  const revokedBy: CertificateStore['revokedBy'] = async ({ issuer, endsAfter, after = '', limit }) => {
    asked.push(endsAfter);
    return issuer === authority.current().id
      ? entries()
          .filter(({ thumbprint }) => thumbprint > after)
          .toSorted((a, b) => (a.thumbprint < b.thumbprint ? -1 : 1))
          .slice(0, limit)
      : [];
  };
  return { made: new RevocationLists({ authority, certificates: { revokedBy }, now: () => clock.now }), clock, asked };
}

describe.skipIf(lacksPeer('openssl'))('a revocation list, to openssl', () => {
  test('is signed by the authority, good for a week, and says what is revoked and why', async () => {
    const { made } = lists(() => [revoked(stolen, 'keyCompromise'), revoked(old, 'superseded')]);
    const root = file('root.pem', authority.pem);
    const list = file('crl.der', await made.der());
    const shown = openssl('crl', '-inform', 'DER', '-in', list, '-CAfile', root, '-noout', '-text');
    expect(shown).toMatchObject({ code: 0, text: expect.stringContaining('verify OK') });
    expect(shown.text).toMatch(
      /Version 2[^]*ecdsa-with-SHA256[^]*Issuer: CN ?= ?Queuegate root of central\.test, O ?= ?Queuegate/,
    );
    expect(shown.text).toMatch(/X509v3 Authority Key Identifier:[^]*X509v3 CRL Number/);
    expect(
      Array.from(shown.text.matchAll(/CRL Reason Code: ?\s+(.*)/g), ([, reason = '']) => reason).toSorted(),
    ).toEqual(['Key Compromise', 'Superseded']);
    const [, from = '', until = ''] = /Last Update: (.*)\n\s+Next Update: (.*)\n/.exec(shown.text) ?? [];
    expect(Date.parse(until) - Date.parse(from)).toBe(7 * DAY);
  });

  test('refuses the revoked certificate and no other', async () => {
    const { made } = lists(() => [revoked(stolen, 'unspecified')]);
    const root = file('root.pem', authority.pem);
    const list = file('crl.pem', await made.pem());
    const verify = (certificate: X509Certificate | undefined) =>
      openssl(
        'verify',
        '-CAfile',
        root,
        '-CRLfile',
        list,
        '-crl_check',
        file('agent.pem', certificate === undefined ? '' : chainPem([certificate])),
      );
    expect(verify(good)).toMatchObject({ code: 0, text: expect.stringContaining('OK') });
    expect(verify(stolen)).toMatchObject({ code: 2, text: expect.stringContaining('certificate revoked') });
    // RFC 5280 section 5.3.1: without a reason the list names none.
    expect(openssl('crl', '-in', list, '-noout', '-text').text).not.toContain('Reason Code');
  });

  test('is readable when nothing is revoked, and when the authority has an RSA key or a larger curve', () => {
    for (const [name, keys] of [
      ['rsa', generateKeyPairSync('rsa', { modulusLength: 2048 })],
      ['p384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
      ['p521', generateKeyPairSync('ec', { namedCurve: 'P-521' })],
    ] as const) {
      const root = file(
        `${name}.pem`,
        execFileSync('openssl', [
          'req',
          '-x509',
          '-new',
          '-key',
          file(`${name}.key`, keys.privateKey.export({ type: 'pkcs8', format: 'pem' })),
          '-subj',
          `/CN=${name}/O=Bänk`,
          '-utf8',
          '-days',
          '9',
        ]),
      );
      const issuer = new X509Certificate(execFileSync('openssl', ['x509', '-in', root]));
      const list = makeCrl({
        issuer,
        key: keys.privateKey,
        number: 1,
        thisUpdate: Date.now(),
        nextUpdate: Date.parse('2051-01-01T00:00:00Z'),
        entries: [],
      });
      const shown = openssl(
        'crl',
        '-inform',
        'DER',
        '-in',
        file(`${name}.crl`, list),
        '-CAfile',
        root,
        '-noout',
        '-text',
      );
      expect(shown.text, name).toContain('verify OK');
      expect(shown, name).toMatchObject({
        code: 0,
        text: expect.stringMatching(/Next Update: Jan {2}1 00:00:00 2051[^]*No Revoked Certificates/),
      });
    }
  });
});

/** The extension crlNumber. */
function numberOf(list: Buffer): bigint {
  const [, length = '0', rest = ''] = /551d140\d[0-9a-f]{2}02([0-9a-f]{2})([0-9a-f]+)/.exec(list.toString('hex')) ?? [];
  return BigInt(`0x${rest.slice(0, 2 * Number.parseInt(length, 16))}`);
}

describe('revocation lists', () => {
  test('are reissued after a revocation and each day, with a number that grows, and not in between', async () => {
    const all: ReturnType<typeof revoked>[] = [];
    const { made, clock, asked } = lists(() => all);
    await made.refresh();
    const first = await made.der();
    await made.refresh();
    expect(await made.der()).toBe(first);
    all.push(revoked(stolen, 'keyCompromise'));
    made.touch();
    await made.refresh();
    const second = await made.der();
    expect(second.length).toBeGreaterThan(first.length);
    clock.now += DAY;
    await made.refresh();
    expect(await made.der()).not.toEqual(second);
    // A certificate leaves them a day after its end.
    expect(asked.at(-1)).toBe(clock.now - DAY);
    expect(numberOf(second) > numberOf(first)).toBe(true);
  });

  test('of another node have what is revoked there at the next look, with numbers that grow from node to node', async () => {
    const all: ReturnType<typeof revoked>[] = [];
    const clock = { now: Date.now() };
    const [one, other] = [0, 1].map(
      (place) =>
        new RevocationLists({
          authority,
          certificates: { revokedBy: async ({ after }) => (after === undefined ? all : []) },
          isShared: true,
          place: () => place,
          now: () => clock.now,
        }),
    ) as [RevocationLists, RevocationLists];
    await Promise.all([one.refresh(), other.refresh()]);
    const [before, otherBefore] = [await one.der(), await other.der()];
    expect(numberOf(otherBefore)).toBe(numberOf(before) + 1n);
    await one.refresh();
    expect(await one.der()).toBe(before);
    all.push(revoked(stolen, 'keyCompromise'));
    clock.now += 1;
    await one.refresh();
    const after = await one.der();
    expect(numberOf(after) > numberOf(otherBefore)).toBe(true);
    expect(after.length).toBeGreaterThan(before.length);
  });

  test('name the lists of every generation', async () => {
    const { made } = lists(() => []);
    await made.refresh();
    await authority.replace(await authority.makeRoot(), CENTRAL);
    expect(String(await made.pem()).match(/BEGIN X509 CRL/g)).toHaveLength(2);
  });

  test('there is none of an authority that may not sign one', async () => {
    const { privateKey, publicKey } = await makeKeyPair();
    // A signing certificate's key usage is digitalSignature alone.
    const certificate = await makeCertificate({
      profile: 'signing',
      subject: 'CN=no lists',
      publicKey,
      lifetimeDays: 9,
      now: Date.now(),
      selfKey: privateKey,
    });
    const generation = {
      id: 'x',
      role: 'current',
      since: 0,
      origin: 'imported',
      chain: [certificate],
      key: privateKey,
    } as const;
    const made = new RevocationLists({
      authority: { current: () => generation, generations: () => [generation] },
      certificates: { revokedBy: async () => [] },
      now: Date.now,
    });
    await expect(made.der()).rejects.toMatchObject({ code: 'crl_unavailable', status: 404 });
  });
});
