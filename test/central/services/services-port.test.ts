// The port of all services, in one process: callers with TLS, streams in memory, the agent's side and a real HTTP server
// behind it.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { readServices } from '../../../agent/services/service-settings.ts';
import { Services } from '../../../agent/services/services.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { defaultValues, type ParameterValues } from '../../../central/parameters/definitions.ts';
import { ServiceCalls } from '../../../central/services/service-calls.ts';
import { ServicesPort } from '../../../central/services/services-port.ts';
import type { CodedError } from '../../../shared/errors.ts';
import { streamsInMemory } from '../../shared/session/streams/in-memory.ts';
import { streamsHere } from '../forwarding/streams-here.ts';

const keystores = 'test/fixtures/keystores';
const credentials = {
  key: readFileSync(`${keystores}/central.key`, 'utf8'),
  chain: readFileSync(`${keystores}/central.crt`, 'utf8'),
};
const ca = readFileSync(`${keystores}/root-ec.crt`, 'utf8');
const TRUST = { ca, servername: 'localhost' };

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A port with these parameters, and one agent behind it whose service is a server that answers so. */
async function opened(
  change: Partial<ParameterValues>,
  answer: Answer = (_request, response) => response.end('ok'),
  places = 256,
) {
  const service = createHttpServer(answer);
  await once(service.listen(0, '127.0.0.1'), 'listening');
  const keys = {
    'service.jobs.url': `http://localhost:${(service.address() as AddressInfo).port}`,
    'service.jobs.methods': 'GET,POST',
  };
  const entries = Object.entries(keys).map(([key, value]) => ({ key, value, line: 1 }));
  const services = new Services(readServices([{ file: 'agent.conf', entries }] as never));
  const { central, agent } = streamsInMemory((stream, open) => services.onStream(stream, open));
  const facts = { agentName: 'branch-1' };
  const session = { isOpen: true, hasStreams: true, openStream: (head: object) => central.open(head), facts };
  const lookups: string[] = [];
  let gate: Promise<void> | undefined;
  const writes: unknown[] = [];
  const refusals: string[] = [];
  const metrics = createMetrics();
  const log = { error: () => undefined, debug: () => undefined } as never;
  const calls = new ServiceCalls({
    agentStreams: streamsHere((id) => (id === 'a1' ? session : undefined)),
    writes: { record: (write) => void writes.push(write) },
    refusals: { record: (fault: CodedError) => void refusals.push(fault.code) },
    metrics,
    log,
  });
  let values: ParameterValues = { ...defaultValues(), 'services.port': 8446, ...change };
  const port = new ServicesPort({
    agents: {
      findByReference: async (reference: string) => {
        lookups.push(reference);
        await gate;
        const known = [
          { id: 'a1', name: 'branch-1' },
          { id: 'a2', name: 'branch-2' },
        ];
        // As the store: by the beginning of an id, too.
        return known.filter(({ id, name }) => id.startsWith(reference) || name === reference.toLowerCase()) as never;
      },
    },
    values: () => values,
    credentials: () => credentials,
    deadlineMs: () => 5_000,
    places: () => places,
    calls,
    log,
  });
  const binding = createServer((socket) => port.accept(socket));
  await once(binding.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    port.stop();
    binding.close();
    service.closeAllConnections();
    service.close();
    central.close();
    agent.close();
  });
  const number = (binding.address() as AddressInfo).port;
  const call = async (path: string, options: RequestOptions = {}) => {
    const request = httpsRequest({ host: '127.0.0.1', port: number, path, agent: false, ...TRUST, ...options });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += String(chunk);
    const isProblem = response.headers['content-type']?.startsWith('application/problem+json') === true;
    const body = isProblem ? (JSON.parse(text) as { code: string }).code : text;
    return { status: response.statusCode, headers: response.headers, body };
  };
  const set = (next: Partial<ParameterValues>): void => {
    const before = values;
    values = { ...values, ...next };
    port.onParametersChanged(values, before);
  };
  const hold = (until: Promise<void>): void => void (gate = until);
  return { call, set, hold, service, port: number, lookups, writes, refusals, metrics, central };
}

const OPERATOR = { 'services.allow': ['127.0.0.1:operator'] };
const codeOf = async (got: Promise<{ status: number | undefined; body: string }>) => {
  const { status, body } = await got;
  return [status, body];
};

it('lets no caller in until a rule does, and looks no agent up for those', async () => {
  const { call, set, lookups, refusals } = await opened({});
  expect(await codeOf(call('/branch-1/jobs/'))).toEqual([403, 'service_access_denied']);
  expect([lookups, refusals]).toEqual([[], ['service_access_denied']]);
  set({ 'services.allow': ['127.0.0.0/8:viewer'] });
  expect(await codeOf(call('/branch-1/jobs/'))).toEqual([200, 'ok']);
  expect(await codeOf(call('/branch-1/jobs/', { method: 'POST' }))).toEqual([403, 'service_access_denied']);
});

it('finds the agent by its name or id, and the service by its name; the branch answers for the rest', async () => {
  const { call, metrics } = await opened(OPERATOR, ({ url }, response) => void response.end(url));
  expect(await codeOf(call('/branch-1/jobs/a/b?c=%2Fd'))).toEqual([200, '/a/b?c=%2Fd']);
  expect(await codeOf(call('/BRANCH-1/jobs/'))).toEqual([200, '/']);
  expect(await codeOf(call('/a1/jobs/x'))).toEqual([200, '/x']);
  expect(await codeOf(call('/%61%31/jobs/x'))).toEqual([200, '/x']);
  // Beginnings of ids are for people, not for URLs that are kept.
  for (const path of ['/a/jobs/', '/branch-3/jobs/']) expect(await codeOf(call(path))).toEqual([404, 'agent_unknown']);
  for (const path of ['/', '/branch-1', '/branch-1/jobs', '/branch-1/jobs?x=/', '/branch-1/JOBS/', '/%ff/jobs/'])
    expect(await codeOf(call(path))).toEqual([404, 'service_address_unknown']);
  expect(await codeOf(call('/branch-1/other/'))).toEqual([404, 'service_unknown']);
  expect(await codeOf(call('/branch-2/jobs/'))).toEqual([503, 'service_agent_offline']);
  for (const path of ['/branch-1/jobs/../x', '/branch-1/%2e%2e/jobs/', '//branch-1/jobs/'])
    expect(await codeOf(call(path))).toEqual([400, 'service_request_invalid']);
  const text = await metrics.registry.metrics();
  // What callers type does not become a time series.
  expect(text).toContain('queuegate_service_requests_total{service="jobs",status="200"} 4');
  expect(text).toContain('queuegate_service_requests_total{service="other",status="404"} 9');
  for (const [code, count] of Object.entries({ agent_unknown: 2, service_unknown: 1, service_request_invalid: 3 }))
    expect(text).toContain(`queuegate_service_refusals_total{code="${code}"} ${count}`);
  expect(text).not.toContain('branch');
});

it('keeps redirects and cookies of a service below its path, and tells the service the prefix', async () => {
  let seen: IncomingMessage['headers'] = {};
  const { call, port } = await opened(OPERATOR, ({ headers, url }, response) => {
    seen = headers;
    const to = decodeURIComponent(url?.split('?to=')[1] ?? '').replace('SELF', headers.host ?? '');
    response.writeHead(302, {
      location: to,
      'set-cookie': ['a=1; HttpOnly; PATH=/sub; Secure', 'b=2; path=/branch-1/jobs', 'c=3', '__Host-queuegate=stolen'],
      'service-worker-allowed': '/',
    });
    response.end();
  });
  const headers = { 'X-Forwarded-Prefix': '/claimed', Host: 'central.example' };
  const redirect = async (to: string) =>
    (await call(`/branch-1/jobs/x?to=${encodeURIComponent(to)}`, { headers })).headers;
  const cases = {
    '/next?x=1': '/branch-1/jobs/next?x=1',
    '/': '/branch-1/jobs/',
    'http://SELF/next': '/branch-1/jobs/next',
    'https://central.example/next': '/branch-1/jobs/next',
    'https://central.example': '/branch-1/jobs/',
    '/branch-1/jobs/next': '/branch-1/jobs/next',
    next: 'next',
    'https://central.example.other/x': 'https://central.example.other/x',
    '//other.example/x': '//other.example/x',
    'https://other.example/x': 'https://other.example/x',
  };
  for (const [to, due] of Object.entries(cases)) expect([to, (await redirect(to)).location]).toEqual([to, due]);
  const answer = await redirect('/');
  expect(answer['set-cookie']).toEqual([
    'a=1; HttpOnly; Path=/branch-1/jobs/sub; Secure',
    'b=2; Path=/branch-1/jobs',
    'c=3',
  ]);
  expect(answer).not.toHaveProperty('service-worker-allowed');
  expect(seen).toMatchObject({ 'x-forwarded-prefix': '/branch-1/jobs', 'x-forwarded-host': 'central.example' });
  expect(port).toBeGreaterThan(0);
});

it('passes WebSockets, which count as writing', async () => {
  const { service, port, writes, set } = await opened(OPERATOR);
  const sockets = new WebSocketServer({ server: service });
  sockets.on('connection', (socket, { url }) =>
    socket.on('message', (data) => {
      socket.send(url ?? '');
      socket.send(data as Buffer);
    }),
  );
  const open = () => {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/branch-1/jobs/ws`, TRUST);
    socket.on('error', () => undefined);
    onTestFinished(() => socket.terminate());
    return socket;
  };
  const caller = open();
  await once(caller, 'open');
  caller.send('hello');
  const got: string[] = [];
  caller.on('message', (data: Buffer) => got.push(data.toString()));
  await vi.waitFor(() => expect(got).toEqual(['/ws', 'hello']));
  expect(writes).toEqual([
    {
      exposure: null,
      agent: 'a1',
      service: 'jobs',
      method: 'WEBSOCKET',
      who: '127.0.0.1',
      from: '127.0.0.1',
    },
  ]);
  // With other rules, what was opened by these ends.
  const closed = once(caller, 'close');
  set({ 'services.allow': ['127.0.0.1:viewer'] });
  expect((await closed)[0]).toBe(1006);
  const [, response] = (await once(open(), 'unexpected-response')) as [unknown, IncomingMessage];
  expect(response.statusCode).toBe(403);
});

it('requires a certificate of an authority once one is named, and ends connections when the port closes', async () => {
  const { call, set, port, central } = await opened(OPERATOR);
  const idle = connect({ host: '127.0.0.1', port, ...TRUST });
  await once(idle, 'secureConnect');
  idle.on('error', () => undefined);
  const ended = once(idle, 'close');
  set({ 'services.clientCa': ca });
  await ended;
  expect(await codeOf(call('/branch-1/jobs/'))).toEqual([403, 'service_certificate_required']);
  set({ 'services.clientCa': '' });
  expect(await codeOf(call('/branch-1/jobs/'))).toEqual([200, 'ok']);
  const moved = connect({ host: '127.0.0.1', port, ...TRUST });
  await once(moved, 'secureConnect');
  moved.on('error', () => undefined);
  // A move keeps them.
  set({ 'services.port': 8447 });
  expect(moved.destroyed).toBe(false);
  const cut = once(moved, 'close');
  set({ 'services.port': 0 });
  await cut;
  await vi.waitFor(() => expect(central.size).toBe(0));
});

it('a caller that leaves while its agent is looked up leaves nothing', async () => {
  const { port, central, lookups, hold, metrics, writes } = await opened(OPERATOR);
  const found = Promise.withResolvers<void>();
  hold(found.promise);
  const caller = new WebSocket(`wss://127.0.0.1:${port}/branch-1/jobs/ws`, TRUST);
  caller.on('error', () => undefined);
  await vi.waitFor(() => expect(lookups).toEqual(['branch-1']));
  caller.terminate();
  const counted = 'queuegate_service_requests_total{service="other",status="none"} 1';
  await vi.waitFor(async () => expect(await metrics.registry.metrics()).toContain(counted));
  found.resolve();
  await found.promise;
  await new Promise(setImmediate);
  expect([central.size, writes]).toEqual([0, []]);
});

it('a call in progress keeps its place when new connections come, an idle connection gives way', async () => {
  const waiting: ServerResponse[] = [];
  const answer: Answer = ({ url }, response) => void (url === '/later' ? waiting.push(response) : response.end('ok'));
  const { call, port } = await opened(OPERATOR, answer, 8);
  const slow = call('/branch-1/jobs/later');
  await vi.waitFor(() => expect(waiting).toHaveLength(1));
  // Six are the share of one address.
  const idle = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const socket = connect({ host: '127.0.0.1', port, ...TRUST });
      socket.on('error', () => undefined);
      onTestFinished(() => void socket.destroy());
      await once(socket, 'secureConnect');
      return socket;
    }),
  );
  const gone = once(idle[0] as (typeof idle)[number], 'close');
  expect(await codeOf(call('/branch-1/jobs/'))).toEqual([200, 'ok']);
  await gone;
  waiting[0]?.end('late');
  expect(await codeOf(slow)).toEqual([200, 'late']);
});
