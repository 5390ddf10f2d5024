// An installation whose administrator tokens are lost is entered again on Central's own host.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { CentralProcess, Cleanup, runNode } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

it('a lost administrator token is replaced by a command on the host, which the hint of a 401 names; Central may run', async () => {
  const folder = await cleanup.folder();
  const first = await CentralProcess.start(cleanup, folder);
  await rm(join(folder, 'administrator-token'));
  const refused = await fetch(`http://127.0.0.1:${first.ports.http}/api/v1/status`);
  expect(((await refused.json()) as { hint: string }).hint).toContain('queuegate-central create-administrator-token');
  const command = ['create-administrator-token', '--data-folder', folder];
  const running = await runNode('central/main.ts', command);
  expect([running.code, running.stderr]).toEqual([0, '']);
  expect(running.stdout).toContain(join(folder, 'administrator-token'));
  expect(running.stdout).not.toMatch(/qg_[0-9a-f]{16}_/);
  expect((await first.cli('status')).code).toBe(0);
  expect((await first.cli('audit', 'list')).stdout).toContain('queuegate-central create-administrator-token');
  await first.stop();

  const made = await runNode('central/main.ts', command);
  expect([made.code, made.stderr]).toEqual([0, '']);
  expect(made.stdout).toContain(join(folder, 'administrator-token'));
  expect(made.stdout).not.toMatch(/qg_[0-9a-f]{16}_/);
  const second = await CentralProcess.start(cleanup, folder);
  expect(second.token).not.toBe(first.token);
  expect((await second.cli('status')).code).toBe(0);
  expect((await second.cli('audit', 'list')).stdout).toContain('api-tokens.create');
});
