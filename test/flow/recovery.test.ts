// An agent that is cut off gets its identity back with a recovery code, and no other machine does. Real processes, and
// peers of the test's own in the line.
import { once } from 'node:events';
import { copyFile, cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { trustFile } from '../../agent/trust/managed-roots.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  run,
  runNode,
  runRecover,
  until,
  type AgentFolders,
  type Ended,
} from './processes.ts';
import { NEW_EC_KEY } from '../tool-arguments.ts';

/** Each test starts a dozen processes. */
const SLOW = { timeout: 90_000 } as const;
const cleanup = new Cleanup();
const lasting = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

async function enrolled(name: string, profile?: string): Promise<AgentFolders> {
  const folders = await agentFolders(cleanup, profile);
  const words = await central.enrollment();
  if (profile !== undefined) words.splice(1, 1, `http://127.0.0.1:${central.ports.ws}`);
  const ended = await runNode('agent/cli.ts', [...words, ...agentFlags(folders, name)]);
  expect(ended, ended.stderr).toMatchObject({ code: 0 });
  return folders;
}

async function codeFor(agent: string, ...options: string[]): Promise<string> {
  const code = await central.recoveryCode(agent, ...options);
  expect(code).toMatch(/^(?:[0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}$/);
  return code;
}

async function recover(folders: AgentFolders, name: string, code: string, ...more: string[]): Promise<Ended> {
  return await runRecover(folders, name, code, ...more);
}

/** The exit status where it is not the code that is wrong (4). */
const OTHER_STATUSES: readonly (readonly [text: string, status: number])[] = [
  ['(enrollment_answer_bad)', 1],
  ['(recovery_address_missing)', 2],
  ['too many answers to wrong secrets', 3],
  ['The agent saw a certificate with the pin', 7],
];

async function refused(folders: AgentFolders, name: string, code: string, ...more: string[]): Promise<string> {
  const ended = await recover(folders, name, code, ...more);
  const [, status] = OTHER_STATUSES.find(([text]) => ended.stderr.includes(text)) ?? ['', 4];
  expect(ended).toMatchObject({ code: status, stdout: '' });
  expect(ended.stderr).toMatch(/^error: [^\n]+\n {2}[^\n]+\n {2}\([a-z_]+\)\n$/);
  return ended.stderr;
}

/** profiles/central dials the default port. */
function plain(): string[] {
  return ['--central-host', `127.0.0.1:${central.ports.ws}`];
}

function keyOf(folders: AgentFolders): Promise<string> {
  return readFile(join(folders.data, 'agent-key.pem'), 'utf8');
}

/** A code that differs from `code` in its last letter. */
function mistyped(code: string): string {
  return `${code.slice(0, -1)}${code.endsWith('0') ? '1' : '0'}`;
}

/** Another authority is all that it trusts: what Central gave is gone. */
async function loseRoots({ profile, data }: AgentFolders): Promise<void> {
  await rm(trustFile(data));
  await mkdir(join(profile, 'conf/security'), { recursive: true });
  await copyFile('test/fixtures/keystores/truststore.jks', join(profile, 'conf/security/truststore.jks'));
}

async function eventIds(id: unknown): Promise<unknown[]> {
  return (await central.events(`&agent=${String(id)}`)).map(({ event }) => event['id']);
}

describe('an agent that is cut off', SLOW, () => {
  it('whose truststore does not know Central any more comes back: the daemon goes on by itself, and no message of either direction is lost', async () => {
    const folders = await enrolled('branch-1');
    const daemon = AgentProcess.start(cleanup, folders, 'branch-1');
    const before = await central.online('branch-1');
    const { id } = before;
    await daemon.local('POST', '/api/v1/events', { id: 'e1', type: 'ticket.issued' });
    await until(async () => ((await eventIds(id)).length === 1 ? true : undefined));
    await daemon.stop();

    await loseRoots(folders);
    const cut = AgentProcess.start(cleanup, folders, 'branch-1');
    await cut.process.printed(/"code":"tls_unknown_authority"/);
    expect(await cut.local('POST', '/api/v1/events', { id: 'e2', type: 'ticket.issued' })).toMatchObject({
      status: 202,
    });
    expect(
      await central.rest('POST', `/agents/${String(id)}/commands`, { id: 'c1', type: 'printer.restart' }),
    ).toMatchObject({ status: 202 });

    const code = await codeFor('branch-1');
    const ended = await recover(folders, 'branch-1', code);
    expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toContain("holds Central's root");
    const after = await central.online('branch-1');
    expect(after).toMatchObject({ id, name: 'branch-1', session: { transport: 'wss' } });
    expect(after['keyThumbprint']).not.toBe(before['keyThumbprint']);
    await until(async () => ((await eventIds(id)).length === 2 ? true : undefined));
    expect(await eventIds(id)).toEqual(['e1', 'e2']);
    const { items } = (await cut.local('GET', '/api/v1/commands?waitSeconds=10')).body as {
      items: { command: { id: string } }[];
    };
    expect(JSON.stringify(items)).toContain('"c1"');
    expect((await cut.local('GET', '/api/v1/status')).body).toMatchObject({
      keyThumbprint: after['keyThumbprint'],
    });
    expect((await cut.local('GET', '/api/v1/incidents')).body.items).toEqual([]);
    expect((await central.rest('GET', `/incidents?agent=${String(id)}`)).body.items).toEqual([]);
    expect((await stat(join(folders.data, 'agent-key.pem'))).mode & 0o777).toBe(0o600);
    await expect(stat(join(folders.data, 'agent-key-recovery.pem'))).rejects.toMatchObject({ code: 'ENOENT' });
    const { body } = await central.rest('GET', '/certificates?kind=agent');
    expect(body.items.filter((one: { agent: { name: string } }) => one.agent.name === 'branch-1')).toHaveLength(1);
  });

  it('whose key is lost, or whose whole data folder, comes back as itself; the session of a copy of the old key is ended at once', async () => {
    const folders = await enrolled('branch-2');
    const copy = await agentFolders(cleanup);
    await copyFile(join(folders.data, 'agent-key.pem'), join(copy.data, 'agent-key.pem'));
    await copyFile(join(folders.data, 'identity.json'), join(copy.data, 'identity.json'));
    await cp(dirname(trustFile(folders.data)), dirname(trustFile(copy.data)), { recursive: true });
    const thief = AgentProcess.start(cleanup, copy, 'branch-2');
    const { id } = await central.online('branch-2');
    await rm(join(folders.data, 'agent-key.pem'));
    const daemon = AgentProcess.start(cleanup, folders, 'branch-2');
    await daemon.process.printed(/"level":40/);
    expect(await recover(folders, 'branch-2', await codeFor('branch-2'))).toMatchObject({ code: 0 });
    await thief.process.printed(/"code":"refused"[^\n]*\(identity_replaced\)/);
    await daemon.process.printed(/"session":"[^"]+"[^\n]*"online"/);
    expect(await central.online('branch-2')).toMatchObject({ id });
    await daemon.stop();

    await rm(folders.data, { recursive: true });
    expect(await refused(folders, 'branch-2', await codeFor('branch-2'))).toContain('(recovery_address_missing)');
    const again = await recover(
      folders,
      'branch-2',
      await codeFor('branch-2'),
      '--central-host',
      `localhost:${central.ports.wss}`,
    );
    expect(again, again.stderr).toMatchObject({ code: 0 });
    AgentProcess.start(cleanup, folders, 'branch-2');
    expect(await central.online('branch-2')).toMatchObject({ id });
  });

  it('on another machine: the printed line alone makes the new one that agent, where enrolling it by name is refused with that command', async () => {
    const folders = await enrolled('branch-13');
    const daemon = AgentProcess.start(cleanup, folders, 'branch-13');
    const { id } = await central.online('branch-13');
    await daemon.stop();
    expect(await central.rest('POST', '/agents/branch-13/commands', { id: 'c13', type: 'x' })).toMatchObject({
      status: 202,
    });

    const fresh = await agentFolders(cleanup);
    const here = ['--profile', fresh.profile, '--data-folder', fresh.data, '--local-api-port', '0'];
    const enrolling = await runNode('agent/cli.ts', [
      ...(await central.enrollment()),
      ...agentFlags(fresh, 'branch-13'),
    ]);
    expect(enrolling).toMatchObject({ code: 7 });
    expect(enrolling.stderr).toContain('"queuegate agents recovery-code create branch-13"');
    const made = await central.cli('agents', 'recovery-code', 'create', 'branch-13');
    const [line = ''] = /queue-agent recover .*--code-file \S+$/m.exec(made.stdout) ?? [];
    expect(line).toMatch(/--central-host \S+:\d+ --agent-name branch-13 --code-file/);
    const recovered = await runNode('agent/cli.ts', [...line.split(' ').slice(1), ...here]);
    expect(recovered, recovered.stderr).toMatchObject({ code: 0, stderr: '' });
    const next = AgentProcess.start(cleanup, fresh, 'branch-13');
    expect(await central.online('branch-13')).toMatchObject({ id, session: { transport: 'wss' } });
    const { body } = await next.local('GET', '/api/v1/commands?waitSeconds=10');
    expect(JSON.stringify(body)).toContain('"c13"');
  });

  it('comes back over plain too, and while agents.enrollment is closed', async () => {
    const folders = await enrolled('plain-3', 'profiles/central');
    const code = await codeFor('plain-3', '--lifetime', '1h');
    await central.change({ 'agents.enrollment': 'closed' });
    try {
      // As somebody types it who heard it over the telephone.
      const typed = code.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l');
      const ended = await recover(folders, 'plain-3', typed, ...plain());
      expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
    } finally {
      await central.change({ 'agents.enrollment': null });
    }
    AgentProcess.start(cleanup, folders, 'plain-3', plain());
    expect(await central.online('plain-3')).toMatchObject({ session: { transport: 'ws' } });
  });

  it('is left as it was, or is the new one, wherever a recovery is interrupted', async () => {
    const folders = await enrolled('branch-4');
    const saved = await agentFolders(cleanup);
    for (const file of ['agent-key.pem', 'identity.json'])
      await copyFile(join(folders.data, file), join(saved.data, file));
    const code = await codeFor('branch-4');
    const { id } = (await central.agent('branch-4')) ?? {};
    expect(await recover(folders, 'branch-4', code)).toMatchObject({ code: 0 });

    // Central's answer was lost: the old files, and the new key beside them. The same code again repairs it.
    await rename(join(folders.data, 'agent-key.pem'), join(folders.data, 'agent-key-recovery.pem'));
    const [newKey, newIdentity] = [
      await readFile(join(folders.data, 'agent-key-recovery.pem'), 'utf8'),
      await readFile(join(folders.data, 'identity.json')),
    ];
    for (const file of ['agent-key.pem', 'identity.json'])
      await copyFile(join(saved.data, file), join(folders.data, file));
    expect(await recover(folders, 'branch-4', code)).toMatchObject({ code: 0 });
    expect(await keyOf(folders)).toBe(newKey);

    // The identity was written, the key was not yet put in its place: the daemon does that.
    await writeFile(join(folders.data, 'agent-key-recovery.pem'), newKey, { mode: 0o600 });
    await copyFile(join(saved.data, 'agent-key.pem'), join(folders.data, 'agent-key.pem'));
    await writeFile(join(folders.data, 'identity.json'), newIdentity);
    AgentProcess.start(cleanup, folders, 'branch-4');
    expect(await central.online('branch-4')).toMatchObject({ id });
    expect(await keyOf(folders)).toBe(newKey);
    await expect(stat(join(folders.data, 'agent-key-recovery.pem'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a recovery admits only the agent it was made for', SLOW, () => {
  it('a wrong code, one that is none, one of another agent, a used one, an older one', async () => {
    const folders = await enrolled('branch-5');
    const [key, identity] = [await keyOf(folders), await readFile(join(folders.data, 'identity.json'), 'utf8')];
    expect(await refused(folders, 'branch-5', 'ABCDE-FGH')).toContain('it has 9 characters');
    const older = await codeFor('branch-5');
    const code = await codeFor('branch-5');
    expect(await refused(folders, 'branch-5', older)).toContain('No agent branch-5 has this recovery code');
    expect(await refused(folders, 'branch-5', mistyped(code))).toContain('No agent branch-5 has this recovery code');
    const others = await enrolled('branch-6');
    expect(await refused(others, 'branch-6', code)).toContain('No agent branch-6 has this recovery code');
    expect([await keyOf(folders), await readFile(join(folders.data, 'identity.json'), 'utf8')]).toEqual([
      key,
      identity,
    ]);

    expect(await recover(folders, 'branch-5', code)).toMatchObject({ code: 0 });
    expect(await refused(folders, 'branch-5', code)).toContain('This recovery code was used');
    // Nothing was taken from the agent by any of it.
    AgentProcess.start(cleanup, folders, 'branch-5');
    await central.online('branch-5');
  });

  it('an expired code', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.startOnParameters(cleanup, folder);
    const folders = await agentFolders(cleanup);
    expect(
      await runNode('agent/cli.ts', [...(await first.enrollment()), ...agentFlags(folders, 'branch-7')]),
    ).toMatchObject({ code: 0 });
    const { body } = await first.rest(
      'POST',
      `/agents/${String((await first.agent('branch-7'))?.['id'])}/recovery-code`,
      {},
    );
    await first.stop();
    // A day and an hour ago it was still good.
    const database = new DatabaseSync(join(folder, 'central.db'));
    expect(database.prepare('UPDATE recovery_code SET expires_at = expires_at - 90000000').run().changes).toBe(1);
    expect(JSON.stringify(database.prepare('SELECT * FROM recovery_code').all())).not.toContain(
      String(body.code).replaceAll('-', ''),
    );
    database.close();
    await CentralProcess.startOnParameters(cleanup, folder);
    expect(await refused(folders, 'branch-7', body.code)).toMatch(/This recovery code expired at \d{4}-/);
  });

  it('a stranger who guesses is slowed down and recorded, and does not lock the owner out', async () => {
    const folders = await enrolled('branch-8');
    const { id } = (await central.agent('branch-8')) ?? {};
    const code = await codeFor('branch-8');
    const stranger = await agentFolders(cleanup);
    await copyFile(join(folders.data, 'identity.json'), join(stranger.data, 'identity.json'));
    for (let i = 0; i < 12; i += 4)
      await Promise.all(
        [0, 1, 2, 3].map(async (j) =>
          expect(await refused(stranger, 'branch-8', `0000${i % 10}-0000${j}-00000-00000`)).toContain(
            '(enrollment_refused_by_central)',
          ),
        ),
      );
    const incidents = await until(async () => {
      const { body } = await central.rest('GET', `/incidents?agent=${String(id)}`);
      return body.items.length > 0
        ? (body.items as { code: string; address: string; detail: { attempts: number } }[])
        : undefined;
    });
    expect(incidents).toMatchObject([
      {
        code: 'wrong_recovery_codes',
        address: expect.stringMatching(/^127\.0\.0\.1$|::\/64$/),
        detail: { attempts: expect.any(Number) },
      },
    ]);
    // Guesses that wait for their answer meanwhile are of no concern to the owner.
    const guesses = Promise.all(
      [0, 1, 2, 3, 4, 5].map(async (j) => await refused(stranger, 'branch-8', `00009-0000${j}-00000-00000`)),
    );
    expect(await recover(folders, 'branch-8', code)).toMatchObject({ code: 0 });
    await guesses;
  });

  it('a man in the middle with a certificate of his own: Central refuses the pin that the agent saw', async () => {
    const folders = await enrolled('branch-10');
    const before = await central.agent('branch-10');
    // His certificate is for localhost; he decrypts, and passes on what he reads.
    const site = await cleanup.folder();
    const [key, cert] = [join(site, 'key.pem'), join(site, 'cert.pem')];
    expect(
      await run('openssl', [
        'req',
        '-x509',
        ...NEW_EC_KEY,
        '-keyout',
        key,
        '-out',
        cert,
        '-days',
        '2',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost',
      ]),
    ).toMatchObject({ code: 0 });
    const { connect: connectTls } = await import('node:tls');
    const ca = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
    let seen = '';
    const stranger = createTlsServer({ key: await readFile(key), cert: await readFile(cert) }, (near) => {
      const far = connectTls({ host: 'localhost', port: central.ports.wss, servername: 'localhost', ca });
      near.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
      for (const socket of [near, far]) socket.on('error', () => undefined);
      near.pipe(far);
      far.pipe(near);
    });
    const port = await portOf(stranger);
    const code = await codeFor('branch-10');
    expect(await refused(folders, 'branch-10', code, '--central-host', `localhost:${port}`)).toMatch(
      /The agent saw a certificate with the pin sha256:[0-9a-f]{64}; Central shows sha256:/,
    );
    expect(seen).toContain('"proof":"');
    expect(seen.toUpperCase()).not.toContain(code.replaceAll('-', ''));
    expect(seen.toUpperCase()).not.toContain(code);
    expect(await central.agent('branch-10')).toMatchObject({ keyThumbprint: before?.['keyThumbprint'] });
    // The code is not used up by it.
    expect(await recover(folders, 'branch-10', code)).toMatchObject({ code: 0 });
  });

  it('an answer of somebody in the line who does not know the code, over plain', async () => {
    const folders = await enrolled('plain-11', 'profiles/central');
    const identity = await readFile(join(folders.data, 'identity.json'), 'utf8');
    // Another signing key: with it a stranger could play Central.
    const server = createServer((near) => {
      const far = connect(central.ports.ws, '127.0.0.1');
      const changed = (text: string): string =>
        text.replace(
          /("signingKey":"[^"]{60})(.)/,
          (_, head: string, byte: string) => `${head}${byte === 'A' ? 'B' : 'A'}`,
        );
      near.on('data', (chunk: Buffer) => far.write(chunk));
      far.on('data', (chunk: Buffer) => near.write(changed(chunk.toString('latin1')), 'latin1'));
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as [Socket, Socket][])
        one.on('error', () => undefined).on('close', () => other.end());
    });
    const code = await codeFor('plain-11');
    expect(await refused(folders, 'plain-11', code, '--central-host', `127.0.0.1:${await portOf(server)}`)).toContain(
      'it is not proven with the recovery code',
    );
    expect(await readFile(join(folders.data, 'identity.json'), 'utf8')).toBe(identity);
    expect(await recover(folders, 'plain-11', code, ...plain())).toMatchObject({ code: 0 });
  });

  it('an agent that was removed: its code went with it', async () => {
    const folders = await enrolled('branch-12');
    const code = await codeFor('branch-12');
    expect(await central.cli('agents', 'delete', 'branch-12', '--yes')).toMatchObject({ code: 0 });
    expect(await refused(folders, 'branch-12', code)).toContain('No agent branch-12 has this recovery code');
    expect((await central.cli('agents', 'recovery-code', 'create', 'branch-12')).stderr).toContain('(agent_unknown)');
  });
});

async function portOf(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, 'localhost');
  await once(server, 'listening');
  cleanup.add(() => server.close());
  return (server.address() as AddressInfo).port;
}
