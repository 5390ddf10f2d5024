import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createSecureContext, createServer, type Server } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadTruststore } from '../../../agent/trust/truststore.ts';
import { systemCode } from '../../../shared/errors.ts';
import { writeJks } from '../../../shared/keystore/jks.ts';
import type { TrustedEntry } from '../../../shared/keystore/material.ts';
import { fixture, KEYSTORES } from '../../shared/keystore/peers.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const FIELD_FILES = new URL('../../fixtures/field-files/', import.meta.url).pathname;

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

async function file(name: string, bytes: Uint8Array | string): Promise<string> {
  await writeFile(join(folder, name), bytes);
  return join(folder, name);
}

function trusted(alias: string, der: Buffer): TrustedEntry {
  return { kind: 'trusted', alias, created: new Date(), certificates: [der] };
}

describe('loadTruststore', () => {
  test.each([
    ['truststore.jks', 'jks', 2],
    ['truststore-pkcs12.jks', 'pkcs12', 2],
    ['root-ec.crt', 'pem', 1],
    ['root-ec.cer', 'der', 1],
  ])('gives the certificates of %s as PEM that TLS takes', async (name, format, count) => {
    const { format: found, ca, certificates, warnings } = await loadTruststore({ path: join(KEYSTORES, name) });
    expect([found, ca.length, warnings]).toEqual([format, count, []]);
    expect(certificates.at(-1)).toMatchObject({
      thumbprint: expect.stringMatching(/^(D5:89|56:51)(:[0-9A-F]{2}){30}$/),
      subject: expect.stringContaining('CN=Example Bank'),
    });
    expect(() => createSecureContext({ ca: [...ca] })).not.toThrow();
  });

  test('takes the declared type as a hint only', async () => {
    expect(
      (await loadTruststore({ path: join(KEYSTORES, 'truststore-pkcs12.jks'), declaredType: 'JKS' })).warnings,
    ).toEqual([expect.stringContaining('declared as JKS')]);
  });

  test('warns of an expired certificate and of one that is not yet valid, with the date', async () => {
    const path = join(KEYSTORES, 'root-ec.crt');
    expect((await loadTruststore({ path, now: new Date('2050-01-01') })).warnings).toEqual([
      expect.stringContaining('expired on 2046-11-17'),
    ]);
    expect((await loadTruststore({ path, now: new Date('2020-01-01') })).warnings).toEqual([
      expect.stringContaining('valid from 2026-11-22 on only'),
    ]);
  });

  test('names what is wrong with a path that names nothing, and else the command that makes the store', async () => {
    await expect(loadTruststore({ path: join(folder, 'C:qsystem'), hints: ['Write it twice.'] })).rejects.toMatchObject(
      {
        code: 'file_missing',
        hint: 'Write it twice.',
      },
    );
    for (const [name, type] of [
      ['t.p12', ''],
      ['cacerts', ' --type jks'],
    ]) {
      const path = join(folder, name ?? '');
      await expect(loadTruststore({ path })).rejects.toMatchObject({
        hint: expect.stringContaining(`import "${path}" --certificate central-root.cer${type}`),
      });
    }
  });

  test('says that the store of the system is meant and not read, whether there is another one or not', async () => {
    const system = 'trustStoreType=Windows-ROOT';
    expect((await loadTruststore({ path: join(KEYSTORES, 'truststore.jks'), system })).warnings).toEqual([
      expect.stringContaining('the store of the operating system, which this agent does not read'),
    ]);
    await expect(loadTruststore({ path: join(folder, 't.jks'), system })).rejects.toMatchObject({
      code: 'truststore_of_system',
    });
  });

  test.each(['bad-feb30.pem', 'utc-noseconds.pem'])('leaves out %s, and says so', async (name) => {
    const odd = await readFile(join(FIELD_FILES, name));
    const path = await file('t.pem', Buffer.concat([odd, fixture('root-ec.crt')]));
    const { ca, warnings } = await loadTruststore({ path });
    expect(ca).toHaveLength(1);
    expect(warnings).toEqual([expect.stringContaining('left out')]);
    await expect(loadTruststore({ path: await file('only.pem', odd) })).rejects.toMatchObject({
      code: 'keystore_no_certificate',
    });
  });

  test('trusts a certificate without a subject, and an authority that has the name of its server', async () => {
    const { certificates, warnings } = await loadTruststore({ path: join(FIELD_FILES, 'empty-subject.jks') });
    expect(certificates.map(({ subject }) => subject)).toContain(
      '(no name), valid for DNS:central, DNS:localhost, IP Address:127.0.0.1',
    );
    expect(warnings).toEqual([]);
    expect((await loadTruststore({ path: join(FIELD_FILES, 'samedn.jks') })).ca).toHaveLength(2);
  });

  test('leaves out an entry that OpenSSL does not read, and says so', async () => {
    const path = await file(
      't.jks',
      writeJks([trusted('odd', Buffer.from('3003020100', 'hex')), trusted('good', fixture('root-ec.cer'))], 'changeit'),
    );
    expect(await loadTruststore({ path })).toMatchObject({
      ca: [expect.anything()],
      warnings: [expect.stringContaining('"odd"')],
    });
  });
});

describe('a TLS connection with the ca of loadTruststore', () => {
  let server: Server;
  beforeEach(async () => {
    server = createServer({ cert: fixture('central.crt'), key: fixture('central.key') }, (socket) =>
      socket.end(),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    server.close();
  });

  async function dial(path: string, servername: string): Promise<string> {
    const { ca } = await loadTruststore({ path });
    const socket = connect({
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      servername,
      ca: [...ca],
      allowPartialTrustChain: true,
    });
    try {
      await once(socket, 'secureConnect');
      return 'connected';
    } catch (error) {
      return systemCode(error) ?? String(error);
    } finally {
      socket.destroy();
    }
  }

  test.each([
    ['a JKS with the root', 'truststore.jks', 'central.example.test', 'connected'],
    ['a PKCS#12 with the root', 'truststore-pkcs12.jks', 'localhost', 'connected'],
    ['the certificate of the server alone, as Java would', 'central.crt', 'localhost', 'connected'],
    ['another authority', 'root-rsa.crt', 'localhost', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    ['another name', 'truststore.jks', 'central.example.org', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('%s: %s, %s: %s', async (_, name, servername, outcome) => {
    expect(await dial(join(KEYSTORES, name), servername)).toBe(outcome);
  });
});

describe('loadTruststore refuses', () => {
  test('a wrong password', async () => {
    await expect(loadTruststore({ path: join(KEYSTORES, 'truststore.jks'), password: 'wrong' })).rejects.toMatchObject({
      code: 'keystore_password_wrong',
    });
  });

  test('a truncated file', async () => {
    await expect(loadTruststore({ path: join(KEYSTORES, 'truncated.jks') })).rejects.toMatchObject({
      code: 'keystore_truncated',
    });
  });

  test('a tampered file', async () => {
    await expect(loadTruststore({ path: join(KEYSTORES, 'tampered.jks') })).rejects.toMatchObject({
      code: 'keystore_tampered',
    });
  });

  test('a JCEKS store', async () => {
    await expect(loadTruststore({ path: join(KEYSTORES, 'truststore.jceks') })).rejects.toMatchObject({
      code: 'keystore_jceks',
    });
  });

  test('an empty store', async () => {
    await expect(loadTruststore({ path: await file('t.jks', writeJks([], 'changeit')) })).rejects.toMatchObject({
      code: 'keystore_no_entries',
    });
  });

  test.each(['keystore.jks', 'keystore-modern.p12', 'keystore-legacy-rc2.p12', 'central.key'])(
    'a store with only private keys: %s',
    async (name) => {
      await expect(loadTruststore({ path: join(KEYSTORES, name) })).rejects.toMatchObject({
        code: 'keystore_only_private_keys',
        message: expect.stringContaining('1 private key and no trusted certificate'),
      });
    },
  );

  test('a text file named .jks', async () => {
    await expect(loadTruststore({ path: await file('t.jks', 'hello') })).rejects.toMatchObject({
      code: 'keystore_is_text',
    });
  });

  test('a file of 0 bytes, and one that does not exist', async () => {
    await expect(loadTruststore({ path: await file('t.jks', '') })).rejects.toMatchObject({
      code: 'keystore_file_empty',
    });
    await expect(loadTruststore({ path: join(folder, 'none.jks') })).rejects.toMatchObject({
      code: 'file_missing',
      hint: expect.stringContaining('queue-agent truststore import'),
    });
  });

  test('a PEM file without certificates', async () => {
    const path = await file('t.pem', '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n');
    await expect(loadTruststore({ path })).rejects.toMatchObject({
      code: 'keystore_no_certificate',
      message: expect.stringContaining('X509 CRL'),
    });
  });

  test('a store of which no certificate is readable: never an empty list of authorities', async () => {
    const path = await file('t.jks', writeJks([trusted('odd', Buffer.from('3003020100', 'hex'))], 'changeit'));
    await expect(loadTruststore({ path })).rejects.toMatchObject({ code: 'keystore_no_certificate' });
  });
});
