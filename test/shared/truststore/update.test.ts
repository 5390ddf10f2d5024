// Changing what a store trusts in one step, in each format, with keytool and openssl as witnesses.
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fingerprintOf, updateTrusted } from '../../../shared/truststore/update.ts';
import { openFile } from '../../../shared/truststore/write.ts';
import { keytool } from '../../central/pki/server/bank.ts';
import { openssl, temporaryFolder, type Folder } from '../../central/pki/folder.ts';
import { NEW_EC_KEY } from '../../tool-arguments.ts';

const PASSWORD = 'changeit';

function root(folder: Folder, name: string): Buffer {
  openssl(
    'req',
    '-x509',
    ...NEW_EC_KEY,
    '-keyout',
    folder.path(`${name}.key`),
    '-subj',
    `/CN=${name}`,
    '-days',
    '30',
    '-out',
    folder.path(`${name}.crt`),
  );
  return new X509Certificate(readFileSync(folder.path(`${name}.crt`))).raw;
}

const none = new Set<string>();

async function subjectsIn(file: string): Promise<string[]> {
  const { store } = await openFile(file, PASSWORD);
  return store.entries
    .map(({ certificates: [der] }) => (der === undefined ? '' : new X509Certificate(der).subject))
    .toSorted();
}

describe('updating a truststore', () => {
  it.each(['truststore.jks', 'truststore.p12', 'truststore.pem'])(
    '%s: adds and takes out in one step, and what a person put there stays under its alias',
    async (name) => {
      const folder = temporaryFolder();
      const file = folder.path(name);
      const [hand, old, next] = [root(folder, 'by-hand'), root(folder, 'old'), root(folder, 'next')];
      const first = await updateTrusted({ file, password: PASSWORD, add: [hand, old], remove: none });
      expect(first.added.map(({ alias }) => alias)).toEqual(['by-hand', 'old']);
      const { added, removed, trusted } = await updateTrusted({
        file,
        password: PASSWORD,
        add: [hand, next],
        remove: new Set([fingerprintOf(old)]),
      });
      expect([added.map(({ alias }) => alias), removed.map(({ alias }) => alias)]).toEqual([['next'], ['old']]);
      expect(trusted.map((der) => fingerprintOf(der)).toSorted()).toEqual(
        [hand, next].map((der) => fingerprintOf(der)).toSorted(),
      );
      expect(await subjectsIn(file)).toEqual(['CN=by-hand', 'CN=next']);
      const listed = name.endsWith('.pem')
        ? openssl('storeutl', '-noout', '-text', '-certs', file)
        : keytool('-list', '-v', '-keystore', file, '-storepass', PASSWORD);
      expect(listed).toMatch(/CN ?= ?by-hand[\s\S]*CN ?= ?next/);
      expect(listed).not.toMatch(/CN ?= ?old/);
    },
  );

  it('writes nothing when there is nothing to change, or when the change is not accepted', async () => {
    const folder = temporaryFolder();
    const file = folder.path('truststore.jks');
    const [one, two] = [root(folder, 'one'), root(folder, 'two')];
    await updateTrusted({ file, password: PASSWORD, add: [one], remove: none });
    const bytes = readFileSync(file);
    expect(
      await updateTrusted({ file, password: PASSWORD, add: [one], remove: new Set([fingerprintOf(two)]) }),
    ).toMatchObject({ added: [], removed: [] });
    const accept = async (): Promise<void> => {
      throw new Error('not so');
    };
    await expect(updateTrusted({ file, password: PASSWORD, add: [two], remove: none, accept })).rejects.toThrow(
      'not so',
    );
    await expect(
      updateTrusted({ file, password: PASSWORD, add: [], remove: new Set([fingerprintOf(one)]) }),
    ).rejects.toMatchObject({ code: 'truststore_would_be_empty' });
    await expect(updateTrusted({ file, password: 'wrong password', add: [two], remove: none })).rejects.toMatchObject({
      code: 'keystore_password_wrong',
    });
    expect(readFileSync(file)).toEqual(bytes);
  });

  it('keeps the comments of a PEM bundle, and a private key in a JKS whose certificate is to go', async () => {
    const folder = temporaryFolder();
    const [kept, gone] = [root(folder, 'kept'), root(folder, 'gone')];
    const pem = folder.path('roots.pem');
    writeFileSync(
      pem,
      `# first\n\n${readFileSync(folder.path('gone.crt'), 'utf8')}\n# the one we keep\n${readFileSync(folder.path('kept.crt'), 'utf8')}`,
    );
    await updateTrusted({ file: pem, password: undefined, add: [kept], remove: new Set([fingerprintOf(gone)]) });
    expect(readFileSync(pem, 'utf8')).toMatch(/^# first\n\n+# the one we keep\n-----BEGIN/);
    const jks = folder.path('keys.jks');
    keytool(
      '-genkeypair',
      '-alias',
      'server',
      '-keyalg',
      'EC',
      '-groupname',
      'secp256r1',
      '-dname',
      'CN=server',
      '-keystore',
      jks,
      '-storetype',
      'JKS',
      '-storepass',
      PASSWORD,
      '-keypass',
      PASSWORD,
    );
    const own = new X509Certificate(
      keytool('-exportcert', '-rfc', '-alias', 'server', '-keystore', jks, '-storepass', PASSWORD),
    ).raw;
    await updateTrusted({ file: jks, password: PASSWORD, add: [kept], remove: new Set([fingerprintOf(own)]) });
    expect(keytool('-list', '-keystore', jks, '-storepass', PASSWORD)).toMatch(
      /contains 2 entries[\s\S]*PrivateKeyEntry/,
    );
  });
});
