// What one connection can make an HTTP server of Central hold or do, on real sockets.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Places } from '../../../../central/auth/places.ts';
import { openBinding } from '../../../../central/listeners/bind.ts';
import { Connections } from '../../../../central/listeners/accept/connections.ts';
import { createHttpApp, createHttpServer } from '../../../../central/listeners/http.ts';
import { RequestGate, type RequestGateOptions } from '../../../../central/listeners/limits/request-gate.ts';
import { RequestRate } from '../../../../central/listeners/limits/request-rate.ts';
import { revocationRoutes } from '../../../../central/listeners/revocation-routes.ts';
import { Turns } from '../../../../central/listeners/limits/turns.ts';
import { SLICE_BYTES, UnreadResponses } from '../../../../central/listeners/limits/unread-responses.ts';

/** That of a CRL with 10,000 entries in PEM. */
const LIST_BYTES = 560_000;
/** More than the kernel takes on loopback for a peer that reads nothing. */
const LARGE_BYTES = 64 * 1024 * 1024;
const MIB = 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

async function listen(more: Partial<RequestGateOptions> = {}) {
  const [faults, sockets]: [string[], Socket[]] = [[], []];
  const handled = { count: 0, working: 0, mostWorking: 0 };
  const server = createHttpServer(10_000);
  const onFailure = ({ code }: { readonly code: string }): void => void faults.push(code);
  const [unread, unreadOfTokens] = [new UnreadResponses(), new UnreadResponses()];
  const turns = new Turns();
  const places = new Places(() => 100);
  const connections = new Connections({ http: server, deadlineMs: () => 10_000, places, turns, onFailure });
  server.on('connection', (socket: Socket) => sockets.push(socket));
  const gate = new RequestGate({
    server,
    turns,
    rate: new RequestRate(),
    unread,
    unreadOfTokens,
    addressOf: ({ socket }) => socket.remoteAddress ?? '',
    placeOf: (socket) => connections.placeOf(socket),
    takesTokens: false,
    onFailure,
    ...more,
  });
  const app = createHttpApp({
    server,
    maxBodyBytes: 1_000,
    gate,
    onUnexpected: (error) => {
      throw error;
    },
  });
  app.addHook('onRequest', (_request, _reply, done) => {
    handled.count += 1;
    handled.mostWorking = Math.max(handled.mostWorking, (handled.working += 1));
    done();
  });
  app.addHook('onResponse', (_request, _reply, done) => {
    handled.working -= 1;
    done();
  });
  const pages = Promise.withResolvers<void>();
  const [list, large] = [randomBytes(LIST_BYTES), Buffer.alloc(LARGE_BYTES)];
  revocationRoutes(app, { der: async () => list, pem: async () => list });
  app.get('/large', async (_request, reply) => await reply.send(large));
  app.get('/text', async (_request, reply) => await reply.send('x'.repeat(300_000)));
  app.get('/page', { config: { role: 'viewer' } }, async (_request, reply) => await reply.send(large));
  app.get('/public', { config: { role: 'anyone' } }, async (_request, reply) => await reply.send(large));
  app.get('/late', async () => {
    await pages.promise;
    return 'x'.repeat(5 * MIB);
  });
  app.get('/guarded', async (_request, reply) => await reply.code(401).send('no'));
  app.get('/n/:n', { config: { role: 'viewer' } }, async (request) => (request.params as { n: string }).n);
  await app.ready();
  const binding = await openBinding({ listener: 'the test', addresses: ['127.0.0.1'], port: 0 }, connections.accept);
  onTestFinished(async () => {
    binding.close();
    connections.destroyAll();
    await app.close();
  });
  return { port: binding.port, faults, sockets, handled, unread, unreadOfTokens, places, pages };
}

function dial(port: number): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

const get = (path: string, ...headers: string[]): string =>
  `GET ${path} HTTP/1.1\r\nHost: c\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n`;
const flood = (request: string): string => request.repeat(Math.floor(64_600 / request.length));

async function until(holds: () => boolean): Promise<void> {
  // The time limit of the test ends it, and no other.
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

const gone = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()).resume());

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  await gone(socket);
  return text;
}

const FIELDS = { 'ratelimit-policy': '"address";q=1000;w=5', ratelimit: '"address";r=0;t=5' };

describe('requests that are sent without waiting for responses', () => {
  test('64,600 bytes of GET /crl.pem on each of twelve connections that read nothing hold no responses', async () => {
    const { port, faults, sockets, handled, unread } = await listen();
    collectGarbage();
    const before = process.memoryUsage();
    for (let i = 0; i < 12; i += 1)
      dial(port)
        .pause()
        .write(flood(get('/crl.pem')));
    await until(() => faults.length === 12 && sockets.every(({ destroyed }) => destroyed));
    expect(new Set(faults)).toEqual(new Set(['too_many_pipelined']));
    // What V8 has not collected yet is not held.
    collectGarbage();
    const after = process.memoryUsage();
    expect(after.external + after.arrayBuffers - before.external - before.arrayBuffers).toBeLessThan(8 * MIB);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(16 * MIB);
    expect([unread.bytes, handled.count <= 12]).toEqual([0, true]);
  });

  test('of a flood in one packet a few are parsed, whatever the answer would be: 404, 405, 400, 417', async () => {
    for (const request of [
      get('/nowhere'),
      'POST / HTTP/1.1\r\nHost: c\r\nContent-Length: 0\r\n\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      get('/', 'Expect: 200-ok'),
    ]) {
      const { port, sockets, handled } = await listen();
      const socket = dial(port);
      socket.write(flood(request));
      const text = await textOf(socket);
      expect(text.match(/^HTTP\/1\.1/gm)?.length ?? 0).toBeLessThanOrEqual(16);
      expect(handled.count).toBeLessThanOrEqual(16);
      await until(() => sockets[0]?.destroyed === true);
    }
  });

  test('a few are answered in order, one at a time', async () => {
    const { port, handled } = await listen();
    const socket = dial(port);
    socket.write(Array.from({ length: 12 }, (_, i) => get(`/n/${i}`)).join('') + get('/n/last', 'Connection: close'));
    const text = await textOf(socket);
    expect([...text.matchAll(/\r\n\r\n(last|\d+)/g)].map(([, n]) => n)).toEqual([
      ...Array.from({ length: 12 }, (_, i) => String(i)),
      'last',
    ]);
    expect(handled.mostWorking).toBe(1);
  });

  test('an upgrade behind a request that is not answered yet ends the connection', async () => {
    const { port, faults } = await listen();
    const socket = dial(port);
    socket.write(get('/large') + get('/agent', 'Connection: upgrade', 'Upgrade: websocket'));
    await gone(socket);
    expect(faults).toEqual(['too_many_pipelined']);
  });
});

describe('responses that are not read', () => {
  test('hold two slices each, however large they are, and are counted for their address', async () => {
    const { port, sockets, unread } = await listen();
    for (let i = 0; i < 10; i += 1) dial(port).pause().write(get('/large'));
    await until(() => sockets.length === 10 && sockets.every(({ writableLength }) => writableLength > 0));
    for (const { writableLength } of sockets) expect(writableLength).toBeLessThanOrEqual(2 * 64 * 1024 + 1_000);
    expect([unread.bytes, unread.isFull('127.0.0.1')]).toEqual([10 * 128 * 1024, false]);
  });

  test('are bounded per address: beyond it requests get 503 and the connection ends', async () => {
    const { port, unread, faults } = await listen();
    const release = unread.hold('127.0.0.1', 8 * MIB);
    const text = await textOf(
      dial(port).on('connect', function hello(this: Socket) {
        this.write(get('/n/1'));
      }),
    );
    expect(text).toMatch(/^HTTP\/1\.1 503 .*retry-after: \d+.*connection: close.*responses_unread/is);
    expect([faults, unread.isFull('192.0.2.1')]).toEqual([['responses_unread'], false]);
    release();
    expect([unread.bytes, unread.isFull('127.0.0.1')]).toEqual([0, false]);
  });

  test('to requests without a valid token keep none with one out, and are not counted with theirs', async () => {
    const { port, faults, unread, unreadOfTokens } = await listen({ takesTokens: true });
    unread.hold('127.0.0.1', 8 * MIB);
    unread.hold('192.0.2.1', 64 * MIB);
    expect(
      await textOf(
        dial(port).on('connect', function hello(this: Socket) {
          this.write(get('/n/1', 'Authorization: Bearer it is validated behind this', 'Connection: close'));
        }),
      ),
    ).toMatch(/^HTTP\/1\.1 200 /);
    const held = unread.bytes;
    dial(port).pause().write(get('/public', 'Authorization: Bearer made up'));
    await until(() => unread.bytes > held);
    expect([unreadOfTokens.bytes, faults]).toEqual([0, []]);
    dial(port).pause().write(get('/page', 'Authorization: Bearer of a viewer'));
    await until(() => unreadOfTokens.bytes > 0);
    expect(unread.bytes - held).toBe(128 * 1024);
  });

  test('that were asked for all at once are bounded as well: those that come when it is too much get 503', async () => {
    const { port, unread, faults, handled, pages } = await listen();
    const answers = Array.from({ length: 12 }, () => dial(port));
    for (const socket of answers) socket.pause().write(get('/late'));
    await until(() => handled.count === 12);
    expect(unread.bytes).toBe(0);
    pages.resolve();
    await until(() => faults.length === 10);
    expect(unread.bytes).toBeLessThan(11 * MIB);
    const texts = await Promise.all(
      answers.map(
        async (socket) =>
          await new Promise<string>((resolve) => {
            socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1'))).resume();
          }),
      ),
    );
    expect(texts.filter((text) => /^HTTP\/1\.1 503 .*responses_unread/s.test(text))).toHaveLength(10);
  });

  test('are cut when nothing of them is taken in time; their connection may be given up before that', async () => {
    const { port, faults, sockets, unread, places } = await listen({ readMs: 300 });
    dial(port).pause().write(get('/large'));
    // What the connection held is given up with the `close` of its response, which comes after its own.
    await until(() => sockets[0]?.closed === true && unread.bytes === 0 && places.taken === 0);
    expect(faults).toEqual(['response_unread']);
  });

  test('go on as long as something of them is taken in time', async () => {
    const { port, faults, sockets } = await listen({ readMs: 400 });
    // The time of the gate is the test's: three quarters of the bound pass after each 4 MiB, whatever the machine's
    // load.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const socket = dial(port);
    socket.write(get('/large', 'Connection: close'));
    let [received, taken, drains, passed] = [0, 0, 0, 0];
    const pass = (seen: number): void => {
      const server = sockets[0];
      // The server writes on for what was read here: 4 MiB are more than it hands over at once.
      if (drains === seen && server !== undefined && !server.writableEnded) return void setImmediate(pass, seen);
      vi.advanceTimersByTime(300);
      passed += 300;
      socket.resume();
    };
    socket.on('data', (chunk: Buffer) => {
      if (received === 0) sockets[0]?.on('drain', () => (drains += 1));
      received += chunk.length;
      if (received - taken < 4 * MIB) return;
      taken = received;
      socket.pause();
      pass(drains);
    });
    await new Promise((resolve) => socket.once('close', resolve));
    expect([received >= LARGE_BYTES, passed > 800, faults]).toEqual([true, true, []]);
  });

  test('large ones go out in the turns of the requests, slice by slice: many readers do not have the event loop', async () => {
    const turns = new Turns();
    const take = vi.spyOn(turns, 'take');
    const { port } = await listen({ turns });
    const socket = dial(port);
    socket.write(get('/crl.pem', 'Connection: close'));
    expect((await textOf(socket)).length).toBeGreaterThan(LIST_BYTES);
    // The request, and each slice of what it gets.
    expect(take.mock.calls.length).toBeGreaterThanOrEqual(1 + LIST_BYTES / SLICE_BYTES);
    expect(new Set(take.mock.calls.map(([block]) => block))).toEqual(new Set(['127.0.0.1']));
  });

  test('large ones come whole, with their length, also as text and by HEAD', async () => {
    const { port } = await listen();
    const base = `http://127.0.0.1:${port}`;
    expect((await (await fetch(`${base}/crl.der`)).arrayBuffer()).byteLength).toBe(LIST_BYTES);
    const text = await fetch(`${base}/text`);
    expect([text.headers.get('content-length'), (await text.text()) === 'x'.repeat(300_000)]).toEqual(['300000', true]);
    const head = await fetch(`${base}/crl.pem`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(LIST_BYTES)]);
    const again = await fetch(`${base}/crl.pem`, { headers: { 'if-none-match': head.headers.get('etag') ?? '' } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });
});

describe('the rate of requests without authentication', () => {
  test('is bounded per block of addresses: a burst, then so many per second; other blocks are untouched', () => {
    let now = 0;
    const rate = new RequestRate(() => now);
    const taken = (block: string): number => {
      let count = 0;
      while (rate.take(block) === 0) count += 1;
      return count;
    };
    expect([taken('192.0.2.1'), taken('192.0.2.1'), taken('192.0.2.2')]).toEqual([1_000, 0, 1_000]);
    now += 1_000;
    expect(taken('192.0.2.1')).toBe(200);
    now += 3_600_000;
    expect(taken('192.0.2.1')).toBe(1_000);
  });

  test('is in the header fields of each answer that it counts: what is left, and when all is there again', async () => {
    let now = 0;
    const rate = new RequestRate(() => now);
    const { port } = await listen({ rate, takesTokens: true });
    const ask = async (...more: string[]): Promise<string> => {
      const socket = dial(port);
      socket.write(get('/n/1', 'Connection: close', ...more));
      return await textOf(socket);
    };
    const first = await ask();
    expect(first).toMatch(/^ratelimit-policy: "address";q=1000;w=5\r$/im);
    expect(first).toMatch(/^ratelimit: "address";r=999;t=1\r$/im);
    expect(await ask()).toMatch(/^ratelimit: "address";r=998;t=1\r$/im);
    now += 5;
    expect(await ask()).toMatch(/^ratelimit: "address";r=998;t=1\r$/im);
    expect(await ask('Authorization: Bearer x')).not.toMatch(/^ratelimit/im);
    expect(rate.fieldsOf('198.51.100.1')).toMatchObject({ ratelimit: '"address";r=1000;t=0' });
  });

  test('beyond it the answer is 429 with Retry-After, and the connection ends', async () => {
    const { port, handled, faults } = await listen({ rate: { take: () => 7, fieldsOf: () => FIELDS } });
    const socket = dial(port);
    socket.write(get('/n/1') + get('/n/2'));
    const text = await textOf(socket);
    expect(text).toMatch(
      /^HTTP\/1\.1 429 .*retry-after: 7\r\n.*connection: close.*urn:queuegate:error:too_many_requests/is,
    );
    expect(text).toMatch(/^ratelimit: "address";r=0;t=5\r$/im);
    expect([text.match(/HTTP\/1\.1/g)?.length, handled.count, faults]).toEqual([1, 0, ['too_many_requests']]);
  });

  test('does not hold for a token that is valid; one that is not costs the connection', async () => {
    const { port } = await listen({ rate: { take: () => 7, fieldsOf: () => FIELDS }, takesTokens: true });
    const valid = dial(port);
    valid.write(get('/n/1', 'Authorization: Bearer x') + get('/n/2', 'Authorization: Bearer x', 'Connection: close'));
    expect((await textOf(valid)).match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    const wrong = dial(port);
    wrong.write(get('/guarded', 'Authorization: Bearer x'));
    expect(await textOf(wrong)).toMatch(/^HTTP\/1\.1 401 /);
    // Where none is asked for, none is proved.
    const claimed = dial(port);
    claimed.write(get('/crl.pem', 'Authorization: Bearer x') + get('/n/2', 'Authorization: Bearer x'));
    expect((await textOf(claimed)).match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

test('a connection that waits for its peer gives way to a newcomer: silent ones, and one whose response is not read', async () => {
  const { port, sockets, places, faults } = await listen();
  dial(port).pause().write(get('/large'));
  await until(() => sockets[0] !== undefined && sockets[0].writableLength > 0);
  for (let i = 0; i < 49; i += 1) dial(port);
  await until(() => places.taken === 50);
  expect(sockets[0]?.destroyed).toBe(false);
  dial(port);
  await until(() => faults.length === 1);
  expect([places.taken, faults]).toEqual([50, ['place_given_up']]);
});
