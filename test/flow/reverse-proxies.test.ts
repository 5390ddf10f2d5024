// Real agents at a real Central through the reverse proxies of deploy/: nginx, Apache httpd and HAProxy, ending TLS, on
// Central's own host under an account of their own, and passing TLS through.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createHash, X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksPeer, OpensslAuthority, type IssuedFiles } from './false-hosts.ts';
import {
  AgentProcess,
  agentFlags,
  agentFolders,
  CENTRAL_AGENT,
  CentralProcess,
  Cleanup,
  runNode,
  run,
  until,
  ANY_LOCAL_PORT,
} from './processes.ts';
import { newKey, RawAgent } from './raw-agent.ts';
import { copyProxy, outerAddress, PROXY_FILES, startProxy, type ProxyCopy, type ProxyFile } from './reverse-proxies.ts';
import { setParameters } from '../reliability/traffic.ts';

/** Of the proxies; sessions are silent but for their heartbeats, one a second. */
const TIMEOUT_SECONDS = 6;

const cleanup = new Cleanup();
/** Behind proxies on other hosts, which the tests take 127.0.0.1 for. */
let central: CentralProcess;
/** Behind a proxy on its own host, with a Central agent beside it. */
let sheltered: CentralProcess;
let root: string;
let certificate: IssuedFiles;
let authority: OpensslAuthority;
const outer = outerAddress();

interface Site {
  readonly name: string;
  readonly copy: ProxyCopy;
  readonly agent: AgentProcess;
}
const sites = new Map<ProxyFile, Site>();

const endsTls = (file: ProxyFile): boolean => !file.includes('pass-tls-through');
const centralOf = (file: ProxyFile): CentralProcess => (file.includes('two-accounts') ? sheltered : central);
/** With TLS, nginx passes no address on: Central sees its own, which is not a trusted one. */
const hidesAddress = (file: ProxyFile): boolean => file === 'nginx/pass-tls-through.conf';
const nameOf = (file: ProxyFile): string => file.replaceAll(/[^a-z]+/g, '-');

beforeAll(async () => {
  if (lacksPeer('nginx', 'apache2', 'haproxy')) return;
  central = await CentralProcess.start(cleanup, await cleanup.folder(), ['--advertised-names', `localhost,${outer}`]);
  sheltered = await CentralProcess.start(
    cleanup,
    await cleanup.folder(),
    ['--bind-address', '127.0.0.1', '--central-agent'],
    ANY_LOCAL_PORT,
  );
  const one = { 'agents.heartbeatSeconds': 1 };
  await setParameters(central, { ...one, 'websocket.trustedProxies': ['127.0.0.1'] });
  await sheltered.online(CENTRAL_AGENT);
  await setParameters(sheltered, {
    ...one,
    'websocket.trustedProxies': ['127.0.0.2'],
    'websocket.enabled': false,
    'websocket.secure.enabled': false,
  });
  root = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
  authority = await OpensslAuthority.make(cleanup, 'The authority of the proxies');
  const issued = await authority.issue({
    name: 'queuegate.example.com',
    names: `DNS:localhost,IP:${outer},IP:127.0.0.1`,
  });
  // With its root, by whose pin machines enroll.
  const chain = [issued, authority.root].map(({ certificate: path }) => readFile(path, 'utf8'));
  await writeFile(issued.certificate, (await Promise.all(chain)).join(''));
  certificate = issued;
  for (const file of PROXY_FILES) sites.set(file, await open(file));
});
afterAll(() => cleanup.run());

/** Starts a proxy, enrolls an agent through it, and starts that. */
async function open(file: ProxyFile): Promise<Site> {
  const name = nameOf(file);
  const copy = await copyProxy(cleanup, file, {
    certificate,
    centralRoot: root,
    to: file.includes('two-accounts') ? sheltered.ports.ws : central.ports.wss,
    ...(hidesAddress(file) ? { centralHost: outer } : {}),
    allowed: outer,
    timeoutSeconds: TIMEOUT_SECONDS,
  });
  await startProxy(cleanup, copy);
  const folders = await agentFolders(cleanup);
  const more = endsTls(file) ? ['--central-websocket-proxied', 'true'] : [];
  if (endsTls(file)) {
    const store = join(folders.profile, 'conf/security/truststore.jks');
    const imported = await runNode('agent/cli.ts', [
      'truststore',
      'import',
      store,
      '--certificate',
      authority.root.certificate,
    ]);
    if (imported.code !== 0) throw new Error(imported.stderr);
  }
  const { body } = await centralOf(file).rest('POST', '/enrollment-tokens', {});
  const pin = endsTls(file) ? pinOf(await readFile(authority.root.certificate, 'utf8')) : String(body.pin);
  const url = `https://${outer}:${copy.port}`;
  const enrolled = await runNode('agent/cli.ts', [
    'enroll',
    url,
    '--token',
    body.token,
    '--pin',
    pin,
    ...agentFlags(folders, name),
    ...more,
  ]);
  if (enrolled.code !== 0) throw new Error(`${file}: enrollment failed:\n${enrolled.stdout}\n${enrolled.stderr}`);
  return { name, copy, agent: AgentProcess.start(cleanup, folders, name, more) };
}

function pinOf(pem: string): string {
  const spki = new X509Certificate(pem).publicKey.export({ format: 'der', type: 'spki' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}

function siteOf(file: ProxyFile): Site {
  const site = sites.get(file);
  if (site === undefined) throw new Error(`no site for ${file}`);
  return site;
}

async function statusOf(url: string, localAddress?: string): Promise<number> {
  const ca = await readFile(authority.root.certificate, 'utf8');
  return await new Promise((resolve, reject) => {
    const sent = request(url, { ca, servername: 'localhost', ...(localAddress === undefined ? {} : { localAddress }) });
    sent.once('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.once('error', reject).end();
  });
}

describe.skipIf(lacksPeer('nginx', 'apache2', 'haproxy'))('reverse proxies', () => {
  it.each(PROXY_FILES)('%s: an agent enrolls, is online, sends an event and gets a command', async (file) => {
    const { name, agent } = siteOf(file);
    const found = await centralOf(file).online(name);
    expect(found).toMatchObject({ state: 'online' });
    const event = { specversion: '1.0', type: 'ticket.issued', source: `urn:${name}`, id: 'e-1', data: { n: 1 } };
    expect(await agent.local('POST', '/api/v1/events', event)).toMatchObject({ status: 202 });
    await until(async () =>
      (await centralOf(file).rest('GET', `/events?agent=${name}`)).body.items.length === 1 ? true : undefined,
    );
    const command = { specversion: '1.0', type: 'counter.open', source: 'urn:central', id: `c-${name}`, data: {} };
    expect(await centralOf(file).rest('POST', `/agents/${name}/commands`, command)).toMatchObject({ status: 202 });
    const commands = await agent.local('GET', '/api/v1/commands?waitSeconds=30');
    expect(commands.body.items[0].command).toMatchObject({ id: `c-${name}`, type: 'counter.open' });
  });

  it.each(PROXY_FILES)(
    '%s: sessions, the audit log and failed handshakes have the address of the agent',
    async (file) => {
      const { name, copy } = siteOf(file);
      const at = centralOf(file);
      const { id } = await at.online(name);
      const { session } = (await at.rest('GET', `/agents/${String(id)}`)).body;
      expect(session).toMatchObject({ address: outer });
      // The entries of its enrollment.
      const { items } = (await at.rest('GET', '/audit?limit=1000')).body as { items: { address: string }[] };
      const own = items.filter((entry) => JSON.stringify(entry).includes(String(id)));
      expect(own.map(({ address }) => address)).toContain(outer);
      // A stranger from another address of this host.
      const ca = endsTls(file) ? await readFile(authority.root.certificate, 'utf8') : root;
      const stranger = { id: '0'.repeat(64), key: newKey(), name: 'stranger' };
      const from = file.includes('two-accounts') ? outer : '127.0.0.5';
      const host = from === outer ? outer : '127.0.0.1';
      const dialed = await RawAgent.dial(cleanup, `wss://${host}:${copy.port}`, ca, {
        localAddress: from,
        servername: 'localhost',
      });
      const hello = { ...stranger, ...(endsTls(file) ? { change: { binding: null } } : {}) };
      expect(await dialed.refused(hello)).toMatchObject({ code: 'agent_unknown' });
      const expected = hidesAddress(file) ? outer : from;
      await until(async () => {
        const { body } = await at.rest('GET', '/handshake-failures?limit=1000');
        const failures = body.items as { cause: string; address: string }[];
        return failures.some(({ cause, address }) => cause === 'agent_unknown' && address === expected) || undefined;
      });
    },
  );

  it.each(PROXY_FILES.filter(endsTls))('%s: passes nothing on but what agents need', async (file) => {
    const { copy } = siteOf(file);
    const refused = file.startsWith('apache') ? 403 : 404;
    for (const path of ['/', '/api/v1/status', '/agents', '/metrics', '/enroll/x'])
      expect([path, await statusOf(`https://${outer}:${copy.port}${path}`)]).toEqual([path, refused]);
    expect(await statusOf(`https://${outer}:${copy.port}/crl.pem`)).toBe(200);
    expect(await statusOf(`https://${outer}:${copy.port}/agent`)).toBe(426);
  });

  it.each(PROXY_FILES.filter((file) => file.includes('two-accounts')))(
    '%s: other addresses and other accounts have no access, and Central listens on loopback only',
    async (file) => {
      const { copy } = siteOf(file);
      expect(await statusOf(`https://127.0.0.1:${copy.port}/agent`, '127.0.0.3')).toBe(403);
      await expect(fetch(`http://${outer}:${sheltered.ports.ws}/`)).rejects.toThrow('fetch failed');
      await sheltered.online(CENTRAL_AGENT);
      if (process.getuid?.() !== 0) return;
      for (const name of ['key.pem', 'certificate-and-key.pem']) {
        const read = [
          '--reuid',
          '65534',
          '--regid',
          '65534',
          '--clear-groups',
          'cat',
          join(copy.folder, 'queuegate', name),
        ];
        expect(await run('setpriv', read)).toMatchObject({
          code: 1,
          stderr: expect.stringContaining('Permission denied'),
        });
      }
    },
  );

  it('heartbeats keep sessions open for longer than the timeouts of the proxies', async () => {
    const sessions = async (): Promise<unknown[]> =>
      await Promise.all(
        PROXY_FILES.map(async (file) => {
          const { id } = await centralOf(file).online(nameOf(file));
          return (await centralOf(file).rest('GET', `/agents/${String(id)}`)).body.session.id as unknown;
        }),
      );
    const before = await sessions();
    await delay((2 * TIMEOUT_SECONDS + 1) * 1000);
    expect(await sessions()).toEqual(before);
  });

  it('address rules apply to the addresses of the agents, and not to those of the proxies', async () => {
    const addressesOfProxies = ['127.0.0.1', '127.0.0.2'];
    const rules = { 'access.ws.deny': addressesOfProxies, 'access.wss.deny': addressesOfProxies };
    for (const at of [central, sheltered]) expect(await at.change(rules)).toMatchObject({ status: 200 });
    for (const file of PROXY_FILES) await centralOf(file).online(nameOf(file));
    const rulesOfAgents = { 'access.ws.deny': [outer], 'access.wss.deny': [outer] };
    for (const at of [central, sheltered]) {
      const dry = await at.change(rulesOfAgents, { dryRun: true });
      const behind = PROXY_FILES.filter((file) => centralOf(file) === at);
      expect(dry.body).toMatchObject({ needsForce: true, cutOff: { count: behind.length } });
      expect(await at.change(rulesOfAgents, { force: true })).toMatchObject({ status: 200 });
    }
    for (const file of PROXY_FILES) await siteOf(file).agent.process.printed(/address_denied/);
    await sheltered.online(CENTRAL_AGENT);
    const reset = { 'access.ws.deny': null, 'access.wss.deny': null };
    for (const at of [central, sheltered]) expect(await at.change(reset)).toMatchObject({ status: 200 });
    for (const file of PROXY_FILES) await centralOf(file).online(nameOf(file));
  });
});
