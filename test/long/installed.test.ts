// The packages as a user installs them: in a minimal Debian without Node.js, from apt-get to purge, with the installed
// Central, an agent that enrolls at it, messages both ways, and rollouts of the agent's software and their rollback.
// systemd does not run there; its units are verified, and their ExecStart lines run under their accounts.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { appendFileSync, cpSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMPRESSION } from '../../central/profiles/downloads/compressed.ts';
import { softwareRelease } from '../../deploy/packages.ts';
import { parseManifest } from '../../shared/releases/manifest.ts';
import { VERSION } from '../../shared/version.ts';
import { Cleanup, run, runNode, until, type Running } from '../flow/processes.ts';
import { MinimalRoot, obstacle } from './minimal-root.ts';

/** apt-get and debootstrap fetch from a mirror, and Node.js is compressed three times. */
const PREPARE_MS = 1_200_000;
const STEP_MS = 300_000;
const AGENT_DEB = `queue-agent_${VERSION}_amd64.deb`;
const CENTRAL_DEB = `queuegate-central_${VERSION}_amd64.deb`;
const NAME = 'branch-0042';
const AGENT_DATA = ['/var/lib/queue-agent', '/var/lib/queue-agent-software', '/var/lib/queue-agent-runner'];

const reason = await obstacle();
const cleanup = new Cleanup();
const { privateKey: buildKey } = generateKeyPairSync('ed25519');
let dist: string;
let root: MinimalRoot;
let central: Running;
let agent: Running;
let runner: Running;

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

/** A command of the administrator on that machine. */
const queuegate = async (line: string): Promise<string> => await root.print('queuegate', ...line.split(' '));
const queuegateJson = async (line: string): Promise<Record<string, unknown>> =>
  JSON.parse(await queuegate(`${line} --json`)) as Record<string, unknown>;
/** The rollout as it is shown at its end; one that halted ends the command with 1. */
const settled = async (rollout: string): Promise<string> =>
  (await root.run('queuegate', 'rollouts', 'show', rollout, '--wait=4m')).stdout;
const online = async (): Promise<true> =>
  await until(async () => ((await root.run('queue-agent', 'status')).code === 0 ? true : undefined));
const slotOf = (running: Running): string =>
  /QUEUE_AGENT_SLOT=([^\0]*)/.exec(readFileSync(`/proc/${running.child.pid}/environ`, 'utf8'))?.[1] ?? '';
/** Processes of an account of that machine; another one may have the same number. */
const processesOf = (account: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      if (!/^\d+$/.test(pid) || readlinkSync(`/proc/${pid}/root`) !== root.folder) return false;
      return /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] === account;
    } catch {
      return false; // It has just ended.
    }
  });
const mode = (path: string): string => (statSync(root.path(path)).mode & 0o7777).toString(8);

describe.skipIf(reason !== undefined)(`installed packages${reason === undefined ? '' : ` (${reason})`}`, () => {
  beforeAll(async () => {
    [dist, root] = await Promise.all([made(), MinimalRoot.make(cleanup)]);
    for (const file of [AGENT_DEB, CENTRAL_DEB]) cpSync(join(dist, file), root.path(`/tmp/${file}`));
    await root.print('apt-get', 'update', '-qq');
  }, PREPARE_MS);
  afterAll(() => cleanup.run(), STEP_MS);

  it('are the same bytes when they are built again, and as small as they should be', { timeout: STEP_MS }, async () => {
    const again = await made('--only', 'queue-agent');
    const names = readdirSync(again).filter((name) => !name.startsWith('SHA256SUMS'));
    const sum = (folder: string, name: string): string =>
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex');
    expect(names.map((name) => sum(again, name))).toEqual(names.map((name) => sum(dist, name)));
    for (const deb of [AGENT_DEB, CENTRAL_DEB]) expect(statSync(join(dist, deb)).size).toBeLessThanOrEqual(42_000_000);
    // What an agent downloads that has another version of the program: each file, compressed as Central does it.
    const archive = await unpacked(`queue-agent-program-${VERSION}.qgs`);
    const blobs = readdirSync(join(archive, 'blobs')).map((name) => readFileSync(join(archive, 'blobs', name)));
    const bytes = blobs.reduce((sum_, blob) => sum_ + zstdCompressSync(blob, { params: COMPRESSION }).length, 0);
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
        '750 /var/lib/queue-agent-runner',
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
      'queue-agent-runner.service',
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
    // The programs of tasks run in the unit of the runner, with what their account may do.
    for (const unit of units.filter((one) => one.endsWith('.service') && !one.includes('runner'))) {
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
    'run Central with its agent, and an agent that enrolls at it with the printed line; messages go both ways',
    { timeout: STEP_MS },
    async () => {
      const ports = ['WEBSOCKET', 'WEBSOCKET_SECURE', 'HTTPS', 'HTTP']
        .map((name) => `QUEUEGATE_${name}_PORT=0\n`)
        .join('');
      writeFileSync(
        root.path('/etc/default/queuegate-central'),
        `${ports}QUEUEGATE_ADVERTISED_NAMES=localhost\nQUEUE_AGENT_LOCAL_API_PORT=0\n`,
      );
      central = root.startUnit(cleanup, 'queuegate-central.service');
      await central.printed(/"msg":"agent online"/);
      expect(central.stdout).toContain('queuegate enrollment-tokens create\n');
      expect(await queuegate('agents list')).toMatch(/central-agent .*online/);
      writeFileSync(
        root.path('/etc/default/queue-agent'),
        `QUEUE_AGENT_LOCAL_API_PORT=0\nQUEUE_AGENT_AGENT_NAME=${NAME}\n`,
      );
      runner = root.startUnit(cleanup, 'queue-agent-runner.service');
      agent = root.startUnit(cleanup, 'queue-agent.service');
      await agent.printed(/not_enrolled/);
      const { commandLine } = await queuegateJson('enrollment-tokens create');
      const enrolled = await root.run(...String(commandLine).split(' '), '--agent-name', NAME);
      expect([enrolled.code, enrolled.stderr]).toEqual([0, '']);
      await online();
      expect((await local('POST', '/events', { type: 'ticket.issued', data: { number: 'A001' } })).status).toBe(202);
      await until(async () => ((await queuegate('events list')).includes('ticket.issued') ? true : undefined));
      await queuegate(`commands send ${NAME} --type display.show --data {"text":"A001"}`);
      const taken = await local('GET', '/commands?waitSeconds=30');
      expect(taken.body).toMatchObject({ items: [{ command: { type: 'display.show', data: { text: 'A001' } } }] });
      const status = readFileSync(`/proc/${agent.child.pid}/status`, 'utf8');
      const account = (await root.print('id', '-u', 'queue-agent')).trim();
      expect(/^Uid:\t(\d+)/m.exec(status)?.[1]).toBe(account);
      expect(/^CapBnd:\t0+$/m.test(status)).toBe(true);
      const resident = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
      process.stderr.write(`The agent has ${resident.toFixed(1)} MiB resident.\n`);
      // docs/INSTALL.md.
      expect(resident).toBeLessThan(78);
    },
  );

  it(
    'run tasks under an account of their own, which cannot read the key of the agent',
    { timeout: STEP_MS },
    async () => {
      const script = 'id -un; cat /var/lib/queue-agent/data/identity.json 2>/dev/null || echo closed';
      appendFileSync(
        root.path('/var/lib/queue-agent/profiles/default/conf/agent.conf'),
        `\ntask.who.command=/bin/sh\ntask.who.arguments=fixed\ntask.who.fixedArguments=${JSON.stringify(['-c', script])}\n`,
      );
      agent.child.kill('SIGHUP');
      await until(async () =>
        (await queuegate(`agents handlers ${NAME}`)).match(/who/) &&
        (await root.print('queue-agent', 'status')).match(/two/)
          ? true
          : undefined,
      );
      await queuegate(`tasks run ${NAME} who --wait`);
      expect(await queuegate('tasks output t-1')).toBe('queue-agent-runner\nclosed\n');
      expect(await queuegateJson(`agents handlers ${NAME}`)).toMatchObject({ items: [{ accounts: 'two' }] });
    },
  );

  it(
    'update the software by rollouts of that Central, leave what does not start, and roll back',
    { timeout: STEP_MS },
    async () => {
      await agent.stop();
      const service = serve();
      await online();
      const archive = await unpacked(`queue-agent-program-${VERSION}.qgs`);
      const { files } = parseManifest(readFileSync(join(archive, 'manifest.json'), 'utf8'));
      const built = files.map(({ path, sha256, executable }) => ({
        path,
        content: readFileSync(join(archive, 'blobs', sha256)),
        executable,
      }));
      /** The built program with another cli.js, signed by the key of the build. */
      const changed = (change: (cli: string) => string): Buffer =>
        softwareRelease(
          `queue-agent-program-${VERSION}`,
          built.map((entry) =>
            entry.path === 'agent/cli.js'
              ? { ...entry, content: Buffer.from(change(entry.content.toString())) }
              : entry,
          ),
          { key: buildKey, keyId: 'build' },
          0,
        ).archive;
      /** NAME@PREFIX. */
      const imported = async (name: string, content: Buffer): Promise<string> => {
        writeFileSync(root.path(`/root/${name}.qgs`), content);
        return String((await queuegateJson(`software import /root/${name}.qgs`))['release']);
      };
      const upgrade = async (release: string): Promise<string> => {
        const begun = await queuegateJson(`software upgrade ${release} --agents ${NAME} --trial 2m`);
        return await settled(String(begun['id']));
      };
      const current = (): string => readFileSync(root.path('/var/lib/queue-agent-software/state/current'), 'utf8');
      const digestOf = (line: string): string => line.split(' ', 1)[0] ?? '';

      // As it was built and signed: the files are those of the package.
      const first = await imported('first', readFileSync(join(dist, `queue-agent-program-${VERSION}.qgs`)));
      expect(await upgrade(first)).toMatch(/state +completed/);
      expect(current()).toMatch(new RegExp(`^${first.slice(-8)}[0-9a-f]{56} factory\n$`));
      const firstLine = current();
      const second = await imported(
        'second',
        changed((cli) => `${cli}// The next version.\n`),
      );
      expect(await upgrade(second)).toMatch(/state +completed/);
      const secondLine = current();
      expect(secondLine).toMatch(new RegExp(`^${second.slice(-8)}`));
      const slot = `/var/lib/queue-agent-software/slots/${digestOf(secondLine)}`;
      expect(mode(`${slot}/agent/cli.js`)).toBe('644');
      expect(slotOf(agent)).toBe(`candidate ${secondLine.trim()}`);
      // Other accounts run it too.
      expect(await root.print('queue-agent', 'version')).toBe(`${VERSION}\n`);
      const broken = await imported(
        'broken',
        changed(() => 'throw new Error("broken");\n'),
      );
      expect(await upgrade(broken)).toMatch(/state +halted/);
      expect(await queuegate('rollouts show r-3 --agents')).toMatch(/rolled-back .*started three times/);
      await queuegate('rollouts cancel r-3 --yes');
      expect(slotOf(agent)).toBe(`current ${secondLine.trim()}`);
      await queuegate('rollouts rollback r-2 --yes');
      expect(await settled('r-2')).toMatch(/state +rolled-back/);
      expect(current()).toBe(firstLine);
      expect(await queuegateJson(`agents show ${NAME}`)).toMatchObject({ state: 'online' });
      await service.stop();
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
      await runner.stop();
      // systemd ends the whole service; here the watch over the trial before ends by itself, within seconds. Until then
      // userdel refuses.
      const account = (await root.print('id', '-u', 'queue-agent')).trim();
      const shown = (): string =>
        processesOf(account)
          .map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '))
          .join('\n');
      await until(() => (processesOf(account).length === 0 ? true : undefined), undefined, shown);
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

  it('back Central up, and keep the backups when it is purged', { timeout: STEP_MS }, async () => {
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
  });

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
  const stop = async (): Promise<void> => {
    isStopped = true;
    await agent.stop();
    await served;
  };
  cleanup.add(stop);
  return { stop };
}

async function unpacked(name: string): Promise<string> {
  const folder = await cleanup.folder();
  const { code } = await run('tar', ['-xf', join(dist, name), '-C', folder]);
  expect(code).toBe(0);
  return folder;
}
