import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { zip } from '../../deploy/archive.ts';
import { textEntry } from '../../deploy/entry.ts';
import {
  debianPackage,
  installed,
  softwareRelease,
  tarball,
  windowsEntries,
  type Contents,
} from '../../deploy/packages.ts';
import { manifestDigest, MANIFEST_TYPE, parseManifest } from '../../shared/releases/manifest.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const SECONDS = 1_767_225_600;
const LONG = `agent/${'long/'.repeat(24)}chunk-ABCDEFGH.js`;
const DEPLOY = resolve(import.meta.dirname, '../../deploy');

function contents(name: Contents['name']): Contents {
  return {
    name,
    version: '1.2.3',
    program: { entries: [textEntry('agent/cli.js', 'cli'), textEntry(LONG, 'x'.repeat(513))], licenses: 'licenses' },
    runtime: { version: '26.10.0', node: Buffer.from('#!/bin/sh\n'), license: 'license' },
  };
}

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

function save(name: string, content: Buffer): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

function print(program: string, ...args: string[]): string {
  const { stdout, stderr, status } = spawnSync(program, args, { encoding: 'utf8', cwd: folder });
  expect([program, status, stderr]).toEqual([program, 0, '']);
  return stdout;
}

const has = (program: string): boolean => spawnSync('which', [program]).status === 0;

describe('a package for Debian', () => {
  it.runIf(has('dpkg-deb')).each(['queue-agent', 'queuegate-central'] as const)(
    '%s is one that dpkg reads: files of root, settings that stay, scripts, and what it depends on',
    (name) => {
      const file = save('x.deb', debianPackage(contents(name), 'amd64', SECONDS));
      const fields = print('dpkg-deb', '--field', file);
      expect(fields).toContain(`Package: ${name}\nVersion: 1.2.3\nArchitecture: amd64\n`);
      expect(fields).toMatch(/^Depends: .*libatomic1/m);
      const listed = print('dpkg-deb', '--contents', file).trim().split('\n');
      expect(listed.filter((line) => !/^[d-]rw[x-]r-[x-]r-[x-] root\/root /.test(line))).toEqual([]);
      const paths = listed.map((line) => line.split(' ./')[1] ?? '');
      expect(paths).toEqual(
        expect.arrayContaining([`usr/bin/${name}`, `lib/systemd/system/${name}.service`, `etc/default/${name}`]),
      );
      expect(paths.find((path) => path.endsWith(LONG))).toBeDefined();
      expect(print('dpkg-deb', '--info', file, 'conffiles')).toContain(`/etc/default/${name}\n`);
      for (const script of ['postinst', 'prerm', 'postrm'])
        expect(print('dpkg-deb', '--info', file, script)).toMatch(/^#!\/bin\/sh\n/);
      print('dpkg-deb', '--extract', file, join(folder, 'root'));
      expect(readFileSync(join(folder, 'root/usr/share/doc', name, 'third-party-licenses.txt'), 'utf8')).toBe(
        'licenses',
      );
    },
  );

  it('is the same bytes for the same contents, and so are the archives', () => {
    const once = (): Buffer[] => [
      debianPackage(contents('queue-agent'), 'amd64', SECONDS),
      tarball(contents('queue-agent'), 'linux-x64', SECONDS),
      zip(windowsEntries(contents('queue-agent'))),
    ];
    const [one, other] = [once(), once()];
    expect(one.every((bytes, i) => other[i]?.equals(bytes))).toBe(true);
  });
});

describe('an archive', () => {
  it('is one that tar reads, with names over a hundred bytes and executable files', () => {
    const file = save('x.tar.gz', tarball(contents('queue-agent'), 'linux-x64', SECONDS));
    print('tar', '-xzf', file);
    const root = join(folder, 'queue-agent-1.2.3-linux-x64');
    expect(readFileSync(join(root, 'lib/factory/program', LONG), 'utf8')).toBe('x'.repeat(513));
    expect(print('tar', '--numeric-owner', '-tvzf', file)).toMatch(
      /^-rwxr-xr-x 0\/0 .* 2026-01-01 .*bin\/queue-agent$/m,
    );
  });

  it.runIf(has('python3'))('is one that others read as zip', () => {
    const file = save('x.zip', zip(windowsEntries(contents('queue-agent'))));
    expect(print('python3', '-m', 'zipfile', '-t', file)).toContain('Done testing');
    expect(print('python3', '-m', 'zipfile', '-l', file)).toContain('queue-agent-1.2.3-win-x64/runtime/node.exe');
  });
});

describe('the key of the build', () => {
  it('is beside the launcher of the agent, and not in the program that it signs', () => {
    const paths = installed({ ...contents('queue-agent'), buildKey: 'KEY' })
      .filter(({ content }) => content.toString() === 'KEY')
      .map(({ path }) => path);
    expect(paths).toEqual(['build-key.pem']);
    expect(installed(contents('queue-agent')).map(({ path }) => path)).not.toContain('build-key.pem');
  });
});

describe('a release of the software', () => {
  it('names its files in a canonical manifest, holds each content once, and is signed by the build key', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const entries = [textEntry('node', 'node', true), textEntry('b', 'same'), textEntry('a', 'same')];
    const { digest, archive } = softwareRelease('queue-agent-x', entries, { key: privateKey, keyId: 'k' }, SECONDS);
    print('tar', '-xf', save('x.qgs', archive));
    const text = readFileSync(join(folder, 'manifest.json'), 'utf8');
    expect(manifestDigest(text)).toBe(digest);
    const { files } = parseManifest(text);
    expect(files.map(({ path, executable }) => [path, executable])).toEqual([
      ['a', false],
      ['b', false],
      ['node', true],
    ]);
    for (const { sha256, size } of files) expect(readFileSync(join(folder, 'blobs', sha256)).length).toBe(size);
    const envelope = JSON.parse(readFileSync(join(folder, 'signature.json'), 'utf8')) as {
      payload: string;
      signatures: { sig: string }[];
    };
    expect(Buffer.from(envelope.payload, 'base64').toString()).toBe(text);
    const signed = Buffer.from(`DSSEv1 ${MANIFEST_TYPE.length} ${MANIFEST_TYPE} ${Buffer.byteLength(text)} ${text}`);
    const signature = Buffer.from(envelope.signatures[0]?.sig ?? '', 'base64');
    expect(verify(null, signed, createPublicKey(privateKey), signature)).toBe(true);
  });

  it('has no signature without a key', () => {
    const { archive } = softwareRelease('queue-agent-x', [textEntry('a', 'a')], undefined, SECONDS);
    expect(print('tar', '-tf', save('x.qgs', archive))).not.toContain('signature');
  });
});

describe('the folders of the package', () => {
  it('are the same for the service and for the command', () => {
    const unit = readFileSync(join(DEPLOY, 'queue-agent/systemd/queue-agent.service'), 'utf8');
    const command = readFileSync(join(DEPLOY, 'queue-agent/bin/queue-agent'), 'utf8');
    const named = [...unit.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(
      ([, name, value]) => `export ${name}="\${${name}:-${value}}"`,
    );
    expect(named.length).toBe(5);
    expect(named.filter((line) => !command.includes(line))).toEqual([]);
  });
});
