import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { openAuthority } from '../../../../central/pki/authority/authority.ts';
import { makeKeyPair } from '../../../../central/pki/x509/key-algorithms.ts';
import { chainPem, commonName, hostsOf, readChain, thumbprintOf } from '../../../../central/pki/x509/certificate.ts';
import { readRequest } from '../../../../central/pki/x509/csr.ts';
import { distinguishedNameFault, sameDistinguishedName } from '../../../../central/pki/x509/distinguished-name.ts';
import { memoryStore } from '../../fakes.ts';
import { openssl, temporaryFolder } from '../folder.ts';
import { validityOf } from '../../../../shared/x509/validity.ts';
import { NEW_EC_KEY } from '../../../tool-arguments.ts';

const authority = async () =>
  await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now: Date.now });

describe('certificates that the authority makes', () => {
  test('a server certificate passes openssl: chain, purpose, host names and addresses', async () => {
    const folder = temporaryFolder();
    const root = await authority();
    const { publicKey } = await makeKeyPair();
    const leaf = await root.issueServer({
      subject: 'CN=central.test, O=Bank',
      names: ['central.test', '10.1.2.3', '::1'],
      publicKey,
      lifetimeDays: 365,
    });
    const ca = folder.write('root.pem', root.pem);
    const pem = folder.write('leaf.pem', chainPem([leaf]));

    expect(openssl('verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', ca, pem)).toContain('OK');
    expect(openssl('x509', '-in', pem, '-noout', '-checkhost', 'central.test')).toContain('does match');
    expect(openssl('x509', '-in', pem, '-noout', '-checkhost', 'other.test')).toContain('does NOT match');
    expect(openssl('x509', '-in', pem, '-noout', '-checkip', '10.1.2.3')).toContain('does match');
    expect(openssl('x509', '-in', pem, '-noout', '-checkip', '::1')).toContain('does match');
    expect(() => openssl('verify', '-purpose', 'sslclient', '-CAfile', ca, pem)).toThrow(
      /unsuitable certificate purpose|unsupported certificate purpose/i,
    );
    const text = openssl('x509', '-in', pem, '-noout', '-text');
    expect(text).toContain('ecdsa-with-SHA256');
    expect(text).toContain('Digital Signature');
    expect(text).toMatch(/Subject: CN *= *central\.test, O *= *Bank/);
  });

  test('an agent certificate passes openssl as a client, not as a server, and carries its id as URI', async () => {
    const folder = temporaryFolder();
    const root = await authority();
    const { publicKey } = await makeKeyPair();
    const leaf = await root.issueAgent({ id: 'branch 7/é', name: 'branch-7', publicKey, lifetimeDays: 30 });
    const ca = folder.write('root.pem', root.pem);
    const pem = folder.write('leaf.pem', chainPem([leaf]));

    expect(openssl('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', ca, pem)).toContain('OK');
    expect(() => openssl('verify', '-purpose', 'sslserver', '-CAfile', ca, pem)).toThrow(
      /unsuitable certificate purpose|unsupported certificate purpose/i,
    );
    expect(leaf.subjectAltName).toBe('URI:urn:queuegate:agent:branch%207%2F%C3%A9');
  });

  test('the root is a strict authority: CA, key usages, path length', async () => {
    const folder = temporaryFolder();
    const text = openssl('x509', '-in', folder.write('root.pem', (await authority()).pem), '-noout', '-text');
    expect(text).toContain('CA:TRUE, pathlen:1');
    expect(text).toContain('Certificate Sign, CRL Sign');
    expect(text).toContain('X509v3 Subject Key Identifier');
  });

  test('serial numbers are positive, 16 bytes long and never the same', async () => {
    const root = await authority();
    const { publicKey } = await makeKeyPair();
    const serials = new Set<string>();
    for (let i = 0; i < 50; i += 1)
      serials.add((await root.issueAgent({ id: 'a', name: 'a', publicKey, lifetimeDays: 1 })).serialNumber);
    expect(serials.size).toBe(50);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  test('a certificate is valid a few minutes ago, for machines whose clock runs late, and never outlives the root', async () => {
    const root = await authority();
    const { publicKey } = await makeKeyPair();
    const leaf = await root.issueAgent({ id: 'a', name: 'a', publicKey, lifetimeDays: 100 * 365 });
    expect(validityOf(leaf).from.getTime()).toBeLessThan(Date.now() - 4 * 60_000);
    expect(validityOf(leaf).to).toEqual(validityOf(root.certificate).to);
  });
});

describe('certificate requests', () => {
  test('a request made by openssl is read, and its signature shown to fit', async () => {
    const folder = temporaryFolder();
    openssl(
      'req',
      '-new',
      ...NEW_EC_KEY,
      '-subj',
      '/CN=a',
      '-keyout',
      folder.path('key.pem'),
      '-out',
      folder.path('csr.pem'),
    );
    const pem = openssl('req', '-in', folder.path('csr.pem'));
    const request = readRequest(pem);
    const der = openssl('req', '-in', folder.path('csr.pem'), '-noout', '-pubkey');
    expect(der).toContain(request.spki.toString('base64').slice(0, 64));
  });

  test('a request whose signature was tampered with is refused', async () => {
    const folder = temporaryFolder();
    openssl(
      'req',
      '-new',
      ...NEW_EC_KEY,
      '-subj',
      '/CN=abcdef',
      '-keyout',
      folder.path('key.pem'),
      '-out',
      folder.path('csr.pem'),
    );
    const pem = openssl('req', '-in', folder.path('csr.pem'));
    const der = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64');
    der.write('fedcba', der.indexOf('abcdef'));
    expect(() =>
      readRequest(
        `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`,
      ),
    ).toThrow(expect.objectContaining({ code: 'csr_signature' }));
  });

  test('a request with an RSA key or another curve is refused, and what it is, is said', async () => {
    const folder = temporaryFolder();
    for (const [kind, found] of [
      ['rsa:2048', 'rsa'],
      ['ec:secp384r1', 'ec secp384r1'],
    ] as const) {
      const [type, curve] = kind.split(':');
      const newKey = type === 'rsa' ? ['-newkey', kind] : ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${curve}`];
      openssl(
        'req',
        '-new',
        ...newKey,
        '-nodes',
        '-subj',
        '/CN=a',
        '-keyout',
        folder.path('key.pem'),
        '-out',
        folder.path('csr.pem'),
      );
      expect(() => readRequest(openssl('req', '-in', folder.path('csr.pem')))).toThrow(
        expect.objectContaining({ code: 'csr_key_type', message: expect.stringContaining(found) }),
      );
    }
  });

  test('garbage is refused with a text, not with a stack', async () => {
    for (const text of ['', 'hello', '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----']) {
      expect(() => readRequest(text)).toThrow(expect.objectContaining({ code: 'csr_unreadable' }));
    }
  });
});

describe('names and chains', () => {
  test('names with special characters survive in the subject', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(privateKey.type).toBe('private');
    const root = await authority();
    const leaf = await root.issueServer({
      subject: commonName('a,b+c="d"'),
      names: ['localhost'],
      publicKey,
      lifetimeDays: 1,
    });
    expect(leaf.toLegacyObject().subject.CN).toBe('a,b+c="d"');
  });

  test('what is not a distinguished name is reported with its reason', () => {
    expect(distinguishedNameFault('CN=central, O=Bank')).toBeUndefined();
    for (const bad of ['', 'central', 'CN', 'XX=1', '=x']) expect(distinguishedNameFault(bad)).toBeTypeOf('string');
    expect(sameDistinguishedName('CN=a, O=b', 'CN=a,O=b')).toBe(true);
    expect(sameDistinguishedName('CN=a, O=b', 'CN=a, O=c')).toBe(false);
  });

  test('a chain is read in its order; text without a certificate is refused', async () => {
    const root = await authority();
    const { publicKey } = await makeKeyPair();
    const leaf = await root.issueServer({
      subject: 'CN=a',
      names: ['a.test', '127.0.0.1'],
      publicKey,
      lifetimeDays: 1,
    });
    const chain = readChain(`some words\n${chainPem([leaf, root.certificate])}`, 'The chain');
    expect(chain.map(thumbprintOf)).toEqual([thumbprintOf(leaf), thumbprintOf(root.certificate)]);
    expect(hostsOf(leaf)).toEqual(['a.test', '127.0.0.1']);
    expect(() => readChain('nothing', 'The chain')).toThrow(/The chain cannot be read as a certificate/);
  });
});
