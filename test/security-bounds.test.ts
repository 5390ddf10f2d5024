// Holds the tables "Who can make Central spend how much" of docs/SECURITY.md to the code: every route and every frame
// is in what some peer can call, every peer has a bound for every resource, and what sets a bound and what proves it
// exists.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { fastify } from 'fastify';
import { describe, expect, it } from 'vitest';
import { CHALLENGE_PATH } from '../agent/local-api/proof.ts';
import { ROUTES } from '../agent/local-api/routes/table.ts';
import { adminRoutes, dashboardPages } from '../central/admin/routes.ts';
import type { AdminServices } from '../central/admin/services.ts';
import { createAgentSocketApp, type AgentSocketOptions } from '../central/listeners/agent-socket.ts';
import { createMetrics } from '../central/metrics.ts';
import { DEFINITIONS } from '../central/parameters/definitions.ts';
import { FROM_AGENT } from '../shared/wire/messages.ts';

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const PEERS = [
  'unauthenticated address',
  'pending enrollment',
  'enrolled agent',
  'API token: viewer',
  'API token: operator',
  'API token: administrator',
  'local account',
] as const;
const RESOURCES = ['memory', 'disk', 'CPU', 'log lines', 'connections'] as const;
/** The role that a route names, and the peer that it stands for. */
const PEER_OF_ROLE: Readonly<Record<string, (typeof PEERS)[number]>> = {
  anyone: 'unauthenticated address',
  viewer: 'API token: viewer',
  operator: 'API token: operator',
  administrator: 'API token: administrator',
};

/** The rows of the tables under the heading, by the number of their columns. */
function rows(columns: number): string[][] {
  const text = read('docs/SECURITY.md');
  const begin = text.indexOf('\n## Limits per peer\n');
  const part = text.slice(begin, text.indexOf('\n## ', begin + 4));
  const cells = part
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.slice(2, -2).split(' | '));
  return cells.filter((row) => row.length === columns && row[0] !== 'peer' && !/^-+$/.test(row[0] ?? ''));
}

/** What a peer can call, as the first table lists it. */
function callable(peer: string): string[] {
  const row = rows(2).find(([name]) => name === peer);
  return Array.from(row?.[1]?.matchAll(/`([^`]+)`/g) ?? [], ([, call]) => call ?? '');
}

async function adminCalls(): Promise<{ readonly role: string; readonly call: string }[]> {
  const calls: { role: string; call: string }[] = [];
  const app = fastify();
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const name of [method].flat())
      if (name !== 'HEAD')
        calls.push({
          role: String(config?.role),
          call: `${name} ${url.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{path}')}`,
        });
  });
  // Nothing is asked of the services before a request comes.
  const services = { metrics: createMetrics() } as unknown as AdminServices;
  await adminRoutes(app, services);
  await dashboardPages(app, services);
  await app.ready();
  await app.close();
  return calls;
}

/** The routes on the ports of agents, out of the tree that Fastify prints. */
async function agentPortCalls(): Promise<string[]> {
  const options = {
    listener: 'ws',
    central: 'c',
    server: createServer(),
    maxFrameBytes: 1,
    connections: { acceptedAt: () => 0, settle: () => undefined },
    trustedProxies: () => ({ has: () => false }),
  };
  const { app } = await createAgentSocketApp(options as unknown as AgentSocketOptions);
  const tree = app.printRoutes({ commonPrefix: false });
  await app.close();
  return Array.from(tree.matchAll(/── (\S+) \(([A-Z, ]+)\)/g), ([, url = '', methods = '']) =>
    methods.split(', ').map((method) => `${method} /${url.replace(/^\//, '').replaceAll(/:(\w+)/g, '{$1}')}`),
  )
    .flat()
    .filter((call) => !call.startsWith('HEAD '));
}

describe('what each peer can call', () => {
  it('is said of every kind of peer', () => {
    expect(rows(2).map(([peer]) => peer)).toEqual([...PEERS]);
  });

  it('has every route of the administration, at the peer of its role, and no other', async () => {
    const calls = await adminCalls();
    expect(calls.length).toBeGreaterThan(40);
    for (const [role, peer] of Object.entries(PEER_OF_ROLE)) {
      const there = calls.filter((one) => one.role === role).map(({ call }) => call);
      const ofAgents = /^[A-Z]+ \/(?:agent|blobs|enroll|releases)\b/;
      const documented = callable(peer).filter((call) => /^[A-Z]+ \//.test(call) && !ofAgents.test(call));
      expect([peer, documented.toSorted()]).toEqual([peer, there.toSorted()]);
    }
  });

  it('has every route on the ports of agents', async () => {
    const calls = await agentPortCalls();
    expect(calls).toContain('GET /agent');
    const documented = callable('unauthenticated address');
    expect(calls.filter((call) => !documented.includes(call))).toEqual([]);
  });

  it('has every frame of an agent', () => {
    const documented = callable('enrolled agent');
    expect(documented.toSorted()).toEqual(Object.keys(FROM_AGENT).toSorted());
  });

  it('has every route of the local API', () => {
    const documented = callable('local account');
    const routes = ROUTES.flatMap(({ path, GET, POST }) => [
      ...(GET === undefined ? [] : [`GET ${path}`]),
      ...(POST === undefined ? [] : [`POST ${path}`]),
    ]);
    expect(documented.filter((call) => / \/api\//.test(call)).toSorted()).toEqual(
      [...routes, `GET ${CHALLENGE_PATH}`].toSorted(),
    );
  });
});

describe('what each peer can make Central spend', () => {
  it('is bounded for every kind of peer and every resource', () => {
    const bounded = rows(5).map(([peer, resource]) => `${peer}, ${resource}`);
    const needed = PEERS.flatMap((peer) => RESOURCES.map((resource) => `${peer}, ${resource}`));
    expect(needed.filter((one) => !bounded.includes(one))).toEqual([]);
    expect(bounded.filter((one) => !needed.includes(one))).toEqual([]);
  });

  it('is set by a parameter or a constant that exists', () => {
    const wrong: string[] = [];
    for (const [peer, resource, , setBy = ''] of rows(5)) {
      const parts = setBy.split('; ');
      for (const part of parts) {
        const [, names = part, file] = /^(.*) \(`([^`]+)`\)$/.exec(part) ?? [];
        for (const [, name = ''] of names.matchAll(/`([^`]+)`/g)) {
          const there =
            file === undefined
              ? Object.hasOwn(DEFINITIONS, name)
              : existsSync(join(root, file)) && new RegExp(`\\b(?:const|readonly) ${name}\\b`).test(read(file));
          if (!there) wrong.push(`${peer}, ${resource}: ${name} (${file ?? 'parameters'})`);
        }
      }
      if (setBy === '') wrong.push(`${peer}, ${resource}: nothing sets it`);
    }
    expect(wrong).toEqual([]);
  });

  it('is proven by a test that exists under its title', () => {
    const wrong: string[] = [];
    for (const [peer, resource, , , tests = ''] of rows(5)) {
      const cited = Array.from(tests.matchAll(/`(test\/[\w./-]+\.ts)`((?:,? "[^"]+")*)/g));
      if (cited.length === 0) wrong.push(`${peer}, ${resource}: no test`);
      for (const [, file = '', titles = ''] of cited) {
        const text = existsSync(join(root, file)) ? read(file).replaceAll(String.raw`\'`, "'") : undefined;
        if (text === undefined) wrong.push(`${file} is missing`);
        for (const [, title = ''] of titles.matchAll(/"([^"]+)"/g))
          if (text?.includes(title) !== true) wrong.push(`${file}: ${title}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
