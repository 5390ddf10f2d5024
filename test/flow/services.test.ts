// Services of a branch over ports of Central: a real HTTP service on loopback behind a real agent, and callers with
// addresses, roles and certificates.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeBank } from '../central/pki/server/bank.ts';
import {
  AgentProcess,
  agentFlags,
  agentFolders,
  CentralProcess,
  Cleanup,
  freePorts,
  ownAddress,
  runNode,
  until,
} from './processes.ts';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

interface Called {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Without proxy and certificate, as a JobScheduler agent listens. */
class BranchService {
  readonly server: Server;
  readonly called: Called[] = [];
  answer: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void = (_request, response) =>
    void response.end('ok');

  private constructor() {
    this.server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('error', () => undefined);
      request.on('end', () => {
        const body = Buffer.concat(pieces);
        const { method = '', url = '', headers } = request;
        this.called.push({ method, url, headers, body });
        this.answer(request, response, body);
      });
    });
  }

  static async start(): Promise<BranchService> {
    const service = new BranchService();
    await once(service.server.listen(0, '127.0.0.1'), 'listening');
    cleanup.add(() => {
      service.server.closeAllConnections();
      service.server.close();
    });
    return service;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }
}

interface Got {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

let central: CentralProcess;
let agent: AgentProcess;
let service: BranchService;
let port: number;
let ca: string;
let exposure: string;

function call(path: string, options: RequestOptions & { body?: Buffer | string; to?: number } = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const { body, to = port, ...more } = options;
    const request = httpsRequest(
      { host: '127.0.0.1', servername: 'localhost', port: to, path, ca, agent: false, ...more },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

async function codeOf(got: Promise<Got>): Promise<[number, unknown]> {
  const { status, body, headers } = await got;
  expect(headers['content-type']).toMatch(/^application\/problem\+json/);
  return [status, (JSON.parse(body.toString()) as { code: unknown }).code];
}

/** Sends a request as it is, and gives the status of the answer. */
async function raw(text: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ca, servername: 'localhost' });
  await once(socket, 'secureConnect');
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  socket.write(text, 'latin1');
  await Promise.race([once(socket, 'close'), until(() => (/\r\n\r\n/.test(answer) ? true : undefined))]);
  socket.destroy();
  return answer.split('\r\n', 1)[0]?.split(' ')[1] ?? answer;
}

const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  service = await BranchService.start();
  const folders = await agentFolders(cleanup);
  await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, 'branch-1')]);
  await appendFile(
    join(folders.profile, 'conf/agent.conf'),
    [
      '',
      `service.jobs.url=http://localhost:${service.port}`,
      'service.jobs.methods=GET,HEAD,POST',
      'service.jobs.paths=/jobscheduler/,/big',
      'service.jobs.responseSeconds=2',
      'service.none.url=http://localhost:1',
      'service.none.upgrade=viewer',
      '',
    ].join('\n'),
  );
  agent = AgentProcess.start(cleanup, folders, 'branch-1');
  await central.online('branch-1');
  ca = await central.cli('ca', 'trust-bundle').then(({ stdout }) => stdout);
  if (!ca.includes('BEGIN')) ca = await readFile(ca.trim(), 'utf8');
  [port = 0] = await freePorts(1);
  const line = ['services', 'expose', 'branch-1', 'jobs', '--listen', String(port), '--json'];
  const made = await central.cli(...line, '--allow', '127.0.0.1:operator', '--allow', `${ownAddress()}/32:viewer`);
  exposure = (JSON.parse(made.stdout) as { id: string }).id;
});

it('the services of an agent are reported, after each change of its configuration too', async () => {
  const reported = async (): Promise<{ name: string; reportedAt: string }[]> =>
    (await central.rest('GET', '/agents/branch-1/services')).body.items;
  const items = await until(async () => {
    const found = await reported();
    return found.length === 2 ? found : undefined;
  });
  expect(items).toEqual([
    {
      name: 'jobs',
      methods: ['GET', 'HEAD', 'POST'],
      paths: ['/jobscheduler/', '/big'],
      upgrade: 'operator',
      reportedAt: expect.any(String),
    },
    {
      name: 'none',
      methods: ['GET', 'HEAD'],
      paths: ['/'],
      upgrade: 'viewer',
      reportedAt: expect.any(String),
    },
  ]);
  const { stdout } = await central.cli('agents', 'services', 'branch-1');
  expect(stdout).toMatch(/jobs +GET, HEAD, POST +operators +\/jobscheduler\/, \/big +20/);
  const paths = Array.from({ length: 32 }, (_, i) => `/${'p'.repeat(1_000)}${i}`).join(',');
  const file = join(agent.folders.profile, 'conf/agent.local.conf');
  await writeFile(
    file,
    ['long', 'longer']
      .map((name) => `service.${name}.url=http://localhost:1\nservice.${name}.paths=${paths}\n`)
      .join(''),
  );
  agent.process.child.kill('SIGHUP');
  const more = await until(async () => {
    const found = await reported();
    return found.length === 4 ? found : undefined;
  });
  // More than a report has room for.
  expect(more.map((one) => [one.name, 'paths' in one && one.paths])).toEqual(
    ['jobs', 'none', 'long', 'longer'].map((name) => [name, null]),
  );
  await rm(file);
  agent.process.child.kill('SIGHUP');
  const [free = 0] = await freePorts(1);
  const early = ['services', 'expose', 'branch-1', 'later', '--listen', String(free), '--allow', '127.0.0.1'];
  const { code, stderr } = await central.cli(...early);
  expect([code, stderr]).toEqual([
    0,
    expect.stringContaining('has not reported a service later yet; it has: jobs, none'),
  ]);
  await until(async () => (await reported()).length === 2);
});

describe('the port of all services', () => {
  it('opens with its parameter for callers with a role, keeps what a service sets below its path, moves and closes', async () => {
    const [one = 0, two = 0] = await freePorts(2);
    const to = (own: number) => ({ to: own });
    service.answer = (request, response) =>
      void response
        .writeHead(302, {
          location: `http://localhost:${service.port}/jobscheduler/next`,
          'set-cookie': 'a=1; Path=/',
        })
        .end(request.headers['x-forwarded-prefix']);
    const set = async (...values: string[]) =>
      expect(await central.cli('parameters', 'set', ...values)).toMatchObject({ code: 0 });
    await set(`services.port=${one}`);
    // Closed for everybody until a rule says otherwise.
    expect(await codeOf(call('/branch-1/jobs/jobscheduler/', to(one)))).toEqual([403, 'service_access_denied']);
    await set(`services.allow=127.0.0.1:operator,${ownAddress()}/32`);
    const got = await call('/branch-1/jobs/jobscheduler/x?y=1', { ...to(one), method: 'POST', body: 'x' });
    expect([got.status, got.headers.location, got.headers['set-cookie'], got.body.toString()]).toEqual([
      302,
      '/branch-1/jobs/jobscheduler/next',
      ['a=1; Path=/branch-1/jobs/'],
      '/branch-1/jobs',
    ]);
    expect(service.called.at(-1)).toMatchObject({ url: '/jobscheduler/x?y=1', method: 'POST' });
    const foreign = { localAddress: ownAddress(), host: ownAddress(), checkServerIdentity: () => undefined };
    const asViewer = call('/branch-1/jobs/jobscheduler/', { ...to(one), ...foreign, method: 'POST' });
    expect(await codeOf(asViewer)).toEqual([403, 'service_access_denied']);
    expect(await codeOf(call('/branch-1/jobs/admin', to(one)))).toEqual([404, 'service_path_denied']);
    expect(await codeOf(call('/branch-1/absent/', to(one)))).toEqual([404, 'service_unknown']);
    expect(await codeOf(call('/branch-9/jobs/', to(one)))).toEqual([404, 'agent_unknown']);
    // Neither the administration nor the port of agents.
    for (const path of ['/api/v1/status', '/agent', '/']) expect((await call(path, to(one))).status).toBe(404);
    expect((await central.cli('status')).stdout).toContain(
      `The port of services listens on all addresses, port ${one}`,
    );
    const taken = await central.cli('parameters', 'set', `services.port=${port}`);
    expect([taken.code, taken.stderr]).toEqual([6, expect.stringContaining('for the port of services')]);
    await set(`services.port=${two}`);
    expect((await call('/branch-1/jobs/jobscheduler/', to(two))).status).toBe(302);
    await expect(call('/', to(one))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await until(async () => {
      const { body } = await central.rest('GET', '/audit?action=services.request');
      const entry = (body.items as { detail: Record<string, unknown> }[]).find(
        ({ detail }) => detail['exposure'] === null,
      );
      if (entry === undefined) return undefined;
      expect(entry).toMatchObject({ actor: '127.0.0.1', detail: { service: 'jobs', method: 'POST' } });
      return true;
    });
  });

  it('asks for a client certificate once authorities are set, and is closed again by its parameter', async () => {
    const { body } = await central.rest('GET', '/parameters/services.port');
    const own = body.value as number;
    const bank = makeBank(['master.bank.example']);
    const file = join(await cleanup.folder(), 'master-ca.pem');
    await writeFile(file, bank.root.certificate);
    const rules = 'services.allow=certificate:master.bank.example:operator';
    const alone = await central.cli('parameters', 'set', rules);
    expect([alone.code, alone.stderr]).toEqual([6, expect.stringContaining('services.clientCa')]);
    const set = await central.cli('parameters', 'set', rules, `services.clientCa=@${file}`);
    expect(set).toMatchObject({ code: 0 });
    expect(set.stdout).not.toContain('BEGIN');
    expect(await codeOf(call('/branch-1/jobs/jobscheduler/', { to: own }))).toEqual([
      403,
      'service_certificate_required',
    ]);
    const { certificate, key } = bank.issue('master.bank.example', {
      extensions: [
        'basicConstraints=CA:FALSE',
        'extendedKeyUsage=clientAuth',
        'subjectAltName=DNS:master.bank.example',
      ],
    });
    const master = { to: own, cert: `${certificate}${bank.intermediate.certificate}`, key };
    expect((await call('/branch-1/jobs/jobscheduler/', { ...master, method: 'POST' })).status).toBe(302);
    const reset = await central.cli('parameters', 'reset', 'services.port', 'services.allow', 'services.clientCa');
    expect(reset.stdout).toContain('The port of services is off.');
    await expect(call('/', { to: own })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

it('a WebSocket passes through an exposure and the port of all services, and is cut with its session', async () => {
  const sockets = new WebSocketServer({ server: service.server });
  sockets.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary }));
  });
  const [all = 0] = await freePorts(1);
  await central.cli('parameters', 'set', `services.port=${all}`, 'services.allow=127.0.0.1:operator');
  const trust = { ca, servername: 'localhost' };
  const open = async (at: number, path: string): Promise<WebSocket> => {
    const socket = new WebSocket(`wss://127.0.0.1:${at}${path}`, { ...trust });
    socket.on('error', () => undefined);
    await once(socket, 'open');
    return socket;
  };
  const callers = [await open(port, '/jobscheduler/ws'), await open(all, '/branch-1/jobs/jobscheduler/ws')];
  const big = randomBytes(3_000_000);
  for (const caller of callers)
    for (const sent of [Buffer.from('hello'), big]) {
      caller.send(sent);
      expect(((await once(caller, 'message'))[0] as Buffer).equals(sent)).toBe(true);
    }
  const [first, second] = callers as [WebSocket, WebSocket];
  const closed = once(first, 'close');
  first.close(4001, 'done');
  expect((await closed)[0]).toBe(4001);
  const cut = once(second, 'close');
  expect(await central.cli('agents', 'disable', 'branch-1')).toMatchObject({ code: 0 });
  expect((await cut)[0]).toBe(1006);
  // A disabled agent has no session: its services are away.
  const away = [call('/jobscheduler/'), call('/branch-1/jobs/jobscheduler/', { to: all })];
  for (const got of away) expect(await codeOf(got)).toEqual([503, 'service_agent_offline']);
  await central.cli('agents', 'enable', 'branch-1');
  await agent.process.stop('SIGTERM');
  agent = AgentProcess.start(cleanup, agent.folders, 'branch-1');
  await central.online('branch-1');
  await central.cli('parameters', 'reset', 'services.port', 'services.allow');
  sockets.close();
});

describe('an exposed service', () => {
  it('answers as the service itself, byte for byte, and sees the caller and not what the caller claims', async () => {
    const big = randomBytes(5_000_000);
    service.answer = (request, response) => {
      if (request.url === '/big') response.writeHead(200, { 'content-type': 'application/x-own' }).end(big);
      else
        response
          .writeHead(
            302,
            [
              ['Location', `http://localhost:${service.port}/jobscheduler/next?x=1`],
              ['Set-Cookie', 'a=1'],
              ['Set-Cookie', '__Host-queuegate=stolen'],
              ['Strict-Transport-Security', 'max-age=1'],
              ['Connection', 'X-Hop'],
              ['X-Hop', '1'],
            ].flat(),
          )
          .end('moved');
    };
    const direct = await fetch(`http://127.0.0.1:${service.port}/big`);
    const got = await call('/big');
    expect([got.status, got.headers['content-type'], digest(got.body)]).toEqual([
      200,
      direct.headers.get('content-type'),
      digest(Buffer.from(await direct.arrayBuffer())),
    ]);
    const moved = await call('/jobscheduler/old?a=%2e%2e', {
      headers: {
        'X-Forwarded-For': '1.2.3.4',
        X_Forwarded_For: '1.2.3.4',
        Authorization: 'Bearer of-central',
        'Queuegate-Forward-Authorization': 'Basic of-the-service',
        Cookie: '__Host-queuegate=session; own=1',
        Connection: 'close, X-Mine',
        'X-Mine': '1',
        'X-Kept': '1',
      },
    });
    expect(moved).toMatchObject({ status: 302, body: Buffer.from('moved') });
    expect(moved.headers).toMatchObject({ location: '/jobscheduler/next?x=1', 'set-cookie': ['a=1'] });
    expect(Object.keys(moved.headers)).not.toEqual(expect.arrayContaining(['x-hop']));
    expect(moved.headers).not.toHaveProperty('strict-transport-security');
    const { url, headers } = service.called.at(-1) as Called;
    expect(url).toBe('/jobscheduler/old?a=%2e%2e');
    expect(headers).toEqual({
      host: `localhost:${service.port}`,
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': `127.0.0.1:${port}`,
      authorization: 'Basic of-the-service',
      cookie: 'own=1',
      'x-kept': '1',
      connection: 'close',
    });
  });

  it('takes uploads, with a length and without, and answers HEAD', async () => {
    service.answer = (_request, response, body) => void response.end(digest(body));
    const sent = randomBytes(3_000_000);
    const withLength = await call('/jobscheduler/up', {
      method: 'POST',
      body: sent,
      headers: { 'content-length': sent.length },
    });
    expect(withLength.body.toString()).toBe(digest(sent));
    const chunked = await call('/jobscheduler/up', {
      method: 'POST',
      body: sent,
      headers: { 'transfer-encoding': 'chunked' },
    });
    expect(chunked.body.toString()).toBe(digest(sent));
    expect((await call('/jobscheduler/up', { method: 'POST' })).body.toString()).toBe(digest(Buffer.alloc(0)));
    expect(await call('/jobscheduler/up', { method: 'HEAD' })).toMatchObject({ status: 200, body: Buffer.alloc(0) });
  });

  it('passes server-sent events as they come', async () => {
    let response: ServerResponse | undefined;
    service.answer = (_request, found) => {
      response = found;
      found.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    };
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      path: '/jobscheduler/events',
      ca,
      agent: false,
      servername: 'localhost',
    });
    request.end();
    const [got] = (await once(request, 'response')) as [IncomingMessage];
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      response?.write(event);
      const [chunk] = (await once(got, 'data')) as [Buffer];
      expect(chunk.toString()).toBe(event);
    }
    response?.end();
  });

  it('gives roles by address: a viewer reads, an operator writes, and the audit log says who wrote', async () => {
    service.answer = (_request, response) => void response.end('ok');
    const from = {
      localAddress: ownAddress(),
      host: ownAddress(),
      servername: 'localhost',
      checkServerIdentity: () => undefined,
    };
    expect((await call('/jobscheduler/', from)).status).toBe(200);
    expect(await codeOf(call('/jobscheduler/', { ...from, method: 'POST' }))).toEqual([403, 'service_access_denied']);
    expect((await call('/jobscheduler/', { method: 'POST', body: 'x' })).status).toBe(200);
    await until(async () => {
      const { body } = await central.rest('GET', '/audit?action=services.request');
      const entry = (body.items as { detail: Record<string, unknown> }[]).find(
        // The entries of uploads may be there before.
        ({ detail }) => detail['exposure'] === exposure && detail['method'] === 'POST',
      );
      if (entry === undefined) return undefined;
      expect(entry).toMatchObject({ actor: '127.0.0.1', detail: { exposure, service: 'jobs', method: 'POST' } });
      return true;
    });
  });

  it('is nothing to a foreign address', async () => {
    const only = await central.cli('services', 'set', exposure, '--allow', '10.255.255.1:operator');
    expect(only).toMatchObject({ code: 0 });
    expect(await codeOf(call('/jobscheduler/'))).toEqual([403, 'service_access_denied']);
    const before = service.called.length;
    await central.cli(
      'services',
      'set',
      exposure,
      '--allow',
      '127.0.0.1:operator',
      '--allow',
      `${ownAddress()}/32:viewer`,
    );
    expect(service.called.length).toBe(before);
  });

  it('gives roles by client certificate, and nothing counts without one: a spoofed Master has its address only', async () => {
    const bank = makeBank(['master.bank.example']);
    const other = makeBank(['master.bank.example']);
    const file = join(await cleanup.folder(), 'master-ca.pem');
    await writeFile(file, bank.root.certificate);
    const [own = 0] = await freePorts(1);
    const expose = ['services', 'expose', 'branch-1', 'jobs', '--listen', String(own), '--client-ca', file];
    const rules = ['--allow', 'certificate:master.bank.example:operator', '--allow', '127.0.0.1:viewer'];
    expect(await central.cli(...expose, ...rules)).toMatchObject({ code: 0 });
    const shown = (from: typeof bank, name: string) => {
      const { certificate, key } = from.issue(name, {
        extensions: ['basicConstraints=CA:FALSE', 'extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}`],
      });
      return { cert: `${certificate}${from.intermediate.certificate}`, key, to: own };
    };
    const master = shown(bank, 'master.bank.example');
    expect((await call('/jobscheduler/', { ...master, method: 'POST' })).status).toBe(200);
    expect(await codeOf(call('/jobscheduler/', { to: own }))).toEqual([403, 'service_certificate_required']);
    const foreign = shown(other, 'master.bank.example');
    expect(await codeOf(call('/jobscheduler/', foreign))).toEqual([403, 'service_certificate_required']);
    // Another program of the bank, from an address that may read.
    const reader = shown(bank, 'reader.bank.example');
    expect((await call('/jobscheduler/', reader)).status).toBe(200);
    expect(await codeOf(call('/jobscheduler/', { ...reader, method: 'POST' }))).toEqual([403, 'service_access_denied']);
  });

  it('leaves the last word to the branch: methods, paths, names', async () => {
    expect(await codeOf(call('/jobscheduler/', { method: 'PUT' }))).toEqual([405, 'service_method_denied']);
    expect(await codeOf(call('/admin'))).toEqual([404, 'service_path_denied']);
    expect(await codeOf(call('/jobscheduler'))).toEqual([404, 'service_path_denied']);
    for (const method of ['OPTIONS', 'TRACE'])
      expect(await codeOf(call('/jobscheduler/', { method }))).toEqual([405, 'service_method_denied']);
    const [one = 0, two = 0] = await freePorts(2);
    await central.cli('services', 'expose', 'branch-1', 'unnamed', '--listen', String(one), '--allow', '127.0.0.1');
    expect(await codeOf(call('/', { to: one }))).toEqual([404, 'service_unknown']);
    await central.cli('services', 'expose', 'branch-1', 'none', '--listen', String(two), '--allow', '127.0.0.1');
    expect(await codeOf(call('/', { to: two }))).toEqual([502, 'service_unreachable']);
  });

  it('answers 504 where the service is silent, and cuts an answer whose service dies', async () => {
    service.answer = () => undefined;
    expect(await codeOf(call('/jobscheduler/'))).toEqual([504, 'service_silent']);
    service.answer = (request, response) => {
      response.writeHead(200).write('half of it');
      setTimeout(() => request.socket.destroy(), 50);
    };
    await expect(call('/jobscheduler/')).rejects.toMatchObject({ code: 'ECONNRESET' });
    service.answer = (request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('half of it');
      setTimeout(() => request.socket.destroy(), 50);
    };
    await expect(call('/jobscheduler/')).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  const host = 'Host: central\r\n';
  const post = (headers: string, body = ''): string =>
    `POST /jobscheduler/ HTTP/1.1\r\n${host}${headers}\r\n\r\n${body}`;
  it.each<[string, string]>([
    ['two Host headers', `GET /jobscheduler/ HTTP/1.1\r\n${host}${host}\r\n`],
    ['no Host header', 'GET /jobscheduler/ HTTP/1.1\r\n\r\n'],
    ['HTTP/1.0', `GET /jobscheduler/ HTTP/1.0\r\n${host}\r\n`],
    ['an absolute target', `GET http://other/jobscheduler/ HTTP/1.1\r\n${host}\r\n`],
    ['%2e%2e', `GET /jobscheduler/%2e%2e/admin HTTP/1.1\r\n${host}\r\n`],
    ['%2E%2E%2F', `GET /jobscheduler/%2E%2E%2Fadmin HTTP/1.1\r\n${host}\r\n`],
    ['..', `GET /jobscheduler/../admin HTTP/1.1\r\n${host}\r\n`],
    ['..;', `GET /jobscheduler/..;/admin HTTP/1.1\r\n${host}\r\n`],
    ['%252e%252e', `GET /jobscheduler/%252e%252e/admin HTTP/1.1\r\n${host}\r\n`],
    ['overlong dots', `GET /jobscheduler/%c0%ae%c0%ae/admin HTTP/1.1\r\n${host}\r\n`],
    ['a backslash', `GET /jobscheduler\\..\\admin HTTP/1.1\r\n${host}\r\n`],
    ['an encoded backslash', `GET /jobscheduler/%5c HTTP/1.1\r\n${host}\r\n`],
    ['two slashes', `GET /jobscheduler//x HTTP/1.1\r\n${host}\r\n`],
    ['an encoded control character', `GET /jobscheduler/%0d%0a HTTP/1.1\r\n${host}\r\n`],
    ['an encoded NUL', `GET /jobscheduler/%00 HTTP/1.1\r\n${host}\r\n`],
    ['an incomplete encoding', `GET /jobscheduler/%2 HTTP/1.1\r\n${host}\r\n`],
    ['Content-Length and Transfer-Encoding', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
    ['two Content-Length', post('Content-Length: 1\r\nContent-Length: 2', 'xx')],
    ['the same Content-Length twice', post('Content-Length: 1\r\nContent-Length: 1', 'x')],
    ['Content-Length with a sign', post('Content-Length: +1', 'x')],
    ['an unknown Transfer-Encoding', post('Transfer-Encoding: xchunked', '0\r\n\r\n')],
    ['gzip, chunked', post('Transfer-Encoding: gzip, chunked', '0\r\n\r\n')],
    ['two Transfer-Encoding', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
    ['a blank before the colon', post('Transfer-Encoding : chunked', '0\r\n\r\n')],
    ['a bare LF', `GET /jobscheduler/ HTTP/1.1\nHost: central\n\n`],
    ['a bare LF between fields', `GET /jobscheduler/ HTTP/1.1\r\n${host.trimEnd()}\nX: 1\r\n\r\n`],
    ['a folded field', `GET /jobscheduler/ HTTP/1.1\r\n${host}X: 1\r\n 2\r\n\r\n`],
  ])('refuses %s with 400', async (_name, text) => {
    const before = service.called.length;
    expect(await raw(text)).toBe('400');
    expect(service.called.length).toBe(before);
  });

  it('kill -9 of the agent in a download is a cut connection; then 503 with Retry-After', async () => {
    service.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024)));
        response.once('drain', more);
      };
      more();
    };
    const request = httpsRequest({ host: '127.0.0.1', port, path: '/big', ca, agent: false, servername: 'localhost' });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    await once(response, 'data');
    response.resume();
    const ended = once(response, 'error');
    await agent.process.stop('SIGKILL');
    const [error] = await ended;
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(response.complete).toBe(false);
    const away = await call('/jobscheduler/');
    expect([away.status, away.headers['retry-after']]).toEqual([503, '10']);
    expect((JSON.parse(away.body.toString()) as { code: string }).code).toBe('service_agent_offline');
  });

  it('ends with its exposure, and comes back with Central', async () => {
    await central.stop();
    central = await CentralProcess.start(cleanup, central.folder);
    expect((await call('/jobscheduler/')).status).toBe(503);
    expect(await central.cli('services', 'unexpose', exposure, '--yes')).toMatchObject({ code: 0 });
    await expect(call('/jobscheduler/')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
