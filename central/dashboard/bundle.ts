// Makes the files of the dashboard from web/: one script, one style sheet, one icon, and the page that names them by the
// hash of their content. With esbuild, which a packaged Central does not have (deploy/dashboard.ts has made them).
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';

const WEB = join(import.meta.dirname, 'web');

interface DashboardBundle {
  /** By name; all but index.html have a hash in it. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** What the script consists of, for the licenses of the packages in it. */
  readonly metafile: Metafile;
}

export async function bundleDashboard(): Promise<DashboardBundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: join(import.meta.dirname, '../..'),
    entryPoints: [join(WEB, 'main.tsx'), join(WEB, 'main.css')],
    outdir: join(WEB, 'out'),
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    // Browsers that are kept up to date, since 2024.
    target: ['chrome120', 'firefox121', 'safari17'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: true,
    charset: 'utf8',
    legalComments: 'none',
    metafile: true,
    logLevel: 'silent',
  });
  const output = (ending: string): Buffer => {
    const file = outputFiles.find(({ path }) => path.endsWith(ending));
    if (file === undefined) throw new Error(`esbuild made no file ${ending}`);
    return Buffer.from(file.contents);
  };
  const parts = [
    ['script', 'js', output('main.js')],
    ['style', 'css', output('main.css')],
    ['icon', 'svg', await readFile(join(WEB, 'icon.svg'))],
  ] as const;
  let page = await readFile(join(WEB, 'page.html'), 'utf8');
  const files = new Map<string, Buffer>();
  for (const [word, ending, content] of parts) {
    const hash = createHash('sha256').update(content).digest('hex').slice(0, 12);
    const name = `dashboard-${hash}.${ending}`;
    files.set(name, content);
    page = page.replaceAll(`{${word}}`, `/assets/${name}`);
  }
  files.set('index.html', Buffer.from(page));
  return { files, metafile };
}
