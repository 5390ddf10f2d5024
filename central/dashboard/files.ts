// Serves the dashboard at the origin of the administration: one page for all of its addresses, and the files that it
// loads. They are public, the same for every installation, and name nothing of it; what the page shows comes from REST.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import { systemCode, textOf } from '../../shared/errors.ts';
import { acceptsGzip } from '../../shared/http/gzip.ts';
import { dashboardFault } from './errors.ts';

const gzip = promisify(gzipCallback);

/** Of the page: only files of this origin, and nothing inline. */
export const DASHBOARD_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "font-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The addresses of pages; the page itself finds out which one it is. */
export const DASHBOARD_PATHS = [
  '/',
  '/sign-in',
  '/overview',
  '/agents',
  '/agents/*',
  '/parameters',
  '/certificates',
  '/profiles',
  '/profiles/*',
  '/rollouts',
  '/rollouts/*',
  '/nodes',
  '/tasks',
  '/tasks/*',
  '/audit',
  '/tokens',
] as const;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** A file by its name; "index.html" is the page, the others have a hash of their content in their names. */
type DashboardFiles = ReadonlyMap<string, Buffer>;

interface Served {
  readonly plain: Buffer;
  readonly packed: Buffer;
  readonly tag: string;
  readonly type: string;
}

/** Public, and any query: the page reads its filters from it. The type is that of central/admin/access.ts. */
const PUBLIC = { config: { role: 'anyone', query: Object.assign(() => ({}), { schema: {} }) } } as const;

let found: Promise<ReadonlyMap<string, Served>> | undefined;

/**
 * The page with a problem that it shows first (web/shell/refusal.ts reads it): the answer to a browser that has come with
 * an address. Errors: dashboard_not_built.
 */
export async function pageWithProblem(problem: object): Promise<string> {
  const page = (await builtFiles()).get('index.html');
  if (page === undefined) throw dashboardFault('dashboard_not_built', { found: 'index.html' });
  const content = JSON.stringify(problem).replaceAll(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  return page.plain
    .toString('utf8')
    .replace('</head>', () => `<meta name="queuegate-problem" content="${content}" /></head>`);
}

async function builtFiles(): Promise<ReadonlyMap<string, Served>> {
  try {
    return await (found ??= served(findFiles));
  } catch (error) {
    // Looked for again with the next request: a build may have come meanwhile.
    found = undefined;
    throw dashboardFault('dashboard_not_built', { found: systemCode(error) ?? textOf(error) });
  }
}

/** `load`: for tests. Without it, the files are found once for all listeners. */
export function dashboardRoutes(app: FastifyInstance, load?: () => Promise<DashboardFiles>): void {
  let own: Promise<ReadonlyMap<string, Served>> | undefined;
  const files = async (): Promise<ReadonlyMap<string, Served>> => {
    if (load === undefined) return await builtFiles();
    try {
      return await (own ??= served(load));
    } catch (error) {
      own = undefined;
      throw dashboardFault('dashboard_not_built', { found: systemCode(error) ?? textOf(error) });
    }
  };

  for (const path of DASHBOARD_PATHS)
    app.get(path, PUBLIC, async (request, reply) => {
      const page = (await files()).get('index.html');
      if (page === undefined) throw dashboardFault('dashboard_not_built', { found: 'index.html' });
      void reply.header('content-security-policy', DASHBOARD_POLICY).header('cache-control', 'no-cache');
      void reply.header('etag', `W/${page.tag}`);
      const known = request.headers['if-none-match']?.split(',').map((each) => each.trim().replace(/^W\//, ''));
      if (known?.includes(page.tag) === true) return await reply.code(304).send();
      // As it is: an answer to an address that anyone can choose is not compressed (BREACH), however little it says.
      return await reply.type(page.type).send(page.plain);
    });

  app.get<{ Params: { name: string } }>('/assets/:name', PUBLIC, async (request, reply) => {
    const { name } = request.params;
    const file = name === 'index.html' ? undefined : (await files()).get(name);
    if (file === undefined) return reply.callNotFound();
    void reply.type(file.type).header('cache-control', 'public, max-age=31536000, immutable');
    if (!acceptsGzip(request.headers['accept-encoding'])) return await reply.send(file.plain);
    return await reply.header('content-encoding', 'gzip').send(file.packed);
  });
}

async function served(load: () => Promise<DashboardFiles>): Promise<ReadonlyMap<string, Served>> {
  const files = [...(await load())].map(async ([name, plain]) => {
    const tag = `"${createHash('sha256').update(plain).digest('base64url')}"`;
    const type = TYPES[extname(name)] ?? 'application/octet-stream';
    return [name, { plain, packed: await gzip(plain, { level: 9 }), tag, type }] as const;
  });
  return new Map(await Promise.all(files));
}

/** From sources they are made now; beside a built file they are in the folder web/. */
async function findFiles(): Promise<DashboardFiles> {
  if (extname(import.meta.url) === '.ts') {
    // A name that no bundler follows: the packages have no esbuild.
    const source = './bundle.ts';
    const { bundleDashboard } = (await import(source)) as {
      readonly bundleDashboard: () => Promise<{ readonly files: DashboardFiles }>;
    };
    return (await bundleDashboard()).files;
  }
  const folder = fileURLToPath(new URL('./web/', import.meta.url));
  const names = await readdir(folder);
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)));
}
