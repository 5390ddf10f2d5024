// What an agent trusts is the truststore of its profile and what Central gave, each certificate once.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { saveManagedRoots } from '../../../agent/trust/managed-roots.ts';
import { loadTrusted } from '../../../agent/trust/trusted.ts';
import { encodeStore } from '../../../shared/keystore/open.ts';
import { certificatesInPem } from '../../../shared/x509/certificates.ts';
import { temporaryFolder } from '../../central/pki/folder.ts';

const pem = readFileSync('test/fixtures/keystores/root-ec.crt', 'latin1');
const managed = certificatesInPem(pem).map(({ raw }) => raw);

function setUp() {
  const folder = temporaryFolder();
  const path = folder.path('conf/truststore.pem');
  mkdirSync(dirname(path));
  const truststore = { path, password: 'changeit', declaredType: undefined, origin: 'test' };
  return { dataFolder: folder.path('.'), path, conf: { truststore, dataFolder: folder.path('.') } };
}

it('has a certificate once that both hold', async () => {
  const { dataFolder, path, conf } = setUp();
  writeFileSync(path, pem);
  await saveManagedRoots(dataFolder, managed);
  const { ca, fromCentral, truststore } = await loadTrusted(conf);
  expect([ca.length, fromCentral.length, truststore?.certificates.length]).toEqual([1, 1, 1]);
});

it('is what Central gave where the profile has no truststore, an empty one, or the one of the system', async () => {
  const { dataFolder, path, conf } = setUp();
  await expect(loadTrusted(conf)).rejects.toMatchObject({ code: 'file_missing' });
  await saveManagedRoots(dataFolder, managed);
  expect((await loadTrusted(conf)).ca).toHaveLength(1);
  const ofSystem = { ...conf, truststore: { ...conf.truststore, system: 'trustStore=NONE' } };
  expect(await loadTrusted(ofSystem)).toMatchObject({ truststore: undefined });
  writeFileSync(path, await encodeStore('jks', [], 'changeit'));
  expect((await loadTrusted(conf)).ca).toHaveLength(1);
});

it('is an error where the truststore of the profile is damaged or has another password, whatever Central gave', async () => {
  const { dataFolder, path, conf } = setUp();
  await saveManagedRoots(dataFolder, managed);
  writeFileSync(path, Buffer.alloc(64, 7));
  await expect(loadTrusted(conf)).rejects.toMatchObject({ code: expect.stringMatching(/^keystore_/) });
  copyFileSync('test/fixtures/keystores/truststore.jks', path);
  const wrong = { ...conf, truststore: { ...conf.truststore, password: 'another' } };
  await expect(loadTrusted(wrong)).rejects.toMatchObject({ code: expect.stringMatching(/^keystore_/) });
});
