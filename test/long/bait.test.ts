// A running Central, and in every string that it takes from outside bait for parsers that backtrack: bodies, queries
// and paths of REST, headers, enrollment under every policy, the renewal of a certificate.
import type { FastifyInstance, InjectOptions } from 'fastify';
import { request } from 'node:http';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type * as checked from '../../central/admin/checked.ts';
import type * as adminModule from '../../central/admin/routes.ts';
import type { RunningCentral } from '../../central/composition/lifecycle.ts';
import { DEFINITIONS } from '../../central/parameters/definitions.ts';
import {
  ENROLL_WITHOUT_TOKEN,
  ENROLL_BY_RECOVERY,
  ENROLL_WITH_PROOF,
  ENROLL_WITH_TOKEN,
} from '../../shared/wire/enrollment.ts';
import { ENROLL_PATH } from '../../shared/wire/messages.ts';
import { MESSAGE_SCHEMA } from '../../shared/delivery/message.ts';
import { BAITS, CostCheck, MAX_CPU_MS, stringPlaces, type AnySchema, type BaitedPlace } from '../bait.ts';
import { Cleanup } from '../flow/processes.ts';
import { startInProcess } from '../central/in-process.ts';

interface Consulted {
  readonly kind: 'body' | 'query';
  readonly schema: AnySchema;
}

interface Route {
  readonly method: 'DELETE' | 'GET' | 'PATCH' | 'POST' | 'PUT';
  readonly url: string;
}

const seen = vi.hoisted(() => ({ consulted: [] as unknown[], apps: [] as unknown[], routes: [] as unknown[] }));

// Which schema belongs to which route is seen when a request consults it: a new route or member is covered by being
// there.
vi.mock('../../central/admin/checked.ts', async (original) => {
  const module = await original<typeof checked>();
  const { bodyOf, queryOf } = module;
  const noting =
    (kind: string, make: typeof bodyOf): typeof bodyOf =>
    (schema) => {
      const read = make(schema);
      const noted = (value: unknown) => {
        seen.consulted.push({ kind, schema });
        return read(value);
      };
      return Object.assign(noted, { schema });
    };
  return { ...module, bodyOf: noting('body', bodyOf), queryOf: noting('query', queryOf) };
});
// What is measured is CPU time: no request waits for the answer to a wrong secret
// (test/central/auth/wrong-attempts.test.ts).
vi.mock('../../central/auth/records/attempt-records.ts', async (original) => ({
  ...(await original<object>()),
  openWrongAttempts: () => ({ slow: async () => undefined }),
}));
vi.mock('../../central/admin/routes.ts', async (original) => {
  const module = await original<typeof adminModule>();
  return {
    ...module,
    adminRoutes: async (...order: Parameters<typeof module.adminRoutes>) => {
      const [app] = order;
      const first = seen.apps.length === 0;
      seen.apps.push(app);
      app.addHook('onRoute', ({ method, url }) => {
        if (first) for (const one of [method].flat()) seen.routes.push({ method: one, url });
      });
      await module.adminRoutes(...order);
    },
  };
});

const cleanup = new Cleanup();
let central: RunningCentral;
let authorization: string;

beforeAll(async () => {
  central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
  authorization = `Bearer ${central.firstStart?.administratorToken ?? ''}`;
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

let addresses = 0;

/** Of loopback, another each time: wrong secrets of one address are slowed down. */
function anotherAddress(): string {
  addresses += 1;
  return `127.${1 + (addresses >> 16)}.${(addresses >> 8) & 255}.${addresses & 255}`;
}

const app = (): FastifyInstance => seen.apps[0] as FastifyInstance;
const routes = (): Route[] =>
  (seen.routes as Route[]).filter(({ method }) => ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'].includes(method));

/** Injected, since what is measured is Central and no socket; an answer that streams or waits is given up. */
async function ask(request: InjectOptions): Promise<number> {
  const { statusCode } = await app().inject({
    remoteAddress: anotherAddress(),
    ...request,
    headers: { authorization, ...request.headers },
    signal: AbortSignal.timeout(20_000),
  });
  return statusCode;
}

function pathOf({ url }: Route, name = 'x'): string {
  return url.replaceAll(/:\w+/g, name);
}

/**
 * Some requests are work by themselves, whatever the text: deriving a key from a password, signing. Bait may add to
 * that what any text may cost.
 */
async function baseOf(request: InjectOptions): Promise<number> {
  const cost = process.cpuUsage();
  await ask(request).catch(() => 0);
  const { user, system } = process.cpuUsage(cost);
  return (user + system) / 1000;
}

function bodyOptions(value: unknown): Pick<InjectOptions, 'headers' | 'payload'> {
  return { headers: { 'content-type': 'application/json' }, payload: Buffer.from(JSON.stringify(value)) };
}

/** What a route consults when it is asked with nothing. */
async function consultedBy(route: Route): Promise<Consulted[]> {
  seen.consulted.length = 0;
  const { method } = route;
  await ask({ method, url: pathOf(route), ...(method === 'GET' ? {} : bodyOptions({})) }).catch(() => 0);
  return [...new Set(seen.consulted)] as Consulted[];
}

test(
  'no string in a body or a query of REST costs more CPU than its length, whatever it holds',
  { timeout: 240_000 },
  async () => {
    const cost = new CostCheck();
    let withBody = 0;
    for (const route of routes()) {
      for (const { kind, schema } of await consultedBy(route)) {
        const places: BaitedPlace[] = stringPlaces(schema, kind === 'query' ? 4_000 : 200_000);
        if (kind === 'body') withBody += 1;
        for (const { place, maxLength, with: withText } of places) {
          const request = (text: string): InjectOptions => {
            const value = withText(text);
            const { method } = route;
            if (kind === 'body') return { method, url: pathOf(route), ...bodyOptions(value) };
            return {
              method,
              url: pathOf(route),
              query: value as Record<string, string>,
              ...(method === 'GET' ? {} : bodyOptions({})),
            };
          };
          const allowed = MAX_CPU_MS + 1.5 * (await baseOf(request('correct-horse-battery'.slice(0, maxLength))));
          for (const [bait, textOf] of Object.entries(BAITS)) {
            const baited = request(textOf(maxLength));
            await cost.check(
              `${route.method} ${route.url} ${kind}${place}, ${bait}`,
              () => ask(baited).catch(() => 0),
              allowed,
            );
          }
        }
      }
    }
    expect(withBody).toBeGreaterThan(10);
    expect(cost.faults(1000)).toEqual([]);
  },
);

test(
  'no part of a path of REST, no header and no parameter costs more CPU than its length',
  { timeout: 240_000 },
  async () => {
    const cost = new CostCheck();
    for (const route of routes().filter(({ url }) => url.includes(':'))) {
      for (const [bait, textOf] of Object.entries(BAITS)) {
        const url = pathOf(route, encodeURIComponent(textOf(1_000).toWellFormed()).slice(0, 8_000) || 'x');
        await cost.check(`${route.method} ${route.url}, ${bait}`, () =>
          ask({ method: route.method, url, ...(route.method === 'GET' ? {} : bodyOptions({})) }).catch(() => 0),
        );
      }
    }
    for (const name of [
      'authorization',
      'x-forwarded-for',
      'x-forwarded-proto',
      'content-type',
      'accept',
      'if-match',
      'if-none-match',
      'cookie',
      'host',
      'range',
      'x-backup-password',
      'sec-websocket-protocol',
    ]) {
      for (const [bait, textOf] of Object.entries(BAITS)) {
        const headers = { authorization, [name]: textOf(16_000) };
        for (const method of ['GET', 'POST', 'PATCH'] as const)
          await cost.check(`${method} with ${name}, ${bait}`, () =>
            app()
              .inject({
                method,
                url: '/api/v1/parameters',
                remoteAddress: anotherAddress(),
                headers,
                ...(method === 'GET' ? {} : { payload: '{}' }),
              })
              .catch(() => 0),
          );
      }
    }
    for (const [name, definition] of Object.entries(DEFINITIONS)) {
      for (const [bait, textOf] of Object.entries(BAITS)) {
        const text = textOf('maxLength' in definition ? definition.maxLength : 100_000);
        const body = bodyOptions({ [name]: definition.type === 'list' ? [text] : text });
        await cost.check(`parameter ${name}, ${bait}`, () =>
          ask({ method: 'PATCH', url: '/api/v1/parameters?dryRun=true', ...body }),
        );
      }
    }
    expect(cost.faults(1000)).toEqual([]);
  },
);

test('no attribute of a command costs more CPU than its length', { timeout: 120_000 }, async () => {
  const cost = new CostCheck();
  for (const { place, maxLength, with: withText } of stringPlaces(MESSAGE_SCHEMA)) {
    for (const [bait, textOf] of Object.entries(BAITS)) {
      const body = bodyOptions(withText(textOf(maxLength)));
      await cost.check(`${place}, ${bait}`, () => ask({ method: 'POST', url: '/api/v1/agents/x/commands', ...body }));
    }
  }
  expect(cost.faults(100)).toEqual([]);
});

test('no string of an enrollment costs more CPU than its length, under any policy', { timeout: 240_000 }, async () => {
  const cost = new CostCheck();
  const port = central.port('ws');
  const post = async (body: Buffer): Promise<number> => {
    return await new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port,
        path: ENROLL_PATH,
        method: 'POST',
        agent: false,
        localAddress: anotherAddress(),
        headers: { 'content-type': 'application/json' },
      } as const;
      const sent = request(options, (answer) => answer.resume().on('end', () => resolve(answer.statusCode ?? 0)));
      sent.on('error', reject).end(body);
    });
  };
  for (const policy of ['approve', 'token', 'closed']) {
    expect(
      await ask({
        method: 'PATCH',
        url: '/api/v1/parameters?force=true',
        ...bodyOptions({ 'agents.enrollment': policy }),
      }),
    ).toBe(200);
    for (const [way, schema] of Object.entries({
      token: ENROLL_WITH_TOKEN,
      proof: ENROLL_WITH_PROOF,
      enrollment: ENROLL_WITHOUT_TOKEN,
      recovery: ENROLL_BY_RECOVERY,
    })) {
      for (const { place, maxLength, with: withText } of stringPlaces(schema)) {
        // The 574 bytes that stopped Central for good were lines that look like headers inside of a block.
        for (const [bait, textOf] of Object.entries(BAITS)) {
          const body = Buffer.from(JSON.stringify(withText(textOf(maxLength))));
          await cost.check(`${policy}, ${way}${place}, ${bait}`, () => post(body));
        }
      }
    }
  }
  expect(cost.faults(500)).toEqual([]);
});
