// What Central does and says at its start, with what it refuses to start, and how it ends.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { holdDataFolder } from '../../shared/sqlite/data-folder.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  ANY_LOCAL_PORT,
  anyPorts,
  CENTRAL_AGENT,
  CentralProcess,
  childrenOf,
  Cleanup,
  freePorts,
  ROOT,
  run,
  Running,
  runNode,
  runs,
  until,
} from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Takes a port of loopback until the test ends, or until `free` is called. */
async function occupy(): Promise<{ port: number; free: () => void }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const free = (): void => void server.close();
  cleanup.add(free);
  return { port: (server.address() as AddressInfo).port, free };
}

describe('an installation of Central alone', () => {
  it('refuses to start the Central agent, and says what to do', async () => {
    const bundled = await runNode('test/bundled-central.ts', []);
    const words = [bundled.stdout.trim(), '--data-folder', await cleanup.folder(), ...anyPorts, '--central-agent'];
    const { code, stderr } = await run(process.execPath, words);
    expect([code, stderr]).toEqual([1, expect.stringContaining('(central_agent_missing)')]);
    expect(stderr).toContain('Start Central without --central-agent.');
  });
});

describe('the first start', () => {
  it("prints what listens where and how encrypted, and the administrator's token once: it is in a 0600 file, and only its hash in the store", async () => {
    const folder = await cleanup.folder();
    const line = `exec '${process.execPath}' '${join(ROOT, 'central/main.ts')}' --data-folder '${folder}' --advertised-names localhost ${anyPorts.join(' ')}`;
    const terminal = new Running('script', ['--quiet', '--return', '--command', line, '/dev/null']);
    cleanup.add(() => terminal.stop('SIGKILL'));
    await terminal.printed(/Administration: .*\r\n/);
    for (const said of [
      /The WebSocket \(ws\) listens on 127\.0\.0\.1 and ::1 only, port \d+: unencrypted, for this host only\./,
      /The WebSocket \(wss\) listens on all addresses, port \d+: encrypted \(TLS 1\.2 and 1\.3\)\./,
      /HTTPS administration listens on all addresses, port \d+: encrypted \(TLS 1\.2 and 1\.3\)\./,
      /HTTP administration listens on 127\.0\.0\.1 and ::1 only, port \d+: unencrypted, for this host only\./,
      /The socket \S+central\.sock serves the administration to this account only\./,
      / {4}queue-agent enroll https:\/\/localhost:\d+ --token qge_\S+ --pin sha256:[0-9a-f]{64}\r\n/,
    ]) {
      expect(terminal.stdout).toMatch(said);
    }
    const token = (await readFile(join(folder, 'administrator-token'), 'utf8')).trim();
    expect(token).toMatch(/^qg_[0-9a-f]{16}_[\w-]{43}$/);
    expect(terminal.stdout.split(token)).toHaveLength(2);
    expect((await stat(join(folder, 'administrator-token'))).mode & 0o777).toBe(0o600);
    await expect(stat(join(folder, 'first-enrollment-token'))).rejects.toMatchObject({ code: 'ENOENT' });
    process.kill(Number(await readFile(join(folder, 'lock.pid'), 'utf8')), 'SIGTERM');
    expect(await terminal.ended()).toMatchObject({ code: 0 });

    const secret = token.slice('qg_'.length + 17);
    const names = (await readdir(folder)).filter((name) => name.startsWith('central.db'));
    const stored = (await Promise.all(names.map((name) => readFile(join(folder, name), 'latin1')))).join('');
    expect(stored).toContain(createHash('sha256').update(secret).digest('hex'));
    expect(stored).not.toContain(secret);
  });

  it('prints no secret into what is not a terminal: it names the 0600 files, also in the enrollment line', async () => {
    const folder = await cleanup.folder();
    const central = await CentralProcess.start(cleanup, folder, ['--log-level', 'trace']);
    expect(central.process.stdout).toContain(
      `First administrator's token: in ${join(folder, 'administrator-token')}, mode 0600`,
    );
    const file = join(folder, 'first-enrollment-token');
    expect(central.enrollmentLine).toMatch(
      new RegExp(`^enroll https://localhost:${central.ports.wss} --token-file ${file} --pin sha256:[0-9a-f]{64}$`),
    );
    const token = (await readFile(file, 'utf8')).trim();
    expect(token).toMatch(/^qge_/);
    for (const name of ['first-enrollment-token', 'administrator-token'])
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    expect(`${central.process.stdout}${central.process.stderr}`).not.toMatch(/qge?_[0-9a-f]{16}_/);
    const folders = await agentFolders(cleanup);
    const enrolled = await runNode('agent/cli.ts', [
      ...central.enrollmentLine.replace(`--token-file ${file}`, `--token ${token}`).split(' '),
      ...agentFlags(folders, 'branch-1'),
    ]);
    expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
    AgentProcess.start(cleanup, folders, 'branch-1');
    expect(await central.online('branch-1')).toMatchObject({ session: { transport: 'wss' } });
  });

  it('makes the data folder 0700, and no file in it readable by others', async () => {
    const folder = join(await cleanup.folder(), 'data');
    const central = await CentralProcess.start(cleanup, folder, ['--central-agent'], ANY_LOCAL_PORT);
    await central.online(CENTRAL_AGENT);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const entries = await readdir(folder, { recursive: true });
    expect(entries).toEqual(expect.arrayContaining(['central.db', 'central-agent/data/agent-key.pem']));
    const open: string[] = [];
    for (const entry of entries) {
      // SQLite's journals come and go.
      const found = await stat(join(folder, entry)).catch(() => undefined);
      if (found !== undefined && (found.mode & 0o077) !== 0) open.push(entry);
    }
    expect(open).toEqual([]);
  });

  it('makes a certificate that any client trusts with the exported root, under localhost and 127.0.0.1', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const root = join(await cleanup.folder(), 'root.pem');
    expect(await central.cli('ca', 'trust-bundle', '--out', root)).toMatchObject({ code: 0 });
    for (const host of ['localhost', '127.0.0.1']) {
      const url = `https://${host}:${central.ports.https}/api/v1/health/ready`;
      const trusted = await run('curl', ['--silent', '--show-error', '--cacert', root, url]);
      expect(trusted, trusted.stderr).toMatchObject({ code: 0, stdout: '{"state":"ok","reasons":[]}' });
      // curl's own code for a certificate that it cannot verify.
      expect(await run('curl', ['--silent', url])).toMatchObject({ code: 60 });
    }
  });
});

describe('the Central agent', () => {
  it.runIf(process.platform === 'linux')("gets nothing of Central's own environment", async () => {
    const secrets = {
      QUEUEGATE_TOKEN: 'of an administrator',
      QUEUE_AGENT_TOKEN: 'of an enrollment',
      CREDENTIALS_DIRECTORY: '/nowhere',
      QUEUEGATE_KEY_ENCRYPTION_KEY: randomBytes(32).toString('hex'),
    };
    const central = await CentralProcess.start(cleanup, await cleanup.folder(), ['--central-agent'], {
      ...ANY_LOCAL_PORT,
      ...secrets,
    });
    await central.online(CENTRAL_AGENT);
    const [child] = await childrenOf(central.process.child.pid);
    const environment = await readFile(`/proc/${child}/environ`, 'utf8');
    expect(environment).toContain('QUEUE_AGENT_LOCAL_API_PORT=');
    for (const name of Object.keys(secrets)) expect(environment).not.toContain(`${name}=`);
  });

  it('comes online by itself over loopback through its one-time 0600 file, which is gone afterwards', async () => {
    // Its data folder is held: so it fails before it enrolls, and the file can be looked at.
    const folder = await cleanup.folder();
    const held = holdDataFolder(join(folder, 'central-agent', 'data'));
    cleanup.add(() => held.release());
    const central = await CentralProcess.start(cleanup, folder, ['--central-agent'], ANY_LOCAL_PORT);
    const file = join(folder, 'central-agent', 'enrollment.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ url: `http://127.0.0.1:${central.ports.ws}` });
    await central.process.printed(/data_in_use/);
    held.release();
    expect(await central.online(CENTRAL_AGENT)).toMatchObject({ session: { transport: 'ws', address: '127.0.0.1' } });
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await central.rest('GET', '/enrollment-tokens')).body.items).toContainEqual(
      expect.objectContaining({ agentName: CENTRAL_AGENT, useCount: 1, maxUses: 1 }),
    );
  });

  it('follows when websocket.port moves', async () => {
    const central = await CentralProcess.startOnParameters(
      cleanup,
      await cleanup.folder(),
      ['--central-agent'],
      ANY_LOCAL_PORT,
    );
    const before = await central.online(CENTRAL_AGENT);
    const [port] = await freePorts(1);
    expect((await central.change({ 'websocket.port': port })).status).toBe(200);
    // Its session stayed; a new process has to dial.
    expect((await central.agent(CENTRAL_AGENT))?.['session']).toEqual(before['session']);
    const [pid = 0] = await childrenOf(central.process.child.pid);
    process.kill(pid, 'SIGKILL');
    await until(async () =>
      Number((await central.agent(CENTRAL_AGENT))?.['epoch']) > Number(before['epoch']) ? true : undefined,
    );
    await central.process.printed(new RegExp(`"url":"ws://127.0.0.1:${port}".*"msg":"online"`));
  });
});

describe('the end', () => {
  it('on SIGTERM is orderly and bounded: agents are notified, the exit status is 0, no child is left', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder(), ['--central-agent'], ANY_LOCAL_PORT);
    const agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    await central.online(CENTRAL_AGENT);
    const children = await childrenOf(central.process.child.pid);
    expect(children).toHaveLength(1);
    // Had it not ended within the bound of "stop", it would have been ended by SIGKILL.
    expect(await central.stop()).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(children.filter(runs)).toEqual([]);
    await agent.process.printed(/Central stops, restarts, or asks this agent to reconnect\. \(going_away\)/);
    expect(agent.process.running).toBe(true);
  });
});

describe('Central refuses to start', () => {
  it('and leaves no data folder behind that this start would have made', async () => {
    const above = await cleanup.folder();
    const refused = await runNode('central/main.ts', [
      ...anyPorts,
      '--data-folder',
      join(above, 'new', 'data'),
      '--key-encryption-file',
      join(above, 'missing'),
    ]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('(file_missing)') });
    expect(await readdir(above)).toEqual([]);
  });

  const start = async (folder: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
    await runNode('central/main.ts', ['--data-folder', folder, ...anyPorts, ...args], env);

  it('on a data folder that another Central holds, and says which process', async () => {
    const folder = await cleanup.folder();
    const central = await CentralProcess.start(cleanup, folder);
    const second = await start(folder);
    expect(second).toMatchObject({ code: 1, stdout: '' });
    expect(second.stderr).toContain(`${folder} is in use by another process (pid ${central.process.child.pid})`);
    expect(second.stderr).toContain('(data_in_use)');
    expect(await central.rest('GET', '/status')).toMatchObject({ status: 200 });
  });

  it('with unknown settings and bad ones in file, environment and flags: each with name, found, allowed and where, all at once', async () => {
    const folder = await cleanup.folder();
    const file = join(folder, 'central.conf');
    await writeFile(file, 'log.levl = debug\nbind.address = nowhere\n');
    const refused = await start(join(folder, 'data'), ['--config', file, '--https-port', '70000'], {
      QUEUEGATE_CENTRAL_AGENT: 'perhaps',
      QUEUEGATE_HTP_PORT: '8081',
    });
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('5 settings are refused');
    for (const line of [
      `log.levl is unknown; did you mean log.level? (${file} line 1)`,
      `bind.address: found "nowhere"; allowed: an IPv4 or IPv6 address of this host, or empty (${file} line 2)`,
      'central.agent: found "perhaps"; allowed: ',
      '(environment variable QUEUEGATE_CENTRAL_AGENT)',
      'QUEUEGATE_HTP_PORT is unknown; did you mean QUEUEGATE_HTTP_PORT? (environment variable QUEUEGATE_HTP_PORT)',
      'https.port: found "70000"; allowed: a whole number from 0 to 65535; 0 takes any free port (flag --https-port)',
    ]) {
      expect(refused.stderr).toContain(line);
    }
    expect(refused.stderr).not.toMatch(/^\s+at /m);
    expect(await readdir(folder)).toEqual(['central.conf']);
  });

  it('with an unknown flag, and with one port for two listeners', async () => {
    const folder = await cleanup.folder();
    const flags = await start(folder, ['--websocket-prt', '8787', 'stray']);
    expect(flags).toMatchObject({ code: 1 });
    expect(flags.stderr).toContain('--websocket-prt, 8787, stray');
    const equal = await runNode('central/main.ts', [
      '--data-folder',
      folder,
      '--websocket-port',
      '9999',
      '--http-port',
      '9999',
    ]);
    expect(equal).toMatchObject({ code: 1 });
    expect(equal.stderr).toContain(
      'websocket.port (flag --websocket-port) and http.port (flag --http-port) are both 9999',
    );
  });
});

describe('a process of another account', () => {
  it('that holds a port keeps Central from nothing: it starts, says so in banner, log and status, and takes the port once it is free', async () => {
    const [agents, admin] = [await occupy(), await occupy()];
    const folder = await cleanup.folder();
    const central = await CentralProcess.start(cleanup, folder, [
      '--websocket-port',
      String(agents.port),
      '--http-port',
      String(admin.port),
    ]);
    for (const [title, { port }] of [
      ['The WebSocket \\(ws\\)', agents],
      ['HTTP administration', admin],
    ] as const) {
      expect(central.process.stdout).toMatch(
        new RegExp(
          `PROBLEM: ${title} does not listen: Port ${port} on 127\\.0\\.0\\.1 cannot be bound .* another process uses it\\. Stop the process .*\\(listener_not_open\\)`,
        ),
      );
    }
    expect(central.process.stdout).toContain('a listener does not have its port; trying again');
    const problems = async (): Promise<unknown[]> =>
      (JSON.parse((await central.cli('status', '--json')).stdout) as { problems: unknown[] }).problems;
    expect(await problems()).toHaveLength(2);
    expect((await central.cli('status')).stdout).toContain(`Port ${admin.port} on 127.0.0.1 cannot be bound`);
    agents.free();
    admin.free();
    await until(async () => ((await problems()).length === 0 ? true : undefined));
    const health = await fetch(`http://127.0.0.1:${admin.port}/api/v1/health/ready`);
    expect(health.status).toBe(200);
  });

  it('that holds the port of HTTP administration gets no token from queuegate', async () => {
    const received: string[] = [];
    const thief = createServer((socket) =>
      socket.on('data', (bytes) => received.push(String(bytes))).on('error', () => undefined),
    );
    cleanup.add(() => thief.close());
    await once(thief.listen(0, '127.0.0.1'), 'listening');
    const { port } = thief.address() as AddressInfo;
    const central = await CentralProcess.start(cleanup, await cleanup.folder(), ['--http-port', String(port)]);
    expect(await central.cli('agents', 'list')).toMatchObject({ code: 0 });
    // Nor does it make a balancer take Central down.
    const root = join(await cleanup.folder(), 'root.pem');
    expect(await central.cli('ca', 'trust-bundle', '--out', root)).toMatchObject({ code: 0 });
    expect(
      await run('curl', ['--silent', '--cacert', root, `https://localhost:${central.ports.https}/api/v1/health/ready`]),
    ).toMatchObject({ code: 0, stdout: '{"state":"ok","reasons":[]}' });
    const named = await runNode(
      'central/cli.ts',
      ['agents', 'list', '--url', `http://127.0.0.1:${port}`],
      central.environment,
    );
    expect(named).toMatchObject({ code: 3, stderr: expect.stringContaining('(token_over_plain_http)') });
    expect(received).toEqual([]);
  });
});

describe('the socket of the administration', () => {
  it('is missing where its path would be too long, which the status says with what to do', async () => {
    const folder = join(await cleanup.folder(), 'x'.repeat(100));
    const central = await CentralProcess.start(cleanup, folder);
    expect(await central.rest('GET', '/health/ready')).toMatchObject({ status: 200 });
    expect((await central.rest('GET', '/status')).body.problems).toEqual([
      {
        code: 'local_socket_path_long',
        detail: expect.stringContaining('allowed: 100. '),
        hint: expect.stringContaining('Set QUEUEGATE_DATA_FOLDER to a shorter path'),
        startedAt: expect.any(String),
        subject: null,
      },
    ]);
  });
});

describe('the log', () => {
  it('holds nothing that acts on the terminal on which it is read', async () => {
    // The path is in the line about the new key, in the banner, and in errors.
    const folder = join(await cleanup.folder(), 'a\u202eb\u2066c');
    const central = await CentralProcess.start(cleanup, folder);
    const second = await runNode('central/main.ts', ['--data-folder', folder, ...anyPorts]);
    expect(second.stderr).toContain(String.raw`a\u202eb\u2066c is in use by another process`);
    expect(central.process.stdout).toContain(String.raw`a\u202eb\u2066c/key-encryption-key","msg"`);
    expect(central.process.stdout).not.toMatch(/[\u0080-\u009f\u202a-\u202e\u2066-\u2069]/);
  });
});

describe('a port that this node sets itself, by flag or environment', () => {
  it('is beside the parameter in REST, with where it was set', async () => {
    const [http, plain, moved] = await freePorts(3);
    const central = await CentralProcess.startOnParameters(
      cleanup,
      await cleanup.folder(),
      ['--http-port', String(http)],
      { QUEUEGATE_WEBSOCKET_PORT: String(plain) },
    );
    expect(central.ports).toMatchObject({ http, ws: plain });
    const { value } = (await central.rest('GET', '/parameters/http.port')).body;
    expect(value).not.toBe(http);
    expect((await central.rest('GET', '/parameters/http.port')).body).toMatchObject({
      effective: http,
      overriddenBy: 'flag --http-port',
    });
    // Changed for the installation, without effect here, which the answer says.
    const changed = await central.change({ 'websocket.port': moved });
    expect(changed).toMatchObject({
      status: 200,
      body: {
        notices: [
          {
            code: 'parameter_overridden',
            detail: 'websocket.port has no effect on this node: environment variable QUEUEGATE_WEBSOCKET_PORT sets it.',
          },
        ],
      },
    });
    expect((await central.rest('GET', '/parameters/websocket.port')).body).toMatchObject({
      value: moved,
      effective: plain,
      overriddenBy: 'environment variable QUEUEGATE_WEBSOCKET_PORT',
    });
    expect((await central.rest('GET', '/status')).body.listeners).toContainEqual(
      expect.objectContaining({ listener: 'ws', port: plain }),
    );
  });
});
