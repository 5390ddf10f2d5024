// Builds what is installed elsewhere (npm run dist): packages for Debian, archives with the runtime, releases of the
// agent's software, their SHA-256 sums and a signature by the build key. The same sources give the same bytes.
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { VERSION } from '../shared/version.ts';
import { zip } from './archive.ts';
import { bundleAgent, bundleCentral } from './bundle.ts';
import { ROOT } from './entry.ts';
import {
  debianPackage,
  programEntries,
  sha256,
  softwareRelease,
  tarball,
  windowsEntries,
  type BuildKey,
  type Contents,
} from './packages.ts';
import { loadRuntime, TARGETS, type Runtime, type Target } from './runtime.ts';

const DEFAULT_OUT = join(ROOT, 'deploy/out');
const USAGE = `usage: npm run dist -- [--out FOLDER] [--target TARGET]... [--only queue-agent|queuegate-central] [--key FILE]

  --out     where the files go; default: deploy/out
  --target  ${Object.keys(TARGETS).join(', ')}; default: linux-x64, which is the one that is tested
  --only    one of the two packages
  --key     Ed25519 private key (PEM) that signs; default: the file in QUEUEGATE_BUILD_KEY`;

interface Request {
  readonly out: string;
  readonly targets: readonly Target[];
  readonly only: string | undefined;
  readonly build: BuildKey | undefined;
}

function readRequest(args: readonly string[], environment: NodeJS.ProcessEnv): Request {
  const { values } = parseArgs({
    args: [...args],
    options: {
      out: { type: 'string' },
      target: { type: 'string', multiple: true },
      only: { type: 'string' },
      key: { type: 'string' },
    },
  });
  const targets = values.target ?? ['linux-x64'];
  const unknown = targets.find((target) => !Object.hasOwn(TARGETS, target));
  if (unknown !== undefined) throw new Error(`unknown target "${unknown}"\n\n${USAGE}`);
  if (values.only !== undefined && values.only !== 'queue-agent' && values.only !== 'queuegate-central')
    throw new Error(`unknown package "${values.only}"\n\n${USAGE}`);
  const keyFile = values.key ?? (environment['QUEUEGATE_BUILD_KEY'] || undefined);
  return {
    out: resolve(values.out ?? DEFAULT_OUT),
    targets: targets as Target[],
    only: values.only,
    build: keyFile === undefined ? undefined : readBuildKey(keyFile),
  };
}

function readBuildKey(file: string): BuildKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(readFileSync(file));
  } catch (error) {
    throw new Error(
      `${file} cannot be read as a private key: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new Error(
      `${file} is a key of the type ${key.asymmetricKeyType}; allowed: ed25519 (openssl genpkey -algorithm ed25519).`,
    );
  return { key, keyId: keyIdOf(key) };
}

/** SHA-256 of the public key (SPKI). */
function keyIdOf(key: KeyObject): string {
  return createHash('sha256')
    .update(createPublicKey(key).export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/** The time of every file: SOURCE_DATE_EPOCH (reproducible-builds.org), else that of the commit. */
function sourceDate(environment: NodeJS.ProcessEnv): number {
  const named =
    environment['SOURCE_DATE_EPOCH'] ||
    execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, encoding: 'utf8' });
  if (!/^\d{1,10}$/.test(named.trim()))
    throw new Error(`SOURCE_DATE_EPOCH is "${named}"; allowed: seconds since 1970.`);
  return Number(named);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function make({ out, targets, only, build }: Request): Promise<void> {
  const seconds = sourceDate(process.env);
  // The default folder holds what was built before, any other one may hold anything.
  if (out === DEFAULT_OUT) rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  if (readdirSync(out).length > 0) throw new Error(`${out} is not empty. Name another folder, or empty it.`);
  const sums: string[] = [];
  const write = (name: string, content: Buffer, note = ''): void => {
    writeFileSync(join(out, name), content);
    sums.push(`${sha256(content)}  ${name}\n`);
    say(`  ${(content.length / 1e6).toFixed(1).padStart(5)} MB  ${name}${note}`);
  };
  const agent = only === 'queuegate-central' ? undefined : await bundleAgent();
  const central = only === 'queue-agent' ? undefined : withAgent(await bundleCentral(), agent ?? (await bundleAgent()));
  const buildKey = build && createPublicKey(build.key).export({ type: 'spki', format: 'pem' });
  for (const target of targets) {
    const { debian, tested } = TARGETS[target];
    const note = tested ? '' : '   (not tested)';
    const runtime = runtimeOf(target);
    if (runtime === undefined) continue;
    if (agent !== undefined) {
      const contents: Contents = { name: 'queue-agent', version: VERSION, program: agent, runtime, buildKey };
      if (debian === undefined) write(`queue-agent-${VERSION}-${target}.zip`, zip(windowsEntries(contents)), note);
      else writeLinux(contents, debian, target, note);
      const node = [{ path: target === 'win-x64' ? 'node.exe' : 'node', content: runtime.node, executable: true }];
      const name = `queue-agent-runtime-${runtime.version}-${target}`;
      write(`${name}.qgs`, softwareRelease(name, node, build, seconds).archive, note);
    }
    if (central !== undefined && debian !== undefined)
      writeLinux({ name: 'queuegate-central', version: VERSION, program: central, runtime }, debian, target, note);
  }
  if (agent !== undefined) {
    const name = `queue-agent-program-${VERSION}`;
    write(`${name}.qgs`, softwareRelease(name, programEntries(agent), build, seconds).archive);
  }
  writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));
  if (build === undefined) {
    say('Not signed: name the build key with --key FILE or QUEUEGATE_BUILD_KEY.');
    return;
  }
  writeFileSync(join(out, 'SHA256SUMS.sig'), sign(null, Buffer.from(sums.join('')), build.key));
  writeFileSync(join(out, 'build-key.pem'), buildKey ?? '');
  say(`Signed by the build key sha256:${build.keyId}.`);

  function writeLinux(contents: Contents, architecture: string, target: string, note: string): void {
    const { name } = contents;
    write(`${name}_${VERSION}_${architecture}.deb`, debianPackage(contents, architecture, seconds), note);
    write(`${name}-${VERSION}-${target}.tar.gz`, tarball(contents, target, seconds), note);
  }
}

/** Undefined: its Node.js could not be had; the other targets are built all the same. */
function runtimeOf(target: Target): Runtime | undefined {
  try {
    return loadRuntime(target, say);
  } catch (error) {
    process.stderr.write(`error: not built for ${target}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
    return undefined;
  }
}

/** Central starts an agent on its own host. */
function withAgent(
  central: Awaited<ReturnType<typeof bundleCentral>>,
  agent: Awaited<ReturnType<typeof bundleAgent>>,
): Awaited<ReturnType<typeof bundleCentral>> {
  const own = new Set(central.entries.map(({ path }) => path));
  return { ...central, entries: [...central.entries, ...agent.entries.filter(({ path }) => !own.has(path))] };
}

try {
  await make(readRequest(process.argv.slice(2), process.env));
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
