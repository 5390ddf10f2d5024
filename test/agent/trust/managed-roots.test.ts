// The file with what Central gave: written whole or not at all, private, and empty where it was never written.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { loadManagedRoots, saveManagedRoots, trustFile, trustFolder } from '../../../agent/trust/managed-roots.ts';

import { certificatesInPem, readCertificate } from '../../../shared/x509/certificates.ts';
import { temporaryFolder } from '../../central/pki/folder.ts';

const root = certificatesInPem(readFileSync('test/fixtures/keystores/root-ec.crt', 'latin1')).map(({ raw }) => raw);

it('holds what was saved last, in its order, and says whether that changed anything', async () => {
  const folder = temporaryFolder().path('.');
  expect(await loadManagedRoots(folder)).toEqual([]);
  expect(await saveManagedRoots(folder, root)).toBe(true);
  expect(await saveManagedRoots(folder, root)).toBe(false);
  expect((await loadManagedRoots(folder)).map((der) => readCertificate(der).subject)).toHaveLength(1);
  expect(statSync(trustFile(folder)).mode & 0o777).toBe(0o600);
});

it('replaces a file that cannot be read, and is an error until then', async () => {
  const folder = temporaryFolder().path('.');
  mkdirSync(trustFolder(folder));
  writeFileSync(trustFile(folder), '-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n');
  await expect(loadManagedRoots(folder)).rejects.toMatchObject({ code: 'trust_file_damaged' });
  expect(await saveManagedRoots(folder, root)).toBe(true);
  expect(await loadManagedRoots(folder)).toEqual(root);
});
