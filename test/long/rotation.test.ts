// The authority is rotated as an administrator does it: the command line, a real Central, agents with truststores of
// every kind as keytool, openssl and enrollment leave them, messages flowing all the while, and Central started again
// in between.
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { trustFile } from '../../agent/trust/managed-roots.ts';
import { keytool, makeBank } from '../central/pki/server/bank.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  runNode,
  until,
  type AgentFolders,
} from '../flow/processes.ts';
import { importCertificate } from '../tool-arguments.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const hex = (pem: string): string => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
const colons = (thumbprint: string): string => thumbprint.toUpperCase().replaceAll(/(..)(?!$)/g, '$1:');

async function queuegate(central: CentralProcess, ...line: string[]): Promise<string> {
  const { code, stdout, stderr } = await central.cli(...line);
  if (code !== 0) throw new Error(`queuegate ${line.join(' ')}: ${stdout}\n${stderr}`);
  return stdout;
}

const rotate = (central: CentralProcess, ...line: string[]): Promise<string> =>
  queuegate(central, 'ca', 'rotation', ...line);

interface Stand {
  readonly phase: string;
  readonly next: string;
  readonly generations: readonly { readonly role: string; readonly thumbprint: string }[];
  readonly trust: {
    readonly registeredCount: number;
    readonly acknowledgedCount: number;
    readonly unencryptedCount: number;
    readonly missingCount: number;
  };
  readonly certificates: { readonly renewedCount: number; readonly missingCount: number };
  readonly agents: readonly {
    readonly agent: { readonly name: string };
    readonly reason: string;
    readonly detail: string;
  }[];
  readonly profiles: readonly { readonly profile: string; readonly code: string }[];
  readonly change: object | null;
}

async function stand(central: CentralProcess): Promise<Stand> {
  const [rotation, { generations }, { items: agents }] = await Promise.all(
    ['/ca/rotation', '/ca', '/ca/rotation/agents'].map(async (path) => (await central.rest('GET', path)).body),
  );
  return { ...rotation, generations, agents } as Stand;
}

async function acknowledgedBy(central: CentralProcess, count: number): Promise<Stand> {
  let last: Stand | undefined;
  return await until(
    async () => {
      last = await stand(central);
      return last.trust.acknowledgedCount === count ? last : undefined;
    },
    60_000,
    () => JSON.stringify(last?.trust),
  );
}

async function roleOf(central: CentralProcess, role: string): Promise<string> {
  return (await stand(central)).generations.find((generation) => generation.role === role)?.thumbprint ?? `no ${role}`;
}

/** What the wss listener shows to whom trusts only this root: its chain, or why it is refused. */
async function shownTo(port: number, root: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: root });
  try {
    await once(socket, 'secureConnect');
    return socket.authorized ? 'trusted' : 'refused';
  } catch (error) {
    return String((error as { code?: string }).code);
  } finally {
    socket.destroy();
  }
}

/** What agents are given, as PEM blocks. */
async function roots(central: CentralProcess): Promise<string[]> {
  return (
    String((await central.rest('GET', '/ca/trust-bundle.pem')).body).match(
      /-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n?/g,
    ) ?? []
  );
}

/** Enrolls a copy of a profile whose truststore is replaced by one that somebody made before. */
async function agentWith(
  central: CentralProcess,
  name: string,
  prepare: (folders: AgentFolders, root: string) => readonly string[],
): Promise<AgentProcess> {
  const folders = await agentFolders(cleanup);
  const rootFile = join(folders.data, '..', 'root.pem');
  writeFileSync(rootFile, (await roots(central))[0] ?? '');
  mkdirSync(join(folders.profile, 'conf', 'security'), { recursive: true });
  const args = prepare(folders, rootFile);
  const enrolled = await runNode('agent/cli.ts', [
    ...(await central.enrollment()),
    ...agentFlags(folders, name),
    ...args,
  ]);
  if (enrolled.code !== 0) throw new Error(`enrollment failed:\n${enrolled.stdout}\n${enrolled.stderr}`);
  return AgentProcess.start(cleanup, folders, name, args);
}

/** Thumbprints of what Central gave it to trust. */
function givenTo({ data }: AgentFolders): string[] {
  const pem = readFileSync(trustFile(data), 'utf8');
  return Array.from(pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [], hex);
}

const security = ({ profile }: AgentFolders, name: string): string => join(profile, 'conf', 'security', name);

function useTruststore({ profile }: AgentFolders, file: string, password?: string): void {
  appendFileSync(
    join(profile, 'conf', 'agent.local.conf'),
    `truststore = conf/security/${file}\n${password === undefined ? '' : `truststore.password = ${password}\n`}`,
  );
}

const withJks = (folders: AgentFolders, root: string): string[] => {
  keytool(
    ...importCertificate({ file: root, store: security(folders, 'truststore.jks'), type: 'JKS', alias: 'by hand' }),
  );
  return [];
};
const withPem = (folders: AgentFolders, root: string): string[] => {
  writeFileSync(security(folders, 'roots.pem'), `# what we trust\n\n${readFileSync(root, 'utf8')}`);
  useTruststore(folders, 'roots.pem');
  return [];
};
const withPkcs12 = (folders: AgentFolders, root: string): string[] => {
  keytool(
    ...importCertificate({
      file: root,
      store: security(folders, 'trust.p12'),
      type: 'PKCS12',
      alias: 'by hand',
      password: 'another one',
    }),
  );
  useTruststore(folders, 'trust.p12', 'another one');
  return [];
};

/** Posts events at each agent and commands to each until it is stopped; then everything has to be there once. */
class Traffic {
  readonly #central: () => CentralProcess;
  readonly #agents: readonly { readonly name: string; readonly process: AgentProcess }[];
  readonly #running: Promise<void>;
  #stopped = false;
  #rounds = 0;

  constructor(
    central: () => CentralProcess,
    agents: readonly { readonly name: string; readonly process: AgentProcess }[],
  ) {
    this.#central = central;
    this.#agents = agents;
    this.#running = this.#run();
    cleanup.add(() => this.#stop());
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#rounds += 1;
      for (const { name, process } of this.#agents) {
        const { status, body } = await process.local('POST', '/api/v1/events', {
          specversion: '1.0',
          id: `${name}-${this.#rounds}`,
          source: `/${name}`,
          type: 'test.event',
        });
        if (status !== 202) throw new Error(`${name}: ${JSON.stringify(body)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async #stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** What was sent and what is there, once as much is there as was sent. */
  async end(): Promise<{ readonly sent: readonly string[]; readonly found: readonly string[] }> {
    await this.#stop();
    const wanted = this.#agents
      .flatMap(({ name }) => Array.from({ length: this.#rounds }, (_, i) => `${name}-${i + 1}`))
      .toSorted();
    let found: string[] = [];
    await until(
      async () => {
        found = (await this.#central().events('&type=test.event')).map(({ event }) => String(event['id']));
        return found.length >= wanted.length ? true : undefined;
      },
      60_000,
      () => `${found.length} of ${wanted.length} events are there`,
    );
    return { sent: wanted, found: found.toSorted() };
  }
}

describe('the rotation of the authority', () => {
  it('goes through its phases with agents of every kind: no one lost, no message lost; truststores follow; restarts in between', async () => {
    const folder = await cleanup.folder();
    let central = await CentralProcess.startOnParameters(cleanup, folder);
    await central.change({ 'websocket.enabled': true });
    const names = ['jks', 'pem', 'pkcs12', 'enrolled', 'plain'];
    const agents = {
      jks: await agentWith(central, 'jks', withJks),
      pem: await agentWith(central, 'pem', withPem),
      pkcs12: await agentWith(central, 'pkcs12', withPkcs12),
      enrolled: await agentWith(central, 'enrolled', () => []),
      plain: await agentWith(central, 'plain', ({ profile }) => {
        appendFileSync(
          join(profile, 'conf', 'agent.local.conf'),
          `central.websocket.secure = false\ncentral.host = 127.0.0.1:${central.ports.ws}\n`,
        );
        return [];
      }),
    };
    for (const name of names) await central.online(name);
    const [oldRoot = ''] = await roots(central);
    const old = hex(oldRoot);
    const traffic = new Traffic(
      () => central,
      Object.entries(agents).map(([name, process]) => ({ name, process })),
    );
    // An agent that waits longer and longer for Central dials as soon as a file of its configuration was touched.
    const allOnline = async (): Promise<void> => {
      for (const [name, { folders }] of Object.entries(agents)) {
        const conf = join(folders.profile, 'conf', 'agent.local.conf');
        utimesSync(conf, new Date(), new Date());
        await central.online(name);
      }
    };
    const commands: string[] = [];
    /** One more command to each agent, taken while Central stops and starts or while the next step runs. */
    const command = async (): Promise<void> => {
      commands.push(`command-${commands.length + 1}`);
      for (const name of names) {
        const { id } = (await central.agent(name)) ?? {};
        const { status } = await central.rest('POST', `/agents/${String(id)}/commands`, {
          specversion: '1.0',
          id: commands.at(-1),
          source: '/central',
          type: 'test.command',
        });
        expect(status).toBe(202);
      }
    };
    const restart = async (): Promise<void> => {
      await command();
      await central.stop();
      central = await CentralProcess.startOnParameters(cleanup, folder);
      await allOnline();
    };

    expect(await queuegate(central, 'ca', 'rotation', 'show')).toMatch(
      /phase +idle, since[\s\S]*trust its root +5 of 5 agents/,
    );
    expect(await central.cli('ca', 'rotation', 'switch')).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('The rotation of the authority is idle since '),
    });
    expect(await rotate(central, 'prepare', '--comment', 'every year')).toContain('The rotation is prepared.');
    const coming = await roleOf(central, 'prepared');
    expect(await stand(central)).toMatchObject({
      phase: 'prepared',
      trust: { registeredCount: 5, acknowledgedCount: 0 },
    });
    expect(await roots(central)).toEqual([oldRoot]);
    await restart();
    expect(await roleOf(central, 'prepared')).toBe(coming);

    const sessionOf = async (name: string): Promise<unknown> =>
      ((await central.online(name))['session'] as { id: string }).id;
    const before = await Promise.all(names.map((name) => sessionOf(name)));
    await rotate(central, 'publish');
    await acknowledgedBy(central, 5);
    expect(await Promise.all(names.map((name) => sessionOf(name)))).toEqual(before);
    const [, newRoot = ''] = await roots(central);
    expect(hex(newRoot)).toBe(coming);
    const profiles = (): Buffer[] => [
      readFileSync(security(agents.jks.folders, 'truststore.jks')),
      readFileSync(security(agents.pkcs12.folders, 'trust.p12')),
      readFileSync(security(agents.pem.folders, 'roots.pem')),
    ];
    const placed = profiles();
    for (const [name, agent] of Object.entries(agents)) expect(givenTo(agent.folders), name).toEqual([old, coming]);
    await restart();
    expect(await stand(central)).toMatchObject({
      phase: 'published',
      trust: { acknowledgedCount: 5, missingCount: 0 },
    });

    expect(await rotate(central, 'switch', '--dry-run')).toContain('Nothing was changed; the rotation is published.');
    await rotate(central, 'switch');
    expect((await central.rest('GET', '/server-certificate')).body.current).toMatchObject({
      origin: 'issued',
      issuerSubject: expect.stringMatching(/OU=\d{4}-/),
    });
    for (const root of [oldRoot, newRoot]) expect(await shownTo(central.ports.wss, root)).toBe('trusted');
    await restart();
    expect(await stand(central)).toMatchObject({
      phase: 'switched',
      generations: [
        { role: 'current', thumbprint: coming },
        { role: 'previous', thumbprint: old },
      ],
    });
    // Who enrolls now has a certificate of the new authority.
    const late = await AgentProcess.enrolled(cleanup, central, 'late');
    await central.online('late');
    const { certificate } = JSON.parse(readFileSync(join(late.folders.data, 'identity.json'), 'utf8')) as {
      certificate: string;
    };
    expect(new X509Certificate(certificate).verify(new X509Certificate(newRoot).publicKey)).toBe(true);

    // Forced: whether agents have renewed their certificates by now is not this test's business.
    await command();
    await rotate(central, 'retire', '--force', '--yes');
    await command();
    expect(await shownTo(central.ports.wss, newRoot)).toBe('trusted');
    expect(await shownTo(central.ports.wss, oldRoot)).not.toBe('trusted');
    expect(await roots(central)).toEqual([newRoot]);
    // What Central gave goes; what a person put into a profile stays, and was never touched.
    for (const agent of Object.values(agents))
      await until(async () => (givenTo(agent.folders).join() === coming ? true : undefined), 60_000);
    expect(profiles()).toEqual(placed);
    await restart();
    expect(await stand(central)).toMatchObject({
      phase: 'retired',
      trust: { registeredCount: 6, acknowledgedCount: 6 },
    });
    await queuegate(central, 'ca', 'delete-key', old, '--yes');
    expect(await stand(central)).toMatchObject({
      phase: 'idle',
      generations: [{ role: 'current', thumbprint: coming }],
    });
    await restart();
    const { sent, found } = await traffic.end();
    expect(found).toEqual(sent);
    expect(sent.length).toBeGreaterThan(100);
    for (const [name, agent] of Object.entries(agents)) {
      const taken = async (): Promise<string[]> =>
        (await agent.local('GET', '/api/v1/commands?limit=100')).body.items.map(
          (one: { command: { id: string } }) => one.command.id,
        );
      await until(async () => ((await taken()).length >= commands.length ? true : undefined));
      expect(await taken(), name).toEqual(commands);
    }
    expect(commands).toHaveLength(7);
    await late.stop();
  }, 180_000);

  it('leads back from each phase, and no one notices', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    const traffic = new Traffic(() => central, [{ name: 'branch-1', process: agent }]);
    const has = async (...thumbprints: string[]): Promise<void> => {
      await until(
        async () => (givenTo(agent.folders).toSorted().join() === thumbprints.toSorted().join() ? true : undefined),
        60_000,
        () => agent.process.stdout,
      );
    };
    const first = await roleOf(central, 'current');

    await rotate(central, 'prepare');
    await rotate(central, 'rollback');
    expect(await stand(central)).toMatchObject({
      phase: 'idle',
      generations: [{ role: 'current', thumbprint: first }],
    });

    await rotate(central, 'prepare');
    await rotate(central, 'publish');
    const next = await roleOf(central, 'next');
    await has(first, next);
    await rotate(central, 'rollback');
    await has(first);
    expect(await stand(central)).toMatchObject({ phase: 'prepared' });
    await rotate(central, 'publish');
    await has(first, next);
    await acknowledgedBy(central, 1);

    await rotate(central, 'switch');
    expect(await roleOf(central, 'current')).toBe(next);
    await rotate(central, 'rollback');
    expect(await stand(central)).toMatchObject({
      phase: 'published',
      generations: [
        { role: 'current', thumbprint: first },
        { role: 'next', thumbprint: next },
      ],
    });
    expect((await central.rest('GET', '/server-certificate')).body.current.rootThumbprint).toBe(first);
    await rotate(central, 'switch');
    await rotate(central, 'retire', '--force', '--yes');
    await has(next);
    await rotate(central, 'rollback');
    await has(first, next);
    expect(await stand(central)).toMatchObject({
      phase: 'switched',
      generations: [
        { role: 'current', thumbprint: next },
        { role: 'previous', thumbprint: first },
      ],
    });
    await rotate(central, 'rollback');
    // Refused until the agent has a certificate of the one that signs again: the other one's, which may just be on its
    // way, would be worth nothing.
    let printed = '';
    await until(
      async () => {
        const { code, stderr } = await central.cli('ca', 'rotation', 'rollback');
        printed = stderr;
        return code === 0 || undefined;
      },
      60_000,
      () => printed,
    );
    expect(await stand(central)).toMatchObject({ phase: 'prepared' });
    await rotate(central, 'rollback');
    expect(await stand(central)).toMatchObject({
      phase: 'idle',
      generations: [{ role: 'current', thumbprint: first }],
    });
    await has(first);
    const { sent, found } = await traffic.end();
    expect(found).toEqual(sent);
    await agent.stop();
    AgentProcess.start(cleanup, agent.folders, 'branch-1');
    await central.online('branch-1');
  }, 160_000);

  it('an agent that was offline through publish and switch comes back, takes the new root, and outlives the retirement', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'sleeper');
    await central.online('sleeper');
    await agent.stop();
    await until(async () => ((await central.agent('sleeper'))?.['state'] === 'disconnected' ? true : undefined));
    await rotate(central, 'prepare');
    await rotate(central, 'publish');
    expect(await central.cli('ca', 'rotation', 'switch')).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('The change would cut off 1 agent: sleeper'),
    });
    expect(await queuegate(central, 'ca', 'rotation', 'show')).toMatch(
      /Do not trust it yet:\n {2}sleeper: Offline since \d{4}-/,
    );
    await rotate(central, 'switch', '--force', '--yes');
    AgentProcess.start(cleanup, agent.folders, 'sleeper');
    await central.online('sleeper');
    await acknowledgedBy(central, 1);
    await rotate(central, 'retire', '--force', '--yes');
    const session = async (): Promise<string> => ((await central.online('sleeper'))['session'] as { id: string }).id;
    const before = await session();
    // It is asked to come back over what Central shows now.
    await central.rest('POST', '/server-certificate/issue?confirmWithinSeconds=30');
    await until(async () => ((await session()) === before ? undefined : true));
  }, 60_000);

  it('names who cannot take it, with the reason of its disk, and takes it once that is fixed', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'locked');
    await central.online('locked');
    const folder = dirname(trustFile(agent.folders.data));
    const before = givenTo(agent.folders);
    renameSync(folder, `${folder}.away`);
    writeFileSync(folder, '');
    await rotate(central, 'prepare');
    await rotate(central, 'publish');
    await until(async () => ((await stand(central)).agents[0]?.reason === 'refused' ? true : undefined));
    expect(await stand(central)).toMatchObject({
      trust: { missingCount: 1 },
      agents: [
        {
          agent: { name: 'locked' },
          detail: expect.stringMatching(/^It refused: .*trust.*\(\w+\)$/),
        },
      ],
    });
    expect(await central.cli('ca', 'rotation', 'switch')).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('locked'),
    });
    expect(agent.process.stdout.match(/What Central is trusted by stays as it is/g)).toHaveLength(1);
    rmSync(folder);
    renameSync(`${folder}.away`, folder);
    expect(givenTo(agent.folders)).toEqual(before);
    await agent.stop();
    AgentProcess.start(cleanup, agent.folders, 'locked');
    await acknowledgedBy(central, 1);
    expect(await rotate(central, 'switch')).toContain('The rotation is switched.');
  }, 60_000);

  it('with commit-confirm goes back by itself when agents do not come back, and signs everything once it is confirmed', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    await rotate(central, 'prepare');
    await rotate(central, 'publish');
    await acknowledgedBy(central, 1);
    const shown = (await central.rest('GET', '/server-certificate')).body.current.thumbprint;
    expect(await rotate(central, 'switch', '--confirm-within', '5s')).toContain('Pending: ');
    expect(await stand(central)).toMatchObject({ phase: 'published', change: { state: 'pending' } });
    expect(await central.cli('ca', 'rotation', 'rollback')).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('change_pending'),
    });
    await until(async () =>
      (await central.rest('GET', '/server-certificate')).body.current.thumbprint === shown ? true : undefined,
    );
    expect(await stand(central)).toMatchObject({ phase: 'published', change: null });

    await rotate(central, 'switch', '--confirm-within', '60s');
    const root = join(await cleanup.folder(), 'root.pem');
    await queuegate(central, 'ca', 'trust-bundle', '--out', root);
    const confirmed = await runNode('central/cli.ts', [
      'changes',
      'confirm',
      '--url',
      `https://localhost:${central.ports.https}`,
      '--ca-file',
      root,
      '--token-file',
      join(central.folder, 'administrator-token'),
    ]);
    expect(confirmed).toMatchObject({ code: 0 });
    expect(await stand(central)).toMatchObject({ phase: 'switched', change: null });
    await central.online('branch-1');
    await agent.stop();
  }, 60_000);

  it('a switch that waits for its confirmation is undone by a start of Central, and nothing else has changed', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.startOnParameters(cleanup, folder);
    const agent = await AgentProcess.enrolled(cleanup, first, 'branch-1');
    await first.online('branch-1');
    await rotate(first, 'prepare');
    await rotate(first, 'publish');
    await acknowledgedBy(first, 1);
    const { body } = await first.rest('GET', '/server-certificate');
    await rotate(first, 'switch', '--confirm-within', '10m');
    expect((await first.rest('GET', '/server-certificate')).body.current.thumbprint).not.toBe(body.current.thumbprint);
    await first.process.stop('SIGKILL');
    const second = await CentralProcess.startOnParameters(cleanup, folder);
    expect((await second.rest('GET', '/server-certificate')).body.current.thumbprint).toBe(body.current.thumbprint);
    expect(await stand(second)).toMatchObject({ phase: 'published', change: null });
    utimesSync(join(agent.folders.profile, 'conf', 'agent.local.conf'), new Date(), new Date());
    await second.online('branch-1');
    expect(await rotate(second, 'switch')).toContain('The rotation is switched.');
  }, 60_000);

  it('an authority of the house comes in through the same phases', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    const bank = makeBank();
    const file = bank.folder.write(
      'ca.pem',
      bank.intermediate.key + bank.intermediate.certificate + bank.root.certificate,
    );
    expect(await rotate(central, 'prepare', '--import', file)).toContain('cannot cross-certify this one');
    await rotate(central, 'publish');
    await acknowledgedBy(central, 1);
    await rotate(central, 'switch');
    expect(await shownTo(central.ports.wss, bank.root.certificate)).toBe('trusted');
    expect((await central.rest('GET', '/server-certificate')).body.current.issuerSubject).toContain('intermediate');
  }, 60_000);

  it('a certificate of another authority that is staged is trusted before it is shown, so that nothing has to be forced', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    const bank = makeBank(['localhost']);
    const { key, certificate } = bank.issue('central');
    const file = bank.folder.write(
      'central.pem',
      key + certificate + bank.intermediate.certificate + bank.root.certificate,
    );
    expect(await central.cli('server-certificate', 'import', file)).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('would_cut_off_agents'),
    });
    await queuegate(central, 'server-certificate', 'import', file, '--stage');
    await until(async () =>
      (await central.cli('server-certificate', 'activate', '--dry-run')).stdout.includes('do not trust it')
        ? undefined
        : true,
    );
    await queuegate(central, 'server-certificate', 'activate');
    expect(givenTo(agent.folders)).toContain(hex(bank.root.certificate));
    await agent.stop();
    await until(async () => ((await central.agent('branch-1'))?.['state'] === 'disconnected' ? true : undefined));
    AgentProcess.start(cleanup, agent.folders, 'branch-1');
    await central.online('branch-1');
  }, 60_000);

  it("profiles on Central's host follow; one that cannot is named, and others are not touched", async () => {
    const profiles = await cleanup.folder();
    const central = await CentralProcess.start(cleanup, await cleanup.folder(), ['--profiles-folder', profiles]);
    const [first = ''] = await roots(central);
    const make = (name: string, conf: string): string => {
      mkdirSync(join(profiles, name, 'conf', 'security'), { recursive: true });
      writeFileSync(join(profiles, name, 'conf', 'agent.conf'), conf);
      return join(profiles, name, 'conf', 'security', 'truststore.jks');
    };
    const rootFile = join(profiles, 'root.pem');
    writeFileSync(rootFile, first);
    const jvm =
      'jetty.jvm.args = -Djavax.net.ssl.trustStore=conf/security/truststore.jks -Djavax.net.ssl.trustStorePassword=secret1\n';
    const [ours, broken, strangers] = [make('ours', jvm), make('broken', jvm), make('strangers', jvm)];
    keytool(...importCertificate({ file: rootFile, store: ours, type: 'JKS', alias: 'central', password: 'secret1' }));
    keytool(
      ...importCertificate({
        file: rootFile,
        store: broken,
        type: 'JKS',
        alias: 'central',
        password: 'other password',
      }),
    );
    const bank = makeBank();
    keytool(
      ...importCertificate({
        file: bank.root.files.certificate,
        store: strangers,
        type: 'JKS',
        alias: 'bank',
        password: 'secret1',
      }),
    );
    const untouched = [readFileSync(broken), readFileSync(strangers)];
    await rotate(central, 'prepare');
    await rotate(central, 'publish');
    const next = await roleOf(central, 'next');
    const list = (): string => keytool('-list', '-v', '-keystore', ours, '-storepass', 'secret1');
    await until(async () => (list().includes(colons(next)) ? true : undefined));
    await until(async () => ((await stand(central)).profiles.length > 0 ? true : undefined));
    expect((await stand(central)).profiles).toMatchObject([
      { profile: 'broken', code: expect.stringMatching(/^keystore_/) },
    ]);
    expect(await queuegate(central, 'ca', 'rotation', 'show')).toContain(
      'The truststore of the profile broken could not be updated',
    );
    await rotate(central, 'switch');
    await rotate(central, 'retire');
    await until(async () => (list().includes('contains 1 entry') ? true : undefined));
    expect(list()).toContain(colons(next));
    expect([readFileSync(broken), readFileSync(strangers)]).toEqual(untouched);
    rmSync(join(profiles, 'broken'), { recursive: true });
  }, 60_000);
});
