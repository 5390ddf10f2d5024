// Two nodes with the files of deploy/several-centrals, and agents that know the address of HAProxy only: they are spread
// over the nodes, and all of them are at the other one when one stops.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksPeer } from '../flow/false-hosts.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  freePorts,
  ROOT,
  runNode,
  Running,
  until,
} from '../flow/processes.ts';
import { outerAddress } from '../flow/reverse-proxies.ts';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase } from '../postgres/cluster.ts';
import { setParameters } from '../reliability/traffic.ts';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** An example with the values of the test, each of which has to be found. */
function example(name: string, replaced: readonly (readonly [string | RegExp, string])[]): string {
  let text = readFileSync(join(ROOT, 'deploy/several-centrals', name), 'utf8');
  for (const [from, to] of replaced) {
    if (text.search(from) < 0) throw new Error(`${name} has no ${String(from)}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

describe.skipIf(lacksPostgres() || lacksPeer('haproxy'))('agents of two nodes behind HAProxy', () => {
  const nodes: CentralProcess[] = [];
  const agents = new Map<string, AgentProcess>();
  // HAProxy is on another host in the example; here it is an address that Central trusts, and agents have another one.
  const outer = outerAddress();
  let port = 0;

  async function startNode(letter: 'a' | 'b', url: string, keyFile: string): Promise<CentralProcess> {
    const folder = await cleanup.folder();
    const [first] = nodes;
    if (first !== undefined) await writeFile(join(folder, 'administrator-token'), `${first.token}\n`, { mode: 0o600 });
    const file = join(folder, 'central.conf');
    const [internal] = await freePorts(1);
    const text = example(`central-${letter}.conf`, [
      [/(?<=^store\.url = ).*$/gm, url],
      ['/etc/queuegate/key-encryption-key', keyFile],
      [`https://central-${letter}.example.com:9152`, `https://localhost:${internal}`],
      ['/var/lib/queuegate/central', folder],
      ['/var/lib/queuegate/profiles', join(folder, 'profiles')],
    ]);
    await writeFile(file, text, { mode: 0o600 });
    const names = /^advertised\.names = (.*)$/m.exec(text)?.[1] ?? '';
    return await CentralProcess.start(cleanup, folder, ['--config', file, '--advertised-names', `${outer},${names}`]);
  }

  async function startBalancer(): Promise<void> {
    const [one, two] = nodes;
    if (one === undefined || two === undefined) throw new Error('no nodes');
    const folder = await cleanup.folder();
    const [agentsPort = 0, administration = 0] = await freePorts(2);
    port = agentsPort;
    const root = String((await one.rest('GET', '/ca/trust-bundle.pem')).body);
    await writeFile(join(folder, 'central-root.pem'), root);
    // The nodes of the example have a host each; these have ports of their own.
    const servers = [one, two].flatMap(({ ports }, i) => {
      const host = `central-${i === 0 ? 'a' : 'b'}.example.com`;
      return [
        [`${host}:9150 `, `localhost:${ports.wss} port ${ports.https} `],
        [`${host}:8443 `, `localhost:${ports.https} port ${ports.https} `],
      ] as const;
    });
    const text = example('agents.cfg', [
      ['/etc/haproxy/queuegate', folder],
      ['bind :9150', `bind ${outer}:${agentsPort}`],
      ['bind :::9150 v6only', `bind 127.0.0.2:${agentsPort}`],
      ['bind :8443', `bind 127.0.0.1:${administration}`],
      ['bind :::8443 v6only', `bind 127.0.0.2:${administration}`],
      ['check port 8443', 'check'],
      ...servers,
    ]);
    await writeFile(join(folder, 'haproxy.cfg'), ['global', '    maxconn 100', '', text].join('\n'));
    const haproxy = new Running('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')]);
    cleanup.add(() => haproxy.stop());
  }

  async function enroll(name: string): Promise<void> {
    const folders = await agentFolders(cleanup);
    const { body } = (await nodes[0]?.rest('POST', '/enrollment-tokens', {})) ?? {};
    const words = ['enroll', `https://${outer}:${port}`, '--token', body.token, '--pin', body.pin];
    const enrolled = await runNode('agent/cli.ts', [...words, ...agentFlags(folders, name)]);
    if (enrolled.code !== 0) throw new Error(`enrollment failed:\n${enrolled.stdout}\n${enrolled.stderr}`);
    agents.set(name, AgentProcess.start(cleanup, folders, name));
  }

  /** At which node each agent is, as `node` says. */
  async function placesOf(node: CentralProcess): Promise<string[]> {
    const { body } = await node.rest('GET', '/nodes');
    const items = body.items as { readonly name: string; readonly sessionCount: number }[];
    return items.flatMap(({ name, sessionCount }) => Array.from({ length: sessionCount }, () => name)).toSorted();
  }

  beforeAll(async () => {
    const database = await freshDatabase();
    cleanup.add(() => database.drop());
    const keyFile = join(await cleanup.folder(), 'key-encryption-key');
    await writeFile(keyFile, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    for (const letter of ['a', 'b'] as const) nodes.push(await startNode(letter, database.url, keyFile));
    const [one] = nodes;
    if (one === undefined) throw new Error('no node');
    await setParameters(one, { 'agents.heartbeatSeconds': 1, 'websocket.trustedProxies': ['127.0.0.1'] });
    await startBalancer();
    // Its checks have found both.
    await until(async () => (await placesOf(one)).length === 0 || undefined);
    for (const name of ['branch-1', 'branch-2', 'branch-3', 'branch-4']) {
      await enroll(name);
      await one.online(name);
    }
  }, 120_000);

  it('are spread over both, and Central knows their own address', async () => {
    const [one] = nodes;
    if (one === undefined) throw new Error('no node');
    await until(async () => {
      const places = await placesOf(one);
      return (places.length === 4 && new Set(places).size === 2) || undefined;
    });
    const { id } = await one.online('branch-1');
    const { body } = await one.rest('GET', `/agents/${String(id)}`);
    expect(body.session).toMatchObject({ address: outer });
  });

  it('are all at the other node when one has stopped, and their events arrive there, each once', async () => {
    const [one, two] = nodes;
    if (one === undefined || two === undefined) throw new Error('no nodes');
    const send = async (id: string): Promise<void> => {
      for (const agent of agents.values())
        expect(await agent.local('POST', '/api/v1/events', { id, type: 'tick' })).toMatchObject({ status: 202 });
    };
    await send('before');
    expect(await two.process.stop()).toMatchObject({ code: 0 });
    await send('after');
    // An agent waits for up to 30 s before it returns, so that a fleet does not return at once.
    await until(async () => {
      const places = await placesOf(one);
      return (places.length === 4 && places.every((name) => name === 'central-a')) || undefined;
    }, 60_000);
    const events = await until(async () => {
      const found = await one.events();
      return found.length >= 8 ? found : undefined;
    });
    const ids = events.map(({ agentId, event }) => `${agentId} ${String(event['id'])}`);
    expect([ids.length, new Set(ids).size]).toEqual([8, 8]);
  });
});
