// WebSockets of exposed services, in one process: callers with TLS, the listener of an exposure, streams in memory, the
// agent's side, and a real WebSocket server behind it.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:tls';
import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket, WebSocketServer, type ClientOptions } from 'ws';
import { readServices } from '../../../agent/services/service-settings.ts';
import { Services } from '../../../agent/services/services.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { Exposures } from '../../../central/services/exposures.ts';
import { ServiceCalls } from '../../../central/services/service-calls.ts';
import type { AllowRule } from '../../../central/store/services/exposure-store.ts';
import type { CodedError } from '../../../shared/errors.ts';
import type { Stream } from '../../../shared/session/streams/stream.ts';
import { streamsInMemory } from '../../shared/session/streams/in-memory.ts';
import { streamsHere } from '../forwarding/streams-here.ts';

const keystores = 'test/fixtures/keystores';
const credentials = {
  key: readFileSync(`${keystores}/central.key`, 'utf8'),
  chain: readFileSync(`${keystores}/central.crt`, 'utf8'),
};
const TRUST = { ca: readFileSync(`${keystores}/root-ec.crt`, 'utf8'), servername: 'localhost' };
const rule = (role: AllowRule['role'], address = '127.0.0.1'): AllowRule => ({ address, certificate: null, role });

interface Options {
  readonly profile?: Readonly<Record<string, string>>;
  readonly allow?: readonly AllowRule[];
  /** Of the agent, in place of its services. */
  readonly onStream?: (stream: Stream) => void;
}

/** An exposure on a free port, in front of an agent whose service is at `port`. */
async function exposed(port: number, { profile = {}, allow = [rule('operator')], onStream }: Options = {}) {
  const keys = {
    'service.jobs.url': `http://localhost:${port}`,
    'service.jobs.paths': '/jobs/',
    'service.jobs.methods': 'GET,POST',
    ...profile,
  };
  const entries = Object.entries(keys).map(([key, value]) => ({ key, value, line: 1 }));
  const services = new Services(readServices([{ file: 'agent.conf', entries }] as never));
  const { central, agent } = streamsInMemory((stream, open) =>
    onStream === undefined ? services.onStream(stream, open) : onStream(stream),
  );
  const session = {
    isOpen: true,
    hasStreams: true,
    openStream: (head: object) => central.open(head),
    facts: { agentName: 'branch-1' },
  };
  const [writes, refusals, metrics]: [unknown[], string[], ReturnType<typeof createMetrics>] = [
    [],
    [],
    createMetrics(),
  ];
  const log = { error: () => undefined, debug: () => undefined } as never;
  const calls = new ServiceCalls({
    agentStreams: streamsHere(() => session),
    writes: { record: (write) => void writes.push(write) },
    refusals: { record: (fault: CodedError) => void refusals.push(fault.code) },
    metrics,
    log,
  });
  const exposures = new Exposures({
    store: { create: async () => undefined, list: async () => [] } as never,
    credentials: () => credentials,
    bindAddresses: ['127.0.0.1'],
    deadlineMs: () => 5_000,
    places: () => 256,
    calls,
    log,
    now: () => Date.now(),
  });
  const free = await listening(createServer());
  const settings = { agentId: 'a1', service: 'jobs', listenPort: free.port, allow, clientCa: null };
  await new Promise((resolve) => free.server.close(resolve));
  await exposures.create(settings, { who: 'test', from: null } as never);
  onTestFinished(() => {
    exposures.stop();
    central.close();
    agent.close();
  });
  const url = `wss://127.0.0.1:${free.port}/jobs/ws`;
  const open = (more: ClientOptions = {}, path = ''): WebSocket => {
    const socket = new WebSocket(`${url}${path}`, { ...TRUST, ...more });
    socket.on('error', () => undefined);
    onTestFinished(() => socket.terminate());
    return socket;
  };
  return { port: free.port, open, central, agent, writes, refusals, metrics };
}

async function listening(server: ReturnType<typeof createServer>) {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

/** A WebSocket server that echoes, and what it has met. */
async function echo(more: { verifyClient?: () => boolean } = {}) {
  const { server, port } = await listening(createServer((_request, response) => response.end('ordinary')));
  const sockets = new WebSocketServer({ server, maxPayload: 8 * 1024 * 1024, ...more });
  const accepted: { socket: WebSocket; request: IncomingMessage; closed: Promise<unknown[]> }[] = [];
  sockets.on('connection', (socket, request) => {
    accepted.push({ socket, request, closed: once(socket, 'close') });
    socket.on('error', () => undefined);
    socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary }));
  });
  onTestFinished(() => {
    for (const { socket } of accepted) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return { port, accepted };
}

/** The status and the code of the problem that a request for a WebSocket is answered with. */
async function refusalOf(socket: WebSocket): Promise<[number | undefined, string]> {
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  const isProblem = response.headers['content-type']?.startsWith('application/problem+json') === true;
  return [response.statusCode, isProblem ? (JSON.parse(text) as { code: string }).code : text];
}

test('a WebSocket passes texts, bytes and 1 MB in both directions; its closing code passes both ways; nothing is left', async () => {
  const service = await echo();
  const { open, central, agent, writes, metrics, port } = await exposed(service.port);
  const closes: [first: 'caller' | 'service', code: number][] = [
    ['caller', 4001],
    ['service', 4002],
  ];
  for (const [first, code] of closes) {
    const caller = open(
      { headers: { Authorization: 'Bearer of-central' }, origin: `https://127.0.0.1:${port}` },
      '?a=1',
    );
    await once(caller, 'open');
    const { socket, request, closed } = service.accepted.at(-1) as (typeof service.accepted)[number];
    expect([request.url, request.headers.authorization, request.headers['x-forwarded-for']]).toEqual([
      '/jobs/ws?a=1',
      undefined,
      '127.0.0.1',
    ]);
    for (const sent of ['text', Buffer.from([0, 255, 1]), randomBytes(1_000_000)]) {
      caller.send(sent);
      const [data, isBinary] = (await once(caller, 'message')) as [Buffer, boolean];
      expect([isBinary, data.equals(Buffer.from(sent as Buffer))]).toEqual([typeof sent !== 'string', true]);
    }
    const seen = once(caller, 'close');
    (first === 'caller' ? caller : socket).close(code, 'done');
    expect([(await seen)[0], (await closed)[0]]).toEqual([code, code]);
  }
  await vi.waitFor(() => expect([central.size, agent.size]).toEqual([0, 0]));
  expect(writes).toMatchObject([{ method: 'WEBSOCKET', who: '127.0.0.1' }, { method: 'WEBSOCKET' }]);
  await vi.waitFor(async () => {
    const text = await metrics.registry.metrics();
    expect(text).toContain('queuegate_service_requests_total{service="jobs",status="101"} 2');
    expect(text).toContain('queuegate_service_streams 0');
  });
});

test('the rules of requests count: path, method, role, address; the branch says who may open one', async () => {
  const service = await echo();
  const viewer = { allow: [rule('viewer')] };
  const reading = { 'service.jobs.upgrade': 'viewer', 'service.jobs.methods': 'GET' };
  const cases: [Options, string, [number, string] | 'open'][] = [
    [{}, '/../../other', [404, 'service_path_denied']],
    [{ profile: { 'service.jobs.methods': 'GET' } }, '', [405, 'service_method_denied']],
    [viewer, '', [403, 'service_access_denied']],
    [{ allow: [rule('operator', '10.0.0.1')] }, '', [403, 'service_access_denied']],
    [{ onStream: (stream) => stream.reset('kind_unknown') }, '', [501, 'service_agent_too_old']],
    [{ profile: { 'service.jobs.url': 'http://localhost:1' } }, '', [502, 'service_unreachable']],
    [{ ...viewer, profile: reading }, '', 'open'],
    [{ profile: reading }, '', 'open'],
  ];
  for (const [options, path, due] of cases) {
    const { open, refusals, central } = await exposed(service.port, options);
    const caller = open({}, path);
    if (due === 'open') {
      await once(caller, 'open');
      continue;
    }
    expect(await refusalOf(caller)).toEqual(due);
    expect(refusals).toEqual(due[0] === 403 ? [due[1]] : []);
    await vi.waitFor(() => expect(central.size).toBe(0));
  }
  expect(service.accepted).toHaveLength(2);
});

test('pages of other origins may not open one, those of the service and programs may', async () => {
  const service = await echo();
  const { open, refusals, port } = await exposed(service.port);
  for (const origin of ['https://evil.example', 'null', `http://127.0.0.1:${port}`, `https://127.0.0.1:${port}.evil`])
    expect(await refusalOf(open({ origin }))).toEqual([403, 'service_origin_denied']);
  expect([refusals.length, service.accepted.length]).toEqual([4, 0]);
  await once(open({ origin: `https://127.0.0.1:${port}` }), 'open');
});

test('the answer of a service that refuses passes as it is', async () => {
  const { open, central, agent } = await exposed((await echo({ verifyClient: () => false })).port);
  expect(await refusalOf(open())).toEqual([401, 'Unauthorized']);
  const plain = await listening(createServer((_request, response) => response.end('x'.repeat(1_000_000))));
  onTestFinished(() => void plain.server.close());
  const other = await exposed(plain.port);
  expect(await refusalOf(other.open())).toEqual([200, 'x'.repeat(1_000_000)]);
  for (const streams of [central, agent, other.central, other.agent])
    await vi.waitFor(() => expect(streams.size).toBe(0));
});

test('a cut is a cut on the other side: by the service, the caller, the session, and silence', async () => {
  const service = await echo();
  const { open, central, agent } = await exposed(service.port, { profile: { 'service.jobs.idleSeconds': '1' } });
  const cuts: ((caller: WebSocket, socket: WebSocket) => void)[] = [
    (_caller, socket) => (socket as unknown as { _socket: Socket })._socket.resetAndDestroy(),
    (caller) => caller.terminate(),
    // The pings of the two sides would keep it open.
    () => undefined,
    () => central.close(),
  ];
  for (const cut of cuts) {
    const caller = open();
    await once(caller, 'open');
    const { socket, closed } = service.accepted.at(-1) as (typeof service.accepted)[number];
    const seen = once(caller, 'close');
    cut(caller, socket);
    if (cut === cuts[3]) agent.close();
    expect([(await seen)[0], (await closed)[0]]).toEqual([1006, 1006]);
    await vi.waitFor(() => expect([central.size, agent.size]).toEqual([0, 0]));
  }
});

test('a caller that does not read holds up its own WebSocket, and no other', async () => {
  const service = await echo();
  const { open } = await exposed(service.port);
  const slow = open();
  await once(slow, 'open');
  slow.pause();
  const { socket } = service.accepted[0] as (typeof service.accepted)[number];
  const big = randomBytes(7_000_000);
  for (let i = 0; i < 4; i += 1) socket.send(big);
  const quick = open();
  await once(quick, 'open');
  for (let i = 0; i < 20; i += 1) {
    quick.send(`${i}`);
    expect(String((await once(quick, 'message'))[0])).toBe(`${i}`);
  }
  expect(socket.bufferedAmount).toBeGreaterThan(0);
  slow.resume();
  for (let i = 0; i < 4; i += 1) expect(((await once(slow, 'message'))[0] as Buffer).equals(big)).toBe(true);
});

test('one address has 32 of an agent at once, and a place again when one is closed', async () => {
  const service = await echo();
  const { open, agent } = await exposed(service.port);
  const callers = Array.from({ length: 32 }, () => open());
  await Promise.all(callers.map((caller) => once(caller, 'open')));
  expect(await refusalOf(open())).toEqual([503, 'service_websockets_full']);
  callers[0]?.close();
  await vi.waitFor(() => expect(agent.size).toBe(31));
  await vi.waitFor(() => once(open(), 'open'));
});

const KEY =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGVzdHRlc3R0ZXN0dGVzdA==\r\n';

test('what two programs could read differently does not open a WebSocket: behind a request without its answer, and with a body', async () => {
  const service = await echo();
  const { port } = await exposed(service.port);
  const raw = async (text: string): Promise<string> => {
    const socket = connect({ host: '127.0.0.1', port, ...TRUST });
    socket.on('error', () => undefined);
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    socket.write(text);
    await once(socket, 'close');
    return answer;
  };
  const host = 'Host: central\r\n';
  // Cut before anything is answered.
  expect(await raw(`GET /jobs/ HTTP/1.1\r\n${host}\r\nGET /jobs/ws HTTP/1.1\r\n${host}${KEY}\r\n`)).toBe('');
  const body = `GET /jobs/ws HTTP/1.1\r\n${host}${KEY.replace('Upgrade\r\n', 'Upgrade, close\r\n')}Content-Length: 2\r\n\r\nhi`;
  expect(await raw(body)).toMatch(/^HTTP\/1.1 200 OK[^]*ordinary$/);
  expect(await raw(`GET /jobs/ws HTTP/1.1\r\n${host}${host}${KEY}\r\n`)).toMatch(/^HTTP\/1.1 400 /);
  expect(await raw(`GET /jobs/%2e%2e/ws HTTP/1.1\r\n${host}${KEY}\r\n`)).toMatch(/^HTTP\/1.1 400 /);
  expect(await raw(`CONNECT other.example:443 HTTP/1.1\r\n${host}\r\n`)).toMatch(
    /^HTTP\/1.1 400 [^]*service_request_inv/,
  );
  expect(await raw(`CONNECT /jobs/ HTTP/1.1\r\n${host}\r\n`)).toMatch(/^HTTP\/1.1 405 [^]*service_method_denied/);
  expect(service.accepted).toEqual([]);
});

test('a caller that leaves before the answer ends the request at the service', async () => {
  const left = Promise.withResolvers<void>();
  const { server, port } = await listening(createServer());
  server.on('upgrade', (_request, socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    socket.once('end', () => left.resolve(void socket.destroy()));
    caller.terminate();
  });
  onTestFinished(() => void server.close());
  const { open } = await exposed(port);
  const caller = open();
  await expect(left.promise).resolves.toBeUndefined();
});
