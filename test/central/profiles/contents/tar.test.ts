import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packDirectory } from '../../../../central/cli/commands/profiles/archive.ts';
import { readTar } from '../../../../central/profiles/contents/tar.ts';
import { measureFolder } from '../../../../shared/releases/folder.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

function folder(files: Readonly<Record<string, string>>): string {
  const root = temporaryFolder();
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), content, { mode: path.endsWith('.sh') ? 0o755 : 0o644 });
  }
  return root;
}

async function* pieces(archive: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < archive.length; at += size) yield archive.subarray(at, at + size);
}

/** What is in an archive that comes in pieces of this size. */
async function unpack(archive: Buffer, size = 1_000): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { path, executable, content } of readTar(pieces(archive, size))) {
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(part);
    found[`${path}${executable ? '*' : ''}`] = Buffer.concat(parts).toString();
  }
  return found;
}

async function packed(root: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of packDirectory(root, await measureFolder(root))) parts.push(part);
  return Buffer.concat(parts);
}

const LONG = `${'long/'.repeat(30)}name.txt`;
const FILES = {
  'conf/agent.conf': 'a=1\n',
  'run.sh': '#!/bin/sh\n',
  empty: '',
  exact: 'x'.repeat(1024),
  [LONG]: 'long',
  'Köln/Straße.txt': 'umlauts',
};
const EXPECTED = { ...FILES, 'run.sh*': FILES['run.sh'] };
delete (EXPECTED as Record<string, string>)['run.sh'];

test.each([1, 7, 512, 100_000])('reads what is packed, in pieces of %i bytes', async (size) => {
  expect(await unpack(await packed(folder(FILES)), size)).toEqual(EXPECTED);
});

test.each(['gnu', 'pax', 'ustar'])('reads what tar writes in the format %s', async (format) => {
  const tar = spawnSync('tar', [`--format=${format}`, '-C', folder(FILES), '-cf', '-', '.']);
  // A tar that is not GNU's: the formats are in the test above and below.
  if (tar.status !== 0) return;
  expect(await unpack(tar.stdout)).toEqual(EXPECTED);
});

const invalid = (found: string) => ({ code: 'archive_invalid', message: expect.stringContaining(found) });

test('refuses links', async () => {
  const root = folder({ a: '1' });
  symlinkSync('/etc/passwd', join(root, 'link'));
  const tar = spawnSync('tar', ['-C', root, '-cf', '-', '.']);
  await expect(unpack(tar.stdout)).rejects.toMatchObject(invalid('"link" is a symbolic link'));
});

/** One entry with another type or other numbers; its checksum is right. */
async function altered(change: (header: Buffer) => void): Promise<Buffer> {
  const archive = await packed(folder({ a: '1' }));
  const header = archive.subarray(0, 512);
  change(header);
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return archive;
}

test.each([
  ['a hard link', '1'],
  ['a character device', '3'],
  ['a block device', '4'],
  ['a pipe', '6'],
  ['of the kind "Z"', 'Z'],
])('refuses %s', async (what, kind) => {
  await expect(unpack(await altered((header) => header.write(kind, 156)))).rejects.toMatchObject(invalid(what));
});

test('refuses what is cut off, what is not a tar file, and numbers that cannot be read', async () => {
  const archive = await packed(folder({ a: 'x'.repeat(2_000) }));
  await expect(unpack(archive.subarray(0, 1_100))).rejects.toMatchObject(invalid('ends too early'));
  await expect(unpack(archive.subarray(0, 100))).rejects.toMatchObject(invalid('ends too early'));
  await expect(unpack(Buffer.alloc(1_024, 'PK'))).rejects.toMatchObject(invalid('not a tar file'));
  await expect(unpack(await altered((header) => header.write('8zzzzzzzzzz', 124)))).rejects.toMatchObject(
    invalid('size'),
  );
  const huge = await altered((header) => {
    header.write('x', 156);
    header.write('00000777777', 124);
  });
  await expect(unpack(huge)).rejects.toMatchObject(invalid('a header in it has'));
});

/** An entry of any kind. */
function entryOf(path: string, content: string, kind = '0'): Buffer {
  const header = Buffer.alloc(512);
  header.write(path, 0);
  header.write('0000644', 100);
  header.write(Buffer.byteLength(content).toString(8).padStart(11, '0'), 124);
  header.write(`        ${kind}`, 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512);
  body.write(content);
  return Buffer.concat([header, body]);
}

test('reads the padding of a tape block behind the end, and refuses an archive that goes on for more than a MiB', async () => {
  const archive = entryOf('a', '1');
  expect(await unpack(Buffer.concat([archive, Buffer.alloc(1024 * 1024)]), 65_536)).toEqual({ a: '1' });
  async function* endless(): AsyncGenerator<Buffer> {
    yield archive;
    for (;;) yield Buffer.alloc(65_536);
  }
  await expect(
    (async () => {
      for await (const { content } of readTar(endless())) for await (const _part of content);
    })(),
  ).rejects.toMatchObject(invalid('bytes follow its end'));
});

test('refuses floods of headers: 32 MiB of them in all, and 50,000 entries', async () => {
  const flood = async function* (entry: Buffer): AsyncGenerator<Buffer> {
    for (;;) yield entry;
  };
  const read = async (entry: Buffer): Promise<void> => {
    for await (const { content } of readTar(flood(entry))) for await (const _part of content);
  };
  await expect(read(entryOf('x', '6 a=1\n'.repeat(10_000), 'x'))).rejects.toMatchObject(invalid('the headers in it'));
  await expect(read(entryOf('L', 'l'.repeat(60_000), 'L'))).rejects.toMatchObject(invalid('the headers in it'));
  await expect(read(entryOf('folder/', '', '5'))).rejects.toMatchObject(invalid('more than 50000 entries'));
});
