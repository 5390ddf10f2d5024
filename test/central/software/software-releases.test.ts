import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
import { MAX_SIGNATURE_BYTES } from '../../../shared/releases/build-signature.ts';
import { memoryReleases } from '../memory-releases.ts';
import { archiveOf, BUILD_KEY, programFiles, runtimeFiles } from './samples.ts';

const NAME = 'queue-agent-program-0.2.0';
const actor = { ...CENTRAL, who: 'admin', comment: 'fix', ticket: 'CHG-7' };
const streamOf = (archive: Buffer, size = 100): AsyncIterable<Buffer> =>
  Readable.from(
    (function* () {
      for (let at = 0; at < archive.length; at += size) yield archive.subarray(at, at + size);
    })(),
  );

const { archive: program, digest } = archiveOf(NAME, programFiles());

describe('an import', () => {
  test('keeps the release with its files, its part and the keys that signed it, and an entry with the reason', async () => {
    const { software, audit } = memoryReleases();
    const imported = await software.import(streamOf(program), { actor });
    expect(imported).toMatchObject({ isNew: true, part: 'program', signers: [BUILD_KEY.keyId] });
    const { release } = imported;
    expect(release).toMatchObject({ digest, kind: 'software', name: NAME, fileCount: 2, bytes: 10, ticket: 'CHG-7' });
    expect(audit).toMatchObject([{ action: 'software.import', who: 'admin', comment: 'fix', ticket: 'CHG-7' }]);
    expect((await software.filesOf(imported)).map(({ path }) => path)).toEqual(['agent/cli.js', 'package.json']);
    expect(await software.import(streamOf(program), { actor })).toMatchObject({ isNew: false, release });
    expect(audit).toHaveLength(1);
  });

  test('of a runtime is its own release, named with the platform', async () => {
    const { software } = memoryReleases();
    const { archive } = archiveOf('queue-agent-runtime-26.10.0-linux-x64', runtimeFiles());
    expect(await software.import(streamOf(archive), { actor })).toMatchObject({ part: 'runtime' });
  });

  test('in a dry run says what would come, and keeps nothing', async () => {
    const { software, audit } = memoryReleases();
    expect(await software.import(streamOf(program), { actor, dryRun: true })).toMatchObject({ isNew: true });
    expect([await software.list({ limit: 9 }), audit]).toEqual([[], []]);
  });

  test('with the signature that the release lacks gives it to the release, with an entry, and once', async () => {
    const { software, audit, blobs } = memoryReleases();
    await software.import(streamOf(withoutSignature(program)), { actor, force: true });
    expect((await software.list({ limit: 9 }))[0]?.signers).toEqual([]);
    const dry = await software.import(streamOf(program), { actor, dryRun: true });
    expect([dry.signers, audit.length]).toEqual([[], 1]);
    const signed = await software.import(streamOf(program), { actor });
    expect(signed).toMatchObject({ isNew: false, signers: [BUILD_KEY.keyId] });
    expect((await software.list({ limit: 9 }))[0]?.signers).toEqual([BUILD_KEY.keyId]);
    expect(audit).toMatchObject([{}, { action: 'software.import', detail: expect.stringContaining(BUILD_KEY.keyId) }]);
    await software.import(streamOf(withoutSignature(program)), { actor, force: true });
    expect((await software.find(digest)).signers).toEqual([BUILD_KEY.keyId]);
    expect(audit).toHaveLength(2);
    // All that was stored again, and nothing of the first import.
    expect(blobs.discarded.length).toBeGreaterThan(0);
    expect(Math.min(...blobs.discarded)).toBeGreaterThan(3);
  });

  test('without a signature is refused, unless it is forced', async () => {
    const { software, audit } = memoryReleases();
    const { archive } = archiveOf(NAME, programFiles(), undefined);
    // No build: the default of the helper would sign it.
    const unsigned = withoutSignature(archive);
    await expect(software.import(streamOf(unsigned), { actor })).rejects.toMatchObject({ code: 'software_unsigned' });
    expect(await software.import(streamOf(unsigned), { actor, force: true })).toMatchObject({ signers: [] });
    expect(JSON.stringify(audit)).toContain('software_unsigned');
  });

  test.each([
    [
      'a name that says another part',
      archiveOf('queue-agent-runtime-26.10.0-linux-x64', programFiles()).archive,
      'release_part_unknown',
    ],
    ['a name of another form', archiveOf('something', programFiles()).archive, 'release_part_unknown'],
    [
      'the signature of another manifest',
      exchanged(program, archiveOf(NAME, programFiles('other')).archive),
      'build_signature_invalid',
    ],
    ['one byte of a file altered', altered(program, 'start();', 'Start();'), 'software_archive_invalid'],
    ['a manifest that is altered', altered(program, '"size":8', '"size":9'), 'build_signature_invalid'],
    ['a file that is missing', program.subarray(0, program.indexOf('blobs/')), 'software_archive_invalid'],
    ['a content that is not in the folder blobs', renamed(program, 'blobs/'), 'software_archive_invalid'],
    ['a manifest in another form', altered(program, '"format":1,', '"format": 1'), 'manifest_invalid'],
    ['a second signature', doubled(program), 'software_archive_invalid'],
    [
      'a signature that is too large',
      Buffer.concat([
        entryOf('manifest.json', manifestOf(program)),
        entryOf('signature.json', ' '.repeat(MAX_SIGNATURE_BYTES + 1)),
      ]),
      'software_archive_invalid',
    ],
    ['an end too early', program.subarray(0, 700), 'archive_invalid'],
    ['something else', Buffer.alloc(1024, 'x'), 'archive_invalid'],
    ['nothing', Buffer.alloc(1024), 'software_archive_invalid'],
  ])('with %s is refused, and nothing is kept', async (_title, archive, code) => {
    const { software, audit, blobs } = memoryReleases();
    const refused = software.import(streamOf(archive), { actor, force: code !== 'build_signature_invalid' });
    await expect(refused).rejects.toMatchObject({ code, hint: expect.stringMatching(/\w/) });
    expect([await software.list({ limit: 9 }), audit]).toEqual([[], []]);
    expect(blobs.discarded).toHaveLength(blobs.begun());
  });
});

describe('a release', () => {
  test('is found by its name, its digest and the beginning of it, and not where several are meant', async () => {
    const { software } = memoryReleases();
    await software.import(streamOf(program), { actor });
    for (const reference of [NAME, digest, digest.slice(0, 8), `${NAME}@${digest.slice(0, 8)}`])
      expect((await software.find(reference)).release.digest).toBe(digest);
    await software.import(streamOf(archiveOf(NAME, programFiles('other')).archive), { actor });
    for (const reference of [NAME, 'queue-agent-program-9', digest.slice(0, 7), 'f'.repeat(64), ''])
      await expect(software.find(reference)).rejects.toMatchObject({ code: 'software_release_unknown', status: 404 });
  });

  test('is deleted with an entry', async () => {
    const { software, audit } = memoryReleases();
    await software.import(streamOf(program), { actor });
    await software.delete(NAME, actor);
    expect(audit.at(-1)).toMatchObject({ action: 'software.delete', detail: expect.stringContaining(digest) });
    await expect(software.delete(NAME, actor)).rejects.toMatchObject({ code: 'software_release_unknown' });
  });
});

/** The same length, another text. */
function altered(archive: Buffer, text: string, other: string): Buffer {
  const copy = Buffer.from(archive);
  copy.write(other, archive.indexOf(text));
  return copy;
}

/** The signature of `from` in the place of the one of `archive`. */
function exchanged(archive: Buffer, from: Buffer): Buffer {
  const part = (of: Buffer): [number, number] => [of.indexOf('signature.json'), of.indexOf('blobs/')];
  const [[start, end], [fromStart, fromEnd]] = [part(archive), part(from)];
  return Buffer.concat([archive.subarray(0, start), from.subarray(fromStart, fromEnd), archive.subarray(end)]);
}

/** Without this text in the paths of its entries, which stay sound otherwise. */
function renamed(archive: Buffer, text: string): Buffer {
  const copy = Buffer.from(archive);
  for (let at = copy.indexOf(text); at !== -1; at = copy.indexOf(text, at + 512)) {
    const header = copy.subarray(at, at + 512);
    const path = header.subarray(0, 100).toString().replace(text, '');
    header.fill(0, 0, 100);
    header.write(path, 0);
    header.write('        ', 148);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  }
  return copy;
}

function doubled(archive: Buffer): Buffer {
  const [from, to] = [archive.indexOf('signature.json'), archive.indexOf('blobs/')];
  return Buffer.concat([archive.subarray(0, to), archive.subarray(from, to), archive.subarray(to)]);
}

function manifestOf(archive: Buffer): string {
  const from = archive.indexOf('{"format"');
  return archive.subarray(from, archive.indexOf(0, from)).toString();
}

function entryOf(path: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(path, 0);
  header.write(content.length.toString(8).padStart(11, '0'), 124);
  header.write('        0', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, Buffer.from(content.padEnd(Math.ceil(content.length / 512) * 512, '\0'))]);
}

function withoutSignature(archive: Buffer): Buffer {
  return archive.includes('signature.json')
    ? Buffer.concat([
        archive.subarray(0, archive.indexOf('signature.json')),
        archive.subarray(archive.indexOf('blobs/')),
      ])
    : archive;
}
