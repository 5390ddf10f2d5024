// The authority is rotated over two Centrals on one PostgreSQL while one of them starts again in each phase, in order and
// killed: agents stay, no step is done twice, both nodes end with the same, and each shows what the agents trust.
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, freePorts, runNode, until, type Answer } from '../../flow/processes.ts';
import { lacksPostgres } from '../../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../../postgres/cluster.ts';
import { Producer } from '../../reliability/traffic.ts';

const KEY = randomBytes(32).toString('base64');
const SECOND_MS = 1_000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const hex = (pem: string): string => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();

/** A node that can start again with its name, its folder and its ports. */
class Node {
  readonly #start: () => Promise<CentralProcess>;
  central: CentralProcess;

  private constructor(start: () => Promise<CentralProcess>, central: CentralProcess) {
    this.#start = start;
    this.central = central;
  }

  static async start(database: TestDatabase, name: string, token?: string): Promise<Node> {
    const folder = await cleanup.folder();
    if (token !== undefined) await writeFile(join(folder, 'administrator-token'), `${token}\n`, { mode: 0o600 });
    const flags = ['--websocket-port', '--websocket-secure-port', '--https-port', '--http-port'];
    const ports = await freePorts(flags.length);
    const args = flags.flatMap((flag, i) => [flag, String(ports[i])]);
    const environment = {
      QUEUEGATE_STORE_URL: database.url,
      QUEUEGATE_CENTRAL_NAME: 'centrals',
      QUEUEGATE_NODE_NAME: name,
      QUEUEGATE_KEY_ENCRYPTION_KEY: KEY,
    };
    const start = async () => await CentralProcess.start(cleanup, folder, args, environment);
    return new Node(start, await start());
  }

  async again(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.central.process.stop(signal);
    this.central = await this.#start();
  }
}

const step = async ({ central }: Node, name: string, body: object = {}): Promise<Answer> =>
  await central.rest('POST', `/ca/rotation/${name}`, body);

interface Shown {
  readonly phase: string;
  readonly generations: readonly { readonly thumbprint: string; readonly role: string }[];
  readonly certificate: string;
  readonly bundle: string;
}

async function shownBy({ central }: Node): Promise<Shown> {
  const [rotation, ca, certificate, bundle] = await Promise.all(
    ['/ca/rotation', '/ca', '/server-certificate', '/ca/trust-bundle.pem'].map(
      async (path) => (await central.rest('GET', path)).body,
    ),
  );
  const generations = ca.generations.map(({ thumbprint, role }: Shown['generations'][number]) => ({
    thumbprint,
    role,
  }));
  return { phase: rotation.phase, generations, certificate: certificate.current.thumbprint, bundle: String(bundle) };
}

/** Waits until both nodes are in this phase with the same certificates. */
async function same([one, other]: readonly [Node, Node], phase: string): Promise<Shown> {
  let found: readonly Shown[] = [];
  return await until(
    async () => {
      found = [await shownBy(one), await shownBy(other)];
      return found.every((each) => each.phase === phase) && JSON.stringify(found[0]) === JSON.stringify(found[1])
        ? found[0]
        : undefined;
    },
    20 * SECOND_MS,
    () => JSON.stringify(found, undefined, 2),
  );
}

/** A client that trusts only this root accepts what the node shows to agents. */
async function isTrusted({ central }: Node, root: string): Promise<boolean> {
  const socket = connect({ port: central.ports.wss, host: '127.0.0.1', servername: 'localhost', ca: root });
  try {
    await once(socket, 'secureConnect');
    return socket.authorized;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

const rootsIn = (pem: string): string[] => pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n?/g) ?? [];

interface Site {
  readonly nodes: readonly [Node, Node];
  readonly database: TestDatabase;
  readonly producers: readonly Producer[];
}

const NAMES = ['branch-a', 'branch-b'];

/** Two nodes, and an agent that prefers each of them. */
async function start(): Promise<Site> {
  const database = await freshDatabase();
  cleanup.add(() => database.drop());
  const a = await Node.start(database, 'node-a');
  const b = await Node.start(database, 'node-b', a.central.token);
  const [toA, toB] = [`localhost:${a.central.ports.wss}`, `localhost:${b.central.ports.wss}`];
  const agents: AgentProcess[] = [];
  for (const [i, hosts] of [`${toA},${toB}`, `${toB},${toA}`].entries())
    agents.push(await AgentProcess.enrolled(cleanup, a.central, NAMES[i] ?? '', ['--central-hosts', hosts]));
  for (const name of NAMES) await b.central.online(name);
  const producers = agents.map((agent, i) => Producer.events(agent, NAMES[i] ?? '', { pauseMs: 100 }));
  cleanup.add(async () => {
    for (const producer of producers) await producer.stop();
  });
  return { nodes: [a, b], database, producers };
}

/** Waits until each agent has taken the roots, and has a certificate of the generation that signs. */
async function settled({ central }: Node): Promise<void> {
  let last: unknown;
  await until(
    async () => {
      const { body } = await central.rest('GET', '/ca/rotation');
      last = [body.trust, body.certificates, (await central.rest('GET', '/ca/rotation/agents')).body.items];
      return body.trust.missingCount === 0 && body.certificates.missingCount === 0 ? true : undefined;
    },
    60 * SECOND_MS,
    () => JSON.stringify(last),
  );
}

describe.skipIf(lacksPostgres())('a rotation of the authority over two Centrals', () => {
  it('goes through its phases while one of them starts again in each', async () => {
    const site = await start();
    const { nodes, database, producers } = site;
    const [a, b] = nodes;
    const [first = ''] = rootsIn((await same(nodes, 'idle')).bundle);
    const phases = [
      {
        name: 'prepare',
        phase: 'prepared',
        at: a,
        restarts: [
          [b, 'SIGTERM'],
          [a, 'SIGKILL'],
        ],
      },
      {
        name: 'publish',
        phase: 'published',
        at: b,
        restarts: [
          [b, 'SIGKILL'],
          [a, 'SIGTERM'],
        ],
      },
      {
        name: 'switch',
        phase: 'switched',
        at: a,
        restarts: [
          [a, 'SIGKILL'],
          [b, 'SIGTERM'],
        ],
      },
      {
        name: 'retire',
        phase: 'retired',
        at: b,
        restarts: [
          [a, 'SIGTERM'],
          [b, 'SIGKILL'],
        ],
      },
    ] as const;
    for (const { name, phase, at, restarts } of phases) {
      if (name === 'switch' || name === 'retire') await settled(at);
      const ends = await Promise.all([step(a, name), step(b, name)]);
      expect(
        ends.map(({ status }) => status).toSorted((one, other) => one - other),
        JSON.stringify(ends),
      ).toEqual([200, 409]);
      expect(ends.find(({ status }) => status === 409)?.body).toMatchObject({ code: 'rotation_wrong_phase' });
      const before = await same(nodes, phase);
      for (const [node, signal] of restarts) {
        await node.again(signal);
        expect(await same(nodes, phase)).toEqual(before);
        const roots = rootsIn(before.bundle);
        for (const each of nodes) {
          // An agent that has what is published trusts what is shown; one with only the first root does until it is retired.
          for (const root of roots.filter((one) => phase !== 'published' || one === first))
            expect(await isTrusted(each, root), `${phase}: ${hex(root)}`).toBe(true);
          expect(await isTrusted(each, first)).toBe(phase !== 'retired');
        }
        for (const agent of NAMES) await at.central.online(agent);
        await Promise.all(producers.map((producer) => producer.further(10)));
      }
    }
    const { generations } = await same(nodes, 'retired');
    expect(generations.map(({ role }) => role)).toEqual(['current', 'retired']);
    expect(generations[1]?.thumbprint).toBe(hex(first));
    const audit = await database.cluster.primary.sql<{ action: string }>(
      `SELECT action FROM audit WHERE action LIKE 'ca.%' ORDER BY number`,
      [],
      database.name,
    );
    expect(audit.map(({ action }) => action)).toEqual([
      'ca.create',
      'ca.rotation.prepare',
      'ca.rotation.publish',
      'ca.rotation.cross-certify',
      'ca.rotation.switch',
      'ca.rotation.retire',
    ]);
    for (const [i, producer] of producers.entries()) {
      await producer.stop();
      const arrived = await until(async () => {
        const ids = (await a.central.events()).map(({ event }) => String(event['id']));
        const own = ids.filter((id) => id.startsWith(`${NAMES[i] ?? ''}-`));
        return own.length >= producer.accepted.length ? own : undefined;
      });
      expect(arrived).toEqual(producer.accepted);
    }
    console.log(JSON.stringify({ accepted: producers.map(({ accepted }) => accepted.length) }));
  }, 600_000);

  it('goes on at the other node where the one that was asked is killed in the middle of a step', async () => {
    const { nodes } = await start();
    const [a, b] = nodes;
    await same(nodes, 'idle');
    const left: string[] = [];
    for (const [name, phase] of [
      ['prepare', 'prepared'],
      ['publish', 'published'],
      ['switch', 'switched'],
      ['retire', 'retired'],
    ] as const) {
      const isForced = name === 'switch' || name === 'retire';
      if (isForced) await settled(b);
      const cut = step(a, name).catch(() => undefined);
      await delay(Math.random() * 300);
      a.central.process.child.kill('SIGKILL');
      await cut;
      await a.central.process.ended();
      const { status, body } = await step(b, isForced ? `${name}?force=true` : name);
      expect([200, 'rotation_wrong_phase'], JSON.stringify(body)).toContain(status === 200 ? status : body.code);
      left.push(status === 409 ? `behind ${name}` : `before ${name}`);
      await a.again('SIGKILL');
      await same(nodes, phase);
      for (const agent of NAMES) await b.central.online(agent);
    }
    console.log(JSON.stringify({ left }));
    const { bundle } = await same(nodes, 'retired');
    const [only = '', ...others] = rootsIn(bundle);
    expect(others).toEqual([]);
    for (const node of nodes) expect(await isTrusted(node, only)).toBe(true);
    await settled(b);
  }, 600_000);

  it('waits for the confirmation of a switch at any node: a start of the other one undoes nothing, and it may confirm', async () => {
    const { nodes } = await start();
    const [a, b] = nodes;
    await same(nodes, 'idle');
    await step(a, 'prepare');
    await step(b, 'publish');
    await same(nodes, 'published');
    await settled(b);
    const before = (await shownBy(a)).certificate;
    const { status, body } = await step(a, 'switch?confirmWithinSeconds=60');
    expect(status, JSON.stringify(body)).toBe(202);
    const waiting = await same(nodes, 'published');
    expect(waiting.certificate).not.toBe(before);
    await b.again('SIGTERM');
    expect(await same(nodes, 'published')).toEqual(waiting);
    const root = join(await cleanup.folder(), 'root.pem');
    await writeFile(root, waiting.bundle);
    let said = '';
    // Until the agents of both nodes are back over the new certificate.
    await until(
      async () => {
        const { code, stdout, stderr } = await runNode('central/cli.ts', [
          'changes',
          'confirm',
          '--url',
          `https://localhost:${b.central.ports.https}`,
          '--ca-file',
          root,
          '--token-file',
          join(b.central.folder, 'administrator-token'),
        ]);
        said = `${stdout}${stderr}`;
        return code === 0 || undefined;
      },
      60 * SECOND_MS,
      () => said,
    );
    expect((await same(nodes, 'switched')).certificate).toBe(waiting.certificate);
    // Also those whose session is at the node that was not asked.
    await settled(a);
  }, 240_000);
});
