// The line in the field: Central is reached through an HTTP proxy with a password (a real Tinyproxy), and over a line
// whose TCP handshake takes longer than Node's own attempts last, while another address of the same name is dead.
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksPeer, nginxWithoutUpgrade } from './false-hosts.ts';
import {
  AgentProcess,
  agentFlags,
  agentFolders,
  CentralProcess,
  Cleanup,
  freePorts,
  ROOT,
  runNode,
  runRecover,
  Running,
  until,
  type AgentFolders,
} from './processes.ts';

const cleanup = new Cleanup();
let central: CentralProcess;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
});
afterAll(() => cleanup.run());

const PASSWORD = 'Zug-nach-Bern7';

async function tinyproxy(): Promise<{ readonly port: number; readonly process: Running; log(): Promise<string> }> {
  const folder = await cleanup.folder();
  const [port = 0] = await freePorts(1);
  const lines = [
    `Port ${port}`,
    'Listen 127.0.0.1',
    'Allow 127.0.0.1',
    `BasicAuth bank ${PASSWORD}`,
    'LogLevel Connect',
    `LogFile "${folder}/log"`,
    'MaxClients 20',
  ];
  await writeFile(join(folder, 'conf'), `${lines.join('\n')}\n`);
  const process_ = new Running('tinyproxy', ['-d', '-c', join(folder, 'conf')]);
  cleanup.add(() => process_.stop());
  await listening(port);
  return { port, process: process_, log: () => readFile(join(folder, 'log'), 'utf8') };
}

async function listening(port: number): Promise<void> {
  await until(
    () =>
      new Promise<true | undefined>((resolve) => {
        const socket = connect({ host: '127.0.0.1', port });
        socket.once('connect', () => resolve(true)).once('error', () => resolve(undefined));
        socket.once('connect', () => socket.destroy());
      }),
  );
}

async function local(folders: AgentFolders, ...lines: readonly string[]): Promise<void> {
  await writeFile(join(folders.profile, 'conf/agent.local.conf'), `${lines.join('\n')}\n`);
}

/** The doctor's last step and its code. */
async function doctor(folders: AgentFolders, name: string): Promise<{ code: number | null; steps: string[] }> {
  const { code, stdout } = await runNode('agent/cli.ts', ['doctor', '--json', ...agentFlags(folders, name)]);
  const { steps } = JSON.parse(stdout) as { steps: { step: string; fault: { code: string } | null }[] };
  return { code, steps: steps.map(({ step, fault }) => (fault === null ? step : `${step} ${fault.code}`)) };
}

describe.skipIf(lacksPeer('tinyproxy'))('an agent whose only way out is an HTTP proxy with a password', () => {
  it('enrolls, is online, is examined and is recovered through it, and the password is nowhere but in its file', async () => {
    const proxy = await tinyproxy();
    const folders = await agentFolders(cleanup);
    const name = 'behind-proxy';
    await writeFile(join(folders.profile, 'proxy-password'), `${PASSWORD}\n`, { mode: 0o600 });
    await local(folders, `central.proxy = http://bank@127.0.0.1:${proxy.port}`);
    const enrollment = await central.enrollment();

    const refused = await runNode('agent/cli.ts', [...enrollment, ...agentFlags(folders, name)]);
    expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('(proxy_login_required)')]);

    await local(
      folders,
      `central.proxy = http://bank@127.0.0.1:${proxy.port}`,
      'central.proxy.passwordFile = proxy-password',
    );
    const enrolled = await runNode('agent/cli.ts', [...enrollment, ...agentFlags(folders, name)]);
    expect([enrolled.code, enrolled.stderr]).toEqual([0, '']);
    expect(await doctor(folders, name)).toMatchObject({
      code: 0,
      steps: expect.arrayContaining(['proxy', 'TLS', 'authentication']),
    });
    const agent = AgentProcess.start(cleanup, folders, name);
    await central.online(name);
    expect(agent.process.stdout).toContain(`"proxy":"127.0.0.1:${proxy.port} (central.proxy)"`);
    expect(await readFile(`/proc/${agent.process.child.pid}/cmdline`, 'utf8')).not.toContain(PASSWORD);
    expect(await proxy.log()).toContain(`CONNECT localhost:${central.ports.wss}`);

    await proxy.process.stop();
    await agent.process.printed(/"code":"proxy_unreachable"/);
    const stopped = await agent.stop();
    expect(await doctor(folders, name)).toMatchObject({
      code: 1,
      steps: expect.arrayContaining(['proxy proxy_unreachable']),
    });

    const other = await tinyproxy();
    await local(
      folders,
      `central.proxy = http://bank@127.0.0.1:${other.port}`,
      'central.proxy.passwordFile = proxy-password',
    );
    const recovered = await runRecover(folders, name, await central.recoveryCode(name));
    expect([recovered.code, recovered.stderr]).toEqual([0, '']);
    expect(await other.log()).toContain(`CONNECT localhost:${central.ports.wss}`);
    for (const { stdout, stderr } of [refused, enrolled, stopped, recovered])
      expect(stdout + stderr).not.toContain(PASSWORD);
  });

  it('finds it in the options of the JVM, and dials directly with central.proxy=none', async () => {
    const proxy = await tinyproxy();
    const agent = await AgentProcess.enrolled(cleanup, central, 'of-the-jvm');
    await central.online('of-the-jvm');
    await agent.stop();
    await local(
      agent.folders,
      `jetty.jvm.args = -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=${proxy.port} -Dhttp.nonProxyHosts=`,
    );
    expect(await doctor(agent.folders, 'of-the-jvm')).toMatchObject({
      code: 1,
      steps: ['configuration', 'identity', 'truststore', 'proxy proxy_login_required'],
    });
    const flags = ['--central-proxy', 'none'];
    const again = AgentProcess.start(cleanup, agent.folders, 'of-the-jvm', flags);
    await central.online('of-the-jvm');
    await again.stop();
  });
});

describe.skipIf(lacksPeer('nginx'))('a reverse proxy in front of Central', () => {
  it('that drops Upgrade, or has no Central behind it, is named as that by daemon and doctor, and dialed again', async () => {
    const agent = await AgentProcess.enrolled(cleanup, central, 'behind-nginx');
    await central.online('behind-nginx');
    await agent.stop();
    const [nothing = 0] = await freePorts(1);
    for (const [behind, code] of [
      [central.ports.ws, 'proxy_drops_upgrade'],
      [nothing, 'proxy_gateway_failed'],
    ] as const) {
      const port = await nginxWithoutUpgrade(cleanup, behind);
      await local(agent.folders, 'central.websocket.secure = false', `central.hosts = 127.0.0.1:${port}`);
      const { code: exit, steps } = await doctor(agent.folders, 'behind-nginx');
      expect([exit, steps.at(-1)]).toEqual([1, `protocol ${code}`]);
      const started = AgentProcess.start(cleanup, agent.folders, 'behind-nginx');
      const [line] = await started.process.printed(/.*"retryInSeconds".*/);
      expect(JSON.parse(line)).toMatchObject({ code, agent: 'behind-nginx' });
      await started.stop();
    }
  });
});

/** A name with two addresses in a hosts file of its own needs a mount namespace. */
const lacksNamespaces = lacksPeer('unshare') || process.getuid?.() !== 0;
if (lacksNamespaces) console.warn('SKIPPED: the slow line needs root, for a hosts file of its own.');

describe.skipIf(lacksNamespaces)(
  'a line whose TCP handshake takes a second, to a name with a dead second address',
  () => {
    it('connects at the first dial, and says nothing of a failure', async () => {
      const agent = await AgentProcess.enrolled(cleanup, central, 'satellite');
      await central.online('satellite');
      await agent.stop();
      const [port = 0] = await freePorts(1);
      // Queues that are full let the kernel drop each first packet, which is sent once more a second later.
      const [slow, dead] = [await fullQueue('127.0.0.3', port), await fullQueue('127.0.0.2', port)];
      dead.child.kill('SIGSTOP');
      const hosts = join(await cleanup.folder(), 'hosts');
      await writeFile(hosts, '127.0.0.1 localhost\n127.0.0.3 central.test\n127.0.0.2 central.test\n');
      await local(agent.folders, `central.hosts = central.test:${port}`);
      await central.change({ 'certificate.subjectAlternativeNames': ['central.test'] });
      const started = new Running('unshare', [
        '--mount',
        'sh',
        '-c',
        'mount --bind "$0" /etc/hosts && exec "$@"',
        hosts,
        process.execPath,
        join(ROOT, 'agent/cli.ts'),
        'start',
        ...agentFlags(agent.folders, 'satellite'),
      ]);
      cleanup.add(() => started.stop());
      await started.printed(/queue agent started/);
      await until(async () => ((await waitingAt(port)) ? true : undefined));
      slow.child.kill('SIGCONT');
      await started.printed(/"msg":"online"/);
      expect(started.stdout).toContain(`"url":"wss://central.test:${port}"`);
      expect(started.stdout).not.toContain('"level":40');
    });
  },
);

/** A relay to Central, stopped with a full queue of connections: what comes now waits until it goes on. */
async function fullQueue(host: string, port: number): Promise<Running> {
  const relay = new Running(process.execPath, [
    join(ROOT, 'test/flow/slow-relay.ts'),
    host,
    String(port),
    String(central.ports.wss),
  ]);
  cleanup.add(async () => {
    relay.child.kill('SIGCONT');
    await relay.stop();
  });
  await relay.printed(/listening/);
  relay.child.kill('SIGSTOP');
  for (let i = 0; i < 4; i += 1) {
    const filler = connect({ host, port });
    filler.on('error', () => undefined);
    cleanup.add(() => filler.destroy());
  }
  return relay;
}

/** True when a connection to this port has sent its first packet and got no answer. */
async function waitingAt(port: number): Promise<boolean> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((row) => row.trim().split(/\s+/));
  return rows.some(([, , remote, state]) => remote?.endsWith(wanted) === true && state === '02');
}
