// A service of an agent at another node, in one process: a caller at the port of all services of node a, TLS to node b,
// the agent's side, and a real server behind it.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { createServer as createPort, type AddressInfo } from 'node:net';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { readServices } from '../../../agent/services/service-settings.ts';
import { Services } from '../../../agent/services/services.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { defaultValues } from '../../../central/parameters/definitions.ts';
import { ServiceCalls } from '../../../central/services/service-calls.ts';
import { ServicesPort } from '../../../central/services/services-port.ts';
import { twoNodes } from './two-nodes.ts';

const keystores = 'test/fixtures/keystores';
const credentials = {
  key: readFileSync(`${keystores}/central.key`, 'utf8'),
  chain: readFileSync(`${keystores}/central.crt`, 'utf8'),
};
const TRUST = { ca: readFileSync(`${keystores}/root-ec.crt`, 'utf8'), servername: 'localhost' };

async function opened(answer: RequestListener) {
  const service = createServer(answer);
  await once(service.listen(0, '127.0.0.1'), 'listening');
  const keys = {
    'service.jobs.url': `http://localhost:${(service.address() as AddressInfo).port}`,
    'service.jobs.methods': 'GET,POST',
  };
  const entries = Object.entries(keys).map(([key, value]) => ({ key, value, line: 1 }));
  const services = new Services(readServices([{ file: 'agent.conf', entries }] as never));
  const nodes = await twoNodes((stream, open) => services.onStream(stream, open));
  const writes: unknown[] = [];
  const log = { error: () => undefined, debug: () => undefined } as never;
  const calls = new ServiceCalls({
    agentStreams: nodes.streams,
    writes: { record: (write) => void writes.push(write) },
    refusals: { record: () => undefined },
    metrics: createMetrics(),
    log,
  });
  const port = new ServicesPort({
    agents: { findByReference: async () => [{ id: 'a1', name: 'branch-1' }] as never },
    values: () => ({ ...defaultValues(), 'services.port': 8446, 'services.allow': ['127.0.0.1:operator'] }),
    credentials: () => credentials,
    deadlineMs: () => 5_000,
    places: () => 256,
    calls,
    log,
  });
  const binding = createPort((socket) => port.accept(socket));
  await once(binding.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    port.stop();
    binding.close();
    service.closeAllConnections();
    service.close();
  });
  const number = (binding.address() as AddressInfo).port;
  const request = (path: string, options: RequestOptions = {}) =>
    httpsRequest({
      host: '127.0.0.1',
      port: number,
      path: `/branch-1/jobs${path}`,
      agent: false,
      ...TRUST,
      ...options,
    });
  return { ...nodes, service, port: number, request, writes };
}

it('gets uploads and gives answers byte for byte; audit names the caller, and the service gets the address', async () => {
  let seen: IncomingMessage['headers'] = {};
  const { request, writes } = await opened((asked, response) => {
    seen = asked.headers;
    asked.pipe(response);
  });
  const sent = randomBytes(5_000_000);
  const sending = request('/upload', { method: 'POST' });
  sending.end(sent);
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  const digest = createHash('sha256');
  for await (const chunk of response) digest.update(chunk as Buffer);
  expect(digest.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
  expect(seen['x-forwarded-for']).toBe('127.0.0.1');
  expect(writes).toMatchObject([{ agent: 'a1', service: 'jobs', method: 'POST', who: '127.0.0.1', from: '127.0.0.1' }]);
});

it('streams events as they come, and hears of a reader that leaves', async () => {
  const left = vi.fn<() => void>();
  const { request, central } = await opened((_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: one\n\n');
    response.once('close', left);
  });
  const sending = request('/events').end();
  sending.on('error', () => undefined);
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  response.on('error', () => undefined);
  expect(String(((await once(response, 'data')) as [Buffer])[0])).toBe('data: one\n\n');
  sending.destroy();
  await vi.waitFor(() => expect(left).toHaveBeenCalled());
  await vi.waitFor(() => expect(central.size).toBe(0));
});

it('passes a WebSocket and its closing code', async () => {
  const { port, service, writes } = await opened((_asked, response) => response.end());
  new WebSocketServer({ server: service }).on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary })),
  );
  const caller = new WebSocket(`wss://127.0.0.1:${port}/branch-1/jobs/ws`, TRUST);
  await once(caller, 'open');
  const bytes = randomBytes(200_000);
  caller.send(bytes);
  expect(((await once(caller, 'message')) as [Buffer])[0].equals(bytes)).toBe(true);
  caller.close(4001);
  expect(((await once(caller, 'close')) as [number])[0]).toBe(4001);
  expect(writes).toMatchObject([{ method: 'WEBSOCKET', who: '127.0.0.1' }]);
});

it('is refused with a hint while the other node does not answer, and a half answer is cut', async () => {
  const { request, listener } = await opened((_asked, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half');
  });
  const sending = request('/').end();
  sending.on('error', () => undefined);
  const [half] = (await once(sending, 'response')) as [IncomingMessage];
  await once(half, 'data');
  listener.stop();
  const [error] = (await once(half, 'error')) as [Error];
  expect(error).toBeInstanceOf(Error);
  expect(half.complete).toBe(false);
  const again = request('/').end();
  const [refused] = (await once(again, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of refused) text += String(chunk);
  expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, '10']);
  expect(JSON.parse(text)).toMatchObject({ code: 'node_unreachable', hint: expect.stringContaining('node.address') });
});
