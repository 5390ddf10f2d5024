import { chmod, copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { truststoreCommand } from '../../agent/truststore-command.ts';
import { loadTruststore } from '../../agent/truststore.ts';
import { writeJks } from '../../shared/keystore/jks.ts';
import { KEYSTORES, lacks, run } from '../shared/keystore/peers.ts';


let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'queuegate-command-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function command(args: string[], env: Record<string, string> = {}) {
  let stdout = '';
  let stderr = '';
  const status = await truststoreCommand(args, { stdout: (text) => (stdout += text), stderr: (text) => (stderr += text), env });
  expect(stderr).not.toMatch(/^\s+at /m);
  return { status, stdout, stderr };
}

function importRoot(file: string, ...more: string[]) {
  return command(['import', file, '--certificate', `${KEYSTORES}root-ec.crt`, ...more]);
}

describe('truststore list', () => {
  test('shows alias, kind, date, subject, issuer, validity and fingerprint of each entry', async () => {
    const { status, stdout } = await command(['list', `${KEYSTORES}truststore.jks`]);
    expect(status).toBe(0);
    expect(stdout).toContain(`truststore.jks: JKS, 2 entries

examplebank
  kind         trusted certificate
  created      2026-11-22
  subject      CN=Example Bank Root CA, O=Example Bank
  issuer       CN=Example Bank Root CA, O=Example Bank
  valid        2026-11-22 until 2046-11-17
  SHA-256      56:51:0A:52:89:F0:83:A4:F8:5D:B7:E0:1C:49:F0:21:CC:7C:9A:56:26:30:E9:5F:D1:78:65:E1:B2:02:AB:52
`);
  });

  test('takes the password from the flag, else from the environment, else changeit', async () => {
    const path = `${KEYSTORES}truststore-password-s3cret.jks`;
    expect((await command(['list', path, '--password', 's3cret'], { QUEUE_AGENT_TRUSTSTORE_PASSWORD: 'other' })).status).toBe(0);
    expect((await command(['list', path], { QUEUE_AGENT_TRUSTSTORE_PASSWORD: 's3cret' })).status).toBe(0);
    const refused = await command(['list', path]);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('(keystore_password_missing)')]);
  });

  test.each([
    ['a wrong password', 'truststore.jks', 'keystore_password_wrong', ['--password', 'wrong!']],
    ['a truncated file', 'truncated.jks', 'keystore_truncated', []],
    ['a tampered file', 'tampered.jks', 'keystore_tampered', []],
    ['JCEKS', 'truststore.jceks', 'keystore_jceks', []],
    ['only private keys', 'keystore.jks', 'keystore_only_private_keys', []],
    ['a text', 'README.md', 'keystore_is_text', []],
    ['no file', 'none.jks', 'file_missing', []],
  ])('refuses %s with status 1, its own code and the mend, without a stack trace', async (_, name, code, more) => {
    const { status, stderr } = await command(['list', join(KEYSTORES, name), ...more]);
    expect(status).toBe(1);
    expect(stderr).toMatch(new RegExp(`^error: .+\n  .+\n  \\(${code}\\)\n$`));
    expect(stderr).not.toContain('wrong!');
  });

  test('refuses an empty store with status 1', async () => {
    await writeFile(join(folder, 'empty.jks'), writeJks([], 'changeit'));
    expect(await command(['list', join(folder, 'empty.jks')])).toMatchObject({ status: 1, stdout: expect.stringContaining('0 entries'), stderr: expect.stringContaining('(keystore_no_entries)') });
  });

  test('shows no control characters of an alias', async () => {
    const der = await readFile(`${KEYSTORES}root-ec.cer`);
    await writeFile(join(folder, 't.jks'), writeJks([{ kind: 'trusted', alias: '\u001B[2Jgone\u202E', created: new Date(), certificates: [der] }], 'changeit'));
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
    expect([status, stdout]).toEqual([0, expect.stringContaining('example-bank-ec-root\n  kind         trusted certificate')]);
    expect(await loadTruststore({ path })).toMatchObject({ format, certificates: [{ alias: 'example-bank-ec-root' }], warnings: [] });
    expect((await stat(path)).mode & 0o777).toBe(0o644);
  });

  test.each(['t.jks', 't.p12', 't.pem'])('adds to %s what is not there yet, keeps mode and entries', async (name) => {
    const path = join(folder, name);
    await importRoot(path, '--alias', 'First', '--password', 's3cret');
    await chmod(path, 0o600);
    expect((await command(['import', path, '--certificate', `${KEYSTORES}root-rsa.crt`, '--password', 's3cret'])).status).toBe(0);
    const { certificates } = await loadTruststore({ path, password: 's3cret' });
    expect(certificates.map(({ alias }) => alias)).toEqual(['first', 'example-bank-root-ca']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual([name]);
  });

  test('refuses an alias that is taken, in any case', async () => {
    const path = join(folder, 't.jks');
    await importRoot(path, '--alias', 'central');
    expect(await command(['import', path, '--certificate', `${KEYSTORES}root-rsa.crt`, '--alias', 'CENTRAL'])).toMatchObject({ status: 1, stderr: expect.stringContaining('(truststore_alias_taken)') });
  });

  test('refuses a certificate that is already trusted, and says under which alias', async () => {
    const path = join(folder, 't.p12');
    await importRoot(path, '--alias', 'central');
    expect(await importRoot(path, '--alias', 'again')).toMatchObject({ status: 1, stderr: expect.stringContaining('as "central"') });
  });

  test('refuses a certificate that is no authority, unless told to trust exactly this one', async () => {
    const path = join(folder, 't.pem');
    const refused = await command(['import', path, '--certificate', `${KEYSTORES}central.crt`]);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('--allow-leaf') });
    expect((await command(['import', path, '--certificate', `${KEYSTORES}central.crt`, '--allow-leaf'])).status).toBe(0);
  });

  test('imports all certificates of a bundle or none', async () => {
    const bundle = join(folder, 'bundle.crt');
    const roots = await Promise.all(['root-rsa.crt', 'root-ec.crt', 'central.crt'].map(async (name) => await readFile(`${KEYSTORES}${name}`)));
    await writeFile(bundle, Buffer.concat(roots));
    expect((await command(['import', join(folder, 't.jks'), '--certificate', bundle])).status).toBe(1);
    expect(await readdir(folder)).toEqual(['bundle.crt']);
    await writeFile(bundle, Buffer.concat(roots.slice(0, 2)));
    expect((await command(['import', join(folder, 't.jks'), '--certificate', bundle])).status).toBe(0);
    expect((await loadTruststore({ path: join(folder, 't.jks') })).ca).toHaveLength(2);
  });

  test('leaves a file that it cannot open as it is', async () => {
    for (const name of ['tampered.jks', 'truncated.jks', 'truststore.jceks', 'truststore-password-s3cret.jks', 'README.md']) {
      const path = join(folder, name);
      await copyFile(join(KEYSTORES, name), path);
      expect((await importRoot(path)).status).toBe(1);
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
    [['import', '--certificate', 'c.cer'], 2, 'FILE is missing'],
    [['import', 'x.jks', '--certificate', `${KEYSTORES}root-ec.crt`, '--type', 'bks'], 2, 'allowed are jks, pkcs12 and pem'],
    [['import', 'x.store', '--certificate', `${KEYSTORES}root-ec.crt`], 1, 'truststore_type_unknown'],
    [['import', `${KEYSTORES}truststore.jks`, '--certificate', `${KEYSTORES}root-ec.crt`, '--type', 'pem'], 1, 'truststore_type_differs'],
    [['import', 'x.jks', '--certificate', `${KEYSTORES}truststore.jks`], 1, 'truststore_not_certificates'],
    [['import', `${KEYSTORES}root-ec.cer`, '--certificate', `${KEYSTORES}root-rsa.crt`], 1, 'keystore_cannot_hold'],
    [['list', 'a', 'b'], 2, 'One FILE is allowed'],
    [['list', 'a', '--wrong'], 2, '--wrong'],
    [['drop', 'a'], 2, 'allowed are list and import'],
    [[], 2, ''],
  ])('%j: status %i, %s', async (args, status, text) => {
    expect(await command(args)).toMatchObject({ status, stderr: expect.stringContaining(text) });
  });

  test.skipIf(lacks('keytool'))('writes what keytool lists, entry by entry, as trustedCertEntry', async () => {
    for (const [name, type] of [['t.jks', 'JKS'], ['t.p12', 'PKCS12']] as const) {
      const path = join(folder, name);
      await importRoot(path, '--password', 's3cret');
      await command(['import', path, '--certificate', `${KEYSTORES}root-rsa.crt`, '--password', 's3cret', '--alias', 'Bank Root']);
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
      expect((await loadTruststore({ path })).certificates.map(({ alias }) => alias).toSorted()).toEqual(['one', 'three', 'two']);
    }
  });
});
