// Central's certificates as an administrator meets them: the command line, a real Central, real agents, openssl and
// keytool beside them. That no private key leaves its place is test/flow/private-keys.test.ts.
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { probeTls } from '../../agent/connection/tls-probe.ts';
import { keytool, makeBank, type Bank } from '../central/pki/server/bank.ts';
import { openssl } from '../central/pki/folder.ts';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const PASSWORD = 'a password for the test';
const thumbprintOf = (pem: string): string => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();

/** What the listener on this port shows now. */
async function shownOn(port: number): Promise<string> {
  const { chain } = await probeTls({ secure: true, host: 'localhost', port }, { timeoutMs: 10_000 });
  return chain[0]?.fingerprint256.replaceAll(':', '').toLowerCase() ?? '';
}

async function queuegate(central: CentralProcess, ...line: string[]): Promise<string> {
  const { code, stdout, stderr } = await central.cli(...line);
  if (code !== 0) throw new Error(`queuegate ${line.join(' ')}: ${stdout}\n${stderr}`);
  return stdout;
}

function bankFile(bank: Bank, name: string): string {
  const { key, certificate } = bank.issue(name);
  return bank.folder.write(`${name}.pem`, key + certificate + bank.intermediate.certificate + bank.root.certificate);
}

describe("Central's certificate", () => {
  it('comes from a bank by request and answer, on both TLS ports, without ending a session; refused while agents do not trust it', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
    const { session } = (await central.online('branch-1')) as { session: { id: string } };
    const bank = makeBank(['localhost']);
    const csr = bank.folder.path('central.csr');
    await queuegate(central, 'server-certificate', 'request', 'create', '--out', csr, '--key-algorithm', 'rsa');
    const answer = bank.sign(readFileSync(csr, 'utf8'));
    const file = bank.folder.write('answer.pem', answer + bank.intermediate.certificate + bank.root.certificate);

    const refused = await central.cli('server-certificate', 'install', file);
    expect(refused).toMatchObject({ code: 6, stderr: expect.stringContaining('would cut off 1 agent: branch-1') });
    expect((await central.cli('server-certificate', 'install', file, '--dry-run')).stdout).toContain(
      'These agents do not trust it, as far as is known:\n  branch-1',
    );
    const before = await shownOn(central.ports.wss);
    expect(before).not.toBe(thumbprintOf(answer));

    await queuegate(central, 'server-certificate', 'install', file, '--force', '--yes', '--comment', 'pilot');
    for (const port of [central.ports.wss, central.ports.https]) expect(await shownOn(port)).toBe(thumbprintOf(answer));
    expect(((await central.agent('branch-1')) as { session: { id: string } }).session.id).toBe(session.id);
    expect(await queuegate(central, 'server-certificate', 'show')).toMatch(
      /current: CN=localhost \(signed\)[\s\S]*staged: none\nprevious: CN=localhost \(issued\)/,
    );

    // Who enrolls now is given both roots, and pins the one that is shown.
    const newcomer = await AgentProcess.enrolled(cleanup, central, 'branch-2');
    await central.online('branch-2');
    await newcomer.stop();
    await queuegate(central, 'server-certificate', 'activate', '--previous');
    expect(await shownOn(central.ports.wss)).toBe(before);
    await agent.stop();
  });

  it('stays over a restart, key and all', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.start(cleanup, folder);
    const bank = makeBank(['localhost']);
    await queuegate(first, 'server-certificate', 'import', bankFile(bank, 'central'), '--force', '--yes');
    const shown = await shownOn(first.ports.wss);
    await first.stop();
    const second = await CentralProcess.start(cleanup, folder);
    expect(await shownOn(second.ports.wss)).toBe(shown);
    expect((await second.rest('GET', '/status')).body).toMatchObject({
      certificate: { thumbprint: shown },
      problems: [],
    });
  });

  it('with commit-confirm goes back when agents do not come back over it, and they lose nothing but minutes', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    await AgentProcess.enrolled(cleanup, central, 'branch-1');
    const { session } = (await central.online('branch-1')) as { session: { id: string } };
    const before = await shownOn(central.ports.wss);
    await queuegate(
      central,
      'server-certificate',
      'import',
      bankFile(makeBank(['localhost']), 'stranger'),
      '--force',
      '--yes',
      '--confirm-within',
      '5s',
    );
    expect(await shownOn(central.ports.wss)).not.toBe(before);
    await until(async () => ((await central.agent('branch-1'))?.['state'] === 'disconnected' ? true : undefined));
    await until(async () => ((await shownOn(central.ports.wss)) === before ? true : undefined));
    const back = (await until(async () => {
      const agent = await central.agent('branch-1');
      return agent?.['state'] === 'online' ? agent : undefined;
    })) as unknown as { session: { id: string } };
    expect(back.session.id).not.toBe(session.id);
    expect((await central.rest('GET', '/server-certificate')).body.change).toBeNull();
  });

  it('with commit-confirm stays when they did and somebody confirms over a new connection', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    await queuegate(central, 'server-certificate', 'issue', '--confirm-within', '60s');
    const shown = await shownOn(central.ports.wss);
    const root = join(await cleanup.folder(), 'root.pem');
    await queuegate(central, 'ca', 'trust-bundle', '--out', root);
    expect(await central.cli('changes', 'confirm')).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('confirm_over_new_connection'),
    });
    const { code, stderr } = await runOverHttps(central, root, 'changes', 'confirm');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(await shownOn(central.ports.wss)).toBe(shown);
    expect((await central.rest('GET', '/server-certificate')).body).toMatchObject({
      change: null,
      current: { thumbprint: shown },
    });
  });
});

async function runOverHttps(central: CentralProcess, root: string, ...line: string[]) {
  const { runNode } = await import('./processes.ts');
  return await runNode('central/cli.ts', [
    ...line,
    '--url',
    `https://localhost:${central.ports.https}`,
    '--ca-file',
    root,
    '--token-file',
    join(central.folder, 'administrator-token'),
  ]);
}

describe('the authority', () => {
  it('moves to a second Central as a file with a password, which openssl and keytool open; its agents come over', async () => {
    const [one, two] = [
      await CentralProcess.start(cleanup, await cleanup.folder()),
      await CentralProcess.start(cleanup, await cleanup.folder()),
    ];
    const folder = await cleanup.folder();
    const [file, password] = [join(folder, 'root.p12'), join(folder, 'password')];
    writeFileSync(password, `${PASSWORD}\n`);
    expect(await one.cli('ca', 'export', '--out', file)).toMatchObject({ code: 2 });
    await queuegate(one, 'ca', 'export', '--out', file, '--password-file', password);
    expect(keytool('-list', '-keystore', file, '-storepass', PASSWORD)).toContain('PrivateKeyEntry');
    expect(openssl('pkcs12', '-in', file, '-passin', `file:${password}`, '-noenc')).toContain('BEGIN PRIVATE KEY');
    await queuegate(two, 'ca', 'import', file, '--password-file', password);
    const [ca1, ca2] = [(await one.rest('GET', '/ca')).body, (await two.rest('GET', '/ca')).body];
    expect(ca2.pin).toBe(ca1.pin);
    expect(ca2.generations).toMatchObject([
      { role: 'current', origin: 'imported', thumbprint: ca1.generations[0].thumbprint },
      { role: 'previous', origin: 'issued' },
    ]);
    expect(await queuegate(two, 'ca', 'show')).toContain(
      String(ca1.generations[0].thumbprint)
        .toUpperCase()
        .replaceAll(/(..)(?!$)/g, '$1:'),
    );
    const root = join(folder, 'root.pem');
    await queuegate(one, 'ca', 'trust-bundle', '--out', root);
    const served = connect({
      port: two.ports.wss,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: readFileSync(root),
    });
    await once(served, 'secureConnect');
    expect(served.authorized).toBe(true);
    served.destroy();
    expect((await two.rest('GET', '/ca/trust-bundle.pem')).body).toContain('BEGIN CERTIFICATE');
  });

  it('of a bank takes over without a restart; who does not trust it is named first', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    const bank = makeBank();
    const file = bank.folder.write(
      'ca.pem',
      bank.intermediate.key + bank.intermediate.certificate + bank.root.certificate,
    );
    expect(await central.cli('ca', 'import', file)).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('would cut off 1 agent: branch-1'),
    });
    await queuegate(central, 'ca', 'import', file, '--force', '--yes');
    const newcomer = await AgentProcess.enrolled(cleanup, central, 'branch-2');
    await central.online('branch-2');
    const identity = JSON.parse(readFileSync(join(newcomer.folders.data, 'identity.json'), 'utf8')) as {
      certificate: string;
    };
    expect(identity.certificate.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    const agentPem = bank.folder.write('agent.pem', identity.certificate);
    expect(
      openssl(
        'verify',
        '-purpose',
        'sslclient',
        '-CAfile',
        bank.root.files.certificate,
        '-untrusted',
        agentPem,
        agentPem,
      ),
    ).toContain('OK');
  });
});

describe('what ends when', () => {
  it('is one list in REST, on the command line and in metrics', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    await AgentProcess.enrolled(cleanup, central, 'branch-1');
    const { body } = await central.rest('GET', '/certificates');
    expect(
      body.items
        .map(
          ({ kind, slot, agent }: { kind: string; slot: string | null; agent: { name: string } | null }) =>
            `${kind} ${agent?.name ?? slot}`,
        )
        .toSorted(),
    ).toEqual(['agent branch-1', 'authority current', 'server current', 'signing current']);
    expect(await queuegate(central, 'certificates', 'list', '--expires-within', '400d', '--kind', 'agent')).toMatch(
      /^DAYS +UNTIL +KIND +WHICH.*\n36[45] .*agent +branch-1/,
    );
    const metrics = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
      headers: { authorization: `Bearer ${central.token}` },
    });
    expect(await metrics.text()).toMatch(/queuegate_certificate_expiry_seconds\{kind="server",slot="current"\} 31/);
  });
});

describe('the key that seals the private keys', () => {
  it('when it is gone, ends the start with what is missing, and nothing is touched', async () => {
    const folder = await cleanup.folder();
    const kek = join(await cleanup.folder(), 'kek');
    writeFileSync(kek, randomBytes(32).toString('base64'), { mode: 0o600 });
    const central = await CentralProcess.start(cleanup, folder, ['--key-encryption-file', kek]);
    await central.stop();
    const refused = await CentralProcess.start(cleanup, folder).catch((error: unknown) => String(error));
    expect(refused).toContain('key_encryption_key_missing');
    expect((await CentralProcess.start(cleanup, folder, ['--key-encryption-file', kek])).token).toBe(central.token);
  });
});
