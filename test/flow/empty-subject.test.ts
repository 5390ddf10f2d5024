// A Central whose certificate and whose authority have no subject, only alternative names (RFC 5280 section 4.1.2.6):
// the running agent and the doctor refuse it with the cause while its root is not trusted, and connect as soon as it
// is. Neither ends because of it.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { lacks, run } from '../shared/keystore/peers.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  runNode,
  until,
  type AgentFolders,
} from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** `ca.pem`, and `chain.pem` with `leaf.key`. */
async function makeChain(folder: string): Promise<void> {
  const at = (name: string): string => join(folder, name);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/'];
  const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'].flatMap((one) => [
    '-addext',
    one,
  ]);
  await run('openssl', [
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    at('ca.key'),
    '-days',
    '100',
    ...authority,
    '-out',
    at('ca.pem'),
  ]);
  await run('openssl', ['req', '-new', ...newKey, '-keyout', at('leaf.key'), '-out', at('leaf.csr')]);
  await writeFile(
    at('leaf.conf'),
    'subjectAltName = critical,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage = serverAuth\nauthorityKeyIdentifier = keyid\n',
  );
  const signed = [
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-days',
    '90',
    '-extfile',
    at('leaf.conf'),
  ];
  await run('openssl', ['x509', '-req', '-in', at('leaf.csr'), ...signed, '-out', at('leaf.pem')]);
  await writeFile(at('chain.pem'), `${await readFile(at('leaf.pem'), 'utf8')}${await readFile(at('ca.pem'), 'utf8')}`);
}

async function doctor(folders: AgentFolders) {
  return await runNode('agent/cli.ts', ['doctor', ...agentFlags(folders, 'branch-1')]);
}

it.skipIf(lacks('openssl'))('is refused with the cause, and connects once its root is trusted', async () => {
  const central = await CentralProcess.start(cleanup, await cleanup.folder());
  const folders = await agentFolders(cleanup);
  const enrolled = await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, 'branch-1')]);
  expect(enrolled).toMatchObject({ code: 0 });
  const made = await cleanup.folder();
  await makeChain(made);
  const key = ['--key-file', join(made, 'leaf.key')];
  const imported = await central.cli(
    'server-certificate',
    'import',
    join(made, 'chain.pem'),
    ...key,
    '--force',
    '--yes',
  );
  expect(imported, imported.stderr).toMatchObject({ code: 0 });
  expect((await central.cli('server-certificate', 'show')).stdout).toContain('localhost');

  const agent = AgentProcess.start(cleanup, folders, 'branch-1');
  await agent.process.printed(/"code":"tls_unknown_authority"/);
  const refused = await doctor(folders);
  expect([refused.code, refused.stderr]).toEqual([1, '']);
  expect(refused.stdout).toMatch(/tls_unknown_authority|tls_issuer_missing/);
  expect(refused.stdout).toContain('(no name)');

  const path = join(folders.profile, 'conf', 'security', 'truststore.jks');
  const trusting = await runNode('agent/cli.ts', ['truststore', 'import', path, '--certificate', join(made, 'ca.pem')]);
  expect(trusting, trusting.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('(no name)') });
  // The daemon reads the truststore again by itself.
  await central.online('branch-1');
  const well = await until(async () => {
    const found = await doctor(folders);
    return found.code === 0 ? found : undefined;
  });
  expect(well.stdout).toMatch(/\(no name\), valid for DNS:localhost, IP Address:127\.0\.0\.1[^]*No fault found\.\n$/);
  const ended = await agent.stop();
  expect(ended).toMatchObject({ code: 0 });
  expect(`${ended.stdout}${ended.stderr}`).not.toMatch(/Cannot read properties|TypeError|unhandled/i);
});
