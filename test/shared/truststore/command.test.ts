// The commands of truststores as both programs run them: list and import. Those that change a store are in
// change.test.ts.
import { chmod, copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { TRUSTSTORE_COMMANDS, truststoreCommand } from '../../../shared/truststore/command.ts';
import { VERSION } from '../../../shared/version.ts';
import { loadTruststore } from '../../../agent/trust/truststore.ts';
import { writeJks } from '../../../shared/keystore/jks.ts';
import { KEYSTORES, lacks, run } from '../keystore/peers.ts';
import { secretsFrom } from '../secrets.ts';
import { NEW_EC_KEY } from '../../tool-arguments.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

async function command(
  args: string[],
  env: Record<string, string> = {},
  program: 'queue-agent' | 'queuegate' = 'queue-agent',
  stdin = '',
) {
  let stdout = '';
  let stderr = '';
  const status = await truststoreCommand(args, {
    program,
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    secrets: secretsFrom(stdin),
    env,
  });
  expect(stderr).not.toMatch(/^\s+at /m);
  return { status, stdout, stderr };
}

async function openssl(args: string[]): Promise<void> {
  await run('openssl', args);
}

function importRoot(file: string, ...more: string[]) {
  return command(['import', file, '--certificate', `${KEYSTORES}root-ec.crt`, ...more]);
}

/** The same into a store with this password. */
function importRootWith(password: string, file: string, ...more: string[]) {
  return command(
    ['import', file, '--certificate', `${KEYSTORES}root-ec.crt`, '--password-file', '-', ...more],
    {},
    'queue-agent',
    password,
  );
}

/** Writes a self-signed certificate with these extensions. */
async function selfSigned(file: string, subject: string, ...extensions: readonly string[]): Promise<void> {
  const [key, more] = [join(folder, 'key'), extensions.flatMap((extension) => ['-addext', extension])];
  await openssl([
    'req',
    '-x509',
    ...NEW_EC_KEY,
    '-keyout',
    key,
    '-out',
    file,
    '-subj',
    subject,
    '-days',
    '30',
    ...more,
  ]);
}

describe('truststore list', () => {
  test('shows alias, kind, date, subject, issuer, validity and fingerprint of each entry', async () => {
    const { status, stdout } = await command(['list', `${KEYSTORES}truststore.jks`]);
    expect(status).toBe(0);
    // What KeyStore Explorer shows beside it.
    const sha1 = new X509Certificate(await readFile(`${KEYSTORES}root-rsa.crt`)).fingerprint;
    expect(stdout).toContain(`truststore.jks: JKS, 2 entries

examplebank
  kind         trusted certificate
  created      2026-11-22
  subject      CN=Example Bank Root CA, O=Example Bank
  issuer       CN=Example Bank Root CA, O=Example Bank
  valid        2026-11-22 until 2046-11-17
  SHA-256      56:51:0A:52:89:F0:83:A4:F8:5D:B7:E0:1C:49:F0:21:CC:7C:9A:56:26:30:E9:5F:D1:78:65:E1:B2:02:AB:52
  SHA-1        ${sha1}
`);
  });

  test("shows every certificate of a key's chain", async () => {
    const { status, stdout } = await command(['list', `${KEYSTORES}keystore.jks`]);
    expect([status, stdout.match(/SHA-256/g)?.length]).toEqual([6, 2]);
    expect(stdout).toContain('private key, chain of 2 certificates');
    expect(stdout).toContain('signed by    certificate 2 of the chain');
  });

  test('warns of a certificate that has expired', async () => {
    vi.setSystemTime('2047-01-01');
    expect((await command(['list', `${KEYSTORES}truststore.jks`])).stderr).toContain(
      'warning: CN=Example Bank Root CA, O=Example Bank expired on 2046-11-17',
    );
    vi.useRealTimers();
  });

  test('takes the password from a file or the standard input, else from the environment, else changeit; never from a flag, which others can see', async () => {
    const path = `${KEYSTORES}truststore-password-s3cret.jks`;
    const other = { QUEUE_AGENT_TRUSTSTORE_PASSWORD: 'other' };
    const file = join(folder, 'password');
    await writeFile(file, 's3cret\n');
    expect((await command(['list', path, '--password-file', file], other)).status).toBe(0);
    expect((await command(['list', path, '--password-file', '-'], other, 'queue-agent', 's3cret\n')).status).toBe(0);
    expect((await command(['list', path], { QUEUE_AGENT_TRUSTSTORE_PASSWORD: 's3cret' })).status).toBe(0);
    const flag = await command(['list', path, '--password', 's3cret']);
    expect(flag).toMatchObject({ status: 2, stderr: expect.stringContaining('Use --password-file FILE') });
    expect(flag.stderr).not.toContain('s3cret');
    const refused = await command(['list', path]);
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringContaining('(keystore_password_missing)')]);
  });

  test.each([
    ['a wrong password', 'truststore.jks', 'keystore_password_wrong', 4, ['--password-file', '-']],
    ['a truncated file', 'truncated.jks', 'keystore_truncated', 6, []],
    ['a tampered file', 'tampered.jks', 'keystore_tampered', 6, []],
    ['JCEKS', 'truststore.jceks', 'keystore_jceks', 6, []],
    ['only private keys', 'keystore.jks', 'keystore_only_private_keys', 6, []],
    ['a text', 'README.md', 'keystore_is_text', 6, []],
    ['no file', 'none.jks', 'file_missing', 5, []],
  ])(
    'refuses %s with the status of its cause, its own code and the hint, without a stack trace',
    async (_, name, code, exit, more) => {
      const { status, stderr } = await command(['list', join(KEYSTORES, name), ...more], {}, 'queue-agent', 'wrong!\n');
      expect(status).toBe(exit);
      expect(stderr).toMatch(new RegExp(`^error: .+\n  .+\n  \\(${code}\\)\n$`));
      expect(stderr).not.toContain('wrong!');
    },
  );

  test('refuses an empty store with status 6', async () => {
    await writeFile(join(folder, 'empty.jks'), writeJks([], 'changeit'));
    expect(await command(['list', join(folder, 'empty.jks')])).toMatchObject({
      status: 6,
      stdout: expect.stringContaining('0 entries'),
      stderr: expect.stringContaining('(keystore_no_entries)'),
    });
  });

  test('shows no control characters of an alias', async () => {
    const der = await readFile(`${KEYSTORES}root-ec.cer`);
    await writeFile(
      join(folder, 't.jks'),
      writeJks(
        [{ kind: 'trusted', alias: '\u001B[2Jgone\u202E', created: new Date(), certificates: [der] }],
        'changeit',
      ),
    );
    expect((await command(['list', join(folder, 't.jks')])).stdout).toContain('\n?[2jgone?\n');
  });
});

describe('truststore import', () => {
  test.each([
    ['t.jks', [], 'jks'],
    ['t.p12', [], 'pkcs12'],
    ['t.pfx', [], 'pkcs12'],
    ['t.pem', [], 'pem'],
    ['t', ['--type', 'pkcs12'], 'pkcs12'],
    ['t.jks', ['--type', 'pem'], 'pem'],
  ])('makes %s %j as %s, which the agent takes', async (name, more, format) => {
    const path = join(folder, name);
    const { status, stdout } = await importRoot(path, ...more);
    expect([status, stdout]).toEqual([
      0,
      expect.stringContaining('example-bank-ec-root\n  kind         trusted certificate'),
    ]);
    expect(await loadTruststore({ path })).toMatchObject({
      format,
      certificates: [{ alias: 'example-bank-ec-root' }],
      warnings: [],
    });
    expect((await stat(path)).mode & 0o777).toBe(0o644);
  });

  test.each(['t.jks', 't.p12', 't.pem'])('adds to %s what is not there yet, keeps mode and entries', async (name) => {
    const path = join(folder, name);
    await importRootWith('s3cret', path, '--alias', 'First');
    await chmod(path, 0o600);
    expect(
      (
        await command(['import', path, '--certificate', `${KEYSTORES}root-rsa.crt`], {
          QUEUE_AGENT_TRUSTSTORE_PASSWORD: 's3cret',
        })
      ).status,
    ).toBe(0);
    const { certificates } = await loadTruststore({ path, password: 's3cret' });
    expect(certificates.map(({ alias }) => alias)).toEqual(['first', 'example-bank-root-ca']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual([name]);
  });

  test('refuses an alias that is taken, in any case', async () => {
    const path = join(folder, 't.jks');
    await importRoot(path, '--alias', 'central');
    expect(
      await command(['import', path, '--certificate', `${KEYSTORES}root-rsa.crt`, '--alias', 'CENTRAL']),
    ).toMatchObject({ status: 7, stderr: expect.stringContaining('(truststore_alias_taken)') });
  });

  test('refuses a certificate that is already trusted, and says under which alias', async () => {
    const path = join(folder, 't.p12');
    await importRoot(path, '--alias', 'central');
    expect(await importRoot(path, '--alias', 'again')).toMatchObject({
      status: 7,
      stderr: expect.stringContaining('as "central"'),
    });
  });

  test('takes the certificate of a server, and says what that means', async () => {
    const path = join(folder, 't.pem');
    expect(await command(['import', path, '--certificate', `${KEYSTORES}central.crt`])).toMatchObject({
      status: 0,
      stderr: expect.stringContaining(
        '"central-example-test" is not an authority: exactly this certificate is trusted',
      ),
    });
  });

  test('takes what keytool -genkeypair makes: a certificate that names no usage', async () => {
    const certificate = join(folder, 'self.pem');
    await selfSigned(certificate, '/CN=orchestra', 'basicConstraints=critical,CA:FALSE');
    expect((await command(['import', join(folder, 't.jks'), '--certificate', certificate])).status).toBe(0);
  });

  test("refuses a certificate that is neither an authority's nor a server's, unless asked to trust exactly this one", async () => {
    const certificate = join(folder, 'client.pem');
    await selfSigned(
      certificate,
      '/CN=till 7',
      'basicConstraints=critical,CA:FALSE',
      'extendedKeyUsage=clientAuth,emailProtection',
    );
    const path = join(folder, 't.p12');
    const refused = await command(['import', path, '--certificate', certificate]);
    expect(refused).toMatchObject({ status: 6, stderr: expect.stringContaining('CN=till 7 in ') });
    expect(refused.stderr).toContain(
      'neither the certificate of an authority nor that of a server, but one for clients, mail.',
    );
    expect((await command(['import', path, '--certificate', certificate, '--allow-leaf'])).status).toBe(0);
  });

  test.each(['sha256:', 'SHA-256: ', ''])(
    'takes exactly the certificate with the fingerprint (%j), and refuses any other',
    async (prefix) => {
      const path = join(folder, 't.jks');
      const fingerprint = `${prefix}${new X509Certificate(await readFile(`${KEYSTORES}root-ec.crt`)).fingerprint256.toLowerCase()}`;
      expect(
        await command(['import', path, '--certificate', `${KEYSTORES}root-rsa.crt`, '--fingerprint', fingerprint]),
      ).toMatchObject({ status: 6, stderr: expect.stringContaining('has the fingerprint 56:51:0A') });
      expect(await readdir(folder)).toEqual([]);
      expect((await importRoot(path, '--fingerprint', fingerprint.replaceAll(':', ''))).status).toBe(0);
    },
  );

  test('refuses a SHA-1 fingerprint: it can be forged', async () => {
    expect(
      await importRoot(
        join(folder, 't.jks'),
        '--fingerprint',
        'EC:B7:18:BA:E2:70:0A:EF:73:F0:07:6A:20:8C:79:4C:E4:5D:60:E7',
      ),
    ).toMatchObject({ status: 6, stderr: expect.stringContaining('(truststore_fingerprint_bad)') });
  });

  test('takes the authorities of a chain, and not the server that they vouch for', async () => {
    const chain = join(folder, 'chain.pem');
    await writeFile(
      chain,
      Buffer.concat([await readFile(`${KEYSTORES}central.crt`), await readFile(`${KEYSTORES}root-ec.crt`)]),
    );
    const path = join(folder, 't.jks');
    expect(await command(['import', path, '--certificate', chain, '--alias', 'central'])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(
        'left out: CN=central.example.test, O=Example Bank, which CN=Example Bank EC Root, O=Example Bank issued',
      ),
    });
    expect((await loadTruststore({ path })).certificates.map(({ alias }) => alias)).toEqual(['central']);
    expect(
      (await command(['import', path, '--certificate', chain, '--alias', 'all', '--allow-leaf'])).stdout,
    ).toContain('trusted already, as "central"');
    expect((await loadTruststore({ path })).certificates.map(({ alias }) => alias)).toEqual(['central', 'all']);
  });

  test('numbers the aliases of a bundle', async () => {
    const bundle = join(folder, 'bundle.crt');
    await writeFile(
      bundle,
      Buffer.concat([await readFile(`${KEYSTORES}root-rsa.crt`), await readFile(`${KEYSTORES}root-ec.crt`)]),
    );
    await command(['import', join(folder, 't.p12'), '--certificate', bundle, '--alias', 'Bank']);
    expect((await loadTruststore({ path: join(folder, 't.p12') })).certificates.map(({ alias }) => alias)).toEqual([
      'bank',
      'bank-2',
    ]);
  });

  test.each([
    ['DER', ['-outform', 'DER'], ''],
    ['PEM', [], ''],
    ['PEM with the label of certutil', [], 'CERTIFICATE'],
  ])('takes a PKCS#7 bundle of EC and RSA certificates as %s', async (_, form, label) => {
    const bundle = join(folder, 'bundle.p7b');
    await openssl([
      'crl2pkcs7',
      '-nocrl',
      '-certfile',
      `${KEYSTORES}root-ec.crt`,
      '-certfile',
      `${KEYSTORES}root-rsa.crt`,
      '-out',
      bundle,
      ...form,
    ]);
    if (label !== '') await writeFile(bundle, (await readFile(bundle, 'latin1')).replaceAll('PKCS7', label));
    const path = join(folder, 't.jks');
    expect((await command(['import', path, '--certificate', bundle])).status).toBe(0);
    expect((await loadTruststore({ path })).certificates.map(({ alias }) => alias).toSorted()).toEqual([
      'example-bank-ec-root',
      'example-bank-root-ca',
    ]);
  });

  test('reads the password from the first line of a file', async () => {
    const [path, secret] = [join(folder, 't.jks'), join(folder, 'secret')];
    await writeFile(secret, 's3cret\r\nsecond line\n');
    expect((await importRoot(path, '--password-file', secret)).status).toBe(0);
    expect((await loadTruststore({ path, password: 's3cret' })).ca).toHaveLength(1);
  });

  test('makes no store with a password that Java would not take', async () => {
    for (const [password, found] of [
      ['short', 'too short (5 characters)'],
      ['pässwörd', 'not in printable ASCII'],
    ] as const) {
      expect(await importRootWith(password, join(folder, 't.p12'))).toMatchObject({
        status: 6,
        stderr: expect.stringContaining(found),
      });
    }
  });

  test('is one command in both programs, each with its own name and variables', async () => {
    expect((await command(['import', '--help'], {}, 'queuegate')).stdout).toContain('queuegate truststore import FILE');
    expect((await command(['help'], {}, 'queuegate')).stdout).toContain('QUEUEGATE_TRUSTSTORE_PASSWORD');
    expect((await command(['list', 'a', 'b'], {}, 'queuegate')).stderr).toContain(
      'Usage: queuegate truststore list FILE',
    );
    expect(
      (
        await command(
          ['list', `${KEYSTORES}truststore-password-s3cret.jks`],
          { QUEUEGATE_TRUSTSTORE_PASSWORD: 's3cret' },
          'queuegate',
        )
      ).status,
    ).toBe(0);
  });

  test('imports all certificates of a bundle or none', async () => {
    const bundle = join(folder, 'bundle.crt');
    const roots = await Promise.all(
      ['root-rsa.crt', 'root-ec.crt'].map(async (name) => await readFile(`${KEYSTORES}${name}`)),
    );
    const broken = Buffer.concat([
      await readFile(`${KEYSTORES}root-ec.crt`),
      Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    ]);
    await writeFile(bundle, Buffer.concat([...roots, broken]));
    expect((await command(['import', join(folder, 't.jks'), '--certificate', bundle])).status).toBe(6);
    expect(await readdir(folder)).toEqual(['bundle.crt']);
    await writeFile(bundle, Buffer.concat(roots));
    expect((await command(['import', join(folder, 't.jks'), '--certificate', bundle])).status).toBe(0);
    expect((await loadTruststore({ path: join(folder, 't.jks') })).ca).toHaveLength(2);
  });

  test('leaves a file that it cannot open as it is', async () => {
    for (const name of [
      'tampered.jks',
      'truncated.jks',
      'truststore.jceks',
      'truststore-password-s3cret.jks',
      'README.md',
    ]) {
      const path = join(folder, name);
      await copyFile(join(KEYSTORES, name), path);
      expect((await importRoot(path)).status).toBe(name.includes('s3cret') ? 4 : 6);
      expect((await readFile(path)).equals(await readFile(join(KEYSTORES, name)))).toBe(true);
    }
  });

  test('keeps the private keys of a key store', async () => {
    for (const name of ['keystore.jks', 'keystore-modern.p12']) {
      const path = join(folder, name);
      await copyFile(join(KEYSTORES, name), path);
      await chmod(path, 0o600);
      expect((await importRoot(path)).status).toBe(0);
      expect((await command(['list', path])).stdout).toMatch(/private key, chain of [12] certificate/);
    }
  });

  test.each([
    [['import', 'x.jks'], 2, '--certificate FILE is missing'],
    [['import', '--certificate', 'c.cer'], 2, 'An argument is missing'],
    [
      ['import', 'x.jks', '--certificate', `${KEYSTORES}root-ec.crt`, '--type', 'bks'],
      2,
      'allowed are jks, pkcs12 and pem',
    ],
    [['import', 'x.store', '--certificate', `${KEYSTORES}root-ec.crt`], 6, 'truststore_type_unknown'],
    [
      ['import', `${KEYSTORES}truststore.jks`, '--certificate', `${KEYSTORES}root-ec.crt`, '--type', 'pem'],
      6,
      'truststore_type_differs',
    ],
    [['import', 'x.jks', '--certificate', `${KEYSTORES}truststore.jks`], 6, 'truststore_not_certificates'],
    [['import', `${KEYSTORES}root-ec.cer`, '--certificate', `${KEYSTORES}root-rsa.crt`], 6, 'keystore_cannot_hold'],
    [['list', 'a', 'b'], 2, 'The argument "b" is unexpected'],
    [['list', 'a', '--wrong'], 2, '--wrong'],
    [['drop', 'a'], 2, 'the commands are: list, import, delete, convert, create, change-password'],
    [[], 2, ''],
  ])('%j: status %i, %s', async (args, status, text) => {
    expect(await command(args)).toMatchObject({ status, stderr: expect.stringContaining(text) });
  });

  test('every level has --help and --version with status 0, and suggests the word that was meant', async () => {
    for (const [name] of [...TRUSTSTORE_COMMANDS.map((one) => [one.name]), ['']])
      for (const [flag, text] of [
        ['--help', 'Usage: queue-agent truststore'],
        ['--version', VERSION],
      ] as const)
        expect(await command([...(name === '' ? [] : [name ?? '']), flag])).toMatchObject({
          status: 0,
          stdout: expect.stringContaining(text),
          stderr: '',
        });
    expect((await command(['lst', 'a'])).stderr).toContain('Did you mean "queue-agent truststore list"?');
    expect((await command(['delete', 'a', '--alis', 'x'])).stderr).toContain('Did you mean --alias?');
    expect((await command(['--help'])).stdout).not.toMatch(/--(?:new-)?password[ <]/);
  });

  test.skipIf(lacks('keytool'))('writes what keytool lists, entry by entry, as trustedCertEntry', async () => {
    for (const [name, type] of [
      ['t.jks', 'JKS'],
      ['t.p12', 'PKCS12'],
    ] as const) {
      const path = join(folder, name);
      await importRootWith('s3cret', path);
      await command(['import', path, '--certificate', `${KEYSTORES}root-rsa.crt`, '--alias', 'Bank Root'], {
        QUEUE_AGENT_TRUSTSTORE_PASSWORD: 's3cret',
      });
      const listed = await run('keytool', ['-list', '-keystore', path, '-storetype', type, '-storepass', 's3cret']);
      expect(listed).toMatch(/example-bank-ec-root, .*trustedCertEntry/);
      expect(listed).toMatch(/bank root, .*trustedCertEntry/);
    }
  });

  test.skipIf(lacks('keytool'))('adds to what keytool made, and keytool adds to that', async () => {
    for (const type of ['JKS', 'PKCS12']) {
      const path = join(folder, `${type}.store`);
      const imports = ['-importcert', '-noprompt', '-keystore', path, '-storetype', type, '-storepass', 'changeit'];
      await run('keytool', [...imports, '-alias', 'one', '-file', `${KEYSTORES}root-rsa.crt`]);
      expect((await importRoot(path, '--alias', 'two')).status).toBe(0);
      await run('keytool', [...imports, '-alias', 'three', '-file', `${KEYSTORES}central.crt`]);
      expect((await loadTruststore({ path })).certificates.map(({ alias }) => alias).toSorted()).toEqual([
        'one',
        'three',
        'two',
      ]);
    }
  });
});
