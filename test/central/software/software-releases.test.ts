import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
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
    ['an end too early', program.subarray(0, 700), 'archive_invalid'],
    ['something else', Buffer.alloc(1024, 'x'), 'archive_invalid'],
    ['nothing', Buffer.alloc(1024), 'software_archive_invalid'],
  ])('with %s is refused, and nothing is kept', async (_title, archive, code) => {
    const { software, audit } = memoryReleases();
    const refused = software.import(streamOf(archive), { actor, force: code !== 'build_signature_invalid' });
    await expect(refused).rejects.toMatchObject({ code, hint: expect.stringMatching(/\w/) });
    expect([await software.list({ limit: 9 }), audit]).toEqual([[], []]);
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

function withoutSignature(archive: Buffer): Buffer {
  return archive.includes('signature.json')
    ? Buffer.concat([
        archive.subarray(0, archive.indexOf('signature.json')),
        archive.subarray(archive.indexOf('blobs/')),
      ])
    : archive;
}
