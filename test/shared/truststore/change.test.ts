// The commands that change a store, between our own formats and those tools that own them: keytool (JDK 17) and
// openssl, modern and -legacy. Nothing is ever lost unsaid, and a file that cannot be changed stays as it was, byte by
// byte.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { writeJks } from '../../../shared/keystore/jks.ts';
import type { StoreEntry } from '../../../shared/keystore/material.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { openKey } from '../../../shared/keystore/private-key.ts';
import { writePkcs12 } from '../../../shared/keystore/pkcs12.ts';
import { truststoreCommand } from '../../../shared/truststore/command.ts';
import { writeStore } from '../../../shared/truststore/write.ts';
import { fixture, KEYSTORES, lacks, run } from '../keystore/peers.ts';
import type { SecretInput } from '../../../shared/terminal/secret-input.ts';
import { secretsFrom } from '../secrets.ts';
import { importCertificate } from '../../tool-arguments.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

/** The line, with each password that a test names in it given as a user has to: by the standard input. */
function withoutPasswords(args: readonly string[]): { line: string[]; secrets: SecretInput } {
  const given = ['--password', '--new-password'].flatMap((flag) =>
    args.includes(flag) ? [args[args.indexOf(flag) + 1] ?? ''] : [],
  );
  const line = args.flatMap((word, i) =>
    /^--(new-)?password$/.test(word)
      ? [`${word}-file`, '-']
      : /^--(new-)?password$/.test(args[i - 1] ?? '')
        ? []
        : [word],
  );
  return { line, secrets: secretsFrom(given.join('\n')) };
}

async function command(...args: string[]) {
  const { line, secrets } = withoutPasswords(args);
  let stdout = '';
  let stderr = '';
  const status = await truststoreCommand(line, {
    program: 'queuegate',
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    secrets,
    env: {},
  });
  expect(stderr).not.toMatch(/^\s+at /m);
  return { status, stdout, stderr };
}

async function done(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await command(...args);
  expect([status, stderr.replaceAll(/^warning: .*\n/gm, '')]).toEqual([0, '']);
  return stdout;
}

/** A copy of a fixture that may be changed. */
async function copy(name: string, as = name): Promise<string> {
  const path = join(folder, as);
  await copyFile(join(KEYSTORES, name), path);
  return path;
}

async function entriesOf(path: string, password = 'changeit'): Promise<readonly StoreEntry[]> {
  return (await openStore({ bytes: await readFile(path), file: path, password })).entries;
}

async function aliasesOf(path: string, password?: string): Promise<string[]> {
  return (await entriesOf(path, password)).map(({ kind, alias }) => `${kind} ${alias}`).toSorted();
}

/** The private key of the first key entry is the one of central.key. */
async function expectKey(path: string, password: string): Promise<void> {
  const key = (await entriesOf(path, password)).find((entry) => entry.kind === 'key');
  if (key === undefined) throw new Error(`${path} holds no key`);
  const opened = createPrivateKey({ key: await openKey(key, password), format: 'der', type: 'pkcs8' });
  expect(new X509Certificate(key.certificates[0] ?? '').checkPrivateKey(opened)).toBe(true);
}

/** Every file in the folder as it was before. */
async function unchanged(act: () => Promise<unknown>): Promise<void> {
  const before = await Promise.all(
    (await readdir(folder)).map(async (name) => [name, (await readFile(join(folder, name))).toString('base64')]),
  );
  await act();
  expect(
    await Promise.all(
      (await readdir(folder)).map(async (name) => [name, (await readFile(join(folder, name))).toString('base64')]),
    ),
  ).toEqual(before);
}

describe('truststore create', () => {
  test.each([
    ['t.jks', 'JKS'],
    ['t.p12', 'PKCS12'],
    ['t.pfx', 'PKCS12'],
  ])('makes %s, empty, and import fills it', async (name) => {
    const path = join(folder, name);
    expect(await done('create', path)).toContain('with no entry yet and the password "changeit"');
    expect(await entriesOf(path)).toEqual([]);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    await done('import', path, '--certificate', `${KEYSTORES}root-ec.crt`);
    expect(await aliasesOf(path)).toEqual(['trusted example-bank-ec-root']);
  });

  test('never writes over a file, and makes no PEM without a certificate', async () => {
    const path = await copy('truststore.jks');
    await unchanged(async () => {
      expect(await command('create', path)).toMatchObject({
        status: 7,
        stderr: expect.stringContaining('(truststore_exists)'),
      });
      expect(await command('create', join(folder, 't.pem'))).toMatchObject({
        status: 6,
        stderr: expect.stringContaining('(truststore_would_be_empty)'),
      });
      expect(await command('create', join(folder, 't.store'))).toMatchObject({
        status: 6,
        stderr: expect.stringContaining('(truststore_type_unknown)'),
      });
      expect(await command('create', join(folder, 't.jks'), '--password', '12345')).toMatchObject({
        status: 6,
        stderr: expect.stringContaining('(truststore_password_unfit)'),
      });
    });
  });

  test.skipIf(lacks('keytool'))('makes what keytool lists as empty and adds to', async () => {
    for (const [name, type] of [
      ['t.jks', 'JKS'],
      ['t.p12', 'PKCS12'],
    ] as const) {
      const path = join(folder, name);
      await done('create', path);
      expect(
        await run('keytool', ['-list', '-keystore', path, '-storepass', 'changeit', '-storetype', type]),
      ).toContain('contains 0 entries');
      await run('keytool', [
        ...importCertificate({ file: `${KEYSTORES}root-ec.crt`, store: path, type, alias: 'one' }),
      ]);
      expect(await aliasesOf(path)).toEqual(['trusted one']);
    }
  });
});

describe('truststore delete', () => {
  test.each(['truststore.jks', 'truststore-pkcs12.jks'])(
    'deletes from %s by alias, in any case, and keeps the rest with its dates',
    async (name) => {
      const path = await copy(name);
      const before = (await entriesOf(path)).find(({ alias }) => alias === 'examplebank-ec');
      expect(await done('delete', path, '--alias', 'ExampleBank')).toContain('deleted from');
      expect(await entriesOf(path)).toEqual([before]);
      expect(await command('delete', path, '--alias', 'examplebank')).toMatchObject({
        status: 5,
        stderr: expect.stringContaining('No entry of '),
      });
      expect(await command('delete', path, '--alias', 'examplebank-ec')).toMatchObject({
        status: 0,
        stderr: expect.stringContaining('no trusted certificate any more'),
      });
      expect(await entriesOf(path)).toEqual([]);
    },
  );

  test('deletes a block of a PEM bundle with what is written about it, and nothing else', async () => {
    const [ec, rsa] = [fixture('root-ec.crt').toString().trim(), fixture('root-rsa.crt').toString().trim()];
    const path = join(folder, 'bundle.pem');
    const around = [
      '# The roots of this bank',
      '',
      '# about EC',
      'friendlyName: ec',
      ec,
      'friendlyName: rsa',
      rsa,
      '# the end',
      '',
    ];
    await writeFile(path, around.join('\r\n').replaceAll(/\r?\n/g, '\r\n'));
    await done('delete', path, '--alias', 'EC');
    expect(await readFile(path, 'utf8')).toBe(
      ['# The roots of this bank', '', 'friendlyName: rsa', rsa, '# the end', ''].join('\n').replaceAll('\n', '\r\n'),
    );
    expect(await command('delete', path, '--alias', 'rsa')).toMatchObject({
      status: 6,
      stderr: expect.stringContaining('(truststore_would_be_empty)'),
    });
  });

  test('deletes an unnamed certificate of a bundle, and one of two that share a name by its fingerprint', async () => {
    const path = join(folder, 'bundle.pem');
    await writeFile(path, Buffer.concat([fixture('root-ec.crt'), fixture('root-rsa.crt'), fixture('central.crt')]));
    await done('delete', path, '--alias', 'certificate-1');
    expect((await entriesOf(path)).map(({ certificates: [der] }) => new X509Certificate(der ?? '').subject)).toEqual([
      expect.stringContaining('CN=Example Bank Root CA'),
      expect.stringContaining('CN=central.example.test'),
    ]);
    await writeFile(
      path,
      `friendlyName: bank\n${fixture('root-ec.crt').toString()}friendlyName: Bank\n${fixture('root-rsa.crt').toString()}`,
    );
    expect(await command('delete', path, '--alias', 'bank')).toMatchObject({
      status: 7,
      stderr: expect.stringContaining('2 entries of '),
    });
    await done(
      'delete',
      path,
      '--alias',
      'bank',
      '--fingerprint',
      `sha256:${new X509Certificate(fixture('root-ec.crt')).fingerprint256}`,
    );
    expect(await aliasesOf(path)).toEqual(['trusted Bank']);
  });

  test('leaves a private key where it is unless asked', async () => {
    const path = await copy('keystore.jks');
    await unchanged(async () =>
      expect(await command('delete', path, '--alias', 'orchestra')).toMatchObject({
        status: 6,
        stderr: expect.stringContaining('(truststore_is_private_key)'),
      }),
    );
    await done('delete', path, '--alias', 'orchestra', '--private-key');
    expect(await entriesOf(path)).toEqual([]);
  });
});

describe('truststore convert', () => {
  test('keeps aliases and certificates through all three formats and back, and says what is lost', async () => {
    const at = (name: string): string => join(folder, name);
    expect(await done('convert', `${KEYSTORES}truststore.jks`, '--to', at('1.p12'))).toContain(
      'PKCS#12 keeps no date of a trusted certificate: lost for 2 entries',
    );
    expect(await done('convert', at('1.p12'), '--to', at('2.pem'))).toContain('PEM has no password');
    expect(await done('convert', at('2.pem'), '--to', at('3.jks'), '--new-password', 's3cret')).toContain(
      'the entries are dated today',
    );
    const outline = (entries: readonly StoreEntry[]): unknown[] =>
      entries.map(({ kind, alias, certificates }) => ({ kind, alias, certificates }));
    expect(outline(await entriesOf(at('3.jks'), 's3cret'))).toEqual(
      outline(await entriesOf(`${KEYSTORES}truststore.jks`)),
    );
  });

  test('keeps dates and password where both have them', async () => {
    const path = join(folder, 'copy.jks');
    expect(
      await done('convert', `${KEYSTORES}truststore-password-s3cret.jks`, '--to', path, '--password', 's3cret'),
    ).toMatch(/^converted [^\n]*\n$/);
    expect(await entriesOf(path, 's3cret')).toEqual(
      await entriesOf(`${KEYSTORES}truststore-password-s3cret.jks`, 's3cret'),
    );
  });

  test('takes private keys along between JKS and PKCS#12, under the new password, in a file for their owner only', async () => {
    const [p12, jks] = [join(folder, 'k.p12'), join(folder, 'k.jks')];
    await done('convert', `${KEYSTORES}keystore.jks`, '--to', p12, '--new-password', 'n3w-one');
    expect((await stat(p12)).mode & 0o777).toBe(0o600);
    await expectKey(p12, 'n3w-one');
    await done('convert', p12, '--to', jks, '--password', 'n3w-one', '--new-password', 'changeit');
    await expectKey(jks, 'changeit');
    expect((await entriesOf(jks))[0]?.created).toEqual((await entriesOf(`${KEYSTORES}keystore.jks`))[0]?.created);
  });

  test('refuses what the new format cannot hold, unless asked to leave it out, and then says what that was', async () => {
    const path = await copy('keystore-modern.p12');
    await done('import', path, '--certificate', `${KEYSTORES}root-rsa.crt`);
    const pem = join(folder, 't.pem');
    await unchanged(async () =>
      expect(await command('convert', path, '--to', pem)).toMatchObject({
        status: 6,
        stderr: expect.stringMatching(/holds the private key "[^"]+", which PEM cannot hold/),
      }),
    );
    expect(await done('convert', path, '--to', pem, '--leave-out')).toContain('left out: the private key');
    expect(await aliasesOf(pem)).toEqual(['trusted example-bank-root-ca']);
    expect(await readFile(pem, 'utf8')).not.toContain('PRIVATE KEY');
    expect(
      await command('convert', `${KEYSTORES}keystore.jks`, '--to', join(folder, 'u.pem'), '--leave-out'),
    ).toMatchObject({ status: 6, stderr: expect.stringContaining('(truststore_would_be_empty)') });
  });

  test('makes aliases that Java would not tell apart different, and says so', async () => {
    const path = join(folder, 'bundle.pem');
    await writeFile(
      path,
      `# our roots\n\nfriendlyName: Bank\n${fixture('root-ec.crt').toString()}friendlyName: BANK\n${fixture('root-rsa.crt').toString()}`,
    );
    const printed = await done('convert', path, '--to', join(folder, 't.jks'));
    expect(printed).toContain('the alias "BANK" is "bank-2" there');
    expect(printed).toContain('the text around the certificates is left out');
    expect(await aliasesOf(join(folder, 't.jks'))).toEqual(['trusted bank', 'trusted bank-2']);
  });

  test('never writes over a file that is there', async () => {
    const path = await copy('truststore.jks');
    await unchanged(async () =>
      expect(await command('convert', `${KEYSTORES}root-ec.crt`, '--to', path)).toMatchObject({
        status: 7,
        stderr: expect.stringContaining('(truststore_exists)'),
      }),
    );
  });

  test.skipIf(lacks('keytool', 'openssl'))(
    'reads what keytool and openssl make, modern and legacy, and they list what it makes',
    async () => {
      const made = {
        jks: join(folder, 'java.jks'),
        java: join(folder, 'java.p12'),
        modern: join(folder, 'modern.p12'),
        legacy: join(folder, 'legacy.p12'),
      };
      for (const [type, path] of [
        ['JKS', made.jks],
        ['PKCS12', made.java],
      ] as const) {
        await run('keytool', [
          ...importCertificate({ file: `${KEYSTORES}root-ec.crt`, store: path, type, alias: 'Bank Root' }),
        ]);
      }
      const pkcs12 = [
        'pkcs12',
        '-export',
        '-nokeys',
        '-in',
        `${KEYSTORES}root-ec.crt`,
        '-passout',
        'pass:changeit',
        '-name',
        'Bank Root',
        '-caname',
        'Bank Root',
      ];
      await run('openssl', [...pkcs12, '-out', made.modern]);
      await run('openssl', [...pkcs12, '-legacy', '-out', made.legacy]);
      for (const [name, path] of Object.entries(made)) {
        for (const [ending, type] of [
          ['jks', 'JKS'],
          ['p12', 'PKCS12'],
        ] as const) {
          const to = join(folder, `${name}-to.${ending}`);
          await done('convert', path, '--to', to, '--new-password', 'n3w-one');
          expect(await run('keytool', ['-list', '-keystore', to, '-storetype', type, '-storepass', 'n3w-one'])).toMatch(
            /^(bank root|certificate-1), .*trustedCertEntry/m,
          );
        }
        expect(
          await run('openssl', ['pkcs12', '-in', join(folder, `${name}-to.p12`), '-nokeys', '-passin', 'pass:n3w-one']),
        ).toContain('BEGIN CERTIFICATE');
        const pem = join(folder, `${name}-to.pem`);
        await done('convert', path, '--to', pem);
        expect(await run('openssl', ['x509', '-in', pem, '-noout', '-subject'])).toContain('Example Bank EC Root');
      }
    },
  );
});

describe('truststore change-password', () => {
  test.each([
    'truststore.jks',
    'truststore-pkcs12.jks',
    'keystore.jks',
    'keystore-modern.p12',
    'keystore-legacy-rc2.p12',
  ])('gives %s another password, keys and all', async (name) => {
    const path = await copy(name);
    const before = await aliasesOf(path);
    await done('change-password', path, '--new-password', 'n3w-one');
    expect(await aliasesOf(path, 'n3w-one')).toEqual(before);
    await expect(entriesOf(path, 'changeit')).rejects.toMatchObject({ code: 'keystore_password_wrong' });
    if (name.startsWith('keystore')) await expectKey(path, 'n3w-one');
  });

  test('shrouds a key that lay bare inside the encryption', async () => {
    const path = join(folder, 'bare.p12');
    const bare = createPrivateKey(fixture('central.key')).export({ format: 'der', type: 'pkcs8' });
    const certificate = new X509Certificate(fixture('central.crt')).raw;
    await writeFile(
      path,
      await writePkcs12(
        [
          {
            kind: 'key',
            alias: 'central',
            created: undefined,
            certificates: [certificate],
            protection: 'none',
            key: bare,
          },
        ],
        'changeit',
      ),
    );
    expect((await readFile(path)).includes(bare)).toBe(false);
    await expectKey(path, 'changeit');
  });

  test.skipIf(lacks('keytool'))('refuses a key with a password of its own, which would be lost', async () => {
    const path = await copy('keystore.jks');
    await run('keytool', [
      '-keypasswd',
      '-keystore',
      path,
      '-alias',
      'orchestra',
      '-storepass',
      'changeit',
      '-keypass',
      'changeit',
      '-new',
      'an0ther',
    ]);
    await unchanged(async () => {
      expect(await command('change-password', path, '--new-password', 'n3w-one')).toMatchObject({
        status: 6,
        stderr: expect.stringContaining('(truststore_key_password_other)'),
      });
      expect(await command('convert', path, '--to', join(folder, 'k.p12'))).toMatchObject({
        status: 6,
        stderr: expect.stringContaining('(truststore_key_password_other)'),
      });
    });
  });

  test.each(['root-ec.crt', 'root-ec.cer'])('refuses %s, which has no password', async (name) => {
    const path = await copy(name);
    expect(await command('change-password', path, '--new-password', 'n3w-one')).toMatchObject({
      status: 6,
      stderr: expect.stringContaining('(truststore_no_password)'),
    });
  });

  test('needs the old password and a new one that Java takes', async () => {
    const path = await copy('truststore.jks');
    await unchanged(async () => {
      expect(await command('change-password', path)).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('QUEUEGATE_TRUSTSTORE_NEW_PASSWORD is missing'),
      });
      expect(await command('change-password', path, '--new-password', 'shórt')).toMatchObject({
        status: 6,
        stderr: expect.stringContaining('(truststore_password_unfit)'),
      });
      const refused = await command('change-password', path, '--password', 'guessed', '--new-password', 'n3w-one');
      expect(refused).toMatchObject({ status: 4, stderr: expect.stringContaining('(keystore_password_wrong)') });
      expect(refused.stderr).not.toMatch(/guessed|n3w-one/);
    });
  });

  test.skipIf(lacks('keytool')).each([
    ['keystore.jks', 'JKS'],
    ['keystore-legacy-rc2.p12', 'PKCS12'],
    ['keystore-modern.p12', 'PKCS12'],
  ])('writes %s so that keytool opens it with the new password, and the key in it', async (name, type) => {
    const path = await copy(name);
    await done('change-password', path, '--new-password', 'n3w-one');
    expect(await run('keytool', ['-list', '-keystore', path, '-storetype', type, '-storepass', 'n3w-one'])).toMatch(
      /PrivateKeyEntry/,
    );
    // keytool opens the key itself to sign with it.
    const [alias = ''] = (await aliasesOf(path, 'n3w-one')).map((line) => line.replace('key ', ''));
    expect(
      await run('keytool', [
        '-certreq',
        '-keystore',
        path,
        '-storetype',
        type,
        '-storepass',
        'n3w-one',
        '-alias',
        alias,
      ]),
    ).toContain('BEGIN NEW CERTIFICATE REQUEST');
  });

  test.skipIf(lacks('openssl')).each(['keystore-legacy-rc2.p12', 'keystore-modern.p12'])(
    'writes %s so that openssl opens it without -legacy',
    async (name) => {
      const path = await copy(name);
      await done('change-password', path, '--new-password', 'n3w-one');
      expect(await run('openssl', ['pkcs12', '-in', path, '-nodes', '-nocerts', '-passin', 'pass:n3w-one'])).toContain(
        'BEGIN PRIVATE KEY',
      );
    },
  );
});

describe('writeStore', () => {
  test('never puts into the place of a store what does not read back as it was meant', async () => {
    const path = await copy('truststore.jks');
    const entries = await entriesOf(path);
    await unchanged(async () => {
      await expect(writeStore(path, writeJks(entries.slice(1), 'changeit'), entries, 'changeit')).rejects.toMatchObject(
        { code: 'truststore_not_read_back' },
      );
      await expect(
        writeStore(path, writeJks(entries, 'changeit').subarray(0, 300), entries, 'changeit'),
      ).rejects.toMatchObject({ code: 'truststore_not_read_back' });
      await expect(writeStore(path, writeJks(entries, 'changeit'), entries, 'an0ther')).rejects.toMatchObject({
        code: 'truststore_not_read_back',
      });
    });
  });
});

describe('every command', () => {
  const acts: readonly (readonly [string, (file: string) => string[]])[] = [
    ['list', (file) => ['list', file]],
    ['import', (file) => ['import', file, '--certificate', `${KEYSTORES}root-rsa.crt`]],
    ['delete', (file) => ['delete', file, '--alias', 'examplebank']],
    ['convert', (file) => ['convert', file, '--to', `${file}.p12`]],
    ['change-password', (file) => ['change-password', file, '--new-password', 'n3w-one']],
  ];
  const broken = [
    ['truncated.jks', 'keystore_truncated'],
    ['tampered.jks', 'keystore_tampered'],
    ['truststore.jceks', 'keystore_jceks'],
    ['truststore-password-s3cret.jks', 'keystore_password_missing'],
    ['README.md', 'keystore_is_text'],
  ] as const;
  test.each(acts.flatMap(([name, args]) => broken.map(([file, code]) => ({ name, args, file, code }))))(
    '$name refuses $file with $code, and leaves it as it is',
    async ({ args, file, code }) => {
      const path = await copy(file);
      await unchanged(async () => {
        const { status, stdout, stderr } = await command(...args(path));
        expect([status, stdout]).toEqual([code === 'keystore_password_missing' ? 4 : 6, '']);
        expect(stderr).toMatch(new RegExp(`^error: .+\n  .+\n  \\(${code}\\)\n$`));
      });
    },
  );

  test.each(acts)('%s refuses an empty file and a folder', async (_, args) => {
    await writeFile(join(folder, 'empty.jks'), '');
    expect(await command(...args(join(folder, 'empty.jks')))).toMatchObject({
      status: 6,
      stderr: expect.stringContaining('(keystore_file_empty)'),
    });
    expect(await command(...args(folder))).toMatchObject({
      status: 6,
      stderr: expect.stringContaining('(file_not_regular)'),
    });
  });

  // Import makes the file.
  test.each(acts.filter(([name]) => name !== 'import'))('%s refuses a file that is not there', async (_, args) => {
    expect(await command(...args(join(folder, 'none.jks')))).toMatchObject({
      status: 5,
      stderr: expect.stringContaining('(file_missing)'),
    });
  });

  test('leaves the store as it is, and nothing beside it, where the new one cannot be written', async () => {
    const path = await copy('truststore.jks');
    await unchanged(async () =>
      expect(await command('convert', path, '--to', join(folder, 'none', 't.p12'))).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('(file_unwritable)'),
      }),
    );
  });
});
