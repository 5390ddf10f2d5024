// How a machine becomes an agent, with every way in which it must not: real processes, and peers of the test's own in
// the line.
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, stat } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeRequest } from '../../agent/enrollment/csr.ts';
import { loadOrCreateKey } from '../../agent/identity/identity.ts';
import { trustFile } from '../../agent/trust/managed-roots.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  run,
  runNode,
  until,
  type AgentFolders,
  type Ended,
} from './processes.ts';

const cleanup = new Cleanup();
const lasting = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

interface Line {
  readonly url: string;
  readonly token: string;
  readonly pin: string;
}

/** A fresh token, with what is beside it in the line that Central prints. */
async function newLine(order: Readonly<Record<string, unknown>> = {}, from = central): Promise<Line> {
  const { body } = await from.rest('POST', '/enrollment-tokens', order);
  return { url: `https://localhost:${from.ports.wss}`, token: body.token, pin: body.pin };
}

async function enroll(
  folders: AgentFolders,
  name: string,
  { url, token, pin }: Line,
  ...more: string[]
): Promise<Ended> {
  return await runNode('agent/cli.ts', [
    'enroll',
    url,
    '--token',
    token,
    ...(url.startsWith('https:') ? ['--pin', pin] : []),
    ...agentFlags(folders, name),
    ...more,
  ]);
}

/** The exit status where it is not the token that is wrong, nor the policy that forbids it (4). */
const OTHER_STATUSES: readonly (readonly [text: RegExp, status: number])[] = [
  [/\(enrollment_answer_bad\)/, 1],
  [/\(pin_bad\)/, 2],
  [/\((pin_mismatch|connection_refused|no_central|tls_plain_port|plain_on_secure_port)\)/, 3],
  [/\/enroll was not found/, 5],
  [/belongs to the agent |belongs to an agent with another key|is already registered for/, 7],
];

/**
 * Enrolls a new machine and expects Central's or the agent's refusal: one error with its hint, no stack trace, nothing
 * kept.
 */
async function refused(name: string, line: Line, ...more: string[]): Promise<string> {
  const folders = await agentFolders(cleanup);
  const ended = await enroll(folders, name, line, ...more);
  const [, status] = OTHER_STATUSES.find(([text]) => text.test(ended.stderr)) ?? [null, 4];
  expect(ended).toMatchObject({ code: status, stdout: '' });
  expect(ended.stderr).toMatch(/^error: [^\n]+\n {2}[^\n]+\n {2}\([a-z_]+\)\n$/);
  await expect(stat(join(folders.data, 'identity.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  return ended.stderr;
}

async function portOf(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Somebody in the line to Central's ws port, who may change what passes; `null` cuts the line. */
async function inTheLine(change: {
  up?: (text: string) => string;
  down?: (text: string) => string | null;
}): Promise<string> {
  const pass = (from: Socket, to: Socket, changed: (text: string) => string | null): void => {
    from.on('data', (chunk: Buffer) => {
      const text = changed(chunk.toString('latin1'));
      if (text === null) to.end(chunk.subarray(0, chunk.length / 2));
      else to.write(text, 'latin1');
    });
    from.on('error', () => to.destroy());
    from.on('close', () => to.end());
  };
  const port = await portOf(
    createServer((near) => {
      const far = connect(central.ports.ws, '127.0.0.1');
      pass(near, far, change.up ?? ((text) => text));
      pass(far, near, change.down ?? ((text) => text));
    }),
  );
  return `http://127.0.0.1:${port}`;
}

describe('enrollment over wss with token and pin', () => {
  it("makes a key (0600) that a second enrollment leaves alone, and keeps Central's root beside the truststore, which is never written", async () => {
    const folders = await agentFolders(cleanup);
    const truststore = join(folders.profile, 'conf/security/truststore.jks');
    const store = ['-keystore', truststore, '-storepass', 'changeit'];
    expect(
      await run('keytool', [
        '-importcert',
        '-noprompt',
        '-storetype',
        'JKS',
        ...store,
        '-alias',
        'bank',
        '-file',
        'test/fixtures/keystores/root-ec.crt',
      ]),
    ).toMatchObject({ code: 0 });

    const placed = await readFile(truststore);
    const first = await enroll(folders, 'branch-1', await newLine());
    expect(first, first.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain(`${trustFile(folders.data)} holds Central's root`);
    expect(await readFile(truststore)).toEqual(placed);
    expect(new X509Certificate(await readFile(trustFile(folders.data))).fingerprint256).toBe(
      new X509Certificate(String((await central.rest('GET', '/ca/trust-bundle.pem')).body)).fingerprint256,
    );

    const key = join(folders.data, 'agent-key.pem');
    expect((await stat(key)).mode & 0o777).toBe(0o600);
    const before = {
      pem: await readFile(key, 'utf8'),
      at: (await stat(key)).mtimeMs,
      id: (await central.agent('branch-1'))?.['id'],
    };
    const again = await enroll(folders, 'branch-1', await newLine());
    expect(again).toMatchObject({ code: 7 });
    expect(again.stderr).toContain('already enrolled, as branch-1');
    // The same key again repairs: the same agent, by the same id.
    expect(await enroll(folders, 'branch-1', await newLine(), '--replace-identity')).toMatchObject({ code: 0 });
    expect({
      pem: await readFile(key, 'utf8'),
      at: (await stat(key)).mtimeMs,
      id: (await central.agent('branch-1'))?.['id'],
    }).toEqual(before);
    expect(await readFile(truststore)).toEqual(placed);
  });

  it('refuses a token used twice', async () => {
    const line = await newLine();
    expect(await enroll(await agentFolders(cleanup), 'branch-2', line)).toMatchObject({ code: 0 });
    expect(await refused('branch-3', line)).toContain('is used up (1 of 1 uses)');
    expect(await central.agent('branch-3')).toBeUndefined();
  });

  it('refuses an expired token', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.start(cleanup, folder);
    const { token, pin } = await newLine({}, first);
    await first.stop();
    // Half an hour ago it was still good.
    const database = new DatabaseSync(join(folder, 'central.db'));
    expect(
      database
        .prepare('UPDATE enrollment_token SET expires_at = expires_at - 3600000 WHERE id = ?')
        .run(token.split('_')[1] ?? '').changes,
    ).toBe(1);
    database.close();
    const second = await CentralProcess.start(cleanup, folder);
    expect(await refused('branch-1', { url: `https://localhost:${second.ports.wss}`, token, pin })).toMatch(
      /expired at \d{4}-.*\n {2}Create a new one/,
    );
  });

  it('refuses an unknown token, and one that is none', async () => {
    const line = await newLine();
    expect(await refused('branch-4', { ...line, token: `qge_${'0'.repeat(16)}_${'A'.repeat(43)}` })).toContain(
      'The enrollment token is not valid',
    );
    expect(await refused('branch-4', { ...line, token: `${line.token.slice(0, -2)}xx` })).toContain(
      'The enrollment token is not valid',
    );
    expect(await refused('branch-4', { ...line, token: 'nonsense' })).toContain('(token_bad)');
  });

  it('refuses a token for another name', async () => {
    expect(await refused('branch-5', await newLine({ agentName: 'branch-6' }))).toContain('is bound to another agent');
  });

  it('refuses a name that is taken', async () => {
    expect(await enroll(await agentFolders(cleanup), 'branch-7', await newLine())).toMatchObject({ code: 0 });
    expect(await refused('BRANCH-7', await newLine())).toContain('The name branch-7 belongs to the agent ');
  });

  it('refuses a cloned key under another id, and another key under the same id', async () => {
    const original = await agentFolders(cleanup);
    expect(await enroll(original, 'branch-8', await newLine(), '--agent-id', 'pc-8')).toMatchObject({ code: 0 });
    const clone = await agentFolders(cleanup);
    await mkdir(clone.data, { recursive: true });
    await copyFile(join(original.data, 'agent-key.pem'), join(clone.data, 'agent-key.pem'));
    const cloned = await enroll(clone, 'branch-9', await newLine(), '--agent-id', 'pc-9');
    expect(cloned).toMatchObject({ code: 7 });
    expect(cloned.stderr).toContain('This key is already registered for the agent pc-8');
    expect(await refused('branch-9', await newLine(), '--agent-id', 'pc-8')).toContain(
      'The id pc-8 belongs to an agent with another key',
    );
  });

  it('refuses everybody while agents.enrollment is closed', async () => {
    const line = await newLine();
    expect((await central.change({ 'agents.enrollment': 'closed' })).status).toBe(200);
    try {
      expect(await refused('branch-10', line)).toContain('Enrollment is closed');
    } finally {
      await central.change({ 'agents.enrollment': null });
    }
    expect(await enroll(await agentFolders(cleanup), 'branch-10', line)).toMatchObject({ code: 0 });
  });
});

describe('the agent sends its token to no one but the Central of the pin', () => {
  it('refuses a wrong pin: nothing at all is sent after the TLS handshake', async () => {
    let bytes = 0;
    let connections = 0;
    const [key, cert] = [
      await readFile('test/fixtures/keystores/central.key'),
      await readFile('test/fixtures/keystores/central.crt'),
    ];
    const stranger = createTlsServer({ key, cert }, (socket) => {
      socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
      socket.on('error', () => undefined);
    });
    stranger.on('connection', (socket: Socket) => socket.once('close', () => (connections += 1)));
    const port = await portOf(stranger);
    const line = await newLine();
    const error = await refused('branch-11', { ...line, url: `https://127.0.0.1:${port}` });
    expect(error).toContain(`127.0.0.1 does not present the certificate with the pin ${line.pin}; it presents sha256:`);
    expect(error).toContain('Nothing was sent.');
    await until(() => (connections === 1 ? true : undefined));
    expect(bytes).toBe(0);
    expect(await refused('branch-11', { ...line, pin: `sha256:${'0'.repeat(64)}` })).toContain('(pin_mismatch)');
    expect(await refused('branch-11', { ...line, pin: 'sha256:none' })).toContain('(pin_bad)');
    // The token was not used by any of it.
    expect(await enroll(await agentFolders(cleanup), 'branch-11', line)).toMatchObject({ code: 0 });
  });

  it('says so when no Central is at that address', async () => {
    const server = createServer();
    const port = await portOf(server);
    server.close();
    expect(await refused('branch-12', { ...(await newLine()), url: `https://127.0.0.1:${port}` })).toContain(
      `Nothing listens at wss://127.0.0.1:${port}`,
    );
  });

  it('says so when something answers that is not Central, and when the port is of the other kind', async () => {
    const line = await newLine();
    const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
    const port = await portOf(echo);
    expect(await refused('branch-13', { ...line, url: `https://127.0.0.1:${port}` })).toContain('(no_central)');
    expect(await refused('branch-13', { ...line, url: `http://127.0.0.1:${port}` })).toContain('(no_central)');
    expect(await refused('branch-13', { ...line, url: `https://localhost:${central.ports.ws}` })).toContain(
      '(tls_plain_port)',
    );
    expect(await refused('branch-13', { ...line, url: `http://localhost:${central.ports.wss}` })).toContain(
      '(plain_on_secure_port)',
    );
    expect(await refused('branch-13', { ...line, url: `http://localhost:${central.ports.http}` })).toContain(
      '/enroll was not found',
    );
  });
});

describe('enrollment over ws', () => {
  it('works with a proof of the token, which itself never crosses the line', async () => {
    const line = await newLine();
    let crossed = '';
    const url = await inTheLine({ up: (text) => ((crossed += text), text) });
    const folders = await agentFolders(cleanup, 'profiles/central');
    const enrolled = await enroll(
      folders,
      'plain-1',
      { ...line, url },
      '--central-host',
      `127.0.0.1:${central.ports.ws}`,
    );
    expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
    expect(crossed).toContain(line.token.split('_')[1]);
    expect(crossed).not.toContain(line.token.slice('qge_'.length + 17));
    AgentProcess.start(cleanup, folders, 'plain-1', ['--central-host', `127.0.0.1:${central.ports.ws}`]);
    expect(await central.online('plain-1')).toMatchObject({ session: { transport: 'ws' } });
  });

  it('refuses a token in the clear, and withdraws it', async () => {
    const line = await newLine();
    const csr = await makeRequest(await loadOrCreateKey(await cleanup.folder()), 'plain-2');
    const answer = await fetch(`http://127.0.0.1:${central.ports.ws}/enroll`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ csr: csr.pem, name: 'plain-2', token: line.token }),
    });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(await answer.json()).toMatchObject({ type: 'urn:queuegate:error:enrollment_token_in_the_clear' });
    expect(await refused('plain-2', line)).toContain('The enrollment token is not valid');
    const { body } = await central.rest('GET', '/enrollment-tokens');
    expect(body.items).not.toContainEqual(expect.objectContaining({ id: line.token.split('_')[1] }));
  });

  it('refuses an answer that somebody in the line changed', async () => {
    // Another signing key: with it a stranger could play Central.
    const url = await inTheLine({
      down: (text) =>
        text.replace(
          /("signingKey":"[^"]{60})(.)/,
          (_, before: string, byte: string) => `${before}${byte === 'A' ? 'B' : 'A'}`,
        ),
    });
    expect(await refused('plain-3', { ...(await newLine()), url })).toContain('it is not proven with the token');
  });

  it('refuses a request that somebody in the line changed', async () => {
    const url = await inTheLine({ up: (text) => text.replace('"name":"plain-4"', '"name":"plain-5"') });
    expect(await refused('plain-4', { ...(await newLine()), url })).toContain('the request was modified in transit');
    expect(await central.agent('plain-5')).toBeUndefined();
  });

  it('says so when the line is cut in the middle of the answer; the same token then repairs it', async () => {
    const line = await newLine();
    const folders = await agentFolders(cleanup, 'profiles/central');
    const cut = await enroll(folders, 'plain-6', { ...line, url: await inTheLine({ down: () => null }) });
    expect(cut).toMatchObject({ code: 3, stdout: '' });
    expect(cut.stderr).toContain('the line was cut in the middle of its answer');
    expect(await central.agent('plain-6')).toBeDefined();
    expect(await enroll(folders, 'plain-6', { ...line, url: `http://127.0.0.1:${central.ports.ws}` })).toMatchObject({
      code: 0,
    });
  });
});

describe('a daemon that is not enrolled', () => {
  it('waits and says the hint, takes events meanwhile, and connects by itself as soon as it is enrolled', async () => {
    const folders = await agentFolders(cleanup);
    const agent = AgentProcess.start(cleanup, folders, 'branch-14');
    const [line] = await agent.process.printed(/.*"code":"not_enrolled".*/);
    expect(line).toContain('queuegate enrollment-tokens create');
    expect(await agent.local('POST', '/api/v1/events', { id: 'early', type: 'ticket.issued' })).toMatchObject({
      status: 202,
    });
    expect((await agent.local('GET', '/api/v1/status')).body).toMatchObject({
      connection: { stateReason: { code: 'not_enrolled' } },
      outbox: { messageCount: 1 },
    });
    expect(await enroll(folders, 'branch-14', await newLine())).toMatchObject({ code: 0 });
    const { id } = await central.online('branch-14');
    await until(async () =>
      (await central.events(`&agent=${String(id)}`)).some(({ event }) => event['id'] === 'early') ? true : undefined,
    );
  });
});
