// queuegate as an administrator runs it, against a real Central with a real agent.
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chown, link, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  onTerminal,
  ROOT,
  run,
  Running,
  runNode,
  until,
  type Ended,
} from './processes.ts';

const lasting = new Cleanup();
const cleanup = new Cleanup();
let central: CentralProcess;
let agent: AgentProcess;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
  agent = await AgentProcess.enrolled(lasting, central, 'branch-1');
  await central.online('branch-1');
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

/** Runs it and expects success without a word on the standard error. */
async function queuegate(...line: string[]): Promise<string> {
  const ended = await central.cli(...line);
  expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
  return ended.stdout;
}

// What JSON holds is asserted where it is used.
// oxlint-disable-next-line typescript/no-explicit-any
const json = async (...line: string[]): Promise<any> => JSON.parse(await queuegate(...line, '--json'));

/** With flags of its own for address and token. */
const bare = async (line: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  await runNode('central/cli.ts', line, env);
const tokenFile = (): string => join(central.folder, 'administrator-token');

const EXIT_CODES: Readonly<Record<string, number>> = {
  administration_unreachable: 3,
  central_not_trusted: 3,
  local_socket_foreign: 3,
  local_socket_missing: 3,
  no_administration: 3,
  tls_weakened: 3,
  token_over_plain_http: 3,
  forbidden: 4,
  token_missing: 4,
  unauthenticated: 4,
  agent_unknown: 5,
  parameter_unknown: 5,
  file_missing: 5,
  json_bad: 6,
  parameters_invalid: 6,
  would_cut_off_agents: 6,
  secret_file_unsafe: 6,
  secret_file_exists: 7,
};

/** The code of a failure that says `words`: nothing on the standard output, one error with its hint, no stack trace. */
function faultOf(ended: Ended, ...words: string[]): string {
  const [, code = ''] = /^error: .+\n {2}\S.+\n {2}\(([a-z_]+)\)\n/.exec(ended.stderr) ?? [];
  expect(ended).toMatchObject({ code: EXIT_CODES[code] ?? 1, stdout: '' });
  for (const word of words) expect(ended.stderr).toContain(word);
  return code;
}

describe('queuegate status and ca', () => {
  it('says what listens where and how encrypted, for people and as JSON', async () => {
    const text = await queuegate('status');
    expect(text).toContain(
      `The WebSocket (wss) listens on all addresses, port ${central.ports.wss}: encrypted (TLS 1.2 and 1.3).`,
    );
    expect(text).toContain('unencrypted, for this host only');
    expect(text).toMatch(/^certificate .*CN=localhost, until \d{4}-.*localhost, /m);
    expect(text).not.toContain('Problems:');
    expect(await json('status')).toMatchObject({
      problems: [],
      listeners: [
        { listener: 'ws' },
        { listener: 'wss', encrypted: true },
        { listener: 'https' },
        { listener: 'http' },
      ],
    });
  });

  it('exports the root as PEM, to the standard output or a file', async () => {
    const pem = await queuegate('ca', 'trust-bundle');
    expect(new X509Certificate(pem).ca).toBe(true);
    const file = join(await cleanup.folder(), 'root.pem');
    expect(await queuegate('ca', 'trust-bundle', '--out', file)).toBe(`Written to ${file}.\n`);
    expect(await readFile(file, 'utf8')).toBe(pem);
    expect(
      faultOf(
        await central.cli('ca', 'trust-bundle', '--out', join(file, 'no-folder')),
        'Name a file in a folder that exists',
      ),
    ).toBe('file_not_written');
  });
});

describe('queuegate parameters', () => {
  it('lists, shows, sets and resets', async () => {
    expect(await queuegate('parameters', 'list', '--group', 'Central WebSocket Server Settings')).toMatch(
      /^websocket\.port +8787 +- +0 here \(flag --websocket-port\)/m,
    );
    expect(
      await queuegate('parameters', 'set', 'agents.max=500', 'agents.heartbeatSeconds=20', '--comment', 'pilot'),
    ).toMatch(/^Changed:\n {2}agents\.max: 10000 -> 500\n {2}agents\.heartbeatSeconds: 15 -> 20\n/);
    expect(await queuegate('parameters', 'show', 'agents.max')).toMatch(
      /^agents\.max = 500\n[^]*allowed +a whole number from 1 to 100000[^]*by first administrator/,
    );
    expect(await json('parameters', 'show', 'agents.max')).toMatchObject({
      value: 500,
      default: 10_000,
      isDefault: false,
    });
    expect(await queuegate('parameters', 'reset', 'agents.max', 'agents.heartbeatSeconds')).toContain(
      'agents.max: 500 -> 10000',
    );
  });

  it('shows what a change would do, and confirms or rolls back one', async () => {
    const dry = await central.cli('parameters', 'set', 'websocket.secure.enabled=false', '--dry-run');
    // The act itself would be refused.
    expect(dry).toMatchObject({ code: 6, stderr: '' });
    expect(dry.stdout).toMatch(
      /^Would change:\n[^]*Would cut off:\n {2}branch-1: It speaks wss from [^]*Would listen:\n[^]*The WebSocket \(wss\) is off\./,
    );
    expect(
      faultOf(await central.cli('parameters', 'set', 'websocket.secure.enabled=false'), 'branch-1', '--force'),
    ).toBe('would_cut_off_agents');
    expect(await queuegate('parameters', 'set', 'agents.max=600', '--confirm-within', '10m')).toContain(
      'Pending: rolled back at ',
    );
    expect(await queuegate('changes', 'rollback')).toBe('Rolled back: parameters.\n');
    expect((await json('parameters', 'show', 'agents.max')).value).toBe(10_000);
    await queuegate('parameters', 'set', 'agents.max=600', '--confirm-within', '10m');
    expect(await queuegate('changes', 'confirm')).toBe('Confirmed: parameters.\n');
    expect((await json('parameters', 'show', 'agents.max')).value).toBe(600);
  });

  it('prints every fault of a change, with status 1', async () => {
    const failed = await central.cli('parameters', 'set', 'agents.max=0', 'websocket.enabled=maybe', 'nonsense=1');
    expect(
      faultOf(
        failed,
        'agents.max is 0; allowed: ',
        'websocket.enabled is "maybe"; allowed: true or false',
        'There is no parameter "nonsense"',
      ),
    ).toBe('parameters_invalid');
    expect(faultOf(await central.cli('parameters', 'show', 'websocket.prt'), 'Did you mean websocket.port?')).toBe(
      'parameter_unknown',
    );
  });
});

describe('queuegate agents, messages and events', () => {
  it('shows agents, by name and by id', async () => {
    expect(await queuegate('agents', 'list')).toMatch(
      /^NAME +STATE [^]*\nbranch-1 +online +\S+ +session_opened +wss +/,
    );
    const { items } = await json('agents', 'list', '--state', 'online');
    expect(items).toMatchObject([{ name: 'branch-1', session: { transport: 'wss' } }]);
    const shown = await queuegate('agents', 'show', 'BRANCH-1');
    expect(shown).toContain(items[0].id);
    expect(shown).toMatch(/^connection +wss from /m);
    expect(await queuegate('agents', 'show', items[0].id)).toBe(shown);
    expect(faultOf(await central.cli('agents', 'show', 'no-such'), 'queuegate agents list')).toBe('agent_unknown');
    expect(await queuegate('incidents', 'list')).toBe('No incidents.\n');
  });

  it('sends messages, one or a file of them, which the agent takes', async () => {
    expect(
      await queuegate('commands', 'send', 'branch-1', '--type', 'display.show', '--data', '{"text":"A001"}'),
    ).toMatch(/^stored: number 1 for branch-1, id \S+\n$/);
    const file = join(await cleanup.folder(), 'messages.json');
    await writeFile(
      file,
      JSON.stringify([
        { id: 'm2', type: 'display.clear' },
        { id: 'm3', type: 'display.clear' },
      ]),
    );
    expect((await json('commands', 'send', 'branch-1', '--file', file)).items).toMatchObject([
      { id: 'm2', number: 2 },
      { id: 'm3', number: 3 },
    ]);
    const taken = await until(async () => {
      const { body } = await agent.local('GET', '/api/v1/commands?waitSeconds=10');
      return body.items.length === 3 ? body.items : undefined;
    });
    expect(taken).toMatchObject([
      { command: { type: 'display.show', data: { text: 'A001' } } },
      { command: { id: 'm2' } },
      { command: { id: 'm3' } },
    ]);
    expect(await queuegate('dead-letters', 'list')).toBe('No dead letters.\n');
    expect(
      faultOf(
        await central.cli('commands', 'send', 'branch-1', '--type', 'a', '--data', '{'),
        '--data is not valid JSON',
      ),
    ).toBe('json_bad');
  });

  it('lists events, and follows them as they come until Ctrl-C', async () => {
    const post = async (id: string): Promise<void> =>
      void (await agent.local('POST', '/api/v1/events', { id, type: 'ticket.issued', data: { number: id } }));
    await post('A001');
    await until(async () => ((await central.events()).length === 1 ? true : undefined));
    expect(await queuegate('events', 'list', '--type', 'ticket.issued')).toMatch(
      /^CURSOR +RECEIVED [^]*ticket\.issued +A001 +\{"number":"A001"\}\n\nNext: --after \S{16}\n$/,
    );
    expect(await queuegate('events', 'list', '--type', 'other')).toContain('No events.');

    const follow = new Running(
      process.execPath,
      [join(ROOT, 'central/cli.ts'), 'events', 'list', '--follow', '--after', 'oldest', '--json'],
      { env: central.environment },
    );
    cleanup.add(() => follow.stop('SIGKILL'));
    await follow.printed(/"id":"A001"/);
    await post('A002');
    await follow.printed(/"id":"A002"/);
    const { code, stdout } = await follow.stop('SIGINT');
    expect(code).toBe(130);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).event.id),
    ).toEqual(['A001', 'A002']);
  });
});

describe('queuegate api-tokens', () => {
  it('creates, lists and deletes API tokens; a role that is too low is refused', async () => {
    const file = join(await cleanup.folder(), 'viewer');
    expect(
      await queuegate(
        'api-tokens',
        'create',
        '--name',
        'monitor',
        '--role',
        'viewer',
        '--lifetime',
        '7d',
        '--out',
        file,
      ),
    ).toContain(`The token is in ${file} (mode 0600).`);
    const token = (await readFile(file, 'utf8')).trim();
    expect(token).toMatch(/^qg_/);
    const viewer = { QUEUEGATE_TOKEN: token, QUEUEGATE_DATA_FOLDER: central.folder };
    expect(await bare(['agents', 'list'], viewer)).toMatchObject({ code: 0 });
    expect(faultOf(await bare(['parameters', 'set', 'agents.max=1'], viewer), 'administrator')).toBe('forbidden');
    const id = token.split('_')[1] ?? '';
    const listed = await queuegate('api-tokens', 'list');
    expect(listed).toMatch(new RegExp(`^${id} +monitor +viewer `, 'm'));
    expect(listed).not.toContain(token);
    expect(await queuegate('api-tokens', 'delete', id, '--yes')).toBe(`Deleted ${id}.\n`);
    expect(faultOf(await bare(['agents', 'list'], viewer))).toBe('unauthenticated');
  });

  it('makes an enrollment line that works as it is printed, on a terminal; the agent can be removed again', async () => {
    const shown = await onTerminal(
      'central/cli.ts',
      ['enrollment-tokens', 'create', '--agent-name', 'branch-2', '--lifetime', '5m'],
      central.environment,
    );
    const [, line = ''] = /queue-agent (enroll \S+ --token qge_\S+ --pin \S+)/.exec(shown.stdout) ?? [];
    const folders = await agentFolders(cleanup);
    const enrolled = await runNode('agent/cli.ts', [...line.split(' '), ...agentFlags(folders, 'branch-2')]);
    expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
    const second = AgentProcess.start(cleanup, folders, 'branch-2');
    await central.online('branch-2');
    expect(await queuegate('agents', 'delete', 'branch-2', '--yes')).toBe('Deleted branch-2.\n');
    await second.process.printed(/This agent was deleted on Central\. \(agent_deleted\)/);
    expect(await central.agent('branch-2')).toBeUndefined();
  });
});

describe('files with keys and secrets', () => {
  const PASSWORD = 'correct horse battery';
  const password = { QUEUEGATE_KEYSTORE_PASSWORD: PASSWORD, QUEUEGATE_BACKUP_PASSWORD: PASSWORD };
  const WRITERS = [
    ['ca export', ['ca', 'export']],
    ['store backup', ['store', 'backup']],
    ['api-tokens create', ['api-tokens', 'create', '--name', 'm', '--role', 'viewer']],
    ['enrollment-tokens create', ['enrollment-tokens', 'create']],
    ['agents recovery-code create', ['agents', 'recovery-code', 'create', 'branch-1']],
    ['subscriptions create', ['subscriptions', 'create', '--name', 'm', '--target', 'https://receiver.example/hook']],
    ['subscriptions rotate-secret', ['subscriptions', 'rotate-secret', 'm']],
  ] as const;

  it.each(WRITERS)(
    '%s writes a new file with mode 0600, never through a link, into a file of another account or one with another name',
    async (_, words) => {
      const folder = await cleanup.folder();
      const victim = join(folder, 'victim');
      const write = async (out: string): Promise<Ended> =>
        await bare([...words, '--out', out], { ...central.environment, ...password });
      const out = join(folder, 'out');
      const made = await write(out);
      expect(made, made.stderr).toMatchObject({ code: 0 });
      const { mode, uid, nlink } = await lstat(out);
      expect([mode & 0o7777, uid, nlink]).toEqual([0o600, process.geteuid?.(), 1]);

      await writeFile(victim, 'untouched', { mode: 0o644 });
      const traps: (() => Promise<void>)[] = [
        async () => await symlink(victim, out),
        async () => await symlink(join(folder, 'nowhere'), out),
        async () => await link(victim, out),
        async () => {
          await writeFile(out, '');
          if (process.geteuid?.() === 0) await chown(out, 65_534, 65_534);
        },
      ];
      for (const set of traps) {
        await rm(out);
        await set();
        expect(faultOf(await write(out))).toBe('secret_file_exists');
      }
      expect([await readFile(victim, 'utf8'), (await readdir(folder)).toSorted()]).toEqual([
        'untouched',
        ['out', 'victim'],
      ]);
    },
  );

  it('backup uses no .unfinished file that another account has put there', async () => {
    const folder = await cleanup.folder();
    const [victim, out] = [join(folder, 'victim'), join(folder, 'out')];
    await writeFile(victim, 'untouched');
    const backup = async (): Promise<Ended> =>
      await bare(['store', 'backup', '--out', out], { ...central.environment, ...password });
    await symlink(victim, `${out}.unfinished`);
    expect(faultOf(await backup(), 'symbolic link')).toBe('secret_file_unsafe');
    await rm(`${out}.unfinished`);
    await writeFile(`${out}.unfinished`, 'left behind', { mode: 0o666 });
    expect(await backup()).toMatchObject({ code: 0 });
    expect([
      (await lstat(out)).mode & 0o7777,
      await readFile(victim, 'utf8'),
      (await readdir(folder)).toSorted(),
    ]).toEqual([0o600, 'untouched', ['out', 'victim']]);
    if (process.geteuid?.() !== 0) return;
    await rm(out);
    await writeFile(`${out}.unfinished`, '');
    await chown(`${out}.unfinished`, 65_534, 65_534);
    expect(faultOf(await backup(), 'belongs to another account')).toBe('secret_file_unsafe');
  });

  it('what is public goes through no link either, and belongs to the account that wrote it', async () => {
    const folder = await cleanup.folder();
    const [victim, out] = [join(folder, 'victim'), join(folder, 'out')];
    await writeFile(victim, 'untouched');
    await symlink(victim, out);
    expect(faultOf(await central.cli('ca', 'trust-bundle', '--out', out))).toBe('secret_file_unsafe');
    expect(await readFile(victim, 'utf8')).toBe('untouched');
    await rm(out);
    await writeFile(out, 'mine before', { mode: 0o666 });
    expect(await central.cli('ca', 'trust-bundle', '--out', out)).toMatchObject({ code: 0 });
    expect((await lstat(out)).mode & 0o7777).toBe(0o644);
  });

  it('a password that is asked for at the terminal is not shown', async () => {
    const out = join(await cleanup.folder(), 'out');
    const command = `'${process.execPath}' '${join(ROOT, 'central/cli.ts')}' store backup --out '${out}'`;
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      cwd: ROOT,
      env: { ...process.env, ...central.environment },
      stdio: 'pipe',
    });
    cleanup.add(() => child.kill('SIGKILL'));
    let shown = '';
    child.stdout.on('data', (bytes: Buffer) => (shown += bytes.toString()));
    await until(() => shown.includes('Password of the backup: ') || undefined);
    child.stdin.write(`${PASSWORD}\r`);
    const [code] = (await once(child, 'close')) as [number];
    expect([code, shown.includes('read back with the password'), shown.includes(PASSWORD)]).toEqual([0, true, false]);
  });
});

describe('queuegate over HTTPS', () => {
  it('works with --ca-file and by environment, and refuses without trust', async () => {
    const root = join(await cleanup.folder(), 'root.pem');
    await queuegate('ca', 'trust-bundle', '--out', root);
    const url = `https://localhost:${central.ports.https}`;
    expect(await bare(['status', '--url', url, '--ca-file', root, '--token-file', tokenFile()])).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(
      await bare(['status'], { QUEUEGATE_URL: url, QUEUEGATE_CA_FILE: root, QUEUEGATE_DATA_FOLDER: central.folder }),
    ).toMatchObject({ code: 0 });
    expect(faultOf(await bare(['status', '--url', url, '--token-file', tokenFile()]), '--ca-file FILE')).toBe(
      'central_not_trusted',
    );
    // A name that the certificate does not have.
    expect(
      faultOf(
        await bare([
          'status',
          '--url',
          `https://127.0.0.2:${central.ports.https}`,
          '--ca-file',
          root,
          '--token-file',
          tokenFile(),
        ]),
        '127.0.0.2',
      ),
    ).toBe('central_not_trusted');
    expect(
      faultOf(
        await bare([
          'status',
          '--url',
          url,
          '--ca-file',
          join(central.folder, 'none.pem'),
          '--token-file',
          tokenFile(),
        ]),
      ),
    ).toBe('file_missing');
  });

  it('is the only way over TCP: plain HTTP is refused on this host, too, although Central itself is there', async () => {
    for (const host of ['127.0.0.1', 'localhost', '[::1]'])
      expect(
        faultOf(
          await bare(['status', '--url', `http://${host}:${central.ports.http}`, '--token-file', tokenFile()]),
          'https://',
        ),
      ).toBe('token_over_plain_http');
  });

  it('is refused in an environment that switches the verification off', async () => {
    const url = `https://localhost:${central.ports.https}`;
    expect(
      faultOf(
        await bare(['status', '--url', url, '--token-file', tokenFile()], { NODE_TLS_REJECT_UNAUTHORIZED: '0' }),
        'NODE_TLS_REJECT_UNAUTHORIZED',
      ),
    ).toBe('tls_weakened');
  });
});

describe('queuegate over the socket in the data folder', () => {
  it('is mode 0600 and of the account of Central, and the audit log says that it was used', async () => {
    const { mode, uid } = await lstat(join(central.folder, 'central.sock'));
    expect([mode & 0o777, uid]).toEqual([0o600, process.geteuid?.()]);
    await queuegate('parameters', 'set', 'agents.max=700');
    await central.change({ 'agents.max': 701 });
    const store = new DatabaseSync(join(central.folder, 'central.db'), { readOnly: true });
    cleanup.add(() => store.close());
    const rows = store
      .prepare("SELECT who, place FROM audit WHERE action LIKE 'parameter%' ORDER BY number DESC LIMIT 2")
      .all();
    expect(rows).toEqual([
      { who: 'first administrator', place: '127.0.0.1' },
      { who: 'first administrator', place: 'local socket' },
    ]);
  });

  it.skipIf(process.geteuid?.() !== 0)('sends no token to the socket of another account', async () => {
    const folder = await cleanup.folder();
    const socket = join(folder, 'data/central/central.sock');
    await mkdir(join(folder, 'data/central'), { recursive: true });
    const received: string[] = [];
    const thief = createServer((connection) => connection.on('data', (bytes) => received.push(String(bytes))));
    cleanup.add(() => thief.close());
    await once(thief.listen(socket), 'listening');
    await chown(socket, 65_534, 65_534);
    // As root in a working folder that somebody else has prepared.
    const refused = await run(process.execPath, [join(ROOT, 'central/cli.ts'), 'status'], {
      cwd: folder,
      env: { QUEUEGATE_TOKEN: 'qg_secret' },
    });
    expect(faultOf(refused, 'belongs to another account')).toBe('local_socket_foreign');
    expect(received).toEqual([]);
  });
});

describe('queuegate says what is wrong', () => {
  it('with the line: status 2 and the usage', async () => {
    for (const [line, words] of [
      [['parameters', 'set'], 'Usage: queuegate parameters set NAME=VALUE...'],
      [['parameters', 'set', 'agents.max'], 'is not of the form NAME=VALUE'],
      [['agents', 'show', 'a', 'b'], 'The argument "b" is unexpected'],
      [['status', '--nonsense'], '--nonsense'],
      [['agnets', 'list'], 'Did you mean "queuegate agents"'],
    ] as const) {
      const ended = await central.cli(...line);
      expect(ended).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr).toContain(words);
    }
  });

  it('with reaching Central: status 1 and the hint', async () => {
    expect(
      faultOf(
        await bare(['status', '--url', 'https://127.0.0.1:1', '--token-file', tokenFile()]),
        'Check that it runs there',
      ),
    ).toBe('administration_unreachable');
    expect(
      faultOf(await bare(['status'], { QUEUEGATE_DATA_FOLDER: join(central.folder, 'none') }), 'Start Central'),
    ).toBe('local_socket_missing');
    expect(
      faultOf(
        await bare(['status', '--token-file', join(central.folder, 'none')], { QUEUEGATE_DATA_FOLDER: central.folder }),
        'QUEUEGATE_TOKEN',
      ),
    ).toBe('token_missing');
    expect(
      faultOf(await bare(['status'], { QUEUEGATE_TOKEN: 'qg_wrong', QUEUEGATE_DATA_FOLDER: central.folder })),
    ).toBe('unauthenticated');
  });
});
