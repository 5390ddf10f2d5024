// Holds the shape of the code: what may import what, one place for each fenced package, no circles, no file that
// outgrew its subject.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VERSION } from '../shared/version.ts';
import { COVERED_ELSEWHERE } from './covered.ts';
import { SLOW_FILES } from './slow.ts';

const root = resolve(import.meta.dirname, '..');

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function files(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

/** What runs in browsers has rules of its own below. */
const WEB = 'central/dashboard/web/';
const sources = ['central', 'agent', 'shared']
  .flatMap((folder) => files(folder))
  .filter((file) => !file.startsWith(WEB));
const IMPORT =
  /^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/gm;

const imports: Import[] = sources.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(IMPORT)].map(([, type, fixed, lazy]) => {
    const to = fixed ?? lazy ?? '';
    return {
      from: file,
      to: to.startsWith('.') ? relative(root, resolve(root, dirname(file), to)) : to,
      typeOnly: type !== undefined,
    };
  });
});

/** Central's parts, upper first: a part may import what is above it, never what is below. Types are free to go up. */
const CENTRAL_ORDER = [
  'heap',
  'config',
  'audit',
  'problems',
  'metrics',
  'events',
  'store',
  'watching',
  'aging-clock',
  'change',
  'parameters',
  'pki',
  'auth',
  'enrollment',
  'messaging',
  'sessions',
  'agents',
  'profiles',
  'software',
  'rollouts',
  'subscriptions',
  'tasks',
  'listeners',
  'forwarding',
  'services',
  'nodes',
  'dashboard',
  'admin',
  'central-agent',
  'maintenance',
  'composition',
  'central',
  'main',
  'cli',
];
const AGENT_ORDER = [
  'errors',
  'json-file',
  'file-changes',
  'release-record',
  'software-slot',
  'store',
  'identity',
  'dial',
  'consumer-settings',
  'services',
  'tasks',
  'conf',
  'profile',
  'target',
  'trust',
  'connection',
  'renewal',
  'releases',
  'local-api',
  'enrollment',
  'doctor',
  'daemon',
  'main',
  'cli',
];

/** Packages that cost memory or need care, and the only files that may load them. */
const FENCES: Readonly<Record<string, RegExp>> = {
  '@peculiar/x509': /^shared\/x509\/library\.ts$/,
  'reflect-metadata': /^shared\/x509\/library\.ts$/,
  'node-forge': /^shared\/keystore\/pkcs12\/rc2\.ts$/,
  commander: /^shared\/terminal\/program\.ts$/,
  convict: /^shared\/settings\/settings\.ts$/,
  'openid-client': /^central\/auth\/oidc\/provider\.ts$/,
  fastify: /^central\/(listeners|admin)\//,
  esbuild: /^central\/dashboard\/bundle\.ts$/,
  '@fastify/websocket': /^central\/listeners\/agent-socket\.ts$/,
  'prom-client': /^central\//,
  // Only its types: shared/http/node-http.ts. A command line ends soon.
  'node:http': /^central\/cli\/client\.ts$/,
  'node:sqlite': /^shared\/sqlite\/|^central\/store\/sqlite\/|^agent\//,
  pg: /^central\/store\/postgres\//,
};

function ownTest(file: string): string {
  return join('test', file.replace(/\.ts$/, '.test.ts'));
}

/** What a file loads: imports, threads, and programs that a test starts. */
function loadedBy(file: string): string[] {
  if (!existsSync(join(root, file))) return [];
  const text = readFileSync(join(root, file), 'utf8');
  const paths = [
    ...Array.from(text.matchAll(IMPORT), ([, , fixed, lazy]) => fixed ?? lazy ?? ''),
    ...Array.from(text.matchAll(/workerUrl\('([^']+)'/g), ([, thread = '']) => `${thread}.ts`),
  ].filter((path) => path.startsWith('.'));
  const programs = file.startsWith('test/') ? (text.match(/\b(?:central|agent)\/(?:main|cli)\.ts\b/g) ?? []) : [];
  return [...paths.map((path) => relative(root, resolve(root, dirname(file), path))), ...programs];
}

/** All files that a test loads or starts. */
function reachedBy(test: string): Set<string> {
  const reached = new Set([test]);
  for (const file of reached) for (const next of loadedBy(file)) reached.add(next);
  return reached;
}

const EXPORT = /^export (?:async )?(?:function\*?|class|const|let|interface|type) (\w+)/gm;
const NAMES = [
  /^(?:import|export)\s+(?:type\s+)?\{(?<names>[^}]*)\}\s+from\s+'(?<from>\.[^']+)'/gm,
  /\{(?<names>[^{}]*)\}\s*=\s*\(?\s*await import\(\s*'(?<from>\.[^']+)'/g,
  /import\(\s*'(?<from>\.[^']+)'\s*\)\)?\.(?<names>\w+)/g,
  /import\(\s*'(?<from>\.[^']+)'\s*\)\.then\(\(\{(?<names>[^}]*)\}/g,
];

/** What a file imports from others of this repository: "path name". Of a whole module: what it uses of it. */
function importedBy(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const pathOf = (from: string): string => relative(root, resolve(root, dirname(file), from));
  const named = NAMES.flatMap((pattern) => [...text.matchAll(pattern)]).flatMap(({ groups }) =>
    (groups?.['names'] ?? '').split(',').map((part) => {
      const name = /^\s*(?:type\s+)?(\w+)/.exec(part)?.[1] ?? '';
      return `${pathOf(groups?.['from'] ?? '')} ${name}`;
    }),
  );
  const whole = [...text.matchAll(/^import \* as (\w+) from '(\.[^']+)'/gm)].flatMap(([, module = '', from = '']) =>
    [...text.matchAll(new RegExp(`\\b${module}\\.(\\w+)`, 'g'))].map(([, name]) => `${pathOf(from)} ${name}`),
  );
  return [...named, ...whole];
}

function partOf(file: string): string {
  return (file.split('/')[1] ?? '').replace(/\.ts$/, '');
}

describe('the layout', () => {
  it('has only the listed folders at the top', () => {
    const folders = readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name);
    expect([
      'central',
      'agent',
      'shared',
      'profiles',
      'test',
      'docs',
      'bench',
      'deploy',
      'node_modules',
      'dist',
      'data',
    ]).toEqual(expect.arrayContaining(folders));
  });

  it('lets central and agent import shared, never each other, and shared nothing but itself', () => {
    const wrong = imports.filter(
      ({ from, to }) =>
        (from.startsWith('central/') && to.startsWith('agent/')) ||
        (from.startsWith('agent/') && to.startsWith('central/')) ||
        (from.startsWith('shared/') && /^(central|agent)\//.test(to)),
    );
    expect(wrong).toEqual([]);
  });

  for (const [program, order] of [
    ['central', CENTRAL_ORDER],
    ['agent', AGENT_ORDER],
  ] as const) {
    it(`lets the lower part of ${program} import the upper, never back`, () => {
      const wrong = imports.filter(({ from, to, typeOnly }) => {
        if (typeOnly || !from.startsWith(`${program}/`) || !to.startsWith(`${program}/`)) return false;
        const [one, other] = [order.indexOf(partOf(from)), order.indexOf(partOf(to))];
        return one !== -1 && other !== -1 && other > one;
      });
      expect(wrong).toEqual([]);
    });
  }

  it('places every file in a part that the order names', () => {
    const placed = { central: CENTRAL_ORDER, agent: AGENT_ORDER };
    expect(
      sources.filter((file) =>
        Object.entries(placed).some(
          ([program, order]) => file.startsWith(`${program}/`) && !order.includes(partOf(file)),
        ),
      ),
    ).toEqual([]);
  });

  it('keeps fenced packages in their fence', () => {
    const wrong = imports.filter(
      ({ from, to, typeOnly }) => !typeOnly && Object.hasOwn(FENCES, to) && !FENCES[to]?.test(from),
    );
    expect(wrong).toEqual([]);
  });

  it('loads into the command line only the libraries that read its arguments and its files: it starts for each command', () => {
    const packages = (file: string): string[] =>
      [...reachedBy(file)].flatMap((reached) =>
        [
          ...readFileSync(join(root, reached), 'utf8').matchAll(
            /^import (?!type\b)[^;]*? from '(?!node:|\.)([^']+)';/gm,
          ),
        ].map(([, name = '']) => name),
      );
    expect([...new Set(packages('central/cli.ts'))].toSorted()).toEqual(['commander', 'convict', 'node-forge']);
  });

  it('names the engine of the store in one file', () => {
    for (const engine of ['central/store/sqlite/', 'central/store/postgres/']) {
      const users = imports.filter(({ to, from }) => to.startsWith(engine) && !from.startsWith(engine));
      expect([...new Set(users.map(({ from }) => from))], engine).toEqual(['central/store/open-store.ts']);
    }
  });

  it('asks for the operating system in shared/platform only', () => {
    const elsewhere = sources.filter(
      (file) =>
        !file.startsWith('shared/platform/') &&
        /process\.platform|\bplatform\(\)/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(elsewhere).toEqual([]);
  });

  it('exports nothing that no other file imports', () => {
    const used = new Set(
      [...sources, ...['test', 'docs', 'bench'].flatMap((folder) => files(folder))].flatMap(importedBy),
    );
    const unused = sources.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(EXPORT)]
        .map(([, name]) => `${file} ${name}`)
        .filter((exported) => !used.has(exported)),
    );
    expect(unused, 'delete it, or export it where another file needs it').toEqual([]);
  });

  it('has no circle of imports, those of types included', () => {
    const graph = new Map<string, string[]>();
    for (const { from, to } of imports) if (to.endsWith('.ts')) graph.set(from, [...(graph.get(from) ?? []), to]);
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) return void circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) walk(next, [...path, file]);
      done.add(file);
    };
    for (const file of graph.keys()) walk(file, []);
    expect(circles).toEqual([]);
  });

  it('has no file over 500 lines, nine of ten under 350, and says in its first lines what each owns', () => {
    const lengths = sources.map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length }));
    expect(lengths.filter(({ lines }) => lines > 500)).toEqual([]);
    expect(lengths.filter(({ lines }) => lines > 350).length).toBeLessThanOrEqual(sources.length / 10);
    const silent = sources.filter((file) => !/^(#!.*\n)?\/\//.test(readFileSync(join(root, file), 'utf8')));
    expect(silent).toEqual([]);
  });

  it('has no folder of more than a dozen files', () => {
    const counts = new Map<string, number>();
    for (const file of sources) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count > 12)).toEqual([]);
  });

  it('writes to the standard streams in one file for all programs, where everything is escaped', () => {
    const writes =
      /\bstd(?:out|err)\??\.(?:write|end)\(|pipe\(process\.std|pipeline\([^;]*process\.std(?:out|err)|console\.\w+\(|writeSync\([12]\b|\/dev\/std(?:out|err)/;
    expect(sources.filter((file) => writes.test(readFileSync(join(root, file), 'utf8')))).toEqual([
      'shared/terminal/standard-streams.ts',
    ]);
  });

  it('waits in one file for the end of a response that may have come before, elsewhere only for one that is being made', () => {
    const waits = /\b(?:raw|response)\.(?:once|on)\('close'/;
    expect(sources.filter((file) => waits.test(readFileSync(join(root, file), 'utf8')))).toEqual([
      'central/listeners/limits/request-gate.ts',
      // Asks before whether it is closed.
      'agent/local-api/connections.ts',
      'shared/gathered-body.ts',
      'shared/http/closed.ts',
    ]);
  });

  it('names no file after no subject', () => {
    expect(sources.filter((file) => /(^|\/)(utils?|helpers?|common|misc|index)\.ts$/.test(file))).toEqual([]);
  });

  it('tells the version of package.json', () => {
    const stated: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(stated).toMatchObject({ version: VERSION });
  });

  it('names no registry in the lock file', () => {
    expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved"/);
  });

  it('brings Node at one exact version for every platform it names', () => {
    const stated = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      optionalDependencies: Record<string, string>;
    };
    expect(new Set(Object.values(stated.optionalDependencies)).size).toBe(1);
    expect(statSync(join(root, 'package-lock.json')).size).toBeGreaterThan(0);
  });

  it('leaves slow tests out of "npm test" only where a quicker one stays in it', () => {
    const wrong = Object.entries(SLOW_FILES).filter(
      ([file, { quick }]) =>
        !existsSync(join(root, file)) || !existsSync(join(root, quick)) || Object.hasOwn(SLOW_FILES, quick),
    );
    expect(wrong).toEqual([]);
  });

  it('tests every file of 40 lines or more under its own name, or lists in test/covered.ts which test reaches it', () => {
    const listed = new Map(COVERED_ELSEWHERE.flatMap(({ by, files }) => files.map((file) => [file, by] as const)));
    const needed = sources.filter((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      return (
        text.trimEnd().split('\n').length >= 40 && /^export (?:async )?(?:const|function|class|let|\{)/m.test(text)
      );
    });
    const untested = needed.filter((file) => !existsSync(join(root, ownTest(file))) && !listed.has(file));
    expect(untested, 'add a test of its name, or a line to test/covered.ts').toEqual([]);
    const stale = [...listed.keys()].filter((file) => !needed.includes(file) || existsSync(join(root, ownTest(file))));
    expect(stale, 'these moved, shrank or have a test of their own: correct their lines in test/covered.ts').toEqual(
      [],
    );
    const reached = new Map([...new Set(listed.values())].map((test) => [test, reachedBy(test)]));
    const unreached = [...listed].filter(([file, by]) => !reached.get(by)?.has(file));
    expect(unreached, 'the test that test/covered.ts names does not import or start these').toEqual([]);
  });

  // Words of an old dialect, and what to write instead.
  it.each([
    [/\bmend(?:s|ed|ing)?\b/i, 'repair, or hint'],
    [/\bmisfits?\b/i, 'validate, invalid'],
    [/\banew\b/i, 'again'],
    [/\bwhoever\b/i, 'the one that'],
    [/\bnobody\b/i, 'no one, nothing, no agent'],
    [/\b(?:is|are|was|were|be|been|being) told\b/i, 'gets, is informed, is notified, is reported'],
    [/(?<!\bthere )\b(?:is|are|was|were) no (?!longer\b|more than\b|less than\b|one\b)[a-z]/i, 'is not a'],
    [/\bat the door\b|\bcomes? to nothing\b|\bwhat a person sees\b|\bthe way back\b/i, 'plain words'],
    [/\baskings?\b|\bwishes\b|\bjudge(?:s|d|ment)?\b/i, 'request, specification, validate'],
    [/\bstands? (?:alone|in|at|on|there)\b|\blies? (?:at|on|over|beside|under)\b/i, 'is'],
    [/\b(?:release|version) before\b(?! (?:the|that|it|a|after)\b)/i, 'the previous one'],
  ])('has no %s; write: %s', (word, _instead) => {
    const own = 'test/layout.test.ts';
    const found = texts().flatMap(([file, text]) =>
      file === own
        ? []
        : text.split('\n').flatMap((line, i) => (word.test(line) ? [`${file}:${i + 1} ${line.trim()}`] : [])),
    );
    expect(found).toEqual([]);
  });
});

describe("the dashboard's part in browsers", () => {
  const browser = readdirSync(join(root, WEB), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:tsx?|css)$/.test(name))
    .map((name) => join(WEB, name));
  const scripts = browser.filter((file) => /\.tsx?$/.test(file));

  it('imports its own files and Preact only', () => {
    const wrong = scripts.flatMap((file) =>
      Array.from(readFileSync(join(root, file), 'utf8').matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'/g), (found) => {
        const to = found[1] ?? found[2] ?? '';
        return to.startsWith('.') ? relative(root, resolve(root, dirname(file), to)) : to;
      }).filter((to) => !to.startsWith(WEB) && !/^preact(?:\/hooks)?$/.test(to)),
    );
    expect(wrong).toEqual([]);
  });

  it('makes text nodes only: no HTML from text, no inline style, no code from text', () => {
    const unsafe =
      /dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\bstyle=|\beval\(|new Function|srcdoc|javascript:/;
    expect(scripts.filter((file) => unsafe.test(readFileSync(join(root, file), 'utf8')))).toEqual([]);
  });

  it('names colors in tokens.css only', () => {
    const color = /#[0-9a-f]{3,8}\b(?!\s*[,{.:>])|\brgba?\(|\bhsla?\(/i;
    const found = browser.filter((file) => file.endsWith('.css') && color.test(readFileSync(join(root, file), 'utf8')));
    expect(found).toEqual([join(WEB, 'tokens.css')]);
  });

  it('sends its requests from one file', () => {
    const asks = /\bfetch\(|XMLHttpRequest|sendBeacon/;
    expect(scripts.filter((file) => asks.test(readFileSync(join(root, file), 'utf8')))).toEqual([
      join(WEB, 'client/api.ts'),
    ]);
  });

  it('has no file over 500 lines, no folder of more than a dozen scripts, and says in its first lines what each owns', () => {
    const texts = browser.map((file) => [file, readFileSync(join(root, file), 'utf8')] as const);
    expect(texts.filter(([, text]) => text.split('\n').length > 500).map(([file]) => file)).toEqual([]);
    expect(texts.filter(([, text]) => !/^(?:\/\/|\/\*)/.test(text)).map(([file]) => file)).toEqual([]);
    const counts = new Map<string, number>();
    for (const file of scripts) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count > 12)).toEqual([]);
  });
});

/** All text of the repository that people write and read, without recorded files. */
function texts(): [file: string, text: string][] {
  const folders = ['central', 'agent', 'shared', 'test', 'bench', 'deploy', 'docs', 'profiles', '.ci'];
  const inFolders = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  );
  const found = [...inFolders, 'README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'].filter(
    (file) =>
      !/node_modules|^test\/fixtures|^deploy\/out/.test(file) &&
      (/\.(?:ts|cjs|md|conf)$/.test(file) || file.startsWith('.ci/')),
  );
  return found.map((file) => [file, readFileSync(join(root, file), 'utf8')]);
}
