// Parameters become sockets: moved as one act, or everything as it was. Real ports; only the certificate is a fake.
import dns from 'node:dns';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { LISTENERS, Listeners, type CertificatePort, type ListenerName } from '../../../central/listeners/reconcile.ts';
import { defaultValues, type ParameterValues } from '../../../central/parameters/definitions.ts';
import { freePorts, ownAddress } from '../../flow/processes.ts';

const ALL_ADDRESSES = '::';

interface Rig {
  readonly listeners: Listeners<string>;
  readonly now: ParameterValues;
  readonly shown: string[];
  readonly applied: ParameterValues[];
  readonly certificate: CertificatePort<string> & { onStage: () => Promise<void>; onAdopt: () => Promise<void> };
}

/** Four listeners on free ports; each says its name to every client. */
async function start(
  change: Partial<ParameterValues> = {},
  bindAddresses: readonly string[] = [],
  error: (text: string) => void = () => undefined,
): Promise<Rig> {
  const [plain = 0, secure = 0, https = 0, http = 0] = await freePorts(4);
  const now = {
    ...defaultValues(),
    'websocket.port': plain,
    'websocket.secure.port': secure,
    'https.port': https,
    'http.port': http,
    ...change,
  };
  const shown: string[] = [];
  const applied: ParameterValues[] = [];
  let adopted = 'old';
  const certificate: Rig['certificate'] = {
    onStage: async () => {},
    onAdopt: async () => {},
    async stage(values) {
      await certificate.onStage();
      return values['certificate.distinguishedName'] || 'old';
    },
    show: (staged) => void shown.push(staged),
    async adopt(staged) {
      await certificate.onAdopt();
      adopted = staged;
    },
    current: () => adopted,
  };
  const open = new Set<Socket>();
  const accept = (name: ListenerName) => (socket: Socket) => {
    open.add(socket.on('error', () => undefined));
    socket.write(name);
    // An echo shows that a connection lives.
    socket.pipe(socket);
  };
  const listeners = new Listeners({
    bindAddresses,
    adminBindAddresses: [],
    accept: {
      ws: accept('ws'),
      wss: accept('wss'),
      https: accept('https'),
      http: accept('http'),
      services: accept('services'),
    },
    certificate,
    onApplied: (values) => applied.push(values),
    log: { info: () => undefined, error: (_facts, text) => error(text) },
  });
  await listeners.start(now);
  onTestFinished(() => {
    listeners.stop();
    for (const socket of open) socket.destroy();
  });
  return { listeners, now, shown, applied, certificate };
}

/** Connects; resolves with what the listener says. Rejects when nothing listens. */
async function say(port: number, host = '127.0.0.1'): Promise<{ name: string; socket: Socket }> {
  const socket = connect(port, host);
  onTestFinished(() => void socket.destroy());
  const [name] = (await once(socket, 'data')) as [Buffer];
  return { name: name.toString(), socket };
}

const nameAt = async (port: number): Promise<string> => (await say(port)).name;
const refusedAt = async (port: number, host?: string): Promise<void> =>
  await expect(say(port, host)).rejects.toMatchObject({ code: 'ECONNREFUSED' });

async function lives(socket: Socket): Promise<void> {
  socket.write('still there?');
  expect(String((await once(socket, 'data'))[0])).toBe('still there?');
}

async function occupy(port: number, host = '127.0.0.1'): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(port, host);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return server;
}

/** Those that are open by default. */
const OPEN = LISTENERS.filter((listener) => listener !== 'services');

/** As it was: each listener where `values` say, and no one was notified. */
async function expectUnchanged({ listeners, now, applied }: Rig): Promise<void> {
  expect(listeners.listening().map(({ listener, port }) => [listener, port])).toEqual([
    ['ws', now['websocket.port']],
    ['wss', now['websocket.secure.port']],
    ['https', now['https.port']],
    ['http', now['http.port']],
  ]);
  expect(
    await Promise.all(
      [now['websocket.port'], now['websocket.secure.port'], now['https.port'], now['http.port']].map(nameAt),
    ),
  ).toEqual(OPEN);
  expect(applied).toEqual([]);
  expect(listeners.problems()).toEqual([]);
}

describe('moving listeners', () => {
  test('all four ports move at once: the new ones answer, the old ones are closed, connections live on', async () => {
    const { listeners, now, applied } = await start();
    const [plain = 0, secure = 0, https = 0, http = 0] = await freePorts(4);
    const before = await Promise.all(
      [now['websocket.port'], now['websocket.secure.port'], now['https.port'], now['http.port']].map(
        async (port) => await say(port),
      ),
    );
    const next = {
      ...now,
      'websocket.port': plain,
      'websocket.secure.port': secure,
      'https.port': https,
      'http.port': http,
    };
    expect(await listeners.check(next, now)).toEqual([]);
    await listeners.apply(next, now);
    expect(await Promise.all([plain, secure, https, http].map(nameAt))).toEqual(OPEN);
    for (const { socket } of before) await lives(socket);
    for (const name of ['websocket.port', 'websocket.secure.port', 'https.port', 'http.port'] as const)
      await refusedAt(now[name]);
    expect(applied).toEqual([next]);
  });

  test('plain goes from loopback to all addresses and back on the same port, over and over', async () => {
    const { listeners, now } = await start();
    const on = { ...now, 'websocket.enabled': true };
    const { socket } = await say(now['websocket.port']);
    for (let round = 0; round < 5; round += 1) {
      await listeners.apply(on, now);
      expect(listeners.listening()[0]).toMatchObject({
        listener: 'ws',
        addresses: [ALL_ADDRESSES],
        port: now['websocket.port'],
        text: expect.stringContaining('UNENCRYPTED'),
      });
      await listeners.apply(now, on);
      expect(listeners.listening()[0]).toMatchObject({
        addresses: ['127.0.0.1', '::1'],
        text: expect.stringContaining('for this host only'),
      });
    }
    expect(await nameAt(now['websocket.port'])).toBe('ws');
    await lives(socket);
  });

  test('two listeners swap their ports', async () => {
    const { listeners, now } = await start();
    const next = {
      ...now,
      'websocket.port': now['websocket.secure.port'],
      'websocket.secure.port': now['websocket.port'],
    };
    expect(await listeners.check(next, now)).toEqual([]);
    await listeners.apply(next, now);
    expect(await nameAt(now['websocket.port'])).toBe('wss');
    expect(await nameAt(now['websocket.secure.port'])).toBe('ws');
  });

  test('secure goes off and comes back', async () => {
    const { listeners, now } = await start();
    const off = { ...now, 'websocket.secure.enabled': false };
    await listeners.apply(off, now);
    await refusedAt(now['websocket.secure.port']);
    expect(listeners.describe(off)).toContain('The WebSocket (wss) is off.');
    await listeners.apply(now, off);
    expect(await nameAt(now['websocket.secure.port'])).toBe('wss');
  });

  test('the port of services opens, moves with its connections, and closes', async () => {
    const { listeners, now } = await start();
    const [one = 0, two = 0] = await freePorts(2);
    const [first, second] = [one, two].map((port) => ({ ...now, 'services.port': port }));
    expect(await listeners.check(first ?? now, now)).toEqual([]);
    await listeners.apply(first ?? now, now);
    const { name, socket } = await say(one);
    expect([name, listeners.words().at(-1)]).toEqual([
      'services',
      `The port of services listens on all addresses, port ${one}: encrypted (TLS 1.2 and 1.3).`,
    ]);
    await listeners.apply(second ?? now, first ?? now);
    await refusedAt(one);
    expect(await nameAt(two)).toBe('services');
    await lives(socket);
    await occupy(one, ALL_ADDRESSES);
    expect(await listeners.check(first ?? now, second ?? now)).toMatchObject([{ parameter: 'services.port' }]);
    await listeners.apply(now, second ?? now);
    await refusedAt(two);
    expect(listeners.describe(now)).toContain('The port of services is off.');
  });

  test('a node that takes any free port keeps the one it has when only the addresses change', async () => {
    const { listeners, now } = await start({ 'websocket.port': 0 });
    const port = listeners.port('ws') ?? 0;
    await listeners.apply({ ...now, 'websocket.enabled': true }, now);
    expect(listeners.port('ws')).toBe(port);
    expect(await nameAt(port)).toBe('ws');
  });

  test('a start binds all or nothing where no other process is to blame', async () => {
    const rig = await start();
    const [plain = 0, secure = 0, https = 0, http = 0] = await freePorts(4);
    // 192.0.2.1 (RFC 5737) is on no host.
    const listeners = new Listeners({
      ...optionsOf(rig),
      adminBindAddresses: ['192.0.2.1'],
      accept: { ws: destroy, wss: destroy, https: destroy, http: destroy, services: destroy },
    });
    await expect(
      listeners.start({
        ...rig.now,
        'websocket.port': plain,
        'websocket.secure.port': secure,
        'https.port': https,
        'http.port': http,
      }),
    ).rejects.toMatchObject({ code: 'port_refused' });
    await refusedAt(plain);
    expect(listeners.listening()).toEqual([]);
  });
});

describe('a change that other nodes may still refuse', () => {
  test('has its ports, which serve no one until it is made', async () => {
    const { listeners, now } = await start();
    const [port = 0] = await freePorts(1);
    const next = { ...now, 'websocket.secure.port': port };
    expect(await listeners.hold(next, now)).toEqual([]);
    const early = connect(port, '127.0.0.1');
    expect(await Promise.race([once(early, 'close'), once(early, 'data')])).toEqual([false]);
    const other = createServer().listen(port, ALL_ADDRESSES);
    const [refusal] = (await once(other, 'error')) as [{ code: string }];
    expect(refusal.code).toBe('EADDRINUSE');
    expect(await nameAt(now['websocket.secure.port'])).toBe('wss');
    await listeners.apply(next, now);
    expect(await nameAt(port)).toBe('wss');
    await refusedAt(now['websocket.secure.port']);
  });

  test('is refused where another program has the port on an address that it would add to its own', async () => {
    const { listeners, now } = await start();
    const next = { ...now, 'websocket.enabled': true };
    const taken = createServer().listen(now['websocket.port'], ownAddress());
    onTestFinished(() => void taken.close());
    await once(taken, 'listening');
    expect(await listeners.hold(next, now)).toMatchObject([
      {
        parameter: 'websocket.port',
        found: String(now['websocket.port']),
        text: expect.stringContaining(ownAddress()),
      },
    ]);
    taken.close();
    await once(taken, 'close');
    expect(await listeners.hold(next, now)).toEqual([]);
    await listeners.apply(next, now);
    expect((await say(now['websocket.port'], ownAddress())).name).toBe('ws');
  });

  test('leaves nothing where it is not made', async () => {
    const { listeners, now } = await start();
    const [port = 0] = await freePorts(1);
    const next = { ...now, 'websocket.secure.port': port };
    await listeners.hold(next, now);
    listeners.release();
    await refusedAt(port);
    await listeners.hold(next, now);
    await listeners.hold(now, now);
    await refusedAt(port);
    expect(await nameAt(now['websocket.secure.port'])).toBe('wss');
  });
});

test('a Central that stops says so, since the same time', async () => {
  const { listeners } = await start();
  expect(listeners.stopping()).toEqual([]);
  listeners.stop();
  const found = listeners.stopping();
  expect(found.map(({ code }) => code)).toEqual(['central_stopping']);
  listeners.stop();
  expect(listeners.stopping()).toEqual(found);
  expect(listeners.problems()).toEqual([]);
});

describe('a port that another process holds at the start', () => {
  /** Started while strangers hold the ports of these listeners. */
  async function startedBeside(
    ...names: readonly ListenerName[]
  ): Promise<{ rig: Rig; strangers: Server[]; logged: string[] }> {
    const logged: string[] = [];
    const ports = await freePorts(4);
    const [plain = 0, secure = 0, https = 0, http = 0] = ports;
    const now = {
      ...defaultValues(),
      'websocket.port': plain,
      'websocket.secure.port': secure,
      'https.port': https,
      'http.port': http,
    };
    const strangers = await Promise.all(names.map(async (name) => await occupy(ports[LISTENERS.indexOf(name)] ?? 0)));
    return { rig: await start(now, [], (text) => logged.push(text)), strangers, logged };
  }

  test('is a problem with port and what to do, does not keep the rest from starting, and is taken as soon as it is free', async () => {
    const { rig, strangers, logged } = await startedBeside('ws', 'wss', 'https', 'http');
    const { listeners, now } = rig;
    expect(listeners.listening()).toEqual([]);
    const ports = [now['websocket.port'], now['websocket.secure.port'], now['https.port'], now['http.port']];
    expect(listeners.problems()).toEqual(
      ports.map((port) =>
        expect.objectContaining({
          code: 'listener_not_open',
          detail: expect.stringMatching(new RegExp(`does not listen: Port ${port} on .*another process uses it\\.$`)),
          hint: expect.stringContaining('Stop the process'),
          startedAt: expect.any(Number),
        }),
      ),
    );
    for (const stranger of strangers) stranger.close();
    await vi.waitFor(() => expect(listeners.problems()).toEqual([]), { timeout: 20_000 });
    expect(await Promise.all(ports.map(nameAt))).toEqual(OPEN);
    // However often it was tried.
    expect(logged).toHaveLength(4);
  });

  test('keeps no administrator from changing other parameters, nor from moving that listener to a free port', async () => {
    const { rig } = await startedBeside('http');
    const { listeners, now } = rig;
    const [secure = 0, http = 0] = await freePorts(2);
    const next = { ...now, 'websocket.secure.port': secure };
    const missing = listeners.problems();
    expect(missing).toHaveLength(1);
    expect(await listeners.check(next, now)).toEqual([]);
    await listeners.apply(next, now);
    expect(await nameAt(secure)).toBe('wss');
    // Since it was first missed, whatever was changed meanwhile.
    expect(listeners.problems()).toEqual(missing);
    await listeners.apply({ ...next, 'http.port': http }, next);
    expect([await nameAt(http), listeners.problems()]).toEqual(['http', []]);
  });

  test('is still refused as the target of a change, and what was missing before is tried on', async () => {
    const { rig, strangers } = await startedBeside('http');
    const { listeners, now } = rig;
    const taken = ((await occupy(0)).address() as AddressInfo).port;
    expect(await listeners.check({ ...now, 'https.port': taken }, now)).toMatchObject([{ parameter: 'https.port' }]);
    await expect(listeners.apply({ ...now, 'https.port': taken }, now)).rejects.toMatchObject({ code: 'port_taken' });
    expect(await nameAt(now['https.port'])).toBe('https');
    for (const stranger of strangers) stranger.close();
    await vi.waitFor(() => expect(listeners.problems()).toEqual([]), { timeout: 20_000 });
    expect(await nameAt(now['http.port'])).toBe('http');
  });
});

const destroy = (socket: Socket): void => void socket.destroy();
const optionsOf = ({ certificate }: Rig) => ({
  bindAddresses: [],
  adminBindAddresses: [],
  certificate,
  onApplied: () => undefined,
  log: { info: () => undefined, error: () => undefined },
});

describe('what a check finds', () => {
  test('every port that another process holds, on whichever address, and nothing is bound by it', async () => {
    const rig = await start();
    const { listeners, now } = rig;
    const taken = ((await occupy(0)).address() as AddressInfo).port;
    const alsoTaken = ((await occupy(0, '::1')).address() as AddressInfo).port;
    const faults = await listeners.check({ ...now, 'websocket.secure.port': taken, 'http.port': alsoTaken }, now);
    expect(faults.map(({ parameter, found }) => [parameter, found])).toEqual([
      ['websocket.secure.port', String(taken)],
      ['http.port', String(alsoTaken)],
    ]);
    expect(faults[0]?.text).toContain('another process uses it');
    await expectUnchanged(rig);
  });
});

describe('a change that fails halfway leaves everything as it was', () => {
  test('a port that is taken between check and bind', async () => {
    const rig = await start();
    const { listeners, now, certificate, shown } = rig;
    const [secure = 0, http = 0] = await freePorts(2);
    const next = {
      ...now,
      'websocket.secure.port': secure,
      'http.port': http,
      'certificate.distinguishedName': 'CN=new',
    };
    const open = await Promise.all([say(now['websocket.secure.port']), say(now['http.port'])]);
    expect(await listeners.check(next, now)).toEqual([]);
    // The first thing that apply does; then it binds.
    certificate.onStage = async () => void (await occupy(http));
    await expect(listeners.apply(next, now)).rejects.toMatchObject({ code: 'port_taken', parameters: { port: http } });
    await expectUnchanged(rig);
    // The one that was bound already is closed again, and the certificate was not swapped.
    await refusedAt(secure);
    expect(shown).toEqual([]);
    for (const { socket } of open) await lives(socket);
  });

  test('an address that cannot be bound after the old listener had to be closed for it', async () => {
    // 192.0.2.1 (RFC 5737) is on no host.
    const rig = await start({ 'websocket.secure.enabled': false }, ['192.0.2.1']);
    const { listeners, now } = rig;
    const { socket } = await say(now['websocket.port']);
    await expect(listeners.apply({ ...now, 'websocket.enabled': true }, now)).rejects.toMatchObject({
      code: 'port_refused',
      parameters: { address: '192.0.2.1' },
    });
    expect(await nameAt(now['websocket.port'])).toBe('ws');
    await lives(socket);
    expect(listeners.problems()).toEqual([]);
  });

  test('a certificate that cannot be written: the old one is shown again, and the ports go back', async () => {
    const rig = await start();
    const { listeners, now, certificate, shown } = rig;
    const [https = 0] = await freePorts(1);
    certificate.onAdopt = async () => await Promise.reject(new Error('disk full'));
    await expect(
      listeners.apply({ ...now, 'https.port': https, 'certificate.distinguishedName': 'CN=new' }, now),
    ).rejects.toThrow('disk full');
    expect(shown).toEqual(['CN=new', 'old']);
    await expectUnchanged(rig);
    await refusedAt(https);
  });

  /** Plain could neither move nor go back: another process took its port while it was free. */
  async function stolen(): Promise<Rig & { thief: Server }> {
    const rig = await start({ 'websocket.secure.enabled': false }, ['elsewhere.test']);
    const { listeners, now } = rig;
    // That moment is the look-up of the address to bind.
    const thief = createServer();
    onTestFinished(() => void thief.close());
    const real = dns.lookup;
    const lookup = vi.spyOn(dns, 'lookup').mockImplementation(((
      host: string,
      options: dns.LookupOptions,
      done: (error: Error | null) => void,
    ) => {
      if (host !== 'elsewhere.test') return real(host, options, done);
      thief.listen(now['websocket.port'], '127.0.0.1', () => done(new Error('no such host')));
    }) as unknown as typeof dns.lookup);
    onTestFinished(() => lookup.mockRestore());
    await expect(listeners.apply({ ...now, 'websocket.enabled': true }, now)).rejects.toMatchObject({
      code: 'port_refused',
    });
    return { ...rig, thief };
  }

  test('even when the old port is taken: it is reported as a problem, and tried until it is free', async () => {
    const { listeners, now, thief } = await stolen();
    expect(listeners.problems()).toMatchObject([
      {
        detail: expect.stringContaining('The WebSocket (ws) does not listen: '),
        subject: { kind: 'listener', id: 'ws', name: 'the WebSocket (ws)' },
      },
    ]);
    expect(listeners.port('ws')).toBeUndefined();
    thief.close();
    await vi.waitFor(() => expect(listeners.problems()).toEqual([]), { timeout: 10_000 });
    expect(await nameAt(now['websocket.port'])).toBe('ws');
  });

  test('a listener that is missing and then moved by another change does not come back to its old port', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { listeners, now, thief } = await stolen();
    const [plain = 0] = await freePorts(1);
    thief.close();
    // The timer strikes while the change is under way.
    const moved = listeners.apply({ ...now, 'websocket.port': plain }, now);
    vi.advanceTimersByTime(60_000);
    await moved;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(listeners.problems()).toEqual([]);
    expect(listeners.port('ws')).toBe(plain);
    expect(await nameAt(plain)).toBe('ws');
    await refusedAt(now['websocket.port']);
  });
});
