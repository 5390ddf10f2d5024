// The truststore commands on files as the field has them (test/fixtures/field-files): every class of odd file is
// listed, imported, converted and changed, or refused with its cause; no command ends with an error without a code.
import { createCipheriv, generateKeyPairSync, pbkdf2Sync } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { integer, octets, oid, sequence } from '../../../shared/asn1/writer.ts';
import { writeJks } from '../../../shared/keystore/jks.ts';
import type { StoreEntry, TrustedEntry } from '../../../shared/keystore/material.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { writePkcs12 } from '../../../shared/keystore/pkcs12.ts';
import { nameWarnings } from '../../../shared/truststore/describe.ts';
import { truststoreCommand } from '../../../shared/truststore/command.ts';
import { secretsFrom } from '../secrets.ts';
import { namesake } from '../x509/dated.ts';
import { fixture, KEYSTORES } from '../keystore/peers.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const FIELD = new URL('../../fixtures/field-files/', import.meta.url).pathname;
const ROOT = `${KEYSTORES}root-ec.crt`;
let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

async function command(...args: string[]) {
  let stdout = '';
  let stderr = '';
  const status = await truststoreCommand(args, {
    program: 'queue-agent',
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    secrets: secretsFrom(''),
    env: {},
  });
  // An error without a code is an unforeseen one.
  expect(/^error: /m.test(stderr)).toBe(/^ {2}\([a-z0-9_]+\)$/m.test(stderr));
  expect(stderr).not.toContain('This is a defect of this program');
  return { status, stdout, stderr };
}

async function copyOf(name: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, await readFile(join(FIELD, name)));
  return path;
}

async function aliasesIn(path: string): Promise<string[]> {
  return (await openStore({ bytes: await readFile(path), file: path })).entries.map(({ alias }) => alias);
}

function trusted(alias: string, name = 'root-ec.cer'): StoreEntry {
  return { kind: 'trusted', alias, created: new Date(0), certificates: [fixture(name)] };
}

describe('every file of the field', () => {
  const names = readdirSync(FIELD).filter((name) => name !== 'README.md');

  test.each(names)('%s is listed, imported from, imported into and converted, or refused with a code', async (name) => {
    const path = await copyOf(name);
    const lines = [
      ['list', path],
      ['import', join(folder, 'new.jks'), '--certificate', path, '--allow-leaf'],
      ['convert', path, '--to', join(folder, 'new.p12')],
      ['convert', path, '--to', join(folder, 'new.pem'), '--leave-out'],
      ['import', path, '--certificate', ROOT],
      ['list', path],
    ];
    // Done, a password that is missing, refused, or there already: never a failure, nor a line that is not understood.
    for (const line of lines) expect([0, 4, 6, 7]).toContain((await command(...line)).status);
  });
});

describe('truststore list', () => {
  test('shows a certificate without a name with its alternative names', async () => {
    const { status, stdout } = await command('list', join(FIELD, 'es.pem'));
    expect(status).toBe(0);
    expect(stdout).toContain(
      '  subject      (no name)\n  names        DNS:central, DNS:localhost, IP Address:127.0.0.1\n',
    );
  });

  test('shows dates that are none, and a certificate that is not used with the reason', async () => {
    const february = await command('list', join(FIELD, 'bad-feb30.pem'));
    expect([february.status, february.stdout]).toEqual([
      0,
      expect.stringContaining('2025-01-01 until an unreadable date'),
    ]);
    expect(february.stderr).toContain('has an unreadable date');
    const { status, stdout } = await command('list', join(FIELD, 'utc-noseconds.pem'));
    expect(status).toBe(0);
    expect(stdout).toContain('  subject      CN=utc-noseconds\n');
    expect(stdout).toContain('  not used     it cannot be read: utctime is too short\n');
  });

  test('warns of two certificates of one name with different keys, and of one that its namesake issued', async () => {
    const { status, stderr } = await command('list', join(FIELD, 'samedn.jks'));
    expect([status, stderr.split('\n')]).toEqual([
      0,
      [
        expect.stringMatching(
          /^warning: "ca", "srv" have one name \(O=Internet .*\) and different keys: only their finger/,
        ),
        expect.stringMatching(
          /^warning: "srv" \(O=.*\) names itself as its issuer, but is not signed by its own key: ano/,
        ),
        '',
      ],
    ]);
    const alone = await command('list', join(FIELD, 'samedn-srv.der'));
    expect([alone.status, alone.stderr]).toEqual([0, expect.stringMatching(/^warning: .* names itself as its issuer/)]);
    // One certificate twice, two names, a root that fits itself, and certificates without a name.
    const path = join(folder, 't.jks');
    const pairs = [trusted('a'), trusted('b')];
    await writeFile(path, writeJks(pairs, 'changeit'));
    for (const quiet of [path, join(FIELD, 'empty-name.pem'), join(FIELD, 'es-chain.pem')])
      expect((await command('list', quiet)).stderr).toBe('');
  });

  test('names a few of hundreds of one name, and does not verify the signature of each', () => {
    const broken = Buffer.from(namesake());
    broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1);
    const entries = Array.from({ length: 300 }, (_, place): TrustedEntry => {
      return {
        kind: 'trusted',
        alias: `n${place}`,
        created: undefined,
        certificates: [place === 299 ? namesake() : broken],
      };
    });
    const [first, ...more] = nameWarnings(entries);
    expect(first).toMatch(/^"n0", "n1", .*"n9", 290 more have one name \(CN=localhost\) and different keys/);
    expect(more).toHaveLength(10);
  });

  test('bounds an alias of thousands of characters, and shows one that is empty', async () => {
    const path = join(folder, 't.p12');
    await writeFile(path, await writePkcs12([trusted('l'.repeat(70_000)), trusted('', 'root-ec.cer')], 'changeit'));
    const { stdout } = await command('list', path);
    expect(stdout.length).toBeLessThan(2_000);
    expect(stdout).toContain('... (70000 characters)\n');
    expect(stdout).toContain('\n(no alias)\n');
  });
});

describe('truststore import', () => {
  test('keeps a server beside the authority of its name, which alone does not verify it', async () => {
    const path = join(folder, 't.jks');
    const { status } = await command('import', path, '--certificate', join(FIELD, 'samedn-v3-chain.pem'));
    expect([status, (await aliasesIn(path)).length]).toEqual([0, 2]);
  });

  test('gives aliases that differ only in case to Java one name each, and says so', async () => {
    const path = await copyOf('caseexact.jks');
    const { status, stderr } = await command('import', path, '--certificate', ROOT);
    expect([status, stderr]).toEqual([0, expect.stringContaining('the alias "Root" is "root-2" there')]);
    expect((await aliasesIn(path)).toSorted()).toEqual(['example-bank-ec-root', 'root', 'root-2']);
  });

  test('into PEM on one line leaves both certificates readable', async () => {
    const path = await copyOf('escaped-nl.pem');
    expect((await command('import', path, '--certificate', ROOT)).status).toBe(0);
    expect(await aliasesIn(path)).toHaveLength(2);
    expect((await readFile(path, 'utf8')).match(/^-----BEGIN CERTIFICATE-----$/gm)).toHaveLength(2);
  });

  test('a file of several certificates whole or not at all', async () => {
    const bundle = join(folder, 'bundle.pem');
    const damaged = fixture('root-ec.crt').toString().replace('MII', '*II');
    await writeFile(bundle, `${fixture('root-rsa.crt').toString()}${damaged}`);
    const { status, stderr } = await command('import', join(folder, 't.jks'), '--certificate', bundle);
    expect([status, stderr]).toEqual([6, expect.stringContaining('(keystore_damaged)')]);
  });

  test('into a store without a password keeps it without one', async () => {
    const path = await copyOf('mac-null.p12');
    expect((await command('import', path, '--certificate', ROOT)).status).toBe(0);
    expect(await openStore({ bytes: await readFile(path), file: path, password: '' })).toMatchObject({ password: '' });
  });
});

describe('truststore delete', () => {
  test('takes the fingerprint for an alias that cannot be typed', async () => {
    const path = join(folder, 't.p12');
    await writeFile(
      path,
      await writePkcs12([trusted('l'.repeat(300)), trusted('', 'root-ec.cer')].slice(0, 1), 'changeit'),
    );
    await command('import', path, '--certificate', `${KEYSTORES}root-rsa.crt`);
    const { stdout } = await command('list', path);
    const fingerprint = /llll[\s\S]*?SHA-256 +(\S+)/.exec(stdout)?.[1] ?? '';
    expect((await command('delete', path, '--fingerprint', fingerprint)).status).toBe(0);
    expect(await aliasesIn(path)).toEqual(['example-bank-root-ca']);
    expect((await command('delete', path)).stderr).toContain('--fingerprint names it too');
    expect((await command('delete', path, '--fingerprint', fingerprint)).stderr).toContain(
      '(truststore_fingerprint_unknown)',
    );
  });
});

describe('keys whose derivation takes long', () => {
  const ITERATIONS = 1_000_000;

  /** Four keys: opening them all is more than the work that one store may ask for. */
  async function slowKeys(path: string): Promise<Buffer> {
    const [salt, iv] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
    const pkcs8 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' });
    const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync('changeit', salt, ITERATIONS, 32, 'sha256'), iv);
    const prf = sequence(oid('1.2.840.113549.2.9'));
    const kdf = sequence(oid('1.2.840.113549.1.5.12'), sequence(octets(salt), integer(ITERATIONS), prf));
    const scheme = sequence(oid('2.16.840.1.101.3.4.1.42'), octets(iv));
    const key = sequence(
      sequence(oid('1.2.840.113549.1.5.13'), sequence(kdf, scheme)),
      octets(Buffer.concat([cipher.update(pkcs8), cipher.final()])),
    );
    const certificates = [fixture('root-ec.cer')];
    const entries = Array.from({ length: 4 }, (_, place) => ({
      kind: 'key' as const,
      alias: `k${place}`,
      created: new Date(place),
      certificates,
      protection: 'pkcs8' as const,
      key,
    }));
    await writeFile(path, await writePkcs12(entries, 'changeit'));
    return await readFile(path);
  }

  test('are listed, and refused as a whole by convert and change-password: nothing is written', async () => {
    const path = join(folder, 'slow.p12');
    const before = await slowKeys(path);
    const password = join(folder, 'password');
    await writeFile(password, 'another-one\n');
    expect((await command('list', path)).stdout).toContain('4 entries');
    for (const line of [
      ['convert', path, '--to', join(folder, 'n.jks')],
      ['change-password', path, '--new-password-file', password],
    ]) {
      const { status, stderr } = await command(...line);
      expect([status, stderr]).toEqual([6, expect.stringContaining('The 4 private keys of ')]);
      expect(stderr).toContain('(truststore_too_much_work)');
      expect(stderr).toContain(
        `keytool -importkeystore -srckeystore "${path}" -destkeystore "${path}.new" -deststoretype ${line[0] === 'convert' ? 'JKS' : 'PKCS12'}`,
      );
    }
    expect(readdirSync(folder).toSorted()).toEqual(['password', 'slow.p12']);
    expect((await readFile(path)).equals(before)).toBe(true);
  });
});

describe('truststore convert', () => {
  test.each([
    ['key-and-root.jks', 'the chain of "key" is 3 certificates there'],
    ['leaf-and-int.jks', 'the chain of "key" is 2 certificates there'],
  ])('links the chain of %s with the entries that it trusts, as keytool does', async (name, note) => {
    const { status, stdout } = await command('convert', join(FIELD, name), '--to', join(folder, 'n.p12'));
    expect([status, stdout]).toEqual([0, expect.stringContaining(note)]);
  });

  test.each([
    ['chain-dup.jks', 'certificate 2 is in it twice'],
    ['chain-gap.jks', 'certificate 2 is not the issuer of certificate 1'],
    ['chain-wrongorder.jks', 'certificate 2 is not the issuer of certificate 1'],
  ])('refuses %s as keytool does, with the cause', async (name, cause) => {
    const to = join(folder, 'n.p12');
    const { status, stderr } = await command('convert', join(FIELD, name), '--to', to);
    expect([status, stderr]).toEqual([6, expect.stringContaining(cause)]);
    expect(stderr).toContain('(truststore_chain_invalid)');
    expect((await command('convert', join(FIELD, name), '--to', to, '--leave-out')).stdout).toContain('left out');
  });

  test('two keys of one millisecond keep their own chains', async () => {
    const store = await openStore({ bytes: await readFile(join(FIELD, 'key-and-root.jks')), file: 'f' });
    const key = store.entries.find(({ kind }) => kind === 'key');
    if (key?.kind !== 'key') throw new Error('the fixture has a key');
    const other = { ...key, alias: 'other', certificates: [fixture('root-ec.cer')] };
    const path = join(folder, 't.jks');
    await writeFile(path, writeJks([key, other], 'changeit'));
    expect((await command('convert', path, '--to', join(folder, 'n.p12'))).status).toBe(0);
  });

  test.each([
    [' spaced alias ', 'spaced alias'],
    ['', 'certificate'],
    ['a'.repeat(300), 'a'.repeat(255)],
    ['with\na\u0007bell', 'with?a?bell'],
  ])('writes the alias %j into PEM as %j, and says so', async (alias, expected) => {
    const path = join(folder, 't.jks');
    await writeFile(path, writeJks([trusted(alias)], 'changeit'));
    const to = join(folder, 'n.pem');
    const { status, stdout } = await command('convert', path, '--to', to);
    expect([status, stdout]).toEqual([0, expect.stringContaining('the alias "')]);
    expect(await aliasesIn(to)).toEqual([expected]);
  });

  test('cuts an alias that JKS cannot hold, and says so', async () => {
    const path = join(folder, 't.p12');
    await writeFile(path, await writePkcs12([trusted('\u00e4'.repeat(40_000))], 'changeit'));
    const to = join(folder, 'n.jks');
    const { status, stdout } = await command('convert', path, '--to', to);
    expect([status, stdout]).toEqual([0, expect.stringContaining('(40000 characters)" is "')]);
    expect(await aliasesIn(to)).toEqual(['\u00e4'.repeat(255)]);
  });

  test('TRUSTED CERTIFICATE and several in DER become entries', async () => {
    const der = join(folder, 'two.cer');
    await writeFile(der, Buffer.concat([fixture('root-ec.cer'), await readFile(join(FIELD, 'samedn-srv.der'))]));
    await copyFile(join(FIELD, 'trusted-servers.pem'), join(folder, 't.pem'));
    for (const [from, count] of [
      [der, 2],
      [join(folder, 't.pem'), 1],
    ] as const) {
      const to = join(folder, `${count}.jks`);
      expect((await command('convert', from, '--to', to)).status).toBe(0);
      expect(await aliasesIn(to)).toHaveLength(count);
    }
  });
});
