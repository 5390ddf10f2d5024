// The field's own profile, its agent.conf untouched, with a truststore that keytool made from Central's exported root.
import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
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
} from './processes.ts';
import { importCertificate } from '../tool-arguments.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Exports the root as an administrator would, and makes a JKS of it with the JDK's keytool. */
async function keytoolTruststore(central: CentralProcess, file: string): Promise<void> {
  const root = join(await cleanup.folder(), 'root.pem');
  const exported = await central.cli('ca', 'trust-bundle', '--out', root);
  expect(exported, exported.stderr).toMatchObject({ code: 0 });
  const made = await run('keytool', [...importCertificate({ file: root, store: file, type: 'JKS', alias: 'central' })]);
  expect(made, made.stderr).toMatchObject({ code: 0 });
}

/** The profile of test/fixtures, enrolled; keytool's truststore is all that it trusts: what Central gave is removed. */
async function fieldAgent(central: CentralProcess, name: string): Promise<AgentFolders> {
  const folders = await agentFolders(cleanup, 'test/fixtures/profile');
  const truststore = join(folders.profile, 'conf/security/truststore.jks');
  await writeFile(join(folders.profile, 'conf/agent.local.conf'), `central.hosts = localhost:${central.ports.wss}\n`);
  await rm(truststore);
  await keytoolTruststore(central, truststore);
  const enrolled = await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, name)]);
  expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
  await rm(trustFile(folders.data));
  return folders;
}

describe('an agent with the profile of the field', () => {
  it('connects over wss with a truststore made by keytool, its agent.conf untouched, and events and commands flow', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const folders = await fieldAgent(central, 'branch-1');
    const agent = AgentProcess.start(cleanup, folders, 'branch-1');
    const shown = await central.online('branch-1');
    expect(shown['session']).toMatchObject({ transport: 'wss' });
    expect(await readFile(join(folders.profile, 'conf/agent.conf'))).toEqual(
      await readFile('test/fixtures/profile/conf/agent.conf'),
    );

    const posted = await agent.local('POST', '/api/v1/events', [
      { type: 'ticket.issued', data: { number: 'A001' } },
      { type: 'ticket.called', data: { number: 'A001' } },
    ]);
    expect(posted).toMatchObject({
      status: 202,
      body: {
        items: [
          { outcome: 'stored', number: 1 },
          { outcome: 'stored', number: 2 },
        ],
      },
    });
    const { body } = await central.rest('GET', '/events?waitSeconds=20');
    await until(async () => ((await central.events()).length === 2 ? true : undefined));
    expect(body.items[0].event).toMatchObject({
      type: 'ticket.issued',
      source: '/agents/branch-1',
      data: { number: 'A001' },
    });

    const sent = await central.rest('POST', `/agents/${String(shown['id'])}/commands`, {
      type: 'display.show',
      data: { text: 'A001 to desk 3' },
    });
    expect(sent.status).toBe(202);
    const taken = await agent.local('GET', '/api/v1/commands?waitSeconds=20');
    expect(taken.body.items).toMatchObject([{ command: { type: 'display.show', data: { text: 'A001 to desk 3' } } }]);
    await agent.local('POST', '/api/v1/commands/ack', { through: taken.body.items[0].cursor });
    expect((await agent.local('GET', '/api/v1/commands')).body.items).toEqual([]);
    expect(await agent.stop()).toMatchObject({ code: 0 });
  });

  it('keeps key, identity and local token to itself', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'branch-4');
    await central.online('branch-4');
    for (const file of await readdir(agent.folders.data)) {
      const found = await stat(join(agent.folders.data, file));
      expect([file, (found.mode & 0o777).toString(8)]).toEqual([file, found.isDirectory() ? '700' : '600']);
    }
    expect(await readdir(agent.folders.data)).toEqual(
      expect.arrayContaining(['agent-key.pem', 'identity.json', 'local-api.json', 'agent.db']),
    );
  });

  it('is refused when the authority of the certificate is not in its truststore, and says which one it is', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const folders = await fieldAgent(central, 'branch-2');
    await cp('test/fixtures/keystores/truststore.jks', join(folders.profile, 'conf/security/truststore.jks'));
    const agent = AgentProcess.start(cleanup, folders, 'branch-2');
    const [line] = await agent.process.printed(/"code":"tls_unknown_authority".*/);
    expect(line).toContain('Queuegate root of');
    expect(line).toContain('queue-agent truststore import');
    expect(await central.agent('branch-2')).toMatchObject({ epoch: 0 });

    // The truststore is fixed while the daemon runs: it connects without a restart.
    await rm(join(folders.profile, 'conf/security/truststore.jks'));
    await keytoolTruststore(central, join(folders.profile, 'conf/security/truststore.jks'));
    await central.online('branch-2');
  });

  it('is refused when the certificate does not stand for the name it dials, and says which names there are', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const folders = await fieldAgent(central, 'branch-3');
    // Resolved to this host, and in no certificate.
    await writeFile(join(folders.profile, 'conf/agent.local.conf'), `central.hosts = 127.0.0.2:${central.ports.wss}\n`);
    const agent = AgentProcess.start(cleanup, folders, 'branch-3');
    const [line] = await agent.process.printed(/"code":"tls_wrong_name".*/);
    expect(line).toContain('127.0.0.2');
    expect(line).toContain('DNS:localhost');
    expect(await central.agent('branch-3')).toMatchObject({ epoch: 0 });

    // The administrator adds the name: the certificate is swapped live, and the agent comes.
    const changed = await central.change({ 'certificate.subjectAlternativeNames': ['127.0.0.2'] });
    expect(changed.status).toBe(200);
    await central.online('branch-3');
  });
});
