// Garbage at the agent: a Central that speaks wrongly in every way, before and after its welcome, and programs on the
// agent's own host that do. The agent never ends by it: it ends the connection with a line that says why, and dials
// again.
import { readFile, utimes, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectOnce, type ConnectionEnd, type DialPlan } from '../../agent/connection/connection.ts';
import {
  identityFile,
  loadOrCreateKey,
  saveIdentity,
  type AgentKey,
  type Identity,
} from '../../agent/identity/identity.ts';
import { FROM_CENTRAL } from '../../shared/wire/messages.ts';
import { agentFolders, AgentProcess, Cleanup, until } from '../flow/processes.ts';
import { HeldInbox, MemoryOutbox } from '../shared/delivery/session-logs.ts';
import { CENTRAL_NAME, FalseCentral, type Part } from './false-central.ts';
import { brokenOnce, fitting, hasMembers } from './frame-arbitraries.ts';
import {
  carrierOf,
  assertCleanLog,
  answerTo,
  httpAnswer,
  inLanes,
  knock,
  logOf,
  nested,
  printSeed,
  rawFrame,
  samples,
} from './garbage.ts';
import { NO_CONTROL } from '../../agent/connection/control.ts';

const cleanup = new Cleanup();
let key: AgentKey;
let certificate: string;
/** Each serves one connection after the other; they run side by side. */
let lanes: FalseCentral[];

beforeAll(async () => {
  printSeed();
  key = await loadOrCreateKey(await cleanup.folder());
  certificate = await readFile('test/fixtures/keystores/central.crt', 'utf8');
  lanes = await Promise.all(Array.from({ length: 6 }, () => FalseCentral.start(cleanup)));
});
afterAll(() => cleanup.run());

/** As enrollment would have left it. */
function enrolledWith(central: FalseCentral, port = central.port): Identity {
  return {
    id: 'agent',
    name: 'branch',
    central: CENTRAL_NAME,
    signingKey: central.signingKey,
    certificate,
    host: '127.0.0.1',
    port,
    secure: false,
  };
}

class Inbox extends HeldInbox {
  async position(): Promise<null> {
    return null;
  }
}

/** Dials once, as the daemon does; gives how it ended and what was taken. */
async function dial(
  central: FalseCentral,
  port = central.port,
): Promise<ConnectionEnd & { readonly stored: readonly string[] }> {
  const inbox = new Inbox();
  const plan: DialPlan = {
    target: { secure: false, host: '127.0.0.1', port },
    ca: [],
    truststore: 'truststore.jks',
    key,
    identity: enrolledWith(central, port),
    name: 'branch',
    version: '0.1.0',
    bootId: 'b'.repeat(32),
    proxied: false,
    release: null,
  };
  const end = await connectOnce(
    plan,
    { outbox: new MemoryOutbox(), inbox, now: Date.now, control: NO_CONTROL, onOnline: () => undefined },
    AbortSignal.timeout(25_000),
  );
  return { ...end, stored: inbox.stored };
}

async function play(central: FalseCentral, part: Part): ReturnType<typeof dial> {
  central.parts.push(part);
  return await dial(central);
}

/** What an agent makes of garbage: an end with a code, in words with their hint, and to be tried again. */
function outcomeOf({ reason, terminal }: ConnectionEnd) {
  return {
    code: reason.code,
    terminal,
    inWords: /^.{10,1200}$/s.test(reason.message),
    hint: reason.hint !== '' || reason.code === 'refused',
  };
}
const clearly = (...codes: string[]) => ({
  code: expect.toBeOneOf(codes) as string,
  terminal: false,
  inWords: true,
  hint: true,
});

const known = Object.entries(FROM_CENTRAL);
const broken = fc.oneof(
  ...known
    .filter(([, schema]) => hasMembers(schema))
    .map(([type, schema]) => brokenOnce(schema).map(({ place, value }) => ({ type, place, value }))),
);
const sound = fc.oneof(...known.map(([type, schema]) => fitting(schema).map((value) => ({ type, value }))));
const NO_FRAMES = [
  '',
  '{',
  'null',
  '[]',
  '"x"',
  '{}',
  '{"type":5}',
  '{"type":["welcome"]}',
  'NaN',
  '{"type":"pause"}{}',
  nested(100_000),
  `{"type":"drain","retryAfterSeconds":${nested(100_000)},"spreadSeconds":0}`,
];
const STAGES = ['before the welcome', 'after the welcome'] as const;

/** Speaks rightly up to the stage, and then so. */
function from(stage: (typeof STAGES)[number], then: Part): Part {
  return async (line) => {
    if (stage === 'after the welcome') await line.welcome();
    await then(line);
  };
}

describe.each(STAGES)('a false Central, %s', (stage) => {
  it('with a frame of the schemas that has one member wrong: the agent ends it as bad_frame and names the place', async () => {
    await inLanes(samples(broken, 120), lanes, async ({ type, place, value }, central) => {
      const end = await play(
        central,
        from(stage, (line) => line.send(value)),
      );
      expect(outcomeOf(end)).toEqual(clearly('bad_frame'));
      expect(end.reason.message).toContain(`${type}: `);
      expect(end.reason.message).toContain(String(place.split('/').at(1)));
    });
  });

  it('with what is not a frame at all, and with binary: the same', async () => {
    await inLanes([...NO_FRAMES, Buffer.from([1, 2, 3])], lanes, async (bytes, central) => {
      expect(
        outcomeOf(
          await play(
            central,
            from(stage, (line) => line.webSocket.send(bytes)),
          ),
        ),
      ).toEqual(clearly('bad_frame'));
    });
  });

  it('with frames that fit, made at random, and an end of the line: it takes nothing of them that it must not', async () => {
    await inLanes(samples(fc.array(sound, { minLength: 1, maxLength: 5 }), 80), lanes, async (frames, central) => {
      const end = await play(
        central,
        from(stage, (line) => {
          for (const { value } of frames) line.send(value);
          line.webSocket.close(1001);
        }),
      );
      expect(outcomeOf(end)).toEqual(clearly('bad_frame', 'log_violation', 'closed', 'refused', 'unproven_central'));
      expect(stage === 'before the welcome' ? end.stored : []).toEqual([]);
      // A Central may ask for a day of patience, or two with the spread; not for more.
      expect(end.retryAfterMs).toBeLessThanOrEqual(2 * 86_400_000);
    });
  });

  it('with WebSocket frames that are none, and with random bytes: the agent says what was wrong with them, or that the line was cut', async () => {
    const none = [
      rawFrame({ masked: true, payload: Buffer.from('{}') }),
      rawFrame({ masked: false, reserved: 4 }),
      rawFrame({ masked: false, opcode: 3 }),
      rawFrame({ masked: false, opcode: 0 }),
      rawFrame({ masked: false, payload: Buffer.from([0xff]) }),
      rawFrame({ masked: false, claims: (1n << 64n) - 1n }),
      rawFrame({ masked: false, claims: 17n * 1024n * 1024n }),
      rawFrame({ masked: false, opcode: 9, payload: Buffer.alloc(126), lengthBytes: 2 }),
    ];
    await inLanes(none, lanes, async (bytes, central) => {
      expect(
        outcomeOf(
          await play(
            central,
            from(stage, (line) => void carrierOf(line.webSocket).write(bytes)),
          ),
        ),
      ).toEqual(clearly('closed'));
    });
    await inLanes(samples(fc.uint8Array({ minLength: 1, maxLength: 300 }), 60), lanes, async (bytes, central) => {
      expect(
        outcomeOf(
          await play(
            central,
            from(stage, (line) => void carrierOf(line.webSocket).end(bytes)),
          ),
        ),
      ).toEqual(clearly('closed', 'bad_frame'));
    });
  });
});

describe('what answers the dial of an agent', () => {
  it.each<[string, string | Buffer]>([
    ['random bytes', Buffer.from('8f3a00ff1234', 'hex')],
    ['a page', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
    ['a redirect', 'HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/agent\r\nContent-Length: 0\r\n\r\n'],
    ['headers without end', `HTTP/1.1 101 Switching Protocols\r\n${'X: y\r\n'.repeat(20_000)}`],
    ['an upgrade to something else', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n'],
    [
      'an upgrade with a wrong proof',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n',
    ],
    ['a page that breaks off', 'HTTP/1.1 500 Oops\r\nContent-Length: 500\r\n\r\nhalf'],
    ['a status that is none', 'HTTP/1.1 999999 ?\r\n\r\n'],
    ['nothing but an end', ''],
  ])('%s: it is not Central, and is dialed again', async (_, bytes) => {
    const server = createServer((socket) => socket.on('error', () => undefined).once('data', () => socket.end(bytes)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const [central] = lanes;
    if (central === undefined) throw new Error('no lane');
    const end = await dial(central, (server.address() as AddressInfo).port);
    server.close();
    expect(outcomeOf(end)).toEqual(clearly('no_central', 'central_unreachable'));
  });
});

describe('the daemon', () => {
  const running = new Cleanup();
  afterEach(() => running.run());

  async function daemon(central: FalseCentral, hosts: number): Promise<AgentProcess> {
    const folders = await agentFolders(running);
    await loadOrCreateKey(folders.data);
    await saveIdentity(folders.data, enrolledWith(central));
    const list = Array.from({ length: hosts }, () => `127.0.0.1:${central.port}`).join(',');
    return AgentProcess.start(running, folders, 'branch', [
      '--central-websocket-secure',
      'false',
      '--central-hosts',
      list,
    ]);
  }

  /** A change on disk ends the wait of the backoff. */
  async function dialSoon({ folders }: AgentProcess): Promise<void> {
    const now = new Date();
    await utimes(identityFile(folders.data), now, now);
  }

  it('goes on through sixty Centrals that are none and one that ends each session with garbage; each is reported in the log; in the end its events are there once', async () => {
    const central = await FalseCentral.start(running);
    const before = samples(broken, 40).map(
      ({ value }): Part =>
        (line) =>
          line.send(value),
    );
    const bytes = samples(fc.uint8Array({ minLength: 8, maxLength: 200 }), 20).map(
      (each): Part =>
        (line) =>
          void carrierOf(line.webSocket).end(each),
    );
    central.parts.push(...before, ...bytes);
    const agent = await daemon(central, 30);
    expect(
      await agent.local('POST', '/api/v1/events', [
        { id: 'e1', type: 't' },
        { id: 'e2', type: 't' },
      ]),
    ).toMatchObject({ status: 202 });
    await until(
      () => central.dialled >= 60 || undefined,
      30_000,
      () => `dialled ${central.dialled} times:\n${agent.process.stdout}`,
    );

    const wrong: readonly (readonly [string, unknown])[] = [
      ['bad_frame', { type: 'welcome' }],
      ['bad_frame', { type: 'messages', first: 1, items: [] }],
      ['log_violation', { type: 'begin', incarnation: 'new', next: 5, missing: null }],
      ['bad_frame', { type: 'ack', through: 2 ** 53 - 1 }],
      ['bad_frame', nested(100_000)],
    ];
    const ends: string[] = [];
    for (const [, frame] of wrong) {
      central.parts.push(async (line) => {
        await line.welcome();
        await line.frame('begin');
        line.send(frame);
        ends.push((await line.closed).reason);
      });
    }
    await until(
      async () => {
        await dialSoon(agent);
        return ends.length === wrong.length ? true : undefined;
      },
      40_000,
      () => `${ends.join()}:\n${agent.process.stdout}`,
    );
    expect(ends).toEqual(wrong.map(([code]) => code));
    const logged = logOf(agent.process)
      .filter((line) => Number(line['level']) === 40)
      .map((line) => line['code']);
    expect(logged).toEqual(expect.arrayContaining(['bad_frame', 'log_violation']));

    const events: unknown[] = [];
    central.rest = async (line) => {
      await line.welcome();
      const { items = [] } = ((await line.frame('messages')) ?? {}) as { items?: { id: string }[] };
      events.push(...items.map(({ id }) => id));
      line.send({ type: 'ack', through: 2 });
    };
    await until(
      async () => {
        await dialSoon(agent);
        const { body } = await agent.local('GET', '/api/v1/status');
        return body.outbox.messageCount === 0 ? true : undefined;
      },
      20_000,
      () => agent.process.stdout,
    );
    expect(events).toEqual(['e1', 'e2']);
    expect(agent.process.running).toBe(true);
    assertCleanLog(agent.process);
    expect(await agent.stop()).toMatchObject({ code: 0 });
  }, 120_000);

  it('answers garbage at its local API with a problem, and serves honest programs meanwhile', async () => {
    const central = await FalseCentral.start(running);
    central.rest = (line) => line.welcome();
    const agent = await daemon(central, 1);
    await until(async () =>
      (await agent.local('GET', '/api/v1/status')).body.connection.state === 'online' ? true : undefined,
    );
    const { url, token } = JSON.parse(await readFile(join(agent.folders.data, 'local-api.json'), 'utf8')) as {
      url: string;
      token: string;
    };
    const port = Number(new URL(url).port);
    const ask = async (
      method: string,
      path: string,
      body: string | Buffer = '',
      headers: readonly string[] = [`Authorization: Bearer ${token}`],
    ) => {
      const bytes = Buffer.from(body);
      return httpAnswer(
        await knock(
          port,
          [
            `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers.map((each) => `${each}\r\n`).join('')}${bytes.length > 0 ? `Content-Length: ${bytes.length}\r\n` : ''}\r\n`,
            bytes,
          ],
          { stay: true },
        ),
      );
    };
    const problem = (status: number) => ({ status, type: 'application/problem+json', body: { status } });

    const slow = knock(port, ['GET /api/v1/status HTTP/1.1\r\n', 'X-Sl'], { stay: true });
    await Promise.all(samples(fc.uint8Array({ maxLength: 500 }), 60).map((bytes) => knock(port, bytes)));
    for (const path of ['//', '/\\', 'http://[', '//x:99999999/', '*', '/%zz', '/v1/../v1/nothing', '/__proto__'])
      expect({ path, ...(await ask('GET', path)) }).toMatchObject({ path, ...problem(404) });
    for (const [method, path] of [
      ['DELETE', '/api/v1/events'],
      ['POST', '/api/v1/status'],
      ['GET', '/api/v1/events'],
    ] as const)
      expect(await ask(method, path)).toMatchObject(problem(405));
    for (const query of [
      'limit=0',
      'limit=1e3',
      'limit=-1',
      'limit=',
      'waitSeconds=56',
      'max=1',
      'limit=1&foo=2',
      'waitSeconds=__proto__',
      `limit=${'9'.repeat(3_000)}`,
    ])
      expect({ query, ...(await ask('GET', `/api/v1/commands?${query}`)) }).toMatchObject({ query, ...problem(400) });
    const event = '"type":"t"';
    for (const body of [
      '{',
      'null',
      '[]',
      '7',
      '""',
      '\ud800',
      nested(100_000),
      `[${'{},'.repeat(1_001)}{}]`,
      '{"type":1}',
      `{${event},"id":"\\ud800"}`,
      `{${event},"id":"a\\u0000"}`,
      `{${event},"__proto__":{}}`,
      `{${event},"data":${nested(100_000)}}`,
      `{${event},"time":"never"}`,
    ]) {
      expect({ sent: body.slice(0, 40), ...(await ask('POST', '/api/v1/events', body)) }).toMatchObject(problem(400));
    }
    for (const body of [
      '{}',
      '{"through":"1"}',
      '{"through":-1}',
      '{"through":0.5}',
      '{"through":1e999}',
      '{"through":[1]}',
      'null',
    ])
      expect({ sent: body, ...(await ask('POST', '/api/v1/commands/ack', body)) }).toMatchObject(problem(400));
    expect(await ask('POST', '/api/v1/events', Buffer.alloc(1024 * 1024 + 1, 0x20))).toMatchObject(problem(413));
    for (const authorization of [
      [],
      ['Authorization: Bearer x'],
      [`Authorization: Basic ${token}`],
      [`Authorization: Bearer ${token}\u00ff`],
    ])
      expect(await ask('GET', '/api/v1/status', '', authorization)).toMatchObject(problem(401));
    expect((await answerTo(port, `GET / HTTP/1.1\r\nHost: x\r\nCookie: ${'c'.repeat(100_000)}\r\n\r\n`)).status).toBe(
      431,
    );
    expect((await answerTo(port, 'nonsense\r\n\r\n')).status).toBe(400);

    expect(await agent.local('POST', '/api/v1/events', { id: 'good', type: 't' })).toMatchObject({ status: 202 });
    // Node's time for headers: 10 s.
    expect(await slow).toMatch(/^HTTP\/1\.1 408 /);
    assertCleanLog(agent.process);
    expect(agent.process.running).toBe(true);
  }, 60_000);

  it('reports an identity that is garbage, and goes on with the right one', async () => {
    const central = await FalseCentral.start(running);
    central.rest = (line) => line.welcome();
    const agent = await daemon(central, 1);
    const online = () =>
      until(
        async () =>
          (await agent.local('GET', '/api/v1/status')).body.connection.state === 'online' ? true : undefined,
        20_000,
        () => agent.process.stdout,
      );
    await online();
    const right = await readFile(identityFile(agent.folders.data));
    for (const bytes of ['', '\u0000', '[]', nested(100_000), '{"id":"x"}'])
      await writeFile(identityFile(agent.folders.data), bytes);
    central.stop();
    await agent.process.printed(/identity_damaged/);
    await writeFile(identityFile(agent.folders.data), right);
    expect(agent.process.running).toBe(true);
    assertCleanLog(agent.process);
  }, 40_000);
});
