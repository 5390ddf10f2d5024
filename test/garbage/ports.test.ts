// Garbage on the four ports of Central, below any session: bytes, TLS and HTTP as they should not be, and every route
// of the administration with queries and bodies that fit none. An honest agent works all the while.
import { fastify } from 'fastify';
import * as fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { adminRoutes, MAX_ADMIN_BODY_BYTES } from '../../central/admin/routes.ts';
import type { AdminServices } from '../../central/admin/services.ts';
import { createMetrics } from '../../central/metrics.ts';
import {
  ENROLL_WITHOUT_TOKEN,
  ENROLL_BY_RECOVERY,
  ENROLL_WITH_PROOF,
  ENROLL_WITH_TOKEN,
} from '../../shared/wire/enrollment.ts';
import { validate } from '../../shared/wire/json-schema.ts';
import { Cleanup, type CentralProcess } from '../flow/processes.ts';
import { brokenOnce } from './frame-arbitraries.ts';
import {
  boundedCentral,
  Bystander,
  inLanes,
  answerTo,
  httpAnswer,
  knock,
  nested,
  printSeed,
  samples,
  type HttpAnswer,
} from './garbage.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
let root: string;
let bystander: Bystander;

const PORTS = ['ws', 'wss', 'https', 'http'] as const;
type Port = (typeof PORTS)[number];
const isTls = (port: Port): boolean => port === 'wss' || port === 'https';
/** So much goes side by side where its order does not matter. */
const LANES = [1, 2, 3, 4];
/** From here to the welcome, or to an HTTP request; short, so that what says nothing is gone soon. */
const WELCOME_SECONDS = 2;

beforeAll(async () => {
  printSeed();
  central = await boundedCentral(cleanup, { 'agents.welcomeTimeoutSeconds': WELCOME_SECONDS });
  root = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
  bystander = await Bystander.start(cleanup, central);
});
afterEach(() => bystander.undisturbed());
afterAll(async () => {
  await bystander.lostNothing();
  await cleanup.run();
});

const say = (
  port: Port,
  bytes: Parameters<typeof knock>[1],
  options: Parameters<typeof knock>[2] = {},
): Promise<string> => knock(central.ports[port], bytes, { root: isTls(port) ? root : undefined, ...options });

const askPort = (port: Port, bytes: Parameters<typeof knock>[1]): Promise<HttpAnswer> =>
  answerTo(central.ports[port], bytes, { root: isTls(port) ? root : undefined });

function request(method: string, path: string, headers: readonly string[] = [], body = ''): string {
  return `${method} ${path} HTTP/1.1\r\nHost: central\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n${body}`;
}

/** What a protocol begins with, so that the garbage behind it gets a little further. */
const PREFIXES = [
  '',
  'GET / HTTP/1.1\r\n',
  'GET /agent HTTP/1.1\r\nHost: x\r\n',
  request('GET', '/agent', [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Protocol: queuegate.v1',
  ]),
  'POST /enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n{"csr":"',
  'POST /api/v1/api-tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
  '\u0016\u0003\u0001\u0000\u0005',
  '\u0080\u0046\u0001\u0003\u0001',
  'SSH-2.0-OpenSSH_9\r\n',
  '\u0000\u0000\u0000\u0008\u0004\u00d2\u0016\u002f',
].map((text) => Buffer.from(text, 'latin1'));

const rubbish = fc
  .tuple(fc.constantFrom(...PREFIXES), fc.uint8Array({ maxLength: 600 }))
  .map((parts) => Buffer.concat(parts));

function isProblem({ status, type, body }: HttpAnswer): boolean {
  return (
    type === 'application/problem+json' &&
    body.status === status &&
    typeof body.detail === 'string' &&
    typeof body.hint === 'string'
  );
}

describe('on all four ports', () => {
  it('random bytes, and what begins as a protocol and goes on as garbage, are ended, inside TLS and outside of it', async () => {
    for (const port of PORTS) {
      const outside = samples(rubbish, 60).map((bytes) => knock(central.ports[port], bytes));
      const inside = isTls(port)
        ? samples(rubbish, 30).map((bytes) => knock(central.ports[port], bytes, { root }))
        : [];
      const answers = await Promise.all([...outside, ...inside]);
      // What is answered at all is a refusal, a word on what this port is, the upgrade that garbage followed, or an
      // alert of TLS.
      expect(
        answers.filter(
          (answer) =>
            !/^$|^HTTP\/1\.1 (?:101|200|400|401|404|405|408|426|431) /.test(answer) &&
            !answer.startsWith('\u0015\u0003'),
        ),
      ).toEqual([]);
    }
  });

  it('TLS on a ws port and plain on a TLS port learn which scheme to use', async () => {
    const clientHello = Buffer.from('160301020001000001fc0303', 'hex');
    for (const port of PORTS) {
      const answer = isTls(port)
        ? await knock(central.ports[port], request('GET', '/'))
        : await knock(central.ports[port], clientHello);
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      expect(answer).toContain(
        isTls(port)
          ? 'This port speaks TLS: use https:// or wss://'
          : 'This port does not speak TLS: use http:// or ws://',
      );
    }
  });

  it.each<[string, number, string, string | readonly string[]]>([
    ['no HTTP at all', 400, 'request_unreadable', '\u0000\u0001\u0002\r\n\r\n'],
    ['an unknown version', 400, 'request_unreadable', 'GET / HTTP/9.9\r\nHost: x\r\n\r\n'],
    ['an unknown method', 400, 'request_unreadable', 'BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n'],
    [
      'two lengths',
      400,
      'request_unreadable',
      request('POST', '/enroll', ['Content-Length: 1', 'Content-Length: 2'], 'ab'),
    ],
    [
      'a length and chunks',
      400,
      'request_unreadable',
      request('POST', '/enroll', ['Content-Length: 1', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    ],
    [
      'chunks that are none',
      400,
      'request_unreadable',
      request('POST', '/enroll', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], 'zz\r\n'),
    ],
    ['a header of 1 MiB', 431, 'headers_too_large', request('GET', '/', [`Cookie: ${'c'.repeat(1024 * 1024)}`])],
    [
      '3,000 cookies',
      431,
      'headers_too_large',
      request(
        'GET',
        '/',
        Array.from({ length: 3_000 }, (_, i) => `Cookie: c${i}=1`),
      ),
    ],
    ['a path of 64 KiB', 431, 'headers_too_large', request('GET', `/${'a'.repeat(65_536)}`)],
    ['a path that cannot be decoded', 400, 'url_bad', request('GET', '/%zz')],
    ['a path that is nowhere', 404, 'not_found', request('GET', '/__proto__/constructor')],
  ])('HTTP with %s is answered %i %s as a problem', async (_, status, code, bytes) => {
    for (const port of PORTS) {
      const answer = await askPort(port, bytes);
      expect({ port, ...answer }).toMatchObject({
        port,
        status,
        type: 'application/problem+json',
        body: {
          type: `urn:queuegate:error:${code}`,
          code,
          status,
          instance: expect.stringMatching(/^urn:uuid:/) as string,
        },
      });
    }
  });

  it('garbage behind a good request is answered after it, once', async () => {
    for (const port of PORTS) {
      const answers = await say(port, `${request('GET', '/nowhere')}${'\u0000garbage\r\n\r\n'.repeat(50)}`, {
        stay: true,
      });
      expect(answers.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 400']);
    }
  });

  it('headers that trickle and bodies that never end are cut, each within its time', async () => {
    const slow = PORTS.map((port) => say(port, ['GET / HTTP/1.1\r\n', 'X-Slow: 1\r\n'], { stay: true }));
    // An answer came before: from there Node's own time for headers counts.
    const second = PORTS.map((port) =>
      say(port, `${request('GET', '/nowhere')}GET / HTTP/1.1\r\nX-Sl`, { stay: true }),
    );
    expect(await Promise.all(slow)).toEqual(PORTS.map(() => ''));
    for (const answer of await Promise.all(second))
      expect(answer).toMatch(
        /^HTTP\/1\.1 404 .*HTTP\/1\.1 408 Request Timeout\r\n.*urn:queuegate:error:request_timeout/s,
      );
  });

  it('a body in chunks without end is refused at its bound, and cut when it goes on', async () => {
    const chunks = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`;
    for (const port of PORTS) {
      const [path, bound] =
        port === 'ws' || port === 'wss' ? ['/enroll', 32 * 1024] : ['/api/v1/api-tokens', MAX_ADMIN_BODY_BYTES];
      const head = request('POST', path, [
        'Content-Type: application/json',
        'Transfer-Encoding: chunked',
        `Authorization: Bearer ${central.token}`,
      ]);
      const answer = await askPort(port, [head, chunks(bound + 1)]);
      expect({ port, ...answer }).toMatchObject({
        port,
        status: 413,
        type: 'application/problem+json',
        body: { type: 'urn:queuegate:error:body_too_large' },
      });
      // Its answer may be lost in what the peer still sends; its end may not.
      expect(await say(port, [head, ...Array.from({ length: 400 }, () => chunks(65_536))], { stay: true })).toMatch(
        /^$|^HTTP\/1\.1 413 /,
      );
    }
  });
});

describe('where agents connect', () => {
  const upgrade = (...headers: string[]): string => request('GET', '/agent', ['Connection: Upgrade', ...headers]);
  const [websocket, version, key, protocol] = [
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Protocol: queuegate.v1',
  ];

  it.each<[string, string]>([
    ['HTTP without upgrade', request('GET', '/agent')],
    ['no subprotocol', upgrade(websocket, version, key)],
    ['a wrong subprotocol', upgrade(websocket, version, key, 'Sec-WebSocket-Protocol: queuegate.v2, mqtt')],
    ['an old version of the WebSocket', upgrade(websocket, 'Sec-WebSocket-Version: 8', key, protocol)],
    ['no version', upgrade(websocket, key, protocol)],
    ['a key that is none', upgrade(websocket, version, 'Sec-WebSocket-Key: short', protocol)],
    ['no key', upgrade(websocket, version, protocol)],
    ['another upgrade', upgrade('Upgrade: h2c', version, key, protocol)],
  ])('%s gets 426 as a problem', async (title, bytes) => {
    const code = title.endsWith('subprotocol') ? 'subprotocol_required' : 'upgrade_required';
    for (const port of ['ws', 'wss'] as const) {
      expect(await askPort(port, bytes)).toMatchObject({
        status: 426,
        type: 'application/problem+json',
        body: { type: `urn:queuegate:error:${code}` },
      });
    }
  });

  it.each<[string, string, number]>([
    ['another method', request('DELETE', '/agent'), 405],
    ['an enrollment that is read', request('GET', '/enroll'), 405],
    [
      'an upgrade at another path',
      request('GET', '/nothing', ['Connection: Upgrade', websocket, version, key, protocol]),
      404,
    ],
    [
      'an enrollment of another content type',
      request('POST', '/enroll', ['Content-Type: text/xml', 'Content-Length: 4'], '<a/>'),
      415,
    ],
    [
      'an upgrade where enrollments go',
      request(
        'POST',
        '/enroll',
        ['Connection: Upgrade', websocket, 'Content-Type: application/json', 'Content-Length: 2'],
        '{}',
      ),
      400,
    ],
    [
      'an enrollment of 100,000 levels',
      request('POST', '/enroll', ['Content-Type: application/json', 'Content-Length: 30000'], nested(15_000)),
      400,
    ],
  ])('%s is answered as a problem', async (_, bytes, status) => {
    for (const port of ['ws', 'wss'] as const)
      expect(await askPort(port, bytes)).toMatchObject({ status, type: 'application/problem+json', body: { status } });
  });

  it('an enrollment with one member wrong is refused', async () => {
    const broken = fc.oneof(
      ...[ENROLL_WITH_TOKEN, ENROLL_WITH_PROOF, ENROLL_BY_RECOVERY].map((schema) => brokenOnce(schema)),
    );
    await inLanes(samples(broken, 60), LANES, async ({ value }) => {
      const body = Buffer.from(JSON.stringify(value));
      if (body.length > 32_000) return;
      const answer = await askPort('ws', [
        request('POST', '/enroll', ['Content-Type: application/json', `Content-Length: ${body.length}`]),
        body,
      ]);
      // Without what proves it, it is a request without a token, which this Central accepts from no one.
      const sent = JSON.parse(body.toString()) as object;
      const asks =
        ['token', 'tokenId', 'proof', 'pin'].every((member) => !(member in sent)) &&
        validate(ENROLL_WITHOUT_TOKEN, sent) === undefined;
      expect(answer).toMatchObject({ status: asks ? 403 : 400, type: 'application/problem+json' });
    });
  });
});

/** The first bytes of a stream, which has no end of its own. */
const STREAM_BEGAN = /^HTTP\/1\.1 200 [^]*^content-type: text\/event-stream[^]*\r\n\r\n[^]/im;

describe('on the administration', () => {
  interface Route {
    readonly method: string;
    readonly url: string;
  }

  async function routes(): Promise<Route[]> {
    const found: Route[] = [];
    const app = fastify();
    app.addHook('onRoute', ({ method, url }) => {
      for (const name of [method].flat()) if (name !== 'HEAD') found.push({ method: name, url });
    });
    // Nothing is asked of the services before a request comes.
    await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
    await app.ready();
    await app.close();
    return found;
  }

  const word = fc.oneof(
    fc.constantFrom(
      '__proto__',
      'constructor',
      'toString',
      '..',
      '.',
      '%00',
      '%ff',
      '%ed%a0%80',
      '*',
      '0',
      '-1',
      '1e9',
      '9007199254740993',
      'NaN',
      'null',
      'true',
      'newest',
      'websocket.port',
      'x'.repeat(3_000),
    ),
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed())),
  );
  const names = [
    'after',
    'limit',
    'waitSeconds',
    'agent',
    'type',
    'source',
    'state',
    'group',
    'dryRun',
    'force',
    'stage',
    'confirmWithinSeconds',
    'confirmShare',
    'comment',
    'ticket',
    '__proto__',
    'constructor[prototype]',
  ];
  const query = fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...names), word), word), { maxLength: 4 })
    .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('&'));
  /** Members that routes know, with what they do not expect there; and JSON of any kind, whole or cut off. */
  const members = [
    'agents.max',
    'dryRun',
    'force',
    'name',
    'role',
    'lifetimeSeconds',
    'maxUses',
    'slot',
    'agentName',
    'id',
    'source',
    'type',
    'data',
    'websocket.port',
    '__proto__',
    'constructor',
    'prototype',
  ];
  const object = fc.dictionary(fc.constantFrom(...members), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 5 });
  const body = fc.oneof(
    object.map((value) => JSON.stringify(value)),
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc.tuple(object, fc.nat(20)).map(([value, cut]) => JSON.stringify(value).slice(0, -1 - cut)),
    fc.constantFrom(
      '',
      'null',
      '1e999',
      '"\\ud800"',
      '{"__proto__":{"role":"administrator"}}',
      '{"constructor":{"prototype":{"x":1}}}',
      '\uFEFF{}',
      '{}{}',
      'NaN',
      nested(100_000),
      `{"websocket.port":${nested(100_000)}}`,
      `{"agents.max":${nested(50_000)}}`,
      `[${'{},'.repeat(2_000)}{}]`,
      `{"data":${nested(100_000)},"type":"t"}`,
    ),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  );
  const contentType = fc.constantFrom(
    'application/json',
    'application/json; charset=utf-16',
    'application/merge-patch+json',
    'application/cloudevents+json',
    'application/cloudevents-batch+json',
    'text/plain',
    'multipart/form-data',
    'a/b; c="',
    '*/*',
  );

  it('every route refuses queries and bodies that fit nothing with a problem of 4xx, and never with 5xx', async () => {
    const all = await routes();
    expect(all.length).toBeGreaterThan(15);
    // What would fit by chance and change something: tokens and enrollments may be made, the parameters are not to
    // move.
    const arbitrary = fc.record({
      route: fc.constantFrom(...all),
      id: word,
      query,
      body,
      contentType,
      signed: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
      ifMatch: fc.constantFrom(undefined, undefined, '*', '"1"', '"x"', 'W/"999999999999999"'),
    });
    const statuses = new Map<number, number>();
    await inLanes(samples(arbitrary, 500), LANES, async ({ route, id, query, body, contentType, signed, ifMatch }) => {
      const { method } = route;
      const path = `${route.url.replaceAll(/:\w+/g, id)}${query === '' ? '' : `?${query.replace(/waitSeconds=\d+/g, 'waitSeconds=61')}`}`;
      const bytes = method === 'GET' ? Buffer.alloc(0) : Buffer.from(body);
      const headers = [
        ...(signed ? [`Authorization: Bearer ${central.token}`] : []),
        ...(bytes.length > 0 ? [`Content-Type: ${contentType}`, `Content-Length: ${bytes.length}`] : []),
        ...(ifMatch === undefined ? [] : [`If-Match: ${ifMatch}`]),
      ];
      const answer = httpAnswer(
        await say('http', [request(method, path, ['Connection: close', ...headers]), bytes], {
          stay: true,
          until: STREAM_BEGAN,
        }),
      );
      expect({ path, body: body.slice(0, 200), answer }).toMatchObject({
        answer: { status: expect.toSatisfy((status: number) => status >= 200 && status < 500) as number },
      });
      expect(answer.status < 400 || isProblem(answer), JSON.stringify(answer)).toBe(true);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    });
    // The garbage reached the routes, and not only the door.
    for (const status of [200, 400, 401, 404, 415])
      expect(statuses.get(status) ?? 0, JSON.stringify([...statuses])).toBeGreaterThan(0);
  });

  it('a body above the bound is refused with 413, whether its length is announced or not', async () => {
    const large = Buffer.alloc(MAX_ADMIN_BODY_BYTES + 1, 0x20);
    const answer = await askPort('https', [
      request('PATCH', '/api/v1/parameters', [
        `Authorization: Bearer ${central.token}`,
        'Content-Type: application/json',
        `Content-Length: ${large.length}`,
      ]),
      large,
    ]);
    expect(answer).toMatchObject({ status: 413, type: 'application/problem+json' });
  });

  it('a command whose data has 100,000 levels is refused, and one whose id is half a surrogate pair too', async () => {
    const post = async (json: string): Promise<{ readonly status: number; readonly body: unknown }> => {
      const answer = await fetch(`http://127.0.0.1:${central.ports.http}/api/v1/agents/${bystander.id}/commands`, {
        method: 'POST',
        headers: { authorization: `Bearer ${central.token}`, 'content-type': 'application/json' },
        body: json,
      });
      const body: unknown = await answer.json();
      return { status: answer.status, body };
    };
    expect(await post(`{"type":"t","data":${nested(100_000)}}`)).toMatchObject({
      status: 400,
      body: { errors: [{ detail: '/data is nested more than 60 levels deep.' }] },
    });
    for (const id of ['"\\ud800"', '"a\\u0000"', '"\\uffff"'])
      expect(await post(`{"type":"t","id":${id}}`)).toMatchObject({
        status: 400,
        body: { errors: [{ detail: expect.stringContaining('/id holds') as string }] },
      });
  });
});
