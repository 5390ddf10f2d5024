// The packages as a user installs them: in a minimal Debian without Node.js, from apt-get to purge, with an agent that enrolls at a Central
// of this machine, messages both ways, and an update of its software that fails. systemd does not run there; its units are verified, and
// their ExecStart lines run under their accounts.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { manifestDigest, parseManifest } from '../../shared/releases/manifest.ts';
import { VERSION } from '../../shared/version.ts';
import { CentralProcess, Cleanup, run, runNode, until, type Running } from '../flow/processes.ts';
import { MinimalRoot, obstacle } from './minimal-root.ts';

/** apt-get and debootstrap fetch from a mirror, and Node.js is compressed three times. */
const PREPARE_MS = 1_200_000;
const STEP_MS = 300_000;
const AGENT_DEB = `queue-agent_${VERSION}_amd64.deb`;
const CENTRAL_DEB = `queuegate-central_${VERSION}_amd64.deb`;
const AGENT_DATA = ['/var/lib/queue-agent', '/var/lib/queue-agent-software', '/var/lib/queue-agent-runner'];

const reason = await obstacle();
const cleanup = new Cleanup();
let dist: string;
let root: MinimalRoot;
let agent: Running;

async function made(...args: string[]): Promise<string> {
  const folder = await cleanup.folder();
  const built = await runNode('deploy/make.ts', ['--out', folder, ...args], { SOURCE_DATE_EPOCH: '1767225600' });
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
const mode = (path: string): string => (statSync(root.path(path)).mode & 0o7777).toString(8);

describe.skipIf(reason !== undefined)(`installed packages${reason === undefined ? '' : ` (${reason})`}`, () => {
  beforeAll(async () => {
    dist = await made();
    root = await MinimalRoot.make(cleanup);
    for (const file of [AGENT_DEB, CENTRAL_DEB]) cpSync(join(dist, file), root.path(`/tmp/${file}`));
    await root.print('apt-get', 'update', '-qq');
  }, PREPARE_MS);
  afterAll(() => cleanup.run(), STEP_MS);

  it('are the same bytes when they are built again, and as small as they should be', { timeout: STEP_MS }, async () => {
    const again = await made('--only', 'queue-agent');
    const names = readdirSync(again).filter((name) => name !== 'SHA256SUMS');
    const sum = (folder: string, name: string): string =>
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex');
    expect(names.map((name) => sum(again, name))).toEqual(names.map((name) => sum(dist, name)));
    for (const deb of [AGENT_DEB, CENTRAL_DEB]) expect(statSync(join(dist, deb)).size).toBeLessThanOrEqual(42_000_000);
    // What an agent downloads that has another version of the program: each file, compressed.
    const release = await unpacked(`queue-agent-program-${VERSION}.qgs`);
    const blobs = readdirSync(join(release, 'blobs')).map((name) => readFileSync(join(release, 'blobs', name)));
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

  it('return to the software before when an update does not start', { timeout: STEP_MS }, async () => {
    const release = await unpacked(`queue-agent-program-${VERSION}.qgs`);
    const text = readFileSync(join(release, 'manifest.json'), 'utf8');
    const digest = manifestDigest(text);
    const broken = 'b'.repeat(64);
    for (const slot of [digest, broken])
      for (const { path, sha256 } of parseManifest(text).files) {
        const target = root.path(`/var/lib/queue-agent-software/slots/${slot}/${path}`);
        mkdirSync(join(target, '..'), { recursive: true });
        cpSync(join(release, 'blobs', sha256), target);
      }
    writeFileSync(
      root.path(`/var/lib/queue-agent-software/slots/${broken}/agent/cli.js`),
      'throw new Error("broken");\n',
    );
    const state = (name: string): string => root.path(`/var/lib/queue-agent-software/state/${name}`);
    await agent.stop();
    writeFileSync(state('candidate'), `${digest} factory 300\n`);
    agent = root.startUnit(cleanup, 'queue-agent.service');
    await online();
    expect(slotOf(agent)).toBe(`candidate ${digest} factory`);
    // What the agent does after 60 s: commits.
    writeFileSync(state('current'), `${digest} factory\n`);
    rmSync(state('candidate'));
    await agent.stop();
    writeFileSync(state('candidate'), `${broken} factory 300\n`);
    for (let attempt = 1; attempt <= 3; attempt++) {
      const failed = await root.startUnit(cleanup, 'queue-agent.service').ended();
      expect([failed.code, failed.stderr]).toEqual([1, expect.stringContaining('broken')]);
    }
    agent = root.startUnit(cleanup, 'queue-agent.service');
    await online();
    expect(slotOf(agent)).toBe(`current ${digest} factory`);
    expect(readFileSync(state('verdict'), 'utf8')).toBe(`${broken} factory tries_exhausted\n`);
    await agent.stop();
  });

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

async function unpacked(release: string): Promise<string> {
  const folder = await cleanup.folder();
  const { code } = await run('tar', ['-xf', join(dist, release), '-C', folder]);
  expect(code).toBe(0);
  return folder;
}
