// The doctor against what it was made for: each cause provoked by a real peer, found at the right step, reported with
// its hint.
import { randomUUID } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { examineAgent, examineEnrollment, type DoctorOptions } from '../../agent/doctor/doctor.ts';
import type { StepReport, Walk } from '../../agent/doctor/step.ts';
import { loadOrCreateKey, saveIdentity } from '../../agent/identity/identity.ts';
import {
  lacksPeer,
  nginx,
  nginxForwarder,
  OpensslAuthority,
  opensslServer,
  opensslTime,
  tcpHost,
  type IssuedFiles,
} from './false-hosts.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  freePorts,
  runNode,
  until,
  type AgentFolders,
  type Ended,
} from './processes.ts';

const DIRECT = { wss: undefined, ws: undefined };
const cleanup = new Cleanup();
const lasting = new Cleanup();
let central: CentralProcess;
let centralRoot: string;
let bank: OpensslAuthority;
let stranger: OpensslAuthority;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
  centralRoot = join(await lasting.folder(), 'root.pem');
  await writeFile(centralRoot, String((await central.rest('GET', '/ca/trust-bundle.pem')).body));
  bank = await OpensslAuthority.make(lasting, 'Bank Root');
  stranger = await OpensslAuthority.make(lasting, 'Stranger Root');
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

async function reportOf(walk: Walk<boolean>): Promise<{ ok: boolean; steps: StepReport[] }> {
  const steps: StepReport[] = [];
  for (;;) {
    const next = await walk.next();
    if (next.done === true) return { ok: next.value, steps };
    steps.push(next.value);
  }
}

interface DialOrder {
  readonly host?: string;
  readonly secure?: boolean;
  /** PEM file of what is trusted. */
  readonly trusted?: string;
  readonly options?: Partial<DoctorOptions>;
}

/** Examines an agent that enrolled somewhere once, and dials `port` now. */
async function examine(
  port: number,
  { host = 'localhost', secure = true, trusted = bank.root.certificate, options = {} }: DialOrder = {},
): Promise<{ ok: boolean; steps: StepReport[] }> {
  const folder = await cleanup.folder();
  await mkdir(join(folder, 'conf'), { recursive: true });
  await writeFile(join(folder, 'conf', 'agent.conf'), `central.websocket.secure=${secure}\n`);
  const data = join(folder, 'data');
  const { publicKey } = await loadOrCreateKey(data);
  const certificate = await readFile(bank.root.certificate, 'utf8');
  await saveIdentity(data, {
    id: 'a1',
    name: 'branch',
    central: 'bank',
    signingKey: publicKey,
    certificate,
    host,
    port,
    secure,
  });
  const request = { profileFolder: folder, environment: {}, flags: { truststore: trusted, 'data-folder': data } };
  return await reportOf(examineAgent(request, { timeoutMs: 5_000, now: () => new Date(), ...options }));
}

/** The fault at which the walk ended: its step, its code, and everything that was said at that step. */
function lastOf({ ok, steps }: { ok: boolean; steps: StepReport[] }): {
  step: string;
  code: string | undefined;
  text: string;
} {
  const last = steps.at(-1);
  if (last === undefined) throw new Error('the doctor did nothing');
  expect(ok).toBe(false);
  expect(steps.slice(0, -1).filter(({ outcome }) => outcome === 'fault')).toEqual([]);
  expect(last.fault?.hint).toMatch(/\S/);
  return {
    step: last.step,
    code: last.fault?.code,
    text: [...last.found, last.fault?.detail, last.fault?.hint].join('\n'),
  };
}

async function doctor(folders: AgentFolders, name: string, ...more: string[]): Promise<Ended> {
  return await runNode('agent/cli.ts', ['doctor', ...agentFlags(folders, name), ...more]);
}

async function sessionOf(name: string): Promise<unknown> {
  return (await central.online(name))['session'];
}

describe('an agent that is well', () => {
  it('keeps its session while the doctor looks: the daemon is asked, and no one is put in its place', async () => {
    const agent = await AgentProcess.enrolled(cleanup, central, 'well');
    const before = await sessionOf('well');
    const ended = await doctor(agent.folders, 'well');
    expect([ended.code, ended.stderr]).toEqual([0, '']);
    expect(Array.from(ended.stdout.matchAll(/^(\w+) +(\w+)$/gm), ([, mark, step]) => `${mark} ${step}`)).toEqual(
      [
        'configuration',
        'identity',
        'truststore',
        'DNS',
        'TCP',
        'TLS',
        'chain',
        'name',
        'dates',
        'protocol',
        'authentication',
      ].map((step) => `ok ${step}`),
    );
    expect(ended.stdout).toMatch(/TLSv1\.3, TLS_\w+\n/);
    expect(ended.stdout).toMatch(/SHA-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}/);
    expect(ended.stdout).toMatch(
      /the daemon "well" runs and is online at wss:\/\/localhost:\d+ since .*, epoch \d+; its session was left alone\nNo fault found\.\n$/,
    );
    expect(await sessionOf('well')).toEqual(before);
    const json = JSON.parse((await doctor(agent.folders, 'well', '--json')).stdout) as {
      ok: boolean;
      steps: StepReport[];
    };
    expect([json.ok, json.steps.length, json.steps.every(({ outcome }) => outcome === 'ok')]).toEqual([true, 11, true]);
  });

  it('is let in by the doctor itself when no daemon runs, and loses no message by it', async () => {
    const agent = await AgentProcess.enrolled(cleanup, central, 'resting');
    const { id } = await central.online('resting');
    await central.rest('POST', `/agents/${String(id)}/commands`, { type: 'test.one', data: 1 });
    await until(async () =>
      (await agent.local('GET', '/api/v1/commands')).body.items.length === 1 ? true : undefined,
    );
    await agent.stop();
    await central.rest('POST', `/agents/${String(id)}/commands`, { type: 'test.two', data: 2 });
    const ended = await doctor(agent.folders, 'resting');
    expect([ended.code, ended.stdout]).toEqual([
      0,
      expect.stringMatching(/the doctor said hello itself: welcome, epoch \d+; the line is closed again/),
    ]);
    const again = AgentProcess.start(cleanup, agent.folders, 'resting');
    const commands = await until(async () => {
      const { body } = await again.local('GET', '/api/v1/commands').catch(() => ({ body: { items: [] } }));
      return body.items.length >= 2 ? (body.items as { command: { type: string } }[]) : undefined;
    });
    expect(commands.map(({ command }) => command.type)).toEqual(['test.one', 'test.two']);
    const { body } = await central.rest('GET', `/incidents?agent=${String(id)}`);
    expect(body.items).toEqual([]);
  });

  it('is shown the refusal of Central, by the daemon and without one', async () => {
    const agent = await AgentProcess.enrolled(cleanup, central, 'removed');
    const { id } = await central.online('removed');
    await central.rest('DELETE', `/agents/${String(id)}`);
    await until(async () =>
      (await agent.local('GET', '/api/v1/status')).body.connection.state === 'stopped-by-refusal' ? true : undefined,
    );
    const asked = await doctor(agent.folders, 'removed');
    expect([asked.code, asked.stdout]).toEqual([
      1,
      expect.stringMatching(
        /FAULT {3}authentication[^]*is running but not online \(stopped-by-refusal since [^]*hint: [^]*\(daemon_not_online\)\n$/,
      ),
    ]);
    await agent.stop();
    const tried = await doctor(agent.folders, 'removed');
    expect([tried.code, tried.stdout]).toEqual([
      1,
      expect.stringMatching(
        /FAULT {3}authentication\n[^]*\(agent_unknown\)[^]*queuegate enrollment-tokens create[^]*\(refused\)\n$/,
      ),
    ]);
  });
});

describe('before anything is dialled', () => {
  it('finds that no one enrolled, that a setting is wrong, and that the truststore is', async () => {
    const folders = await agentFolders(cleanup);
    expect(await doctor(folders, 'new')).toMatchObject({
      code: 1,
      stderr: '',
      stdout: expect.stringMatching(/FAULT {3}identity\n[^]*\(not_enrolled\)\n$/),
    });
    expect(await doctor(folders, 'new', '--central-websocket-port', 'many')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^FAULT {3}configuration\n[^]*\(settings_refused\)\n$/),
    });
    expect(await doctor(folders, 'new', 'now')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('doctor does not take "now"'),
    });
    expect(lastOf(await examine(1, { trusted: join(folders.profile, 'none.jks') }))).toMatchObject({
      step: 'truststore',
      code: 'file_missing',
    });
    expect(
      lastOf(await examine(1, { trusted: join(import.meta.dirname, '../fixtures/keystores/tampered.jks') })),
    ).toMatchObject({ step: 'truststore', code: 'keystore_tampered' });
  });
});

describe('a line that leads nowhere', () => {
  it('names a host that no one knows', async () => {
    expect(lastOf(await examine(9150, { host: 'central.invalid' }))).toMatchObject({
      step: 'DNS',
      code: 'host_unknown',
      text: expect.stringContaining('central.invalid'),
    });
  });

  it('names a port where nothing listens', async () => {
    const [port = 0] = await freePorts(1);
    expect(lastOf(await examine(port))).toMatchObject({ step: 'TCP', code: 'connection_refused' });
  });

  it('names a host that takes the connection and says nothing', async () => {
    const port = await tcpHost(cleanup, () => undefined);
    expect(lastOf(await examine(port, { options: { timeoutMs: 300 } }))).toMatchObject({
      step: 'TLS',
      code: 'connect_timeout',
      text: expect.stringContaining('did not answer within 0.3 seconds'),
    });
  });

  it('goes on to the next host, as the agent does', async () => {
    const agent = await AgentProcess.enrolled(cleanup, central, 'several');
    await central.online('several');
    const [closed = 0] = await freePorts(1);
    const ended = await doctor(
      agent.folders,
      'several',
      '--central-hosts',
      `localhost:${closed},localhost:${central.ports.wss}`,
    );
    expect([ended.code, ended.stdout]).toEqual([
      0,
      expect.stringMatching(/FAULT {3}TCP[^]*\(connection_refused\)[^]*ok {6}authentication/),
    ]);
  });
});

describe('something else than the wss port of Central', () => {
  it('is distinguished from it: the ws port of Central', async () => {
    expect(lastOf(await examine(central.ports.ws, { trusted: centralRoot }))).toMatchObject({
      step: 'TLS',
      code: 'tls_plain_port',
      text: expect.stringContaining('central.websocket.secure.port'),
    });
  });

  it('is distinguished from it: a plain TCP echo', async () => {
    const port = await tcpHost(cleanup, (socket) => socket.pipe(socket));
    expect(lastOf(await examine(port))).toMatchObject({ step: 'TLS', code: 'no_central' });
    expect(lastOf(await examine(port, { secure: false }))).toMatchObject({ step: 'protocol', code: 'no_central' });
  });

  it('is distinguished from it: the REST port of Central', async () => {
    expect(lastOf(await examine(central.ports.https, { trusted: centralRoot }))).toMatchObject({
      step: 'protocol',
      code: 'no_central',
      text: expect.stringContaining('HTTP 404'),
    });
  });

  it('is distinguished from it: a WebSocket of another version', async () => {
    const server = createHttpServer().on('upgrade', (_request, socket) =>
      socket.end(
        'HTTP/1.1 426 Upgrade Required\r\nContent-Type: application/problem+json\r\nContent-Length: 51\r\n\r\n{"type":"urn:queuegate:error:subprotocol_required"}',
      ),
    );
    server.listen(0);
    await once(server, 'listening');
    cleanup.add(() => server.close());
    expect(lastOf(await examine((server.address() as AddressInfo).port, { secure: false }))).toMatchObject({
      step: 'protocol',
      code: 'protocol_differs',
    });
  });

  it('is distinguished from it: the wss port, when this agent is set to plain', async () => {
    expect(lastOf(await examine(central.ports.wss, { secure: false }))).toMatchObject({
      step: 'protocol',
      code: 'plain_on_secure_port',
      text: expect.stringContaining('central.websocket.secure=true'),
    });
    const files = await bank.issue({ name: 'localhost', names: 'DNS:localhost' });
    expect(lastOf(await examine(await opensslServer(cleanup, files), { secure: false }))).toMatchObject({
      step: 'protocol',
      code: 'plain_on_secure_port',
    });
  });

  it.skipIf(lacksPeer('nginx'))('is distinguished from it: nginx with a certificate of the bank', async () => {
    const port = await nginx(cleanup, await bank.issue({ name: 'localhost', names: 'DNS:localhost' }));
    expect(lastOf(await examine(port))).toMatchObject({
      step: 'protocol',
      code: 'no_central',
      text: expect.stringContaining('HTTP 200 "a web server"'),
    });
    expect(lastOf(await examine(port, { secure: false }))).toMatchObject({
      step: 'protocol',
      code: 'plain_on_secure_port',
    });
  });
});

/** Of a certificate that is no longer valid. */
const EXPIRED = { from: '20200101000000Z', until: '20210101000000Z' } as const;

describe.skipIf(lacksPeer('openssl'))('a certificate that will not do', () => {
  it('names the authority that is not trusted', async () => {
    const port = await opensslServer(cleanup, await stranger.issue({ name: 'localhost', names: 'DNS:localhost' }));
    expect(lastOf(await examine(port))).toMatchObject({
      step: 'chain',
      code: 'tls_issuer_missing',
      text: expect.stringMatching(/signed by "CN=Stranger Root"[^]*queue-agent truststore import/),
    });
    expect(lastOf(await examine(central.ports.wss))).toMatchObject({
      step: 'chain',
      code: 'tls_unknown_authority',
      text: expect.stringContaining('Queuegate root of '),
    });
  });

  it('names it also when the certificate expired besides: a stranger is a stranger first', async () => {
    const port = await opensslServer(
      cleanup,
      await stranger.issue({
        name: 'localhost',
        names: 'DNS:localhost',
        ...EXPIRED,
      }),
    );
    expect(lastOf(await examine(port))).toMatchObject({ step: 'chain', code: 'tls_issuer_missing' });
  });

  it('says when a root of the same name is trusted, with another key', async () => {
    const namesake = await OpensslAuthority.make(cleanup, 'Bank Root');
    const port = await opensslServer(cleanup, await namesake.issue({ name: 'localhost', names: 'DNS:localhost' }));
    expect(lastOf(await examine(port))).toMatchObject({
      step: 'chain',
      code: 'tls_unknown_authority',
      text: expect.stringContaining('it is another one with another key'),
    });
  });

  it('names both of a real Central: it shows what a stranger signed, and stands for a name that this agent does not dial', async () => {
    const elsewhere = await CentralProcess.start(cleanup, await cleanup.folder(), [
      '--advertised-names',
      'other.example',
    ]);
    const file = join(await cleanup.folder(), 'central.pem');
    for (const [authority, found] of [
      [stranger, { step: 'chain', code: 'tls_unknown_authority' }],
      [
        bank,
        { step: 'name', code: 'tls_wrong_name', text: expect.stringContaining('it is valid for DNS:other.example') },
      ],
    ] as const) {
      const { certificate, key } = await authority.issue({ name: 'other.example', names: 'DNS:other.example' });
      await writeFile(
        file,
        (
          await Promise.all(
            [key, certificate, authority.root.certificate].map(async (path) => await readFile(path, 'utf8')),
          )
        ).join(''),
      );
      const { code, stdout, stderr } = await elsewhere.cli('server-certificate', 'import', file, '--force', '--yes');
      expect({ code, said: code === 0 ? '' : stdout + stderr }).toEqual({ code: 0, said: '' });
      expect(lastOf(await examine(elsewhere.ports.wss))).toMatchObject(found);
    }
  });

  it('names the names that there are', async () => {
    const port = await opensslServer(
      cleanup,
      await bank.issue({ name: 'other.example', names: 'DNS:other.example,IP:192.0.2.7' }),
    );
    expect(lastOf(await examine(port))).toMatchObject({
      step: 'name',
      code: 'tls_wrong_name',
      text: expect.stringContaining('it is valid for DNS:other.example, IP Address:192.0.2.7'),
    });
    const bare = await opensslServer(cleanup, await bank.issue({ name: 'other.example' }));
    expect(lastOf(await examine(bare))).toMatchObject({
      step: 'name',
      text: expect.stringContaining('CN=other.example (no alternative name)'),
    });
  });

  it('tells an expired one from one that is not yet valid', async () => {
    const expired = await opensslServer(
      cleanup,
      await bank.issue({
        name: 'localhost',
        names: 'DNS:localhost',
        ...EXPIRED,
      }),
    );
    expect(lastOf(await examine(expired))).toMatchObject({
      step: 'dates',
      code: 'tls_expired',
      text: expect.stringMatching(
        /2020-01-01 until 2021-01-01[^]*reports none to compare with[^]*expired on 2021-01-01/,
      ),
    });
    const future = await opensslServer(
      cleanup,
      await bank.issue({
        name: 'localhost',
        names: 'DNS:localhost',
        from: opensslTime(86_400_000),
        until: opensslTime(3 * 86_400_000),
      }),
    );
    expect(lastOf(await examine(future))).toMatchObject({ step: 'dates', code: 'tls_not_yet_valid' });
  });

  it('tells an authority that expired, and one that is not yet valid', async () => {
    const old = await OpensslAuthority.make(cleanup, 'Old Root', { ...EXPIRED });
    const port = await opensslServer(cleanup, await old.issue({ name: 'localhost', names: 'DNS:localhost' }));
    expect(lastOf(await examine(port, { trusted: old.root.certificate }))).toMatchObject({
      step: 'dates',
      code: 'tls_authority_expired',
      text: expect.stringContaining('"CN=Old Root"'),
    });
    const early = await OpensslAuthority.make(cleanup, 'Early Root', { from: opensslTime(86_400_000) });
    const other = await opensslServer(cleanup, await early.issue({ name: 'localhost', names: 'DNS:localhost' }));
    expect(lastOf(await examine(other, { trusted: early.root.certificate }))).toMatchObject({
      step: 'dates',
      code: 'tls_authority_not_yet_valid',
      text: expect.stringContaining('"CN=Early Root"'),
    });
  });

  it('tells whose clock is wrong, by the clock of Central', async () => {
    const plainOnTls = async (): Promise<unknown> =>
      (await central.rest('GET', '/handshake-failures?listener=wss&cause=plain_on_tls')).body.items;
    const before = await plainOnTls();
    const inTenYears = { trusted: centralRoot, options: { now: () => new Date(Date.now() + 3650 * 86_400_000) } };
    expect(lastOf(await examine(central.ports.wss, inTenYears))).toMatchObject({
      step: 'dates',
      code: 'tls_expired',
      text: expect.stringMatching(/they are 36\d\d days apart, so one of them is wrong/),
    });
    const longAgo = { trusted: centralRoot, options: { now: () => new Date('2020-01-01') } };
    expect(lastOf(await examine(central.ports.wss, longAgo))).toMatchObject({
      step: 'dates',
      code: 'tls_not_yet_valid',
      text: expect.stringContaining('one of them is wrong'),
    });
    // The question for the time is not a failed handshake.
    expect(await plainOnTls()).toEqual(before);
  });

  it('says nothing at all inside TLS that is not verified, whatever the fault', async () => {
    const faults: readonly (readonly [string, IssuedFiles])[] = [
      ['tls_issuer_missing', await stranger.issue({ name: 'localhost', names: 'DNS:localhost' })],
      ['tls_wrong_name', await bank.issue({ name: 'other.example', names: 'DNS:other.example' })],
      [
        'tls_expired',
        await bank.issue({
          name: 'localhost',
          names: 'DNS:localhost',
          ...EXPIRED,
        }),
      ],
      [
        'tls_not_yet_valid',
        await bank.issue({
          name: 'localhost',
          names: 'DNS:localhost',
          from: opensslTime(86_400_000),
          until: opensslTime(3 * 86_400_000),
        }),
      ],
    ];
    for (const [code, { certificate, key }] of faults) {
      let [handshakes, heard] = [0, ''];
      const server = createTlsServer({ cert: await readFile(certificate), key: await readFile(key) }, (socket) => {
        handshakes += 1;
        socket.on('data', (chunk) => (heard += chunk.toString('latin1'))).on('error', () => undefined);
      });
      server.on('tlsClientError', () => undefined).listen(0);
      await once(server, 'listening');
      expect(lastOf(await examine((server.address() as AddressInfo).port)).code).toBe(code);
      server.close();
      await once(server, 'close');
      expect([code, handshakes, heard]).toEqual([code, 1, '']);
    }
  });

  it.skipIf(lacksPeer('nginx'))('says that the certificate is at fault when the clocks agree', async () => {
    const port = await nginx(
      cleanup,
      await bank.issue({
        name: 'localhost',
        names: 'DNS:localhost',
        ...EXPIRED,
      }),
    );
    expect(lastOf(await examine(port))).toMatchObject({
      step: 'dates',
      code: 'tls_expired',
      text: expect.stringContaining('they agree, so the certificate is at fault'),
    });
  });

  it('tells an old protocol, and which', async () => {
    const port = await opensslServer(
      cleanup,
      await bank.issue({ name: 'localhost', names: 'DNS:localhost' }),
      '-tls1_2',
    );
    expect(lastOf(await examine(port))).toMatchObject({
      step: 'TLS',
      code: 'tls_old_protocol',
      text: expect.stringContaining('(it speaks TLSv1.2)'),
    });
    const older = await opensslServer(
      cleanup,
      await bank.issue({ name: 'localhost', names: 'DNS:localhost' }),
      '-tls1_1',
      '-cipher',
      'DEFAULT@SECLEVEL=0',
    );
    expect(lastOf(await examine(older))).toMatchObject({
      step: 'TLS',
      code: 'tls_old_protocol',
      text: expect.stringContaining('(it speaks TLSv1.1)'),
    });
  });

  it('warns of clocks that are minutes apart while the dates still hold', async () => {
    const { steps } = await examine(central.ports.wss, {
      trusted: centralRoot,
      options: { now: () => new Date(Date.now() + 150_000) },
    });
    expect(steps.find(({ step }) => step === 'protocol')).toMatchObject({
      outcome: 'warning',
      found: expect.arrayContaining([expect.stringMatching(/warning: its clock shows .*: [23] minutes apart/)]),
    });
  });
});

describe.skipIf(lacksPeer('nginx'))('an address rule', () => {
  it('learns the address: unencrypted from elsewhere, through a forwarder that says so', async () => {
    const elsewhere = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find(({ internal, family }) => !internal && family === 'IPv4');
    if (elsewhere === undefined) throw new Error('this host has no address but loopback: the test needs one');
    const guarded = await CentralProcess.start(cleanup, await cleanup.folder());
    expect((await guarded.change({ 'websocket.trustedProxies': ['127.0.0.1'] })).status).toBe(200);
    const port = await nginxForwarder(cleanup, guarded.ports.ws);
    expect(lastOf(await examine(port, { host: elsewhere.address, secure: false }))).toMatchObject({
      code: 'refused',
      text: expect.stringMatching(/ws connections from its own host only[^]*\(ws_disabled\)/),
    });
  });
});

describe('the way to an enrollment', () => {
  const options = { timeoutMs: 5_000, now: () => new Date() };
  const url = (port: number): string => `https://localhost:${port}`;
  const pin = `sha256:${'00'.repeat(32)}`;

  it('is free: address, pin, name, dates, protocol; and the token is not used up', async () => {
    const words = await central.enrollment();
    const [, address = '', , token = '', , rightPin = ''] = words;
    const ended = await runNode('agent/cli.ts', ['doctor', '--enroll', address, '--token', token, '--pin', rightPin]);
    expect([ended.code, ended.stdout]).toEqual([
      0,
      expect.stringMatching(/ok {6}pin[^]*the pin is that of [^]*ok {6}protocol[^]*No fault found\.\n$/),
    ]);
    const folders = await agentFolders(cleanup);
    expect(
      (await runNode('agent/cli.ts', [...words, ...agentFlags(folders, `enrolled-${randomUUID().slice(0, 8)}`)])).code,
    ).toBe(0);
    await rm(folders.data, { recursive: true });
  });

  it('ends at a wrong pin, with the pins that are shown', async () => {
    expect(
      lastOf(
        await reportOf(
          examineEnrollment({ url: url(central.ports.wss), pin, token: undefined, proxies: DIRECT }, options),
        ),
      ),
    ).toMatchObject({
      step: 'pin',
      code: 'pin_mismatch',
      text: expect.stringMatching(/it presents sha256:[0-9a-f]{64}/),
    });
  });

  it('ends at a line that was copied badly', async () => {
    const codes = [
      { url: 'ftp://x' },
      { url: url(1) },
      { url: url(1), pin: 'abc' },
      { url: url(1), pin, token: 'qg_x' },
    ].map(
      async (question) =>
        lastOf(
          await reportOf(
            examineEnrollment({ pin: undefined, token: undefined, proxies: DIRECT, ...question }, options),
          ),
        ).code,
    );
    expect(await Promise.all(codes)).toEqual(['enroll_url_bad', 'pin_missing', 'pin_bad', 'token_bad']);
    expect(await runNode('agent/cli.ts', ['doctor', '--pin', pin])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('belong to doctor --enroll URL'),
    });
  });

  it('ends at the ws port, spoken to with https', async () => {
    expect(
      lastOf(
        await reportOf(
          examineEnrollment({ url: url(central.ports.ws), pin, token: undefined, proxies: DIRECT }, options),
        ),
      ),
    ).toMatchObject({ step: 'TLS', code: 'tls_plain_port' });
  });
});
