// A machine that cannot reach Central yet becomes an agent by two files: its request, and Central's answer. Real
// processes, and the checks of every fault that such a file can have.
import { X509Certificate } from 'node:crypto';
import { chmod, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { trustFile } from '../../agent/trust/managed-roots.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  freePorts,
  run,
  runNode,
  until,
  type AgentFolders,
  type Ended,
} from './processes.ts';

/** Each test starts a dozen processes. */
const SLOW = { timeout: 90_000 } as const;
const cleanup = new Cleanup();
const lasting = new Cleanup();
let folder: string;
let central: CentralProcess;
beforeAll(async () => {
  folder = await lasting.folder();
  central = await CentralProcess.start(lasting, await lasting.folder());
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

async function agent(command: string, folders: AgentFolders, name: string, ...words: string[]): Promise<Ended> {
  return await runNode('agent/cli.ts', [...command.split(' '), ...words, ...agentFlags(folders, name)]);
}

/** What Central makes of a machine's request; the file's text. */
async function issued(folders: AgentFolders, name: string, from = central, ...options: string[]): Promise<string> {
  const csr = join(folder, `${name}.csr`);
  const requested = await agent('certificate request', folders, name, '--out', csr);
  expect(requested, requested.stderr).toMatchObject({ code: 0 });
  const made = await from.cli('agents', 'create', '--csr', csr, '--out', join(folder, `${name}.pem`), ...options);
  expect(made, made.stderr).toMatchObject({ code: 0 });
  return await readFile(join(folder, `${name}.pem`), 'utf8');
}

function blocks(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? [];
}

describe('enrollment by files', SLOW, () => {
  it('writes its request through no link, and keeps no mode that lets others exchange it', async () => {
    const folders = await agentFolders(cleanup);
    const [out, victim] = [join(folder, 'linked.csr'), join(folder, 'victim')];
    await writeFile(victim, 'untouched');
    await symlink(victim, out);
    expect(await agent('certificate request', folders, 'linked', '--out', out)).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('secret_file_unsafe'),
    });
    expect(await readFile(victim, 'utf8')).toBe('untouched');
    await rm(out);
    await writeFile(out, '');
    await chmod(out, 0o666);
    expect(await agent('certificate request', folders, 'linked', '--out', out)).toMatchObject({ code: 0 });
    expect((await stat(out)).mode & 0o777).toBe(0o644);
  });

  it('works without any connection; the daemon, which waits, comes online by itself once Central can be reached', async () => {
    const folders = await agentFolders(cleanup);
    const site = await cleanup.folder();
    const office = await CentralProcess.startOnParameters(cleanup, site);
    const { wss: secure } = office.ports;
    const waiting = AgentProcess.start(cleanup, folders, 'branch-1');
    await waiting.process.printed(/"code":"not_enrolled"/);
    expect(await waiting.local('POST', '/api/v1/events', { id: 'early', type: 'ticket.issued' })).toMatchObject({
      status: 202,
    });

    const csr = join(folder, 'branch-1.csr');
    const requested = await agent('certificate request', folders, 'branch-1', '--out', csr);
    const key = /key {9}sha256:([0-9a-f]{64})/.exec(requested.stdout)?.[1];
    expect((await stat(join(folders.data, 'agent-key.pem'))).mode & 0o777).toBe(0o600);
    expect(await run('openssl', ['req', '-in', csr, '-verify', '-noout'])).toMatchObject({ code: 0 });
    const out = join(folder, 'branch-1.pem');
    const made = await office.cli('agents', 'create', '--csr', csr, '--out', out, '--ticket', 'T-7');
    expect(made, made.stderr).toMatchObject({ code: 0 });
    expect(made.stdout).toContain(`Issued for branch-1 (${key}), key sha256:${key}`);
    expect(await office.agent('branch-1')).toMatchObject({ state: 'enrolled', keyThumbprint: key });
    const { body } = await office.rest('GET', '/certificates?kind=agent');
    expect(body.items).toMatchObject([{ slot: null, agent: { name: 'branch-1' } }]);
    await office.stop();

    // Nothing listens at that address now.
    const installed = await agent(
      'certificate install',
      folders,
      'branch-1',
      out,
      '--central',
      `https://localhost:${secure}`,
    );
    expect(installed, installed.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(installed.stdout).toMatch(/^enrolled with Central "[^"]+" as branch-1\n/);
    await waiting.process.printed(/"code":"connection_refused"/);
    const later = await CentralProcess.startOnParameters(cleanup, site);
    expect(later.ports.wss).toBe(secure);
    const { id } = await later.online('branch-1');
    await until(async () =>
      (await later.events(`&agent=${String(id)}`)).some(({ event }) => event['id'] === 'early') ? true : undefined,
    );
  });

  it('is one file with the whole chain, in order: agent, roots, signing key; openssl verifies it', async () => {
    const folders = await agentFolders(cleanup);
    const pem = await issued(folders, 'branch-2', central, '--name', 'other-name', '--id', 'pc-2');
    const [own, root, signing] = blocks(pem).map((block) => new X509Certificate(block));
    expect(own?.subjectAltName).toBe('URI:urn:queuegate:agent:pc-2');
    expect(own?.subject).toBe('CN=other-name');
    expect(own?.verify(root?.publicKey ?? own.publicKey)).toBe(true);
    const name = (await central.rest('GET', '/status')).body.central as string;
    expect(signing?.subjectAltName).toBe(`URI:urn:queuegate:central:${encodeURIComponent(name)}`);
    await writeFile(join(folder, 'root.pem'), blocks(pem)[1] ?? '');
    expect(
      await run('openssl', [
        'verify',
        '-CAfile',
        join(folder, 'root.pem'),
        '-purpose',
        'sslclient',
        join(folder, 'branch-2.pem'),
      ]),
    ).toMatchObject({ code: 0 });
    expect(pem).not.toContain('PRIVATE KEY');
    // Without --central: from the configuration.
    const installed = await agent(
      'certificate install',
      folders,
      'branch-2',
      join(folder, 'branch-2.pem'),
      '--central-host',
      `localhost:${central.ports.wss}`,
    );
    expect(installed, installed.stderr).toMatchObject({ code: 0 });
    expect(await readFile(join(folders.data, 'identity.json'), 'utf8')).toContain(`"central": ${JSON.stringify(name)}`);
    AgentProcess.start(cleanup, folders, 'other-name', ['--central-host', `localhost:${central.ports.wss}`]);
    await central.online('other-name');
  });

  it('gives an agent that is there already another certificate for its key, and no new agent while the policy is closed', async () => {
    const folders = await agentFolders(cleanup);
    const first = await issued(folders, 'branch-3');
    await central.change({ 'agents.enrollment': 'closed' });
    try {
      const second = await issued(folders, 'branch-3');
      expect(new X509Certificate(second).serialNumber).not.toBe(new X509Certificate(first).serialNumber);
      const stranger = await agentFolders(cleanup);
      const csr = join(folder, 'stranger.csr');
      await agent('certificate request', stranger, 'stranger', '--out', csr);
      const refused = await central.cli('agents', 'create', '--csr', csr, '--out', join(folder, 'stranger.pem'));
      expect(refused).toMatchObject({ code: 4 });
      expect(refused.stderr).toContain('Enrollment is closed');
      await expect(stat(join(folder, 'stranger.pem'))).rejects.toMatchObject({ code: 'ENOENT' });
    } finally {
      await central.change({ 'agents.enrollment': null });
    }
  });

  it('is refused for what is not a request, for a name that is taken or kept, and without a file', async () => {
    const folders = await agentFolders(cleanup);
    const csr = join(folder, 'branch-4.csr');
    await agent('certificate request', folders, 'branch-4', '--out', csr);
    const issue = async (...words: string[]): Promise<string> =>
      (await central.cli('agents', 'create', '--out', join(folder, 'none.pem'), ...words)).stderr;
    await writeFile(join(folder, 'none.csr'), `${'x'.repeat(80)}\n`);
    expect(await issue('--csr', join(folder, 'none.csr'))).toContain('(csr_unreadable)');
    expect(await issue('--csr', csr, '--name', 'central-agent')).toContain('(enrollment_name_reserved)');
    await issued(await agentFolders(cleanup), 'branch-5');
    expect(await issue('--csr', csr, '--name', 'BRANCH-5')).toContain('(agent_name_taken)');
    expect(await issue('--csr', join(folder, 'missing.csr'))).toContain('(file_missing)');
    expect(await issue()).toContain('--csr and --out are required');
  });
});

describe('certificate install refuses, changes nothing, and names the fault', SLOW, () => {
  let folders: AgentFolders;
  let pem: string;
  beforeAll(async () => {
    folders = await agentFolders(lasting);
    pem = await issued(folders, 'branch-9');
  });

  async function fault(text: string, central = 'https://localhost:9150'): Promise<string> {
    const file = join(folder, 'changed.pem');
    await writeFile(file, text);
    const ended = await agent(
      'certificate install',
      folders,
      'branch-9',
      file,
      ...(central === '' ? [] : ['--central', central]),
    );
    const isUsage = /\((enroll_url_bad|central_address_missing)\)/.test(ended.stderr);
    expect(ended).toMatchObject({ code: isUsage ? 2 : 6, stdout: '' });
    expect(ended.stderr).toMatch(/^error: [^\n]+\n {2}[^\n]+\n {2}\([a-z_]+\)\n$/);
    await expect(stat(join(folders.data, 'identity.json'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(stat(trustFile(folders.data))).rejects.toMatchObject({ code: 'ENOENT' });
    return ended.stderr;
  }

  it('a certificate for the key of another machine', async () => {
    expect(await fault(await issued(await agentFolders(cleanup), 'branch-10'))).toMatch(
      /key_mismatch: it is for the key sha256:[0-9a-f]{64}, the key of this machine is sha256:[0-9a-f]{64}/,
    );
  });

  it('a missing root, a missing signing certificate, a wrong order, an empty file, garbage, another kind, a private key', async () => {
    const [own = '', root = '', signing = ''] = blocks(pem);
    const missing = await fault(own + signing);
    expect(missing).toContain('chain_incomplete: the chain ends at "CN=branch-9", whose issuer "');
    expect(missing).toContain('chain_incomplete: none of its certificates issued "');
    expect(await fault(own + root)).toContain('signing_missing');
    expect(await fault(root + own + signing)).toContain(
      'order: the certificates are not in the order of the chain ("CN=branch-9", then "',
    );
    expect(await fault('')).toContain('empty: it holds no certificate');
    expect(await fault(`${own}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`)).toContain(
      'unreadable: certificate 2 of 2',
    );
    expect(await fault(root + signing)).toContain('usage: none of the certificates is the certificate of an agent');
    expect(await fault(`${pem}${await readFile(join(folders.data, 'agent-key.pem'), 'utf8')}`)).toContain('key_inside');
  });

  it('the root of another authority', async () => {
    const other = await CentralProcess.start(cleanup, await cleanup.folder());
    const [own = '', , signing = ''] = blocks(pem);
    const root = String((await other.rest('GET', '/ca/trust-bundle.pem')).body);
    expect(await fault(own + root + signing)).toContain('chain_incomplete');
  });

  it('an address that is none, and none at all', async () => {
    const [port] = await freePorts(1);
    expect(await fault(pem, `gopher://localhost:${port}`)).toContain('(enroll_url_bad)');
    expect(await fault(pem, '')).toContain('(central_address_missing)');
  });

  it('without a request before it, and for another agent than the one that is enrolled', async () => {
    const file = join(folder, 'branch-9.pem');
    expect((await agent('certificate install', await agentFolders(cleanup), 'branch-11', file)).stderr).toContain(
      '(request_missing)',
    );
    const enrolled = await agentFolders(cleanup);
    const words = await central.enrollment();
    expect(
      await runNode('agent/cli.ts', [...words, ...agentFlags(enrolled, 'branch-12'), '--agent-id', 'pc-12']),
    ).toMatchObject({ code: 0 });
    // The same key under another id would be another agent: Central refuses that, too.
    const csr = join(folder, 'branch-12.csr');
    await agent('certificate request', enrolled, 'branch-12', '--out', csr);
    expect(
      (await central.cli('agents', 'create', '--csr', csr, '--id', 'pc-13', '--out', join(folder, 'x.pem'))).stderr,
    ).toContain('(agent_key_known)');
    expect(await central.cli('agents', 'create', '--csr', csr, '--out', join(folder, 'branch-12.pem'))).toMatchObject({
      code: 0,
    });
    const again = await agent('certificate install', enrolled, 'branch-12', join(folder, 'branch-12.pem'));
    expect(again, again.stderr).toMatchObject({ code: 0 });
    await central.cli('agents', 'delete', 'pc-12', '--yes');
    expect(
      await central.cli('agents', 'create', '--csr', csr, '--id', 'pc-13', '--out', join(folder, 'other.pem')),
    ).toMatchObject({ code: 0 });
    const other = await agent('certificate install', enrolled, 'branch-12', join(folder, 'other.pem'));
    expect(other.stderr).toMatch(
      /belongs to the agent pc-13, but this machine is enrolled as pc-12\.\n[^\n]+\n {2}\(certificate_other_agent\)/,
    );
  });
});
