// Parameters applied live: what moves, what stays, and that a change with a fault changes nothing at all.
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, freePorts, run, until, type Answer } from './processes.ts';

const lasting = new Cleanup();
const cleanup = new Cleanup();
let central: CentralProcess;
let secureAgent: AgentProcess;
beforeAll(async () => {
  central = await CentralProcess.startOnParameters(lasting, await lasting.folder());
  secureAgent = await AgentProcess.enrolled(lasting, central, 'secure-1', [
    '--central-hosts',
    `localhost:${central.ports.wss}`,
  ]);
  await AgentProcess.enrolled(lasting, central, 'plain-1', [
    '--central-websocket-secure',
    'false',
    '--central-hosts',
    `127.0.0.1:${central.ports.ws}`,
  ]);
  await central.online('secure-1');
  await central.online('plain-1');
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

/** The sessions of both agents, by id and epoch, as the REST at `http` shows them. */
async function sessions(
  http = central.ports.http,
): Promise<{ name: string; epoch: number; id: string; endedAt: string | null }[]> {
  const { body } = await restAt(http, 'GET', '/agents');
  return (body.items as { name: string; epoch: number; session: { id: string; endedAt: string | null } }[]).map(
    ({ name, epoch, session }) => ({ name, epoch, id: session.id, endedAt: session.endedAt }),
  );
}

/** REST on a port that has moved. */
async function restAt(http: number, method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${http}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${central.token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: await answer.json(), headers: answer.headers };
}

async function listens(port: number, host = '127.0.0.1'): Promise<boolean> {
  const socket = connect(port, host);
  const found = await new Promise<boolean>((resolve) =>
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
  );
  socket.destroy();
  return found;
}

/** What the certificate on a TLS port says, as an administrator would look. */
async function shownCertificate(port: number): Promise<string> {
  const { stdout } = await run('sh', [
    '-c',
    `openssl s_client -connect 127.0.0.1:${port} </dev/null 2>/dev/null | openssl x509 -noout -subject -ext subjectAltName -fingerprint -sha256`,
  ]);
  return stdout;
}

async function occupy(port: number, host: string): Promise<Server> {
  const server = createServer().listen(port, host);
  cleanup.add(() => server.close());
  await once(server, 'listening');
  return server;
}

const portNames = ['websocket.port', 'websocket.secure.port', 'https.port', 'http.port'] as const;
const portsOf = ({ ports }: CentralProcess): number[] => [ports.ws, ports.wss, ports.https, ports.http];

/** All that a change could have touched. */
async function everything(): Promise<unknown> {
  const { body: parameters } = await central.rest('GET', '/parameters');
  const { body: status } = await central.rest('GET', '/status');
  return {
    parameters,
    listeners: status.listeners,
    certificate: status.certificate,
    problems: status.problems,
    sessions: await sessions(),
  };
}

describe('ports move live', () => {
  it('all four at once: the new ones answer, the old ones are closed, sessions keep their id and epoch', async () => {
    const before = await sessions();
    const [plain = 0, secure = 0, https = 0, http = 0] = await freePorts(4);
    const moved = await central.change({
      'websocket.port': plain,
      'websocket.secure.port': secure,
      'https.port': https,
      'http.port': http,
    });
    expect(moved).toMatchObject({ status: 200, body: { dryRun: false, change: null } });
    expect(moved.body.result.listens).toContain(
      `The WebSocket (wss) listens on all addresses, port ${secure}: encrypted (TLS 1.2 and 1.3).`,
    );
    expect(moved.body.notices.map(({ detail }: { detail: string }) => detail).join()).toContain(
      `need the new port to reconnect (central.websocket.secure.port=${secure} in agent.conf): secure-1`,
    );
    expect(await Promise.all([plain, secure, https, http].map(async (port) => await listens(port)))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(await Promise.all(portsOf(central).map(async (port) => await listens(port)))).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect((await fetch(`http://127.0.0.1:${plain}/`)).status).toBe(200);
    expect(await sessions(http)).toEqual(before);
    const back = Object.fromEntries(portNames.map((name, i) => [name, portsOf(central)[i]]));
    expect((await restAt(http, 'PATCH', '/parameters', back)).status).toBe(200);
    expect(await sessions()).toEqual(before);
  });

  it('the two WebSocket ports swap in one change', async () => {
    const before = await sessions();
    const { ws: plain, wss: secure } = central.ports;
    expect((await central.change({ 'websocket.port': secure, 'websocket.secure.port': plain })).status).toBe(200);
    expect(await shownCertificate(plain)).toContain('DNS:localhost');
    expect(await (await fetch(`http://127.0.0.1:${secure}/`)).text()).toContain('WebSocket (ws)');
    expect((await central.change({ 'websocket.port': plain, 'websocket.secure.port': secure })).status).toBe(200);
    expect(await sessions()).toEqual(before);
  });
});

describe('the WebSocket (wss)', () => {
  it('goes off and on: a dry run names who would be cut off and changes nothing; forced, they are notified and come back', async () => {
    const before = await everything();
    const dry = await central.change({ 'websocket.secure.enabled': false }, { dryRun: true });
    expect(dry).toMatchObject({
      status: 200,
      body: {
        dryRun: true,
        needsForce: true,
        cutOff: { count: 1, items: [{ agent: { name: 'secure-1' }, reason: 'encrypted' }] },
      },
    });
    expect(dry.body.result.listens).toContain('The WebSocket (wss) is off.');
    const refused = await central.change({ 'websocket.secure.enabled': false });
    expect(refused).toMatchObject({
      status: 409,
      body: { type: 'urn:queuegate:error:would_cut_off_agents', detail: 'The change would cut off 1 agent: secure-1.' },
    });
    expect(await everything()).toEqual(before);

    const plainBefore = (await sessions()).find(({ name }) => name === 'plain-1');
    expect((await central.change({ 'websocket.secure.enabled': false }, { force: true })).status).toBe(200);
    await secureAgent.process.printed(
      /is disabled \(parameter websocket\.secure\.enabled is false\)\. \(wss_disabled\)/,
    );
    expect(await listens(central.ports.wss)).toBe(false);
    expect((await central.change({ 'websocket.secure.enabled': true })).status).toBe(200);
    await central.online('secure-1');
    expect(await sessions()).toContainEqual(plainBefore);
  });

  it('shows a new certificate at once, and the old one again when the change is taken back; sessions stay', async () => {
    const before = await sessions();
    const old = await shownCertificate(central.ports.wss);
    expect(old).not.toContain('central.bank.example');
    expect(
      (
        await central.change({
          'certificate.subjectAlternativeNames': ['central.bank.example', '192.0.2.7'],
          'certificate.distinguishedName': 'CN=central.bank.example, O=Bank',
        })
      ).status,
    ).toBe(200);
    for (const port of [central.ports.wss, central.ports.https]) {
      const shown = await shownCertificate(port);
      expect(shown).toMatch(/subject=CN ?= ?central\.bank\.example, O ?= ?Bank/);
      expect(shown).toContain('DNS:central.bank.example');
      expect(shown).toContain('IP Address:192.0.2.7');
    }
    expect(
      (await central.change({ 'certificate.subjectAlternativeNames': null, 'certificate.distinguishedName': null }))
        .status,
    ).toBe(200);
    expect(await shownCertificate(central.ports.wss)).toBe(old);
    expect(await sessions()).toEqual(before);
  });
});

describe('a change with a fault changes nothing at all', () => {
  const fault = (parameter: string, text: string) =>
    expect.objectContaining({ pointer: `#/${parameter}`, detail: expect.stringContaining(text) });

  for (const [title, values, faults] of [
    [
      'the two WebSocket ports equal',
      { 'websocket.port': 9999, 'websocket.secure.port': 9999 },
      [fault('websocket.secure.port', 'a port other than that of websocket.port')],
    ],
    [
      'a value out of bounds',
      { 'agents.max': 0, 'https.port': 65_536 },
      [
        fault('agents.max', 'is 0; allowed: a whole number from 1 to 100000'),
        fault('https.port', 'is 65536; allowed: a whole number from 1 to 65535'),
      ],
    ],
    ['an unknown name', { 'websocket.prt': 8787 }, [fault('websocket.prt', 'did you mean websocket.port?')]],
    [
      'a certificate that cannot be',
      { 'certificate.subjectAlternativeNames': ['a name with blanks'] },
      [fault('certificate.subjectAlternativeNames', 'a list of at most 100 host names or addresses')],
    ],
  ] as const) {
    it(`${title}: one answer names each fault`, async () => {
      const before = await everything();
      const refused = await central.change({ ...values, 'agents.heartbeatSeconds': 20 });
      expect(refused).toMatchObject({
        status: 422,
        body: { type: 'urn:queuegate:error:parameters_invalid', status: 422 },
      });
      expect(refused.headers.get('content-type')).toContain('application/problem+json');
      expect(refused.body.errors).toEqual(faults);
      expect(await everything()).toEqual(before);
    });
  }

  it('a port taken by another process, beside all other faults in one answer', async () => {
    const [taken = 0, free = 0] = await freePorts(2);
    await occupy(taken, '127.0.0.1');
    const before = await everything();
    const refused = await central.change({
      'https.port': taken,
      'websocket.port': free,
      'agents.max': 'many',
      nonsense: 1,
    });
    expect(refused.status).toBe(422);
    expect(refused.body.errors.map((error: { pointer: string }) => error.pointer)).toEqual([
      '#/agents.max',
      '#/nonsense',
      '#/https.port',
    ]);
    expect(refused.body.errors).toContainEqual(fault('https.port', 'another process uses it'));
    expect(await everything()).toEqual(before);
    expect(await listens(free)).toBe(false);
  });

  it('a port taken where the check cannot see it: Central is back on the old listeners before it answers', async () => {
    // Central holds the port on loopback, somebody else on the host's own address: only the bind to all addresses finds
    // out.
    const own = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find((entry) => !entry.internal && entry.family === 'IPv4');
    if (own === undefined) throw new Error('this host has no address but loopback: the test needs one');
    await occupy(central.ports.ws, own.address);
    const [secure = 0] = await freePorts(1);
    const before = await everything();
    const refused = await central.change({ 'websocket.enabled': true, 'websocket.secure.port': secure });
    expect(refused).toMatchObject({
      status: 409,
      body: { type: 'urn:queuegate:error:port_taken', detail: expect.stringContaining(`Port ${central.ports.ws}`) },
    });
    // In the very moment of the answer.
    expect(
      await Promise.all([
        listens(central.ports.ws),
        listens(central.ports.ws, '::1'),
        listens(central.ports.wss),
        listens(secure),
      ]),
    ).toEqual([true, true, true, false]);
    expect(await everything()).toEqual(before);
  });

  it('a version that was changed meanwhile (If-Match)', async () => {
    const { headers, body } = await central.rest('GET', '/parameters/agents.max');
    const etag = headers.get('etag') ?? '';
    expect(body.value).toBe(10_000);
    const patch = async (tag: string): Promise<Answer> =>
      await central.rest('PATCH', '/parameters?comment=pilot', { 'agents.max': 500 }, { 'if-match': tag });
    const changed = await patch(etag);
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(etag);
    expect(await patch(etag)).toMatchObject({ status: 412, body: { type: 'urn:queuegate:error:version_conflict' } });
    expect(await patch('yesterday')).toMatchObject({ status: 400 });
    expect(
      (
        await central.rest('DELETE', '/parameters/agents.max', undefined, {
          'if-match': changed.headers.get('etag') ?? '',
        })
      ).status,
    ).toBe(200);
    expect((await central.rest('GET', '/parameters/agents.max')).body).toMatchObject({
      value: 10_000,
      isDefault: true,
      changedBy: 'first administrator',
    });
  });
});

describe('a change that has to be confirmed', () => {
  it('is undone at its deadline, and by hand; while it waits no other is taken', async () => {
    const [port = 0] = await freePorts(1);
    const { ws: plain } = central.ports;
    const change = async (withinSeconds: number): Promise<Answer> =>
      await central.change({ 'websocket.port': port }, { confirmWithinSeconds: withinSeconds });
    expect(await change(5)).toMatchObject({ status: 202, body: { change: { state: 'pending' } } });
    expect([await listens(port), await listens(plain)]).toEqual([true, false]);
    expect(await central.change({ 'agents.max': 7 })).toMatchObject({
      status: 409,
      body: { type: 'urn:queuegate:error:change_pending' },
    });
    await until(
      async () => ((await central.rest('GET', '/changes?state=pending')).body.items.length === 0 ? true : undefined),
      10_000,
    );
    await until(async () => ((await listens(plain)) ? true : undefined));
    expect(await listens(port)).toBe(false);

    expect((await change(3600)).status).toBe(202);
    const { body } = await central.rest('GET', '/changes?state=pending');
    expect(body.items).toEqual([expect.objectContaining({ subject: 'parameters', state: 'pending' })]);
    const pending = `/changes/${body.items[0].id}`;
    expect(await central.rest('POST', `${pending}/rollback`, {})).toMatchObject({
      status: 200,
      body: { state: 'rolled-back' },
    });
    expect([await listens(port), await listens(plain)]).toEqual([false, true]);
    expect(await central.rest('POST', `${pending}/confirm`, {})).toMatchObject({
      status: 409,
      body: { type: 'urn:queuegate:error:change_ended' },
    });
  });

  it('touching the administration over HTTPS, is confirmed over a new connection there only', async () => {
    const [https = 0] = await freePorts(1);
    expect((await central.change({ 'https.port': https }, { confirmWithinSeconds: 600 })).status).toBe(202);
    const { id } = (await central.rest('GET', '/changes?state=pending')).body.items[0];
    expect(await central.rest('POST', `/changes/${id}/confirm`, {})).toMatchObject({
      status: 409,
      body: { type: 'urn:queuegate:error:confirm_over_new_connection' },
    });
    const root = join(await cleanup.folder(), 'root.pem');
    await central.cli('ca', 'trust-bundle', '--out', root);
    const confirmed = await run('curl', [
      '--silent',
      '--show-error',
      '--fail-with-body',
      '--cacert',
      root,
      '--header',
      `authorization: Bearer ${central.token}`,
      '--json',
      '{}',
      `https://localhost:${https}/api/v1/changes/${id}/confirm`,
    ]);
    expect(confirmed, confirmed.stderr + confirmed.stdout).toMatchObject({ code: 0 });
    expect((await central.rest('GET', '/changes?state=pending')).body.items).toEqual([]);
    expect((await central.change({ 'https.port': central.ports.https })).status).toBe(200);
  });
});

describe('an address rule of HTTPS', () => {
  it('refuses requests from elsewhere with 403, health too; HTTP on this host and the socket go on, and correct it', async () => {
    const root = join(await cleanup.folder(), 'root.pem');
    expect(await central.cli('ca', 'trust-bundle', '--out', root)).toMatchObject({ code: 0 });
    const statusOf = async (path: string): Promise<string> => {
      const url = `https://localhost:${central.ports.https}/api/v1${path}`;
      const { stdout } = await run('curl', [
        '--silent',
        '--cacert',
        root,
        '--header',
        `Authorization: Bearer ${central.token}`,
        url,
      ]);
      return (JSON.parse(stdout) as { code?: string }).code ?? 'ok';
    };
    expect(await statusOf('/status')).toBe('ok');
    expect(await central.change({ 'access.https.allow': ['192.0.2.0/24'] })).toMatchObject({ status: 200 });
    for (const path of ['/status', '/health/ready']) expect(await statusOf(path)).toBe('address_denied');
    expect(await central.cli('parameters', 'reset', 'access.https.allow')).toMatchObject({ code: 0 });
    expect(await statusOf('/status')).toBe('ok');
  });
});

describe('parameters outlive', () => {
  it('a restart; what waits for its confirmation is undone by it, also after kill -9', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.startOnParameters(cleanup, folder);
    expect((await first.change({ 'agents.max': 321, 'websocket.enabled': true })).status).toBe(200);
    const { body: kept } = await first.rest('GET', '/parameters/agents.max');
    const [port = 0] = await freePorts(1);
    expect(
      (await first.change({ 'websocket.port': port, 'agents.max': 999 }, { confirmWithinSeconds: 3600 })).status,
    ).toBe(202);
    expect(await listens(port)).toBe(true);
    await first.process.stop('SIGKILL');

    const second = await CentralProcess.startOnParameters(cleanup, folder);
    expect(second.ports).toEqual(first.ports);
    expect(await listens(port)).toBe(false);
    const { body } = await second.rest('GET', '/parameters');
    expect((await second.rest('GET', '/changes?state=pending')).body.items).toEqual([]);
    const found = (name: string): unknown => body.items.find((parameter: { name: string }) => parameter.name === name);
    expect(found('agents.max')).toMatchObject({ value: 321, isDefault: false });
    expect(found('websocket.enabled')).toMatchObject({
      value: true,
      changedBy: 'first administrator',
      changedAt: kept.changedAt,
    });
    expect((await second.rest('GET', '/status')).body.listeners).toContainEqual(
      expect.objectContaining({ listener: 'ws', addresses: ['::'], port: first.ports.ws }),
    );
  });
});
