// The files of the dashboard as browsers get them: the page at all of its addresses, with its policy, assets that may be
// kept for ever, and everything else as before.
import { fastify, type FastifyInstance } from 'fastify';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { bundleDashboard } from '../../../central/dashboard/bundle.ts';
import { DASHBOARD_PATHS, DASHBOARD_POLICY, dashboardRoutes } from '../../../central/dashboard/files.ts';
import { isCoded } from '../../../shared/errors.ts';

let app: FastifyInstance;
afterEach(() => app.close());

async function served(load: Parameters<typeof dashboardRoutes>[1]): Promise<FastifyInstance> {
  app = fastify();
  app.setErrorHandler((error, _request, reply) =>
    isCoded(error) ? reply.code(error.status).send({ code: error.code, detail: error.message }) : reply.send(error),
  );
  await app.register(async (scope) => dashboardRoutes(scope, load));
  return app;
}

const FILES = new Map([
  ['index.html', Buffer.from('<!doctype html><title>Queuegate</title>')],
  ['dashboard-0123456789ab.js', Buffer.from('export {};'.repeat(200))],
]);

describe('the page', () => {
  it('is answered at each of its addresses, with a policy that allows nothing inline and nothing from elsewhere', async () => {
    await served(async () => FILES);
    for (const path of DASHBOARD_PATHS) {
      const answer = await app.inject(path.replace('*', 'branch-0042?tab=history&q=%3Cimg%3E'));
      expect([path, answer.statusCode, answer.headers['content-type']]).toEqual([
        path,
        200,
        'text/html; charset=utf-8',
      ]);
      expect(answer.headers['content-security-policy']).toBe(DASHBOARD_POLICY);
      expect(answer.headers['cache-control']).toBe('no-cache');
    }
    expect(DASHBOARD_POLICY).not.toMatch(/unsafe|\*|https?:|data:|blob:/);
    expect(DASHBOARD_POLICY).toContain("default-src 'none'");
    expect(DASHBOARD_POLICY).toContain("frame-ancestors 'none'");
  });

  it('is never compressed: its address is what anyone chooses', async () => {
    await served(async () => FILES);
    for (const path of ['/', '/agents?q=x']) {
      const answer = await app.inject({ url: path, headers: { 'accept-encoding': 'gzip' } });
      expect([path, answer.headers['content-encoding'], answer.body]).toEqual([
        path,
        undefined,
        String(FILES.get('index.html')),
      ]);
    }
  });

  it('is not sent again to a browser that has it', async () => {
    await served(async () => FILES);
    const { etag } = (await app.inject('/overview')).headers;
    const again = await app.inject({ url: '/agents', headers: { 'if-none-match': String(etag) } });
    expect([again.statusCode, again.body]).toEqual([304, '']);
  });

  it('is a problem with a hint where the files are missing, and is looked for again', async () => {
    let isThere = false;
    await served(async () => {
      if (!isThere) throw Object.assign(new Error('no such folder'), { code: 'ENOENT' });
      return FILES;
    });
    const answer = await app.inject('/');
    expect([answer.statusCode, answer.json()]).toEqual([
      503,
      { code: 'dashboard_not_built', detail: 'The files of the dashboard are missing: ENOENT.' },
    ]);
    isThere = true;
    expect((await app.inject('/')).statusCode).toBe(200);
  });
});

describe('an asset', () => {
  it('may be kept for ever, and is compressed once', async () => {
    await served(async () => FILES);
    const url = '/assets/dashboard-0123456789ab.js';
    const plain = await app.inject(url);
    expect([plain.statusCode, plain.headers['content-type'], plain.headers['cache-control']]).toEqual([
      200,
      'text/javascript; charset=utf-8',
      'public, max-age=31536000, immutable',
    ]);
    const packed = await app.inject({ url, headers: { 'accept-encoding': 'gzip' } });
    expect(packed.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(packed.rawPayload).equals(plain.rawPayload)).toBe(true);
  });

  it('is one of the bundle: no other name and no path leads to a file', async () => {
    await served(async () => FILES);
    for (const name of ['index.html', 'other.js', '..%2Findex.html', '%2e%2e%2f%2e%2e%2fpackage.json', '__proto__'])
      expect([name, (await app.inject(`/assets/${name}`)).statusCode]).toEqual([name, 404]);
  });
});

describe('the bundle', () => {
  it('is one script, one style sheet and one icon, at most 200 kB compressed, without anything inline', async () => {
    app = fastify();
    const { files } = await bundleDashboard();
    expect([...files.keys()].map((name) => name.replace(/-[0-9a-f]{12}\./, '-HASH.')).toSorted()).toEqual([
      'dashboard-HASH.css',
      'dashboard-HASH.js',
      'dashboard-HASH.svg',
      'index.html',
    ]);
    const sent = [...files.values()].reduce((sum, content) => sum + gzipSync(content, { level: 9 }).length, 0);
    expect(sent).toBeLessThan(200_000);
    const page = String(files.get('index.html'));
    expect(page).not.toMatch(/<style|style=|<script(?![^>]* src=)|\bon\w+=|https?:/);
    const assets = [...files.keys()].filter((name) => name !== 'index.html');
    expect(assets.filter((name) => !page.includes(`/assets/${name}`))).toEqual([]);
  });
});
