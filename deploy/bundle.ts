// Bundles the programs of both packages with esbuild, without a map or a path of the machine that builds: same sources,
// same bytes.
import { readdirSync, readFileSync, existsSync } from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { bundleDashboard } from '../central/dashboard/bundle.ts';
import { ROOT, type Entry } from './entry.ts';

/** Some packages are CommonJS and call require for modules of Node.js. */
const REQUIRE =
  "import { createRequire as createRequireOfBundle } from 'node:module';\nconst require = createRequireOfBundle(import.meta.url);";

export interface Program {
  readonly entries: readonly Entry[];
  /** The packages in it, with their licenses. */
  readonly licenses: string;
}

/**
 * The daemon and the command line of an agent. What only some starts need (enrollment, PKCS#12 with RC2, certificates)
 * are files of their own, loaded on demand: in one file they cost 1.4 MiB of memory that is never used.
 */
export async function bundleAgent(): Promise<Program> {
  return await bundle({ 'agent/cli': 'agent/cli.ts' }, 'agent/[name]-[hash]', ['profiles/default']);
}

/** Central with its threads, and the command line of administrators: one file for each. */
export async function bundleCentral(): Promise<Program> {
  const threads = threadsOf('central');
  const program = await bundle(
    { 'central/main': 'central/main.ts', 'central/cli': 'central/cli.ts', ...threads },
    undefined,
    ['profiles/default', 'profiles/central'],
  );
  const { files, metafile } = await bundleDashboard();
  const pages = [...files].map(([name, content]) => ({ path: `central/web/${name}`, content, executable: false }));
  return {
    entries: [...program.entries, ...pages].toSorted((one, other) => (one.path < other.path ? -1 : 1)),
    licenses: `${program.licenses}\n${'-'.repeat(78)}\n\n${licensesOf(metafile)}`,
  };
}

/**
 * The files of the threads that a program starts. In a bundle they are beside the file that starts them, in threads/.
 */
function threadsOf(program: string): Record<string, string> {
  const sources = readdirSync(join(ROOT, program), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const found: Record<string, string> = {};
  for (const source of sources.map((name) => join(program, name))) {
    for (const [call, name] of readFileSync(join(ROOT, source), 'utf8').matchAll(
      /workerUrl\((?:'\.\/threads\/([\w-]+)')?/g,
    )) {
      if (name === undefined) throw new Error(`${source}: ${call}...: a thread has to be in ./threads/.`);
      const bundled = `${program}/threads/${name}`;
      if (found[bundled] !== undefined) throw new Error(`${source}: there are two threads with the name "${name}".`);
      found[bundled] = join(dirname(source), 'threads', `${name}.ts`);
    }
  }
  return found;
}

async function bundle(
  entryPoints: Readonly<Record<string, string>>,
  chunkNames: string | undefined,
  profiles: readonly string[],
): Promise<Program> {
  const out = join(ROOT, 'bundle');
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: { ...entryPoints },
    outdir: out,
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    splitting: chunkNames !== undefined,
    ...(chunkNames === undefined ? {} : { chunkNames }),
    // Names stay: an error in a log names the functions.
    minifySyntax: true,
    minifyWhitespace: true,
    lineLimit: 400,
    legalComments: 'none',
    metafile: true,
    banner: { js: REQUIRE },
    logLevel: 'warning',
  });
  const code = outputFiles.map(({ path, contents }) => ({
    path: relative(out, path).replaceAll('\\', '/'),
    content: Buffer.from(contents),
    executable: false,
  }));
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const stated = {
    path: 'package.json',
    content: Buffer.from(`{"type":"module","version":"${version}"}\n`),
    executable: false,
  };
  return {
    entries: [stated, ...code, ...profiles.flatMap(profileEntries)].toSorted((one, other) =>
      one.path < other.path ? -1 : 1,
    ),
    licenses: licensesOf(metafile),
  };
}

/** The settings and their explanation; a truststore in it belongs to this checkout. */
function profileEntries(folder: string): Entry[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => ['.conf', '.md'].includes(extname(name)) && !name.endsWith('.local.conf'))
    .map((name) => {
      const path = join(folder, name);
      return { path: path.replaceAll('\\', '/'), content: readFileSync(join(ROOT, path)), executable: false };
    });
}

function licensesOf({ inputs }: Metafile): string {
  const packages = new Set(
    Object.keys(inputs).flatMap(
      (input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(input)?.[1] ?? [],
    ),
  );
  return [...packages]
    .toSorted()
    .map((name) => {
      const folder = join(ROOT, 'node_modules', name);
      const stated = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        version: string;
        license?: string;
      };
      const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'LICENCE'].find((one) =>
        existsSync(join(folder, one)),
      );
      const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim();
      return `${name} ${stated.version} (${stated.license ?? 'see below'})\n\n${text}\n`;
    })
    .join(`\n${'-'.repeat(78)}\n\n`);
}
