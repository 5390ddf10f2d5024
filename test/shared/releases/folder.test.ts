// A folder measured: the digest follows names, bytes and the executable bit, and nothing else; what a manifest cannot
// carry is refused.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { measureFolder } from '../../../shared/releases/folder.ts';
import { manifestDigest, manifestText } from '../../../shared/releases/manifest.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

let folder = '';
beforeEach(async () => {
  folder = temporaryFolder();
  await mkdir(join(folder, 'p/conf/security'), { recursive: true });
  await writeFile(join(folder, 'p/conf/agent.conf'), 'central.hosts=central\n');
  await writeFile(join(folder, 'p/conf/security/truststore.jks'), Buffer.alloc(600_000, 7));
  await writeFile(join(folder, 'p/conf/agent.local.conf'), 'agent.name=x\n');
});

const isLocal = (path: string): boolean => path === 'conf/agent.local.conf';
const digestOf = async (path: string): Promise<string> =>
  manifestDigest(
    manifestText({ kind: 'profile', name: 'p', files: await measureFolder(path, { isIgnored: isLocal }) }),
  );

it('a copy has the same digest, whatever its times and modes; another byte or an executable bit has another', async () => {
  const p = join(folder, 'p');
  const digest = await digestOf(p);
  const copy = join(folder, 'copy');
  await cp(p, copy, { recursive: true });
  await utimes(join(copy, 'conf/agent.conf'), 1, 1);
  await chmod(join(copy, 'conf/agent.conf'), 0o600);
  await writeFile(join(copy, 'conf/agent.local.conf'), 'agent.name=y\n');
  expect(await digestOf(copy)).toBe(digest);
  await chmod(join(copy, 'conf/agent.conf'), 0o700);
  expect(await digestOf(copy)).not.toBe(digest);
  await chmod(join(copy, 'conf/agent.conf'), 0o600);
  await writeFile(join(copy, 'conf/agent.conf'), 'central.hosts=Central\n');
  expect(await digestOf(copy)).not.toBe(digest);
});

it('gives each file piece by piece, in its order', async () => {
  const hashes = new Map<string, ReturnType<typeof createHash>>();
  const files = await measureFolder(join(folder, 'p'), {
    onPiece: (path, piece) =>
      void (hashes.get(path) ?? hashes.set(path, createHash('sha256')).get(path)!).update(piece),
    onFile: ({ path, sha256 }) => expect(hashes.get(path)?.digest('hex')).toBe(sha256),
  });
  expect(files.map(({ path, size }) => [path, size])).toEqual([
    ['conf/agent.conf', 22],
    ['conf/agent.local.conf', 13],
    ['conf/security/truststore.jks', 600_000],
  ]);
});

it.each([
  ['a link to a file', (p: string) => symlink('agent.conf', join(p, 'conf/link'))],
  ['a link to a folder', (p: string) => symlink('..', join(p, 'conf/up'))],
  ['a pipe', async (p: string) => void execFileSync('mkfifo', [join(p, 'conf/pipe')])],
  ['a name that Windows cannot hold', (p: string) => writeFile(join(p, 'conf/a:b'), '')],
  ['two names that differ in case only', (p: string) => writeFile(join(p, 'conf/AGENT.conf'), '')],
])('refuses %s', async (_, make) => {
  await make(join(folder, 'p'));
  await expect(measureFolder(join(folder, 'p'))).rejects.toMatchObject({ code: 'release_path_invalid' });
});
