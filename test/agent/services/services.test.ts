// Calls of services as the agent passes them: over streams in memory, to a real HTTP service.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { readServices } from '../../../agent/services/service-settings.ts';
import { Services } from '../../../agent/services/services.ts';
import { StreamReset, type Stream } from '../../../shared/session/streams/stream.ts';
import type { Streams } from '../../../shared/session/streams/streams.ts';
import type { DevicePortReport } from '../../../shared/wire/services/frames.ts';
import { streamsInMemory } from '../../shared/session/streams/in-memory.ts';

interface Called {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
}

async function listening(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** Central's side of streams to an agent whose profile has the service `jobs` on this port. */
function streamsTo(port: number, more: Readonly<Record<string, string>> = {}): Streams {
  const keys = { 'service.jobs.url': `http://localhost:${port}`, 'service.jobs.paths': '/jobs/', ...more };
  const entries = Object.entries(keys).map(([key, value]) => ({ key, value, line: 1 }));
  const files = [{ file: 'agent.conf', entries }] as unknown as Parameters<typeof readServices>[0];
  const services = new Services(readServices(files));
  return streamsInMemory((stream, open) => services.onStream(stream, open)).central;
}

const REQUEST = { kind: 'http', service: 'jobs', method: 'GET', target: '/jobs/', headers: [], bodyBytes: 0 };

function call(streams: Streams, changes: object = {}): Stream {
  const stream = streams.open({ ...REQUEST, ...changes }) as Stream;
  stream.end();
  return stream;
}

/** The code of its reset, or its head. */
function outcomeOf(stream: Stream): Promise<unknown> {
  return new Promise((resolve) => {
    stream.once('head', resolve);
    stream.once('error', (error) => resolve(error instanceof StreamReset ? error.reset : error));
  });
}

async function startService(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const called: Called[] = [];
  const server = createServer((request, response) => {
    called.push({ line: `${request.method} ${request.url}`, headers: request.headers });
    answer(request, response);
  });
  return { called, port: await listening(server) };
}

test('refuses what the profile does not name, without a connection to the service', async () => {
  const { called, port } = await startService((_request, response) => response.end());
  const streams = streamsTo(port);
  const refused: [object, string][] = [
    [{ service: 'other' }, 'service_unknown'],
    [{ service: '__proto__' }, 'service_unknown'],
    [{ method: 'POST' }, 'service_method_denied'],
    [{ target: '/admin' }, 'service_path_denied'],
    [{ target: '/jobs' }, 'service_path_denied'],
    [{ target: '/jobs/../admin' }, 'service_request_invalid'],
    [{ target: '/jobs/%2e%2e/admin' }, 'service_request_invalid'],
    [{ target: 7 }, 'service_request_invalid'],
    [{ headers: [['a', 'b\r\nc: d']] }, 'service_request_invalid'],
    [{ bodyBytes: -1 }, 'service_request_invalid'],
  ];
  for (const [changes, code] of refused) expect(await outcomeOf(call(streams, changes))).toBe(code);
  expect(called).toEqual([]);
  expect(await outcomeOf(call(streams))).toMatchObject({ status: 200 });
});

test('the service gets its own Host unless the profile keeps that of the caller, and no field of a connection', async () => {
  const { called, port } = await startService((_request, response) => response.end());
  const headers = [
    ['Host', 'central:24445'],
    ['Connection', 'X-Hop'],
    ['X-Hop', '1'],
    ['X-Kept', '1'],
  ];
  await outcomeOf(call(streamsTo(port), { headers }));
  await outcomeOf(call(streamsTo(port, { 'service.jobs.host': 'keep' }), { headers }));
  expect(called.map((one) => one.headers)).toEqual([
    { host: `localhost:${port}`, 'x-kept': '1', connection: 'close' },
    { host: 'central:24445', 'x-kept': '1', connection: 'close' },
  ]);
});

test('a service that refuses, is silent, or does not answer in HTTP has a code of its own', async () => {
  const closed = createTcpServer();
  const port = await listening(closed);
  await new Promise((resolve) => closed.close(resolve));
  expect(await outcomeOf(call(streamsTo(port)))).toBe('service_unreachable');
  const silent = await startService(() => undefined);
  expect(await outcomeOf(call(streamsTo(silent.port, { 'service.jobs.responseSeconds': '1' })))).toBe('service_silent');
  const odd = await listening(createTcpServer((socket) => socket.end('SSH-2.0-x\r\n')));
  expect(await outcomeOf(call(streamsTo(odd)))).toBe('service_answer_invalid');
  const large = await startService((_request, response) =>
    response.writeHead(200, { a: 'b'.repeat(15_900), c: '"'.repeat(300) }).end(),
  );
  expect(await outcomeOf(call(streamsTo(large.port)))).toBe('service_answer_invalid');
});

test('a caller that leaves ends the request to the service', async () => {
  const ended = Promise.withResolvers<void>();
  const { port } = await startService((request, response) => {
    request.socket.once('close', () => ended.resolve());
    response.write('begun');
  });
  const stream = call(streamsTo(port));
  await outcomeOf(stream);
  stream.destroy();
  await expect(ended.promise).resolves.toBeUndefined();
});

test('a service that sends interim answers without end gets no further than a few of them', async () => {
  for (const status of [100, 102, 103]) {
    let written = 0;
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      const send = (): void => {
        for (let i = 0; i < 100; i += 1) socket.write(`HTTP/1.1 ${status} Wait\r\n\r\n`);
        written += 100;
        if (written < 50_000 && !socket.destroyed) setImmediate(send);
      };
      socket.once('data', send);
    });
    const streams = streamsTo(await listening(server), { 'service.jobs.responseSeconds': '2' });
    expect(await outcomeOf(call(streams))).toBe('service_answer_invalid');
    expect(written).toBeLessThan(50_000);
  }
});

test('a service that sends the head of its answer byte by byte has its time, and no more', async () => {
  const head = 'HTTP/1.1 200 OK\r\n'.padEnd(4_000, 'X-Slow: 1\r\n');
  let sent = 0;
  const slow = await listening(
    createTcpServer((socket) => {
      socket.on('error', () => undefined);
      const timer = setInterval(() => socket.write(head[sent++] ?? ''), 100);
      socket.once('close', () => clearInterval(timer));
    }),
  );
  expect(await outcomeOf(call(streamsTo(slow, { 'service.jobs.responseSeconds': '1' })))).toBe('service_silent');
  expect(sent).toBeGreaterThan(1);
});

test('a few interim answers in front of the answer are passed over', async () => {
  const few = await listening(
    createTcpServer((socket) =>
      socket.once('data', () =>
        socket.end(
          `${'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n'.repeat(4)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
        ),
      ),
    ),
  );
  expect(await outcomeOf(call(streamsTo(few)))).toMatchObject({ status: 200 });
});

test('reports the port for devices with the services: changes at once, the number of devices once a minute', () => {
  let port: DevicePortReport = null;
  let now = 0;
  let look = (): void => undefined;
  const services = new Services([], { report: () => port, onLook: (next) => void (look = next) }, () => now);
  const sent: unknown[] = [];
  services.onOnline((frame) => sent.push(frame.devicePort));
  const open = { listenPort: 8989, state: 'open' as const, names: ['hub'], notAfter: null, clientCertificates: false };
  const see = (connectionCount: number, more: object = {}): void => {
    port = { ...open, connectionCount, ...more };
    look();
  };
  see(0);
  see(7);
  see(7, { state: 'closed' });
  see(8, { state: 'closed' });
  now += 60_000;
  look();
  look();
  expect(sent).toMatchObject([
    null,
    { state: 'open', connectionCount: 0 },
    { state: 'closed', connectionCount: 7 },
    { state: 'closed', connectionCount: 8 },
  ]);
  services.onOffline();
  see(9);
  expect(sent).toHaveLength(4);
});
