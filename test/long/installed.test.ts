// The packages as a user installs them: in a minimal Debian without Node.js, from apt-get to purge, with an agent that enrolls at a Central
// of this machine, messages both ways, and updates of its software. systemd does not run there; its units are verified, and
// their ExecStart lines run under their accounts.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signManifest } from '../../shared/releases/build-signature.ts';
import { manifestDigest, parseManifest } from '../../shared/releases/manifest.ts';
import { VERSION } from '../../shared/version.ts';
import { CentralProcess, Cleanup, run, runNode, until, type Running } from '../flow/processes.ts';
import { branch, cleanup as acts, FalseCentral, release, type Release } from '../agent/releases/central.ts';
import { MinimalRoot, obstacle } from './minimal-root.ts';

/** apt-get and debootstrap fetch from a mirror, and Node.js is compressed three times. */
const PREPARE_MS = 1_200_000;
const STEP_MS = 300_000;
const AGENT_DEB = `queue-agent_${VERSION}_amd64.deb`;
const CENTRAL_DEB = `queuegate-central_${VERSION}_amd64.deb`;
const AGENT_DATA = ['/var/lib/queue-agent', '/var/lib/queue-agent-software', '/var/lib/queue-agent-runner'];

const reason = await obstacle();
const cleanup = new Cleanup();
const { privateKey: buildKey } = generateKeyPairSync('ed25519');
const sha256Of = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
let dist: string;
let root: MinimalRoot;
let agent: Running;

async function made(...args: string[]): Promise<string> {
  const folder = await cleanup.folder();
  const key = join(await cleanup.folder(), 'build-key.pem');
  writeFileSync(key, buildKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  const built = await runNode('deploy/make.ts', ['--out', folder, '--key', key, ...args], {
    SOURCE_DATE_EPOCH: '1767225600',
  });
  expect([built.code, built.stderr]).toEqual([0, '']);
  return folder;
}

/** A request to the local API over its socket, as a program of the group would send it. */
async function local(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const { token } = JSON.parse(readFileSync(root.path('/var/lib/queue-agent/data/local-api.json'), 'utf8')) as {
    token: string;
  };
  return await new Promise((resolve, reject) => {
    const sent = request(
      {
        socketPath: root.path('/run/queue-agent/local-api.sock'),
        method,
        path: `/api/v1${path}`,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const online = async (): Promise<true> =>
  await until(async () => ((await root.run('queue-agent', 'status')).code === 0 ? true : undefined));
const slotOf = (running: Running): string =>
  /QUEUE_AGENT_SLOT=([^\0]*)/.exec(readFileSync(`/proc/${running.child.pid}/environ`, 'utf8'))?.[1] ?? '';
const processesOf = (account: string): number =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] === account;
    } catch {
      return false; // It has just ended.
    }
  }).length;
const mode = (path: string): string => (statSync(root.path(path)).mode & 0o7777).toString(8);

describe.skipIf(reason !== undefined)(`installed packages${reason === undefined ? '' : ` (${reason})`}`, () => {
  beforeAll(async () => {
    dist = await made();
    root = await MinimalRoot.make(cleanup);
    for (const file of [AGENT_DEB, CENTRAL_DEB]) cpSync(join(dist, file), root.path(`/tmp/${file}`));
    await root.print('apt-get', 'update', '-qq');
  }, PREPARE_MS);
  afterAll(async () => {
    await cleanup.run();
    for (const act of acts.splice(0).toReversed()) await act();
  }, STEP_MS);

  it('are the same bytes when they are built again, and as small as they should be', { timeout: STEP_MS }, async () => {
    const again = await made('--only', 'queue-agent');
    const names = readdirSync(again).filter((name) => !name.startsWith('SHA256SUMS'));
    const sum = (folder: string, name: string): string =>
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex');
    expect(names.map((name) => sum(again, name))).toEqual(names.map((name) => sum(dist, name)));
    for (const deb of [AGENT_DEB, CENTRAL_DEB]) expect(statSync(join(dist, deb)).size).toBeLessThanOrEqual(42_000_000);
    // What an agent downloads that has another version of the program: each file, compressed.
    const archive = await unpacked(`queue-agent-program-${VERSION}.qgs`);
    const blobs = readdirSync(join(archive, 'blobs')).map((name) => readFileSync(join(archive, 'blobs', name)));
    const bytes = blobs.reduce((sum_, blob) => sum_ + zstdCompressSync(blob).length, 0);
    expect(bytes).toBeLessThanOrEqual(500_000);
    expect((await run('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: dist })).code).toBe(0);
  });

  it(
    'install with what a minimal system lacks, with accounts and folders of their own, and no service is touched',
    { timeout: STEP_MS },
    async () => {
      expect((await root.run('sh', '-c', 'command -v node; dpkg -s libatomic1 2>/dev/null')).stdout).toBe('');
      const installed = await root.run(
        'apt-get',
        'install',
        '-y',
        '-qq',
        '--no-install-recommends',
        `/tmp/${AGENT_DEB}`,
      );
      expect(installed.stdout).toContain('Enroll it: queue-agent enroll https://');
      expect(installed.code).toBe(0);
      expect(await root.print('queue-agent', 'version')).toBe(`${VERSION}\n`);
      expect(
        [...AGENT_DATA, '/run/queue-agent', '/usr/lib/queue-agent/launch'].map((path) => `${mode(path)} ${path}`),
      ).toEqual([
        '700 /var/lib/queue-agent',
        '755 /var/lib/queue-agent-software',
        '700 /var/lib/queue-agent-runner',
        '710 /run/queue-agent',
        '755 /usr/lib/queue-agent/launch',
      ]);
      const owners = await root.print(
        'stat',
        '-c',
        '%U:%G',
        ...AGENT_DATA,
        '/run/queue-agent',
        '/usr/lib/queue-agent/launch',
      );
      expect(owners.trim().split('\n')).toEqual([
        'queue-agent:queue-agent',
        'queue-agent:queue-agent',
        'queue-agent-runner:queue-agent-runner',
        'queue-agent:queue-agent-link',
        'root:root',
      ]);
      expect(root.has('/etc/systemd/system/multi-user.target.wants')).toBe(true);
    },
  );

  it('have units that systemd accepts and calls well protected', { timeout: STEP_MS }, async () => {
    await root.print(
      'apt-get',
      'install',
      '-y',
      '-qq',
      '--no-install-recommends',
      `/tmp/${AGENT_DEB}`,
      `/tmp/${CENTRAL_DEB}`,
    );
    const units = [
      'queue-agent.service',
      'queuegate-central.service',
      'queuegate-backup.service',
      'queuegate-backup.timer',
    ];
    // A root for the check: the units of this package with what they order themselves behind.
    for (const name of readdirSync('/lib/systemd/system').filter((one) => /\.(?:target|slice)$/.test(one)))
      if (!root.has(`/lib/systemd/system/${name}`))
        writeFileSync(root.path(`/lib/systemd/system/${name}`), readFileSync(join('/lib/systemd/system', name)));
    for (const unit of units) {
      const verified = await run('systemd-analyze', ['verify', '--man=no', `--root=${root.folder}`, unit]);
      expect([unit, verified.code, verified.stderr]).toEqual([unit, 0, '']);
    }
    for (const unit of units.filter((one) => one.endsWith('.service'))) {
      const file = root.path(`/lib/systemd/system/${unit}`);
      // 15 means an exposure of 1.5 of 10.
      const security = await run('systemd-analyze', [
        'security',
        '--offline=true',
        '--threshold=15',
        '--no-pager',
        file,
      ]);
      expect([unit, security.code]).toEqual([unit, 0]);
      process.stderr.write(security.stdout.split('\n').findLast((line) => line.includes('exposure')) ?? '');
      process.stderr.write('\n');
    }
  });

  it(
    'run an agent that enrolls with the printed line, and carries messages both ways',
    { timeout: STEP_MS },
    async () => {
      const central = await CentralProcess.start(cleanup, await cleanup.folder());
      writeFileSync(
        root.path('/etc/default/queue-agent'),
        'QUEUE_AGENT_LOCAL_API_PORT=0\nQUEUE_AGENT_AGENT_NAME=branch-0042\n',
      );
      agent = root.startUnit(cleanup, 'queue-agent.service');
      await agent.printed(/not_enrolled/);
      const [, url = '', file = '', pin = ''] =
        /enroll (\S+) --token-file (\S+) --pin (\S+)/.exec(central.process.stdout) ?? [];
      // As root copies it to the machine: for root alone.
      writeFileSync(root.path('/root/token'), readFileSync(file), { mode: 0o600 });
      const enrolled = await root.run(
        'queue-agent',
        'enroll',
        url,
        '--token-file',
        '/root/token',
        '--pin',
        pin,
        '--agent-name',
        'branch-0042',
      );
      expect([enrolled.code, enrolled.stderr]).toEqual([0, '']);
      await central.online('branch-0042');
      await online();
      expect((await local('POST', '/events', { type: 'ticket.issued', data: { number: 'A001' } })).status).toBe(202);
      await until(async () => ((await central.events()).length === 1 ? true : undefined));
      const sent = await central.rest('POST', '/agents/branch-0042/commands', {
        type: 'display.show',
        data: { text: 'A001' },
      });
      expect(sent.status).toBe(202);
      const taken = await local('GET', '/commands?waitSeconds=30');
      expect(taken.body).toMatchObject({ items: [{ command: { type: 'display.show', data: { text: 'A001' } } }] });
      const status = readFileSync(`/proc/${agent.child.pid}/status`, 'utf8');
      const account = (await root.print('id', '-u', 'queue-agent')).trim();
      expect(/^Uid:\t(\d+)/m.exec(status)?.[1]).toBe(account);
      expect(/^CapBnd:\t0+$/m.test(status)).toBe(true);
      const resident = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
      process.stderr.write(`The agent has ${resident.toFixed(1)} MiB resident.\n`);
      // The bar is 78 (docs/INSTALL.md); V8 decides the rest. A bundle that loads everything at its start needs more than this.
      expect(resident).toBeLessThan(100);
    },
  );

  it(
    'update the software by instructions of Central, return to the one before, and leave what does not start',
    { timeout: STEP_MS },
    async () => {
      await agent.stop();
      const central = await new FalseCentral().listen();
      const made = await branch({
        'conf/agent.conf': `central.host=127.0.0.1\ncentral.websocket.secure=false\ncentral.websocket.port=${central.port}\n`,
      });
      // Beside the folders of the agent that is enrolled.
      const own = '/var/lib/queue-agent/update';
      for (const [name, folder] of Object.entries(made))
        cpSync(folder, root.path(`${own}/${name}`), { recursive: true });
      await root.print('chown', '-R', 'queue-agent:queue-agent', own);
      const before = readFileSync(root.path('/etc/default/queue-agent'), 'utf8');
      writeFileSync(
        root.path('/etc/default/queue-agent'),
        `${before}QUEUE_AGENT_PROFILE=${own}/profile\nQUEUE_AGENT_DATA_FOLDER=${own}/data\n`,
      );
      const service = serve();
      const entries = (cli?: string): Record<string, Buffer> => ({
        ...built,
        ...(cli === undefined ? {} : { 'agent/cli.js': Buffer.from(cli) }),
      });
      const archive = await unpacked(`queue-agent-program-${VERSION}.qgs`);
      const text = readFileSync(join(archive, 'manifest.json'), 'utf8');
      const built = Object.fromEntries(
        parseManifest(text).files.map(
          ({ path, sha256 }) => [path, readFileSync(join(archive, 'blobs', sha256))] as const,
        ),
      );
      const blobs = new Map(Object.values(built).map((content) => [sha256Of(content), content] as const));
      // As it was built and signed.
      const first = central.add({
        digest: manifestDigest(text),
        text,
        blobs,
        signature: readFileSync(join(archive, 'signature.json'), 'utf8'),
      });
      const second = central.add(programOf(entries(`${String(built['agent/cli.js'])}// The next version.\n`)));
      const broken = central.add(programOf(entries('throw new Error("broken");\n')));
      const upgrade = async (generation: number, digest: string, state: 'succeeded' | 'rolled-back') => {
        await until(() => (central.isOnline ? true : undefined));
        central.requests.length = 0;
        central.offer({ kind: 'software', release: digest, generation });
        return await central.stateOf(generation, state);
      };
      const current = (): string => readFileSync(root.path('/var/lib/queue-agent-software/state/current'), 'utf8');
      // The files are those of the package.
      expect(await upgrade(1, first, 'succeeded')).toMatchObject({ code: '' });
      expect(central.requests.filter(({ path }) => path.startsWith('/blobs/'))).toEqual([]);
      expect(current()).toBe(`${first} factory\n`);
      expect(await upgrade(2, second, 'succeeded')).toMatchObject({ code: '' });
      expect(central.requests.filter(({ path }) => path.startsWith('/blobs/'))).toHaveLength(1);
      expect(mode(`/var/lib/queue-agent-software/slots/${second}/agent/cli.js`)).toBe('644');
      expect(slotOf(agent)).toBe(`candidate ${second} factory`);
      // Other accounts run it too.
      expect(await root.print('queue-agent', 'version')).toBe(`${VERSION}\n`);
      expect(await upgrade(3, broken, 'rolled-back')).toMatchObject({ code: 'tries_exhausted' });
      expect(slotOf(agent)).toBe(`current ${second} factory`);
      expect(await upgrade(4, first, 'succeeded')).toMatchObject({ code: '' });
      expect(central.requests).toEqual([]);
      expect(current()).toBe(`${first} factory\n`);
      await service.stop();
      writeFileSync(root.path('/etc/default/queue-agent'), before);
      await root.print('rm', '-r', own);
    },
  );

  it(
    'keep key, messages and profile when the agent is removed, and nothing when it is purged',
    { timeout: STEP_MS },
    async () => {
      await root.print('apt-get', 'remove', '-y', '-qq', 'queue-agent');
      expect(root.has('/usr/bin/queue-agent')).toBe(false);
      expect(root.has('/var/lib/queue-agent/data/identity.json')).toBe(true);
      await root.print('apt-get', 'install', '-y', '-qq', `/tmp/${AGENT_DEB}`);
      agent = root.startUnit(cleanup, 'queue-agent.service');
      await online();
      // The package that was just installed counts.
      expect(slotOf(agent)).toBe('current factory factory');
      await agent.stop();
      // systemd ends the whole service; here the watch over the trial before ends by itself, within seconds. Until then userdel refuses.
      const account = (await root.print('id', '-u', 'queue-agent')).trim();
      await until(() => (processesOf(account) === 0 ? true : undefined));
      await root.print('apt-get', 'purge', '-y', '-qq', 'queue-agent');
      const left = [
        ...AGENT_DATA,
        '/run/queue-agent',
        '/etc/default/queue-agent',
        '/usr/lib/queue-agent',
        '/usr/share/doc/queue-agent',
      ];
      expect(left.filter((path) => root.has(path))).toEqual([]);
      expect(readFileSync(root.path('/etc/passwd'), 'utf8')).not.toContain('queue-agent');
    },
  );

  it(
    'run Central with its agent, back it up every night, and keep the backups when it is purged',
    { timeout: STEP_MS },
    async () => {
      const ports = ['WEBSOCKET', 'WEBSOCKET_SECURE', 'HTTPS', 'HTTP']
        .map((name) => `QUEUEGATE_${name}_PORT=0\n`)
        .join('');
      writeFileSync(root.path('/etc/default/queuegate-central'), `${ports}QUEUE_AGENT_LOCAL_API_PORT=0\n`);
      const central = root.startUnit(cleanup, 'queuegate-central.service');
      await central.printed(/"msg":"agent online"/);
      expect(central.stdout).toContain('queuegate enrollment-tokens create\n');
      expect(await root.print('queuegate', 'agents', 'list')).toMatch(/central-agent .*online/);
      writeFileSync(root.path('/etc/queuegate/backup-password'), 'correct horse battery staple\n', { mode: 0o600 });
      const backup = await root.startUnit(cleanup, 'queuegate-backup.service').ended();
      expect([backup.code, backup.stderr]).toEqual([0, '']);
      await central.stop();
      await root.print('apt-get', 'remove', '-y', '-qq', 'queuegate-central');
      expect(root.has('/var/lib/queuegate/central/central.db')).toBe(true);
      await root.print('apt-get', 'purge', '-y', '-qq', 'queuegate-central');
      expect(
        ['/var/lib/queuegate', '/etc/queuegate', '/usr/lib/queuegate-central'].filter((path) => root.has(path)),
      ).toEqual([]);
      expect(readdirSync(root.path('/var/backups/queuegate'))).toEqual([
        expect.stringMatching(/^central-\d{8}T\d{6}Z\.qgbackup$/),
      ]);
    },
  );

  it('run from a tar archive in any folder', { timeout: STEP_MS }, async () => {
    for (const [name, command, words] of [
      ['queue-agent', 'queue-agent', ['version']],
      ['queuegate-central', 'queuegate', ['--version']],
    ] as const) {
      await run('tar', ['-xzf', join(dist, `${name}-${VERSION}-linux-x64.tar.gz`), '-C', root.path('/opt')]);
      expect(await root.print(`/opt/${name}-${VERSION}-linux-x64/bin/${command}`, ...words)).toBe(`${VERSION}\n`);
    }
  });
});

/** Starts the agent again each time it ends, as systemd would. */
function serve(): { stop(): Promise<void> } {
  let isStopped = false;
  const served = (async () => {
    while (!isStopped) {
      agent = root.startUnit(cleanup, 'queue-agent.service');
      await agent.ended();
    }
  })();
  return {
    async stop() {
      isStopped = true;
      await agent.stop();
      await served;
    },
  };
}

/** A release of the program, signed by the key of the build. */
function programOf(files: Readonly<Record<string, Buffer>>): Release {
  const signed = release(files, { kind: 'software', name: `queue-agent-program-${VERSION}` });
  return { ...signed, signature: JSON.stringify(signManifest(signed.text, buildKey, 'build')) };
}

async function unpacked(name: string): Promise<string> {
  const folder = await cleanup.folder();
  const { code } = await run('tar', ['-xf', join(dist, name), '-C', folder]);
  expect(code).toBe(0);
  return folder;
}
