// What the daemon logs of its connection: the refusal that ends all dialing, its name, and warnings of the truststore.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import type { AgentConf } from '../../agent/conf.ts';
import { NO_CONTROL } from '../../agent/connection/control.ts';
import { Daemon } from '../../agent/daemon.ts';
import type { Credentials } from '../../agent/identity/identity.ts';
import { SUBPROTOCOL } from '../../shared/wire/messages.ts';
import { HeldInbox, MemoryOutbox } from '../shared/delivery/session-logs.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of cleanup.splice(0)) await act();
});

class Inbox extends HeldInbox {
  async position(): Promise<null> {
    return null;
  }

  readonly times: number[] = [];

  async setCentralTime(time: number): Promise<void> {
    this.times.push(time);
  }
}

/** A daemon that dials ws at this port, or wss with a truststore that warns; its log. */
function daemonAt(port: number, { secure = false, warnings = [] as readonly string[], now = Date.now } = {}) {
  const lines: Record<string, unknown>[] = [];
  const proxies = { wss: undefined, ws: undefined };
  const conf = {
    profile: { release: null },
    central: { secure, proxied: false, endpoints: [{ host: '127.0.0.1', port }], port, proxies },
    truststore: { path: 'truststore.jks' },
    name: 'host-name',
    origins: { 'agent.name': 'default' },
  } as unknown as AgentConf;
  const key = {
    publicKey: '',
    pem: '',
    privateKey: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
  };
  const names: string[] = [];
  const daemon = new Daemon({
    firstConf: conf,
    firstName: 'host-name',
    onName: (name) => names.push(name),
    conf: async () => conf,
    credentials: async () => ({ identity: { id: 'a1', name: 'branch' }, key }) as unknown as Credentials,
    trusted: async () => ({ ca: [], truststore: undefined, fromCentral: [], warnings }),
    watched: () => [],
    outbox: new MemoryOutbox(),
    inbox: new Inbox(),
    control: NO_CONTROL,
    log: pino({ level: 'debug', base: null }, { write: (line: string) => lines.push(JSON.parse(line)) }),
    now,
  });
  daemon.start(() => undefined);
  cleanup.push(() => daemon.stop());
  return { daemon, lines, names };
}

/** A Central that refuses each connection with the next of these codes, as Central does: a frame, then the close. */
async function refusing(...codes: readonly (readonly [code: string, close: number])[]): Promise<number> {
  const server = createServer();
  const webSockets = new WebSocketServer({ server, handleProtocols: () => SUBPROTOCOL });
  let place = 0;
  webSockets.on('connection', (socket) => {
    const [code, close] = codes[Math.min(place, codes.length - 1)] ?? ['busy', 4503];
    place += 1;
    socket.send(
      JSON.stringify({ type: 'refuse', code, detail: `No: ${code}.`, hint: 'Do this.', retryAfterSeconds: 0 }),
    );
    socket.close(close, code);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanup.push(() => {
    for (const socket of webSockets.clients) socket.terminate();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const until = async (look: () => boolean): Promise<void> => {
  while (!look()) await new Promise((resolve) => setImmediate(resolve));
};

it('logs the refusal that ends all dialing, also when Central refused with another code before', async () => {
  const port = await refusing(['quarantined', 4502], ['quarantined', 4502], ['agent_unknown', 4401]);
  const { daemon, lines } = daemonAt(port);
  await until(() => daemon.status().state === 'stopped-by-refusal');
  expect(lines.map(({ level, refusal, code }) => [level, code, refusal])).toEqual([
    [40, 'refused', 'quarantined'],
    [20, 'refused', 'quarantined'],
    [40, 'refused', 'agent_unknown'],
  ]);
  expect(lines.at(-1)?.['msg']).toContain('Nothing more is dialed until identity, truststore or configuration change.');
});

it('has the name with which it enrolled, and warns of each certificate of the truststore once a day', async () => {
  let day = 0;
  const warnings = ['"old" in truststore.jks expired', '"older" in truststore.jks expired'];
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const { daemon, lines, names } = daemonAt(port, { secure: true, warnings, now: () => day * 86_400_000 });
  const warned = (): number => lines.filter(({ msg }) => warnings.includes(String(msg))).length;
  await until(() => names.length >= 3);
  expect([warned(), daemon.name(), new Set(names)]).toEqual([2, 'branch', new Set(['branch'])]);
  day = 1;
  const dials = names.length;
  await until(() => names.length > dials);
  expect(warned()).toBe(4);
});
