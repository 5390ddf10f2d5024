// One release has one text: what a manifest may hold, its canonical form, and which paths no agent could write.
import { describe, expect, it } from 'vitest';
import {
  assertFiles,
  manifestDigest,
  manifestText,
  MAX_FILES,
  MAX_PATH_LENGTH,
  parseManifest,
  readManifest,
  pathFault,
  releaseBytes,
  type ReleaseFile,
} from '../../../shared/releases/manifest.ts';

const sha256 = 'a'.repeat(64);
const file = (path: string, more: Partial<ReleaseFile> = {}): ReleaseFile => ({
  path,
  size: 1,
  sha256,
  executable: false,
  ...more,
});
const codeOf = (act: () => unknown): unknown => {
  try {
    act();
    return 'none';
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
};

describe('the text of a manifest', () => {
  it('is the same for the same files in any order, without white space, sorted by the bytes of the paths', () => {
    const files = [file('b'), file('conf/agent.conf', { size: 412 }), file('a/ä'), file('a/z', { executable: true })];
    const text = manifestText({ kind: 'profile', name: 'branch', files });
    expect(manifestText({ kind: 'profile', name: 'branch', files: files.toReversed() })).toBe(text);
    expect(text).toBe(
      `{"format":1,"kind":"profile","name":"branch","files":[${['a/z', 'a/ä', 'b', 'conf/agent.conf']
        .map((path) => {
          const { size, executable } = files.find((one) => one.path === path)!;
          return JSON.stringify({ path, size, sha256, executable });
        })
        .join(',')}]}`,
    );
    expect(parseManifest(text).files).toHaveLength(4);
    expect(manifestDigest('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(releaseBytes(parseManifest(text))).toBe(415);
  });

  it.each([
    ['white space', (text: string) => text.replace(':1,', ': 1,')],
    [
      'members in another order',
      (text: string) => text.replace('"format":1,"kind":"profile"', '"kind":"profile","format":1'),
    ],
    ['an unknown member', (text: string) => text.replace('{"format"', '{"x":1,"format"')],
    ['another format', (text: string) => text.replace('"format":1', '"format":2')],
    ['files in another order', (text: string) => text.replace('"path":"a"', '"path":"c"')],
    ['a digest in capitals', (text: string) => text.replace(sha256, sha256.toUpperCase())],
    ['a negative size', (text: string) => text.replace('"size":1', '"size":-1')],
    ['a member twice', (text: string) => text.replace('"format":1', '"format":1,"format":1')],
    ['a blank behind it', (text: string) => `${text} `],
    ['another escape', (text: string) => text.replace('"path":"a"', '"path":"\\u0061"')],
    ['what is not JSON', (text: string) => text.slice(1)],
  ])('is refused with %s', async (_, change) => {
    const text = manifestText({ kind: 'profile', name: 'branch', files: [file('a'), file('b')] });
    expect(change(text)).not.toBe(text);
    expect(codeOf(() => parseManifest(change(text)))).toBe('manifest_invalid');
    await expect(readManifest(change(text))).rejects.toMatchObject({ code: 'manifest_invalid' });
  });
});

describe('the path of a file', () => {
  it.each([
    'conf/agent.conf',
    'a.b-c_d',
    'Überweisung/жук 1.txt',
    '.hidden',
    'a'.repeat(MAX_PATH_LENGTH),
    'console',
    'com10',
  ])('%s is accepted', (path) => expect(pathFault(path)).toBeUndefined());

  it.each([
    '',
    '/etc/passwd',
    '../x',
    'a/../b',
    'a/./b',
    'a//b',
    'a/',
    'a\\b',
    'c:x',
    'a\u0000b',
    'a\nb',
    'a\u0085b',
    'what?',
    'a*',
    'x.',
    'x ',
    'dir./x',
    'NUL',
    'con.txt',
    'a/COM1',
    'LPT¹.log',
    '\ud800',
    'a'.repeat(MAX_PATH_LENGTH + 1),
  ])('%j is refused', (path) => {
    expect(pathFault(path)).toBeTypeOf('string');
    expect(codeOf(() => assertFiles([file(path)]))).toBe('release_path_invalid');
  });

  it.each([
    ['a', 'A'],
    ['conf/x', 'Conf/y'],
    ['\u00e9', 'e\u0301'],
    ['a', 'a/b'],
    ['a/b', 'a'],
    ['same', 'same'],
  ])('%s does not go beside %s', (one, other) => {
    expect(codeOf(() => assertFiles([file(one), file(other)]))).toBe('release_path_invalid');
  });
});

it('a release has at most ten thousand files and one GiB', () => {
  const many = Array.from({ length: MAX_FILES }, (_, i) => file(`f/${i}`));
  expect(codeOf(() => assertFiles(many))).toBe('none');
  expect(codeOf(() => assertFiles([...many, file('one-more')]))).toBe('release_too_large');
  expect(codeOf(() => assertFiles([file('a', { size: 1024 ** 3 }), file('b')]))).toBe('release_too_large');
});

describe('a path costs its length', () => {
  it('at 41 levels it is refused, and 10,000 files may have 20,000 folders', () => {
    expect(pathFault(`${'a/'.repeat(39)}b`)).toBeUndefined();
    expect(pathFault(`${'a/'.repeat(40)}b`)).toMatch(/41 levels deep/);
    // Two folders each, of which no two are the same.
    const files = Array.from({ length: MAX_FILES }, (_, i) => ({ path: `${i}/${i}/f`, size: 1 }));
    expect(codeOf(() => assertFiles(files))).toBe('none');
    expect(codeOf(() => assertFiles([...files.slice(1), { path: 'x/y/z/f', size: 1 }]))).toBe('release_too_large');
  });

  it('a file and a folder of the same name clash on every level, whichever comes first, and so do two spellings', () => {
    const clash = (...paths: string[]): unknown => codeOf(() => assertFiles(paths.map((path) => ({ path, size: 1 }))));
    expect(clash('a/b/c', 'a/B')).toBe('release_path_invalid');
    expect(clash('a/b', 'a/b/c')).toBe('release_path_invalid');
    expect(clash('a/b/c', 'A/b/d')).toBe('release_path_invalid');
    expect(clash('a/\u00e9/c', 'a/e\u0301/d')).toBe('release_path_invalid');
    expect(clash('a/b/c', 'a/b/d', 'b/c', 'c')).toBe('none');
  });
});
