// Machines that ask without a token (policy approve): accepted by thumbprint, rejected, and a flood of strangers. Real
// processes.
import { readFile, stat } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeRequest } from '../../agent/enrollment/csr.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  Running,
  type AgentFolders,
} from './processes.ts';
import { newKey } from './raw-agent.ts';

/** Each test starts a dozen processes. */
const SLOW = { timeout: 90_000 } as const;
const cleanup = new Cleanup();
const lasting = new Cleanup();
let central: CentralProcess;
let pin: string;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
  await central.change({ 'agents.enrollment': 'approve' });
  ({ pin } = (await central.rest('GET', '/ca')).body);
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

/** `queue-agent enroll` without a token, in the background. */
function requestOfMachine(folders: AgentFolders, name: string, ...more: string[]): Running {
  const running = new Running(process.execPath, [
    'agent/cli.ts',
    'enroll',
    `https://localhost:${central.ports.wss}`,
    '--pin',
    pin,
    ...agentFlags(folders, name),
    ...more,
  ]);
  cleanup.add(() => running.stop());
  return running;
}

async function thumbprintOf(running: Running): Promise<string> {
  return (await running.printed(/key {9}sha256:([0-9a-f]{64})/))[1] ?? '';
}

describe('enrollment without a token', SLOW, () => {
  it('prints the thumbprint, waits, and is an agent once an administrator has accepted that thumbprint', async () => {
    const folders = await agentFolders(cleanup);
    const machine = requestOfMachine(folders, 'branch-1', '--agent-id', 'pc,1"u"');
    const key = await thumbprintOf(machine);
    expect(machine.stdout).toContain(`queuegate enrollment-requests accept ${key.slice(0, 16)}`);
    await expect(stat(join(folders.data, 'identity.json'))).rejects.toMatchObject({ code: 'ENOENT' });
    const listed = await central.cli('enrollment-requests', 'list');
    expect(listed.stdout).toMatch(/\d+ of 1000 places are taken; by address: \S+ \(\d+\)/);
    expect(listed.stdout).toMatch(new RegExp(`^${key} +branch-1 +\\S+ +wss `, 'm'));
    expect((await central.rest('GET', '/agents')).body.items).toEqual([]);
    expect((await fetchMetrics()).match(/^queuegate_enrollment_requests\{state="pending"\} (\d+)$/m)?.[1]).toBe('1');

    const accepted = await central.cli(
      'enrollment-requests',
      'accept',
      key.slice(0, 8),
      '--comment',
      'read over the telephone',
    );
    expect(accepted, accepted.stderr).toMatchObject({ code: 0 });
    const ended = await machine.ended();
    expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toContain("holds Central's root");
    expect(await central.agent('branch-1')).toMatchObject({
      id: 'pc,1"u"',
      keyThumbprint: key,
      enrolledBy: 'first administrator',
    });
    AgentProcess.start(cleanup, folders, 'branch-1');
    expect(await central.online('branch-1')).toMatchObject({ session: { transport: 'wss' } });
    expect((await fetchMetrics()).match(/^queuegate_enrollment_requests\{state="pending"\} (\d+)$/m)?.[1]).toBe('0');
    // Accepted once: nothing is left to accept again.
    expect((await central.cli('enrollment-requests', 'accept', key)).stderr).toContain('(enrollment_request_unknown)');
  });

  it('gives up after its time, and goes on with the same key when it is run again', async () => {
    const folders = await agentFolders(cleanup);
    const first = requestOfMachine(folders, 'branch-2', '--wait', '0s');
    const key = await thumbprintOf(first);
    const ended = await first.ended();
    expect(ended).toMatchObject({ code: 8 });
    expect(ended.stderr).toMatch(
      /^error: The enrollment was not accepted within 0 seconds\.\n {2}[^\n]+--wait 1h[^\n]+\n {2}\(enrollment_undecided\)\n$/,
    );
    expect(await central.cli('enrollment-requests', 'accept', `SHA256:${key.toUpperCase()}`)).toMatchObject({
      code: 0,
    });
    const second = await requestOfMachine(folders, 'branch-2', '--wait', '0s').ended();
    expect(second, second.stderr).toMatchObject({ code: 0 });
    expect(await central.agent('branch-2')).toMatchObject({ keyThumbprint: key });
  });

  it('learns that it was rejected, with the comment, and can still be accepted', async () => {
    const folders = await agentFolders(cleanup);
    const machine = requestOfMachine(folders, 'branch-3');
    const key = await thumbprintOf(machine);
    expect(
      await central.cli('enrollment-requests', 'reject', key.slice(0, 12), '--comment', 'not one of ours'),
    ).toMatchObject({
      code: 0,
    });
    const ended = await machine.ended();
    expect(ended).toMatchObject({ code: 4 });
    expect(ended.stderr).toContain(
      'The enrollment request of this machine was rejected by first administrator (not one of ours).',
    );
    await expect(stat(join(folders.data, 'identity.json'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await requestOfMachine(folders, 'branch-3').ended()).stderr).toContain('(not one of ours)');
    expect((await central.cli('enrollment-requests', 'list', '--state', 'rejected')).stdout).toContain(key);
    expect(await central.cli('enrollment-requests', 'accept', key)).toMatchObject({ code: 0 });
    expect(await requestOfMachine(folders, 'branch-3').ended()).toMatchObject({ code: 0 });
  });

  it('tells the administrator when the name or the thumbprint does not fit', async () => {
    const folders = await agentFolders(cleanup);
    const machine = requestOfMachine(folders, 'BRANCH-1', '--wait', '0s');
    const key = await thumbprintOf(machine);
    expect((await central.cli('enrollment-requests', 'accept', key)).stderr).toContain(
      'The name branch-1 belongs to the agent pc,1',
    );
    expect((await central.cli('enrollment-requests', 'accept', key.slice(0, 7))).stderr).toContain(
      'is not the thumbprint of a key',
    );
    expect((await central.cli('enrollment-requests', 'accept', '00000000')).stderr).toContain(
      'No pending enrollment request has a key that begins with 00000000',
    );
    expect(await central.cli('enrollment-requests', 'reject', key)).toMatchObject({ code: 0 });
  });

  it('keeps the name of the Central agent for the Central agent', async () => {
    expect((await requestOfMachine(await agentFolders(cleanup), 'Central-Agent').ended()).stderr).toContain(
      'is reserved for the agent on Central',
    );
  });

  it('sends nothing to a Central without the pin, and asks no one over http for roots that wss would trust', async () => {
    const folders = await agentFolders(cleanup);
    const wrong = new Running(process.execPath, [
      'agent/cli.ts',
      'enroll',
      `https://localhost:${central.ports.wss}`,
      '--pin',
      `sha256:${'0'.repeat(64)}`,
      ...agentFlags(folders, 'branch-4'),
    ]);
    expect((await wrong.ended()).stderr).toContain('(pin_mismatch)');
    const plain = new Running(process.execPath, [
      'agent/cli.ts',
      'enroll',
      `http://127.0.0.1:${central.ports.ws}`,
      ...agentFlags(folders, 'branch-4'),
    ]);
    expect((await plain.ended()).stderr).toContain('(enroll_unproven)');
    expect((await central.cli('enrollment-requests', 'list')).stdout).not.toContain('branch-4');
  });

  it('over plain keeps the signing key of the peer that answered, and shows its fingerprint to be compared', async () => {
    const folders = await agentFolders(cleanup, 'profiles/central');
    const machine = new Running(process.execPath, [
      'agent/cli.ts',
      'enroll',
      `http://127.0.0.1:${central.ports.ws}`,
      ...agentFlags(folders, 'plain-1'),
      '--central-host',
      `127.0.0.1:${central.ports.ws}`,
    ]);
    cleanup.add(() => machine.stop());
    expect(await central.cli('enrollment-requests', 'accept', await thumbprintOf(machine))).toMatchObject({ code: 0 });
    const ended = await machine.ended();
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    const shown = /^signing key (sha256:[0-9a-f]{64})$/m.exec((await central.cli('ca', 'show')).stdout)?.[1];
    expect(shown).toBeDefined();
    expect(ended.stderr).toMatch(/^warning: plain http does not prove that this is Central/);
    expect(ended.stderr).toContain(`  ${shown}\n`);
    AgentProcess.start(cleanup, folders, 'plain-1', ['--central-host', `127.0.0.1:${central.ports.ws}`]);
    expect(await central.online('plain-1')).toMatchObject({ session: { transport: 'ws' } });
  });

  it('is refused while the policy is token, and while it is closed', async () => {
    for (const [policy, code] of [
      ['token', 'enrollment_token_needed'],
      ['closed', 'enrollment_closed'],
    ] as const) {
      await central.change({ 'agents.enrollment': policy });
      const ended = await requestOfMachine(await agentFolders(cleanup), 'branch-5').ended();
      expect(ended).toMatchObject({ code: 4 });
      expect(ended.stderr).toContain(
        code === 'enrollment_closed' ? 'Enrollment is closed' : 'Enrollment requires a token',
      );
    }
    await central.change({ 'agents.enrollment': 'approve' });
  });
});

describe('strangers who ask', SLOW, () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 8, rejectUnauthorized: true });
  afterAll(() => agent.destroy());

  async function post(
    body: unknown,
  ): Promise<{ status: number; retryAfter: string | undefined; body: Record<string, unknown> }> {
    const ca = String((await root()).body);
    return await new Promise((resolve, reject) => {
      const sent = request(
        {
          host: 'localhost',
          port: central.ports.wss,
          path: '/enroll',
          method: 'POST',
          ca,
          agent,
          headers: { 'content-type': 'application/json' },
        },
        (answer) => {
          let text = '';
          answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
          answer.on('end', () =>
            resolve({
              status: answer.statusCode ?? 0,
              retryAfter: answer.headers['retry-after'],
              body: JSON.parse(text) as Record<string, unknown>,
            }),
          );
        },
      );
      sent.on('error', reject);
      sent.end(JSON.stringify(body));
    });
  }
  let kept: ReturnType<CentralProcess['rest']> | undefined;
  const root = () => (kept ??= central.rest('GET', '/ca/trust-bundle.pem'));

  async function requestOf(name: string, id?: string): Promise<{ csr: string; thumbprint: string }> {
    const key = newKey();
    const { pem } = await makeRequest(
      { privateKey: key.privateKey, pem: '', publicKey: key.spki, thumbprint: key.thumbprint },
      name,
      id,
    );
    return { csr: pem, thumbprint: key.thumbprint };
  }

  it('cannot put another name or id beside a key that is not theirs', async () => {
    const { csr, thumbprint } = await requestOf('honest', 'pc-7');
    for (const changed of [
      { csr, name: 'mine', id: 'pc-7' },
      { csr, name: 'honest', id: 'pc-8' },
      { csr, name: 'honest' },
    ])
      expect(await post(changed)).toMatchObject({
        status: 400,
        body: { type: 'urn:queuegate:error:enrollment_request_bad' },
      });
    expect(await post({ csr, name: 'honest', id: 'pc-7' })).toMatchObject({
      status: 202,
      retryAfter: '5',
      body: { state: 'pending', keyThumbprint: thumbprint, retryAfterSeconds: 5 },
    });
    expect(await central.cli('enrollment-requests', 'reject', thumbprint)).toMatchObject({ code: 0 });
  });

  it('fill no more than the places of their address; the same key again takes no other place, and a token still gets in', async () => {
    const requests = await Promise.all(Array.from({ length: 60 }, (_, i) => requestOf(`flood-${i}`)));
    const answers = [];
    for (const [i, { csr }] of requests.entries()) answers.push(await post({ csr, name: `flood-${i}` }));
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(50);
    const refused = answers.filter(({ status }) => status !== 202);
    expect(refused).toHaveLength(10);
    for (const { status, body, retryAfter } of refused)
      expect([status, body['type'], Number(retryAfter) > 0]).toEqual([
        503,
        'urn:queuegate:error:enrollments_full_of_address',
        true,
      ]);
    const [first] = requests;
    expect(await post({ csr: first?.csr, name: 'flood-0' })).toMatchObject({ status: 202 });
    const { body } = await central.rest('GET', '/enrollment-requests?limit=1000');
    expect(body.items).toHaveLength(50);
    const folders = await agentFolders(cleanup);
    const honest = new Running(process.execPath, [
      'agent/cli.ts',
      ...(await central.enrollment()),
      ...agentFlags(folders, 'branch-6'),
    ]);
    expect(await honest.ended()).toMatchObject({ code: 0 });
    // Place is made by a decision.
    expect(await central.cli('enrollment-requests', 'reject', first?.thumbprint ?? '')).toMatchObject({ code: 0 });
    expect(await post({ csr: requests.at(-1)?.csr, name: 'flood-59' })).toMatchObject({ status: 202 });
  });
});

async function fetchMetrics(): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
    headers: {
      authorization: `Bearer ${(await readFile(join(central.folder, 'administrator-token'), 'utf8')).trim()}`,
    },
  });
  return await answer.text();
}
