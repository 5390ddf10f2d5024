// What a later start of Central finds in the folder of an earlier one: after an orderly stop, after kill -9, and after
// another account or a newer version has been there.
import { readdir, readFile, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it } from 'vitest';
import {
  AgentProcess,
  ANY_LOCAL_PORT,
  anyPorts,
  CENTRAL_AGENT,
  CentralProcess,
  childrenOf,
  Cleanup,
  runNode,
  runs,
  until,
} from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe('a restart of Central', () => {
  it('by kill -9 costs nothing: the same folder goes on with the same certificate, token and agents', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.startOnParameters(cleanup, folder, ['--central-agent'], ANY_LOCAL_PORT);
    const agent = await AgentProcess.enrolled(cleanup, first, 'branch-1');
    const before = await first.online('branch-1');
    await first.online(CENTRAL_AGENT);
    const { certificate } = (await first.rest('GET', '/status')).body;
    const children = await childrenOf(first.process.child.pid);
    await first.process.stop('SIGKILL');
    // The Central agent does not outlive its Central: it would hold the data folder against the next one.
    await until(() => (children.some(runs) ? undefined : true));

    const second = await CentralProcess.startOnParameters(cleanup, folder, ['--central-agent'], ANY_LOCAL_PORT);
    expect(second.process.stdout).not.toContain("administrator's token");
    expect(second.token).toBe(first.token);
    expect((await second.rest('GET', '/status')).body.certificate).toEqual(certificate);
    const after = await second.online('branch-1');
    expect(after).toMatchObject({ id: before['id'], keyThumbprint: before['keyThumbprint'] });
    // A connection that a slow machine cuts before its welcome has used an epoch, too.
    expect(after['epoch']).toBeGreaterThan(Number(before['epoch']));
    await second.online(CENTRAL_AGENT);
    const ended = await agent.stop();
    expect(ended, `${ended.stdout.slice(-2000)}\n${ended.stderr}`).toMatchObject({ code: 0 });
  });

  it('makes no tokens: only the first start does; what a kill left unfinished is removed', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.start(cleanup, folder);
    await writeFile(join(folder, '.key-encryption-key.0123456789ab.tmp'), 'secret');
    const { items: enrollmentTokens } = (await first.rest('GET', '/enrollment-tokens')).body;
    expect(enrollmentTokens).toHaveLength(1);
    expect(await first.stop()).toMatchObject({ code: 0 });
    const again = await CentralProcess.start(cleanup, folder);
    expect(again.process.stdout).toContain('is ready');
    expect(again.process.stdout).not.toMatch(/administrator's token|queue-agent enroll/);
    expect((await again.rest('GET', '/enrollment-tokens')).body.items).toEqual(enrollmentTokens);
    expect((await again.rest('GET', '/api-tokens')).body.items).toHaveLength(1);
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp') || name.includes('unfinished'))).toEqual([]);
  });

  it('takes the place of the socket that a killed Central left behind', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.start(cleanup, folder);
    await first.process.stop('SIGKILL');
    expect((await stat(join(folder, 'central.sock'))).isSocket()).toBe(true);
    const second = await CentralProcess.start(cleanup, folder);
    expect(await second.cli('status')).toMatchObject({ code: 0 });
    expect(await second.stop()).toMatchObject({ code: 0 });
    await expect(stat(join(folder, 'central.sock'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is refused on a data folder that a newer version made', async () => {
    const folder = await cleanup.folder();
    await (await CentralProcess.start(cleanup, folder)).stop();
    const database = new DatabaseSync(join(folder, 'central.db'));
    database.exec('PRAGMA user_version = 4711; UPDATE compatibility SET readable_by = 4711');
    database.close();
    const refused = await runNode('central/main.ts', ['--data-folder', folder, ...anyPorts]);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('was written by a newer version (its schema is 4711;');
    expect(refused.stderr).toContain('Start the newer version again');
  });
});

describe('files with secrets in the data folder', () => {
  it('are never written through what another account put there', async () => {
    for (const name of ['administrator-token', 'key-encryption-key']) {
      const folder = await cleanup.folder();
      const victim = join(await cleanup.folder(), 'victim');
      await writeFile(victim, 'untouched');
      await symlink(victim, join(folder, name));
      const ended = await runNode('central/main.ts', ['--data-folder', folder, ...anyPorts]);
      expect(ended).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/\((secret_file_unsafe|secret_file_exists|key_encryption_key_bad)\)/),
      });
      expect(await readFile(victim, 'utf8')).toBe('untouched');
      // Nothing is lost by it: the next start makes what is missing.
      await unlink(join(folder, name));
      const central = await CentralProcess.start(cleanup, folder);
      expect(await central.cli('status')).toMatchObject({ code: 0 });
      await central.stop();
    }
  });
});
