// What the packages hold, and how they are named: the trees of .deb, tar.gz and zip, and the releases of the software
// that Central imports.
import { createHash, type KeyObject } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { signManifest } from '../shared/releases/build-signature.ts';
import { manifestDigest, manifestText } from '../shared/releases/manifest.ts';
import { ar, tar } from './archive.ts';
import type { Program } from './bundle.ts';
import { ROOT, textEntry, under, type Entry } from './entry.ts';
import type { Runtime } from './runtime.ts';

/** What Node.js loads (ldd); a minimal Debian lacks libatomic1. useradd is in passwd, runuser in util-linux. */
const DEPENDS = 'libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 9), libatomic1, passwd, util-linux';
/** A fifth larger than the densest, in a twentieth of the time. dpkg reads zstd since Debian 12 and Ubuntu 21.10. */
const ZSTD_LEVEL = 10;

export type PackageName = 'queue-agent' | 'queuegate-central';

export interface Contents {
  readonly name: PackageName;
  readonly version: string;
  readonly program: Program;
  readonly runtime: Runtime;
  /** The public key of the build, by which the agent knows software from Central; undefined: it takes none. */
  readonly buildKey?: string | undefined;
}

const DESCRIPTIONS: Readonly<Record<PackageName, string>> = {
  'queue-agent':
    'agent of Queuegate\n Keeps a secure connection from this machine to Queuegate Central, and carries\n durable messages both ways. Contains its own Node.js.',
  'queuegate-central':
    'Central of Queuegate\n The server of a secure WebSocket gateway for queue agents, with its certificate\n authority and the command queuegate. Contains its own Node.js.',
};

/** Program and runtime, as they are in a package below lib/. */
export function installed({ name, program, runtime, buildKey }: Contents): Entry[] {
  const node = { path: 'runtime/node', content: runtime.node, executable: true };
  const tree = [...under('program', program.entries), node];
  if (name === 'queuegate-central') return tree;
  return [
    ...under('factory', [...tree, textEntry('program/node-options', nodeOptions())]),
    file(name, 'launch', 'launch', true),
    ...(buildKey === undefined ? [] : [textEntry('build-key.pem', buildKey)]),
  ];
}

/** The slot of a program: what an update replaces. */
export function programEntries(program: Program): Entry[] {
  return [...program.entries, textEntry('node-options', nodeOptions())];
}

/**
 * The agent waits for lines and disks most of the time: a small young generation, one thread of V8 and no TurboFan
 * (whose code is 4 MiB of the binary) cost it no message, and save 7 MiB of 81.
 */
function nodeOptions(): string {
  return '--max-semi-space-size=1 --v8-pool-size=1 --no-opt\n';
}

function file(name: PackageName, path: string, source: string, executable = false): Entry {
  return { path, content: readFileSync(join(ROOT, 'deploy', name, source)), executable };
}

/** The files of a folder below deploy/NAME; empty if that folder does not exist. */
function folderOf(name: PackageName, source: string, path: string, executable = false): Entry[] {
  const folder = join(ROOT, 'deploy', name, source);
  return (existsSync(folder) ? readdirSync(folder) : []).map((one) =>
    file(name, `${path}/${one}`, `${source}/${one}`, executable),
  );
}

function documents({ program, runtime }: Contents): Entry[] {
  return [
    { path: 'copyright', content: readFileSync(join(ROOT, 'LICENSE')), executable: false },
    { path: 'INSTALL.md', content: readFileSync(join(ROOT, 'docs/INSTALL.md')), executable: false },
    textEntry('third-party-licenses.txt', program.licenses),
    textEntry('node-license.txt', runtime.license),
  ];
}

/** A package of Debian (deb(5)). */
export function debianPackage(contents: Contents, architecture: string, seconds: number): Buffer {
  const { name, version } = contents;
  const data = [
    ...under(`usr/lib/${name}`, installed(contents)),
    ...under(`usr/share/doc/${name}`, documents(contents)),
    ...folderOf(name, 'bin', 'usr/bin', true),
    ...folderOf(name, 'systemd', 'lib/systemd/system'),
    ...folderOf(name, 'tmpfiles', 'usr/lib/tmpfiles.d'),
    ...folderOf(name, 'default', 'etc/default'),
    ...folderOf(name, 'conf', 'etc/queuegate'),
  ];
  const kibibytes = data.reduce((sum, { content }) => sum + Math.ceil(content.length / 1024), 0);
  const control = [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    'Maintainer: The Queuegate authors <queuegate@localhost>',
    `Installed-Size: ${kibibytes}`,
    `Depends: ${DEPENDS}`,
    'Section: net',
    'Priority: optional',
    `Description: ${DESCRIPTIONS[name]}`,
    '',
  ].join('\n');
  const sums = data.map(({ path, content }) => `${createHash('md5').update(content).digest('hex')}  ${path}\n`);
  const conffiles = data.filter(({ path }) => path.startsWith('etc/')).map(({ path }) => `/${path}\n`);
  const scripts = folderOf(name, 'debian', '.', true).map((entry) => ({
    ...entry,
    path: entry.path.replace('./', ''),
  }));
  const about = [
    textEntry('control', control),
    textEntry('md5sums', sums.join('')),
    textEntry('conffiles', conffiles.join('')),
    ...scripts,
  ];
  return ar(
    [
      ['debian-binary', Buffer.from('2.0\n')],
      ['control.tar.zst', compress(tar(about, seconds, { prefix: './' }))],
      ['data.tar.zst', compress(tar(data, seconds, { prefix: './' }))],
    ],
    seconds,
  );
}

/** For any other Linux: unpacked anywhere, started by bin/NAME. */
export function tarball(contents: Contents, target: string, seconds: number): Buffer {
  const { name, version } = contents;
  const entries = under(`${name}-${version}-${target}`, [
    ...under('lib', installed(contents)),
    ...under('doc', documents(contents)),
    ...folderOf(name, 'tar', 'bin', true),
    ...folderOf(name, 'systemd', 'doc/systemd'),
  ]);
  // The level hardly matters for a binary, the time does.
  return gzipSync(tar(entries, seconds), { level: 6 });
}

/** For Windows: the documented layout, which WinSW or another wrapper runs. */
export function windowsEntries(contents: Contents): Entry[] {
  const { name, version, runtime } = contents;
  return under(`${name}-${version}-win-x64`, [
    ...under('program', programEntries(contents.program)),
    { path: 'runtime/node.exe', content: runtime.node, executable: true },
    ...under('doc', documents(contents)),
    ...folderOf(name, 'windows', '.').map((entry) => ({ ...entry, path: entry.path.replace('./', '') })),
  ]);
}

export interface BuildKey {
  readonly key: KeyObject;
  readonly keyId: string;
}

/**
 * A release of the software for Central (.qgs): a tar archive of manifest.json in canonical form, signature.json (a
 * DSSE envelope of it by the build key; absent where there is none), and each file once as blobs/SHA256, in this order:
 * Central checks the first two before it stores a file.
 */
export function softwareRelease(
  name: string,
  entries: readonly Entry[],
  build: BuildKey | undefined,
  seconds: number,
): { readonly digest: string; readonly archive: Buffer } {
  const blobs = new Map(entries.map((entry) => [sha256(entry.content), entry.content] as const));
  const manifest = manifestText({
    kind: 'software',
    name,
    files: entries.map(({ path, content, executable }) => ({
      path,
      size: content.length,
      sha256: sha256(content),
      executable,
    })),
  });
  const files = [
    textEntry('manifest.json', manifest),
    ...(build === undefined
      ? []
      : [textEntry('signature.json', `${JSON.stringify(signManifest(manifest, build.key, build.keyId))}\n`)]),
    ...[...blobs].map(([digest, content]) => ({ path: `blobs/${digest}`, content, executable: false })),
  ];
  return { digest: manifestDigest(manifest), archive: tar(files, seconds, { keepOrder: true }) };
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function compress(content: Buffer): Buffer {
  return zstdCompressSync(content, { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
}
