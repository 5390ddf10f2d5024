// Both TLS ports of a real Central, as testssl and openssl see them: versions, suites, chain, and nothing worse than
// LOW that docs/SECURITY.md does not explain. Some two minutes.
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeBank } from '../central/pki/server/bank.ts';
import { lacksPeer } from '../flow/false-hosts.ts';
import { CentralProcess, Cleanup, ROOT, run } from '../flow/processes.ts';
import { explainedIn, faultsOf, staleIn, suitesOf, uncheckedIn, type Finding } from '../tls/findings.ts';

/** What is asked of each port: all but the simulation of browsers, which decides nothing. */
const CHECKS = [
  '--protocols',
  '--std',
  '--pfs',
  '--server-preference',
  '--server-defaults',
  '--headers',
  '--vulnerable',
  '--each-cipher',
];
/** A suite of TLS 1.2 that is not an AEAD, one without forward secrecy, and one of neither; for keys of both kinds. */
const BAD_SUITES = [
  'ECDHE-ECDSA-AES128-SHA256',
  'ECDHE-RSA-AES128-SHA256',
  'ECDHE-RSA-AES256-SHA',
  'AES128-GCM-SHA256',
  'AES128-SHA',
  'DHE-RSA-AES128-GCM-SHA256',
  'NULL-SHA256',
  'aNULL',
];

/** Both scans: 70 s on two idle cores, twice that on busy ones. */
const SCANS_WITHIN_MS = 10 * 60_000;

const cleanup = new Cleanup();
let central: CentralProcess;
let folder: string;
beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  folder = await cleanup.folder();
  await writeFile(join(folder, 'root.pem'), String((await central.rest('GET', '/ca/trust-bundle.pem')).body));
});
afterAll(() => cleanup.run());

type Port = 'wss' | 'https';
const PORTS = ['wss', 'https'] as const satisfies readonly Port[];

/** What `openssl s_client` prints, and its exit status: 1 when the handshake or the verification failed. */
async function client(
  port: Port,
  root: string,
  options: readonly string[],
  input = '',
): Promise<{ code: number | null; text: string }> {
  const child = spawn(
    'openssl',
    [
      's_client',
      '-connect',
      `127.0.0.1:${central.ports[port]}`,
      '-servername',
      'localhost',
      '-CAfile',
      root,
      '-verify_return_error',
      '-verify_hostname',
      'localhost',
      ...options,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  // It may be gone before it has read.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return await new Promise((resolve, reject) =>
    child.once('error', reject).once('close', (code) => resolve({ code, text })),
  );
}

/** The certificates as the port sends them. */
async function chainOf(port: Port, root: string): Promise<X509Certificate[]> {
  const { code, text } = await client(port, root, ['-showcerts']);
  expect([code, text]).toEqual([0, expect.stringContaining('Verify return code: 0 (ok)')]);
  return (text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? []).map(
    (pem) => new X509Certificate(pem),
  );
}

/** Each certificate signed by the next, the last by itself. */
function expectOrdered(chain: readonly X509Certificate[]): void {
  for (const [i, certificate] of chain.entries()) {
    const issuer = chain[i + 1] ?? certificate;
    expect([i, certificate.checkIssued(issuer), certificate.verify(issuer.publicKey)]).toEqual([i, true, true]);
  }
}

async function expectStrict(port: Port, root: string): Promise<void> {
  expect((await client(port, root, ['-tls1_3', '-brief'])).code).toBe(0);
  expect((await client(port, root, ['-tls1_2', '-brief'])).code).toBe(0);
  for (const version of ['-tls1', '-tls1_1'])
    expect([version, await client(port, root, [version, '-cipher', 'ALL@SECLEVEL=0'])]).toEqual([
      version,
      { code: 1, text: expect.stringContaining('alert protocol version') },
    ]);
  for (const suite of BAD_SUITES)
    expect([suite, await client(port, root, ['-tls1_2', '-cipher', `${suite}:@SECLEVEL=0`])]).toEqual([
      suite,
      { code: 1, text: expect.stringContaining('handshake failure') },
    ]);
}

describe.skipIf(lacksPeer('openssl'))('openssl s_client', () => {
  it.each(PORTS)('takes chain and name of the %s port, and is refused what is old or weak', async (port) => {
    const root = join(folder, 'root.pem');
    const chain = await chainOf(port, root);
    expect(chain).toHaveLength(2);
    expectOrdered(chain);
    expect(chain[1]?.raw.equals(new X509Certificate(await readFile(root)).raw)).toBe(true);
    await expectStrict(port, root);
    // It does look: another name and another root are refused here.
    expect(await client(port, root, ['-verify_hostname', 'other.example'])).toMatchObject({
      code: 1,
      text: expect.stringContaining('hostname mismatch'),
    });
    expect(await client(port, join(ROOT, 'test/fixtures/keystores/root-ec.crt'), [])).toMatchObject({
      code: 1,
      text: expect.stringContaining('self-signed certificate in certificate chain'),
    });
  });

  it('is answered over HTTP by both', async () => {
    const ask = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
    const root = join(folder, 'root.pem');
    expect((await client('wss', root, ['-quiet'], ask('/agent'))).text).toMatch(/^HTTP\/1\.1 426 Upgrade Required\r$/m);
    expect((await client('https', root, ['-quiet'], ask('/api/v1/health/ready'))).text).toMatch(
      /^HTTP\/1\.1 200 OK\r$/m,
    );
    expect((await client('https', root, ['-quiet'], ask('/api/v1/agents'))).text).toMatch(
      /^HTTP\/1\.1 401 Unauthorized\r$/m,
    );
  });
});

describe.skipIf(lacksPeer('testssl'))('testssl', () => {
  it(
    'finds nothing above LOW that is not explained, TLS 1.2 and 1.3 only, no weak suite, the chain in order',
    async () => {
      const explained = explainedIn(await readFile(join(ROOT, 'docs/SECURITY.md'), 'utf8'));
      const scans: Finding[][] = [];
      for (const port of PORTS) {
        const file = join(folder, `${port}.json`);
        // It adds to a file that is there, such as that of a first attempt.
        await rm(file, { force: true });
        const { stdout, stderr } = await run('testssl', [
          ...CHECKS,
          '--warnings',
          'off',
          '--color',
          '0',
          '--quiet',
          '--add-ca',
          join(folder, 'root.pem'),
          '--ip',
          '127.0.0.1',
          '--nodns',
          'none',
          '--jsonfile',
          file,
          `https://localhost:${central.ports[port]}`,
        ]);
        // Its exit status counts findings; that it did not work shows in what is missing.
        const text = await readFile(file, 'utf8').catch(() => `[] ${stdout}${stderr}`);
        const findings = JSON.parse(text) as Finding[];
        scans.push(findings);
        const worse = findings
          .filter(({ severity }) => !['OK', 'INFO', 'WARN'].includes(severity))
          .map(({ id, severity }) => `${id} (${severity})`);
        console.log(
          `${port}: ${findings.length} findings, ${suitesOf(findings).length} suites; ${worse.join(', ')}; not checked: ${uncheckedIn(findings).join('; ')}`,
        );
      }
      expect(scans.flatMap((scan) => faultsOf(scan, explained))).toEqual([]);
      expect(staleIn(explained, scans)).toEqual([]);
    },
    SCANS_WITHIN_MS,
  );
});

describe.skipIf(lacksPeer('openssl'))('an RSA certificate of a bank, handed over in the wrong order', () => {
  it('is shown leaf, intermediate, root on both ports, and opens no other suite', async () => {
    const bank = makeBank(['localhost']);
    const leaf = bank.issue('central', { key: ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'] });
    const file = bank.folder.write(
      'central.pem',
      bank.root.certificate + leaf.certificate + leaf.key + bank.intermediate.certificate,
    );
    expect(await central.cli('server-certificate', 'import', file, '--force', '--yes')).toMatchObject({ code: 0 });
    for (const port of PORTS) {
      const chain = await chainOf(port, bank.root.files.certificate);
      expect(chain.map(({ subject }) => /CN=(.*)$/m.exec(subject)?.[1])).toEqual([
        'central',
        'intermediate',
        'Example Bank Root',
      ]);
      expectOrdered(chain);
      await expectStrict(port, bank.root.files.certificate);
    }
  });
});
