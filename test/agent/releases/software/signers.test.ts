// Whose build signature this machine accepts: by the files that it names itself (agent/releases/software/signers.ts,
// agent/conf.ts).
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadAgentConf } from '../../../../agent/conf.ts';
import { profileReleaseFolder } from '../../../../agent/release-record.ts';
import { loadSigners } from '../../../../agent/releases/software/signers.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'queuegate-signers-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const pem = (pair: { publicKey: { export(options: { format: 'pem'; type: 'spki' }): string | Buffer } }): string =>
  pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
const ed25519 = pem(generateKeyPairSync('ed25519'));
const p256 = pem(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }));

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

it('are all public keys of all files, Ed25519 and P-256', async () => {
  const keys = await loadSigners([await file('a.pem', `${ed25519}${p256}`), await file('b.pem', ed25519)]);
  expect(keys.map(({ asymmetricKeyType }) => asymmetricKeyType)).toEqual(['ed25519', 'ec', 'ed25519']);
});

it('are refused without a file, with a missing one, and with one that holds something else', async () => {
  const p384 = pem(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }));
  const codes: [readonly string[], string][] = [
    [[], 'software_signers_missing'],
    [[join(folder, 'missing.pem')], 'file_missing'],
    [[await file('empty.pem', '')], 'software_signer_unusable'],
    [[await file('p384.pem', p384)], 'software_signer_unusable'],
    [[await file('torn.pem', ed25519.slice(0, 60))], 'software_signer_unusable'],
    [[await file('a.pem', ed25519), await file('other.pem', 'no key')], 'software_signer_unusable'],
  ];
  for (const [files, code] of codes) await expect(loadSigners(files), code).rejects.toMatchObject({ code });
});

it('are named by this machine: the profile of the command line, its package, but never a release', async () => {
  const [base, data] = [join(folder, 'branch'), join(folder, 'data')];
  const release = 'c'.repeat(64);
  const inRelease = profileReleaseFolder(data, release);
  for (const [path, text] of [
    [join(base, 'conf/agent.conf'), 'central.host=a\n'],
    [join(inRelease, 'conf/agent.conf'), 'central.host=b\nsoftware.signers=evil.pem\n'],
  ] as const) {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, text);
  }
  const signers = async (environment: Record<string, string>, named?: string): Promise<unknown> =>
    (
      await loadAgentConf({
        profileFolder: base,
        environment,
        flags: { 'data-folder': data },
        ...(named === undefined ? {} : { release: named }),
      })
    ).softwareSigners;
  const packaged = { QUEUE_AGENT_BUILD_KEY: '/usr/lib/queue-agent/build-key.pem' };
  expect(await signers({}, release)).toEqual([]);
  expect(await signers(packaged, release)).toEqual([packaged.QUEUE_AGENT_BUILD_KEY]);
  await writeFile(join(base, 'conf/agent.local.conf'), 'software.signers=conf/a.pem, /etc/b.pem\n');
  expect(await signers(packaged, release)).toEqual([join(base, 'conf/a.pem'), '/etc/b.pem']);
});
