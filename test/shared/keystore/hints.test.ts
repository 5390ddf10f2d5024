// Every command that a hint of a key store names runs: keytool, openssl and the truststore commands, on a file that
// leads to the hint.
import { execFileSync } from 'node:child_process';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadTruststore } from '../../../agent/trust/truststore.ts';
import { importCommand, trustHint } from '../../../agent/trust/import-command.ts';
import { isCoded } from '../../../shared/errors.ts';
import { sequence, octets, oid } from '../../../shared/asn1/writer.ts';
import { protectJksKey, writeJks } from '../../../shared/keystore/jks.ts';
import type { KeyEntry, TrustedEntry } from '../../../shared/keystore/material.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { writePkcs12 } from '../../../shared/keystore/pkcs12.ts';
import { protectPkcs8Key } from '../../../shared/keystore/private-key.ts';
import { changePassword } from '../../../shared/truststore/change.ts';
import { convertStore } from '../../../shared/truststore/convert.ts';
import { truststoreCommand } from '../../../shared/truststore/command.ts';
import { secretsFrom } from '../secrets.ts';
import { fixture, KEYSTORES, lacks } from './peers.ts';

const FIELD = new URL('../../fixtures/field-files/', import.meta.url).pathname;
let folder: string;
beforeEach(async () => {
  // A blank: paths in hints are in quotes.
  folder = await mkdtemp(join(tmpdir(), 'queuegate hints-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function hintOf(work: Promise<unknown>, code: string): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (!isCoded(error, code)) throw error;
    return error.hint;
  }
  throw new Error(`${code} was not thrown`);
}

/** The first command of these programs in a hint, as a shell takes it. */
function commandIn(hint: string, program = 'keytool|openssl'): string {
  const [command] = new RegExp(`(?:${program}) (?:"[^"]*"|[^";,)])+`).exec(hint) ?? [];
  expect(command, hint).toBeDefined();
  return (command ?? '').trim().replace(/\.$/, '');
}

/** Runs it as an administrator would, `answers` typed at its questions. */
function shell(command: string, answers: readonly string[]): string {
  const env = { ...process.env, LC_ALL: 'C', JAVA_TOOL_OPTIONS: '' };
  return execFileSync('sh', ['-c', `( ${command} ) 2>&1`], {
    cwd: folder,
    env,
    input: `${answers.join('\n')}\n`,
  }).toString();
}

async function file(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

async function open(path: string, password?: string) {
  return await openStore({ bytes: await readFile(path), file: path, password });
}

const PKCS8 = createPrivateKey(fixture('central.key')).export({ type: 'pkcs8', format: 'der' });

async function keyEntry(protection: 'jks' | 'pkcs8', password: string): Promise<KeyEntry> {
  const [central] = (await openStore({ bytes: fixture('central.crt'), file: 'f' })).entries;
  return {
    kind: 'key',
    alias: 'central',
    created: new Date(0),
    certificates: central?.certificates ?? [],
    protection,
    key: protection === 'jks' ? protectJksKey(PKCS8, password) : await protectPkcs8Key(PKCS8, password),
  };
}

const root: TrustedEntry = {
  kind: 'trusted',
  alias: 'root',
  created: new Date(0),
  certificates: [fixture('root-ec.cer')],
};

describe.skipIf(lacks('keytool', 'openssl'))('the command in a hint runs', () => {
  test('JCEKS', async () => {
    const path = await file('t.jceks', fixture('truststore.jceks'));
    shell(commandIn(await hintOf(open(path), 'keystore_jceks')), ['changeit', 'changeit', 'changeit']);
    expect((await open(`${path}.p12`)).entries).toHaveLength(1);
  });

  test('PKCS#7', async () => {
    const path = await file('chain.p7b', await readFile(join(FIELD, 'samedn-chain.p7b')));
    const hint = await hintOf(open(path), 'keystore_pkcs7');
    shell(commandIn(hint, 'openssl'), []);
    expect((await open(`${path}.pem`)).entries).toHaveLength(2);
    await truststore(commandIn(hint, 'queue-agent truststore'));
    expect((await open(join(folder, 'truststore.p12'))).entries).toHaveLength(2);
  });

  test('a wrong and a missing password', async () => {
    const path = await file('t.jks', fixture('truststore-password-s3cret.jks'));
    for (const hint of [
      await hintOf(open(path, 'other-one'), 'keystore_password_wrong'),
      await hintOf(open(path), 'keystore_password_missing'),
    ])
      expect(shell(commandIn(hint), ['s3cret'])).toContain('trustedCertEntry');
  });

  test('a cipher that only keytool reads (RC4), and one that only openssl reads', async () => {
    const export_ = `openssl pkcs12 -export -nokeys -in "${KEYSTORES}root-ec.crt" -passout pass:changeit -provider legacy -provider default`;
    const rc4 = join(folder, 'rc4.p12');
    shell(`${export_} -certpbe PBE-SHA1-RC4-128 -out "${rc4}"`, []);
    shell(commandIn(await hintOf(open(rc4), 'keystore_unsupported')), ['changeit', 'changeit', 'changeit']);
    expect((await readFile(`${rc4}.new.p12`)).length).toBeGreaterThan(0);
    const sm4 = join(folder, 'sm4.p12');
    shell(`${export_} -certpbe SM4-CBC -out "${sm4}"`, []);
    const command = commandIn(await hintOf(open(sm4), 'keystore_unsupported'));
    shell(`${command} -passin stdin`, ['changeit']);
    expect((await open(`${sm4}.pem`)).entries).toHaveLength(1);
  });

  test('a key with another password than the store, in both formats', async () => {
    const jks = await file('t.jks', writeJks([await keyEntry('jks', 'keypass')], 'changeit'));
    const order = { password: 'changeit', newPassword: 'changeit2' };
    const keypasswd = await hintOf(changePassword({ file: jks, ...order }), 'truststore_key_password_other');
    shell(commandIn(keypasswd), ['changeit', 'keypass', 'changeit', 'changeit']);
    expect(await changePassword({ file: jks, ...order })).toMatchObject({ keys: 1 });

    const p12 = await file('t.p12', await writePkcs12([await keyEntry('pkcs8', 'keypass'), root], 'changeit'));
    const convert = await hintOf(changePassword({ file: p12, ...order }), 'truststore_key_password_other');
    shell(commandIn(convert), ['changeit', 'changeit', 'changeit', 'keypass']);
    expect(await changePassword({ file: `${p12}.new.p12`, ...order })).toMatchObject({ keys: 1 });
  });

  test('a chain that PKCS#12 cannot hold', async () => {
    const entry = await keyEntry('jks', 'changeit');
    const [leaf = Buffer.alloc(0)] = entry.certificates;
    const path = await file('t.jks', writeJks([{ ...entry, certificates: [leaf, leaf] }], 'changeit'));
    const order = {
      from: path,
      to: join(folder, 'n.p12'),
      type: undefined,
      password: 'changeit',
      newPassword: undefined,
    };
    const hint = await hintOf(convertStore({ ...order, leaveOut: false }), 'truststore_chain_invalid');
    await file('chain.p7b', Buffer.concat([fixture('central.crt'), fixture('root-ec.crt')]));
    shell(commandIn(hint), ['changeit', 'yes']);
    expect(await convertStore({ ...order, leaveOut: false })).toMatchObject({ entries: [{ kind: 'key' }] });
  });

  test('base64 without marks, in one line and in several', async () => {
    const text = fixture('root-ec.cer').toString('base64');
    for (const lines of [text, text.replaceAll(/(.{64})/g, '$1\n')]) {
      const path = await file('root.b64', Buffer.from(`${lines}\n`));
      shell(commandIn(await hintOf(open(path), 'keystore_other_kind')), []);
      expect((await open(`${path}.cer`)).entries).toHaveLength(1);
    }
  });

  test('BKS and BCFKS: keytool takes the options, and misses only the provider of BouncyCastle', async () => {
    const bks = await file('t.bks', Buffer.from(`0000000200000014${'ab'.repeat(40)}`, 'hex'));
    const body = sequence(sequence(oid('1.2.3'), sequence()), octets(randomBytes(4)));
    const bcfks = await file('t.bcfks', sequence(body, sequence(sequence(oid('1.2.3')), octets(randomBytes(4)))));
    for (const [path, code] of [
      [bks, 'keystore_bks'],
      [bcfks, 'keystore_other_kind'],
    ] as const) {
      const command = commandIn(await hintOf(open(path), code));
      const said = shell(`${command} || true`, ['changeit', 'changeit', 'changeit']);
      expect(said).toMatch(/provider.*not found|ClassNotFound/i);
      expect(said).not.toContain('Illegal option');
    }
  });
});

describe('the truststore command in a hint runs', () => {
  test('an empty store, and one with private keys only', async () => {
    for (const [name, entries] of [
      ['empty.jks', []],
      ['keys.jks', [await keyEntry('jks', 'changeit')]],
    ] as const) {
      const path = await file(name, writeJks(entries, 'changeit'));
      const code = name === 'empty.jks' ? 'keystore_no_entries' : 'keystore_only_private_keys';
      await truststore(commandIn(await hintOf(loadTruststore({ path }), code), 'queue-agent truststore'));
    }
    expect((await loadTruststore({ path: join(folder, 'empty.jks') })).ca).toHaveLength(1);
  });

  test('no store, whatever its name and folder', async () => {
    for (const name of ['t.jks', 'conf/security/t.p12', 'cacerts']) {
      const path = join(folder, name);
      await truststore(commandIn(await hintOf(loadTruststore({ path }), 'file_missing'), 'queue-agent truststore'));
      expect((await loadTruststore({ path })).ca).toHaveLength(1);
    }
  });

  test('the store of the system', async () => {
    const path = join(folder, 't.jks');
    const hint = await hintOf(loadTruststore({ path, system: 'trustStore=NONE' }), 'truststore_of_system');
    await truststore(commandIn(hint, 'queue-agent truststore'));
    expect((await loadTruststore({ path })).ca).toHaveLength(1);
  });

  test('an unknown authority: with a path in quotes, and for a pin without an import', async () => {
    const path = await file('t.jks', writeJks([root], 'changeit'));
    await truststore(importCommand(path, 'root.pem'));
    expect(trustHint(path)).toContain(importCommand(path, 'root.pem'));
    expect(trustHint('the pinned certificate')).not.toContain('truststore import');
  });
});

/** Runs a truststore command of a hint, its certificate being a root. */
async function truststore(command: string): Promise<void> {
  const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
  const args = words
    .slice(2)
    .map((word) => (/^(central-root\.cer|root\.pem)$/.test(word) ? `${KEYSTORES}root-rsa.crt` : word))
    .map((word) => (word === 'truststore.p12' ? join(folder, word) : word));
  let said = '';
  const add = (text: string) => void (said += text);
  const status = await truststoreCommand(args, {
    program: 'queue-agent',
    stdout: add,
    stderr: add,
    secrets: secretsFrom(''),
    env: {},
  });
  expect(status, said).toBe(0);
}
