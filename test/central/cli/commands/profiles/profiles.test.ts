// The commands on profiles over the socket of a whole Central: what an administrator types, and what comes back.
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../../../../central/cli/run.ts';
import type { RunningCentral } from '../../../../../central/composition/lifecycle.ts';
import { Cleanup } from '../../../../flow/processes.ts';
import { secretsFrom } from '../../../../shared/secrets.ts';
import { startInProcess } from '../../../in-process.ts';

const cleanup = new Cleanup();
let central: RunningCentral;
let [data, folder] = ['', ''];

beforeAll(async () => {
  data = await cleanup.folder();
  folder = await cleanup.folder();
  cpSync(join(import.meta.dirname, '../../../../fixtures/profile'), join(folder, 'branch'), { recursive: true });
  writeFileSync(join(folder, 'branch/conf/agent.local.conf'), 'agent.name = branch-7\n');
  writeFileSync(join(folder, 'branch/large.bin'), Buffer.alloc(1_000_000, 'x'));
  central = await startInProcess(data, '--central-name', 'central.test');
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function queuegate(
  ...line: string[]
): Promise<{ readonly status: number; readonly out: string; readonly error: string }> {
  const [out, error]: [string[], string[]] = [[], []];
  const status = await runCli(line, {
    environment: { QUEUEGATE_DATA_FOLDER: data, QUEUEGATE_TOKEN: central.firstStart?.administratorToken },
    workingFolder: folder,
    out: (text) => void out.push(text),
    error: (text) => void error.push(text),
    readStdin: async () => '',
    terminal: false,
    secrets: secretsFrom(''),
    canPrompt: false,
    signal: new AbortController().signal,
  });
  return { status, out: out.join('\n'), error: error.join('\n') };
}

const done = (out: unknown) => ({ status: 0, out, error: '' });
const refused = (status: number, code: string) => ({ status, error: expect.stringContaining(`(${code})`) });

test('a profile from the field is imported, trusts Central, is set to wss, prepared and compared', async () => {
  const imported = await queuegate('profiles', 'import', 'branch', '--name', 'branch', '--comment', 'first');
  expect(imported).toMatchObject(done(expect.stringContaining('left out    conf/agent.local.conf, which belongs')));
  expect(imported.out).toContain('not known to the agent: branch.name, jiql.home');
  expect(await queuegate('profiles', 'import', 'branch', '--name', 'branch')).toMatchObject(
    refused(7, 'profile_exists'),
  );
  expect(await queuegate('profiles', 'import', 'branch', '--name', 'branch', '--replace')).toMatchObject(
    done(expect.stringContaining('Nothing differs.')),
  );

  expect(await queuegate('profiles', 'prepare', 'branch')).toMatchObject(refused(7, 'truststore_does_not_verify'));
  expect(await queuegate('profiles', 'truststore', 'import', 'branch', '--central')).toMatchObject(
    done(expect.stringMatching(/^truststore: \+ .*root of central\.test, until /)),
  );
  expect(await queuegate('profiles', 'set', 'branch', 'central.websocket.secure.port=9151')).toMatchObject(
    done('central.websocket.secure.port 9150 -> 9151'),
  );
  expect(await queuegate('profiles', 'prepare', 'branch', '--comment', 'wss', '--ticket', 'CHG-101')).toMatchObject(
    done(expect.stringMatching(/^Prepared branch@[0-9a-f]{8}\.\n/)),
  );
  expect(await queuegate('profiles', 'diff', 'branch')).toMatchObject(done('Nothing differs.'));
  const { out } = await queuegate('profiles', 'releases', 'branch', '-o', 'json');
  const [release] = (JSON.parse(out) as { items: { release: string; ticket: string }[] }).items;
  expect(release).toMatchObject({ release: expect.stringMatching(/^branch@/), ticket: 'CHG-101' });
  expect(await queuegate('profiles', 'releases', 'branch', release?.release ?? '')).toMatchObject(
    done(expect.stringContaining('large.bin')),
  );
  expect(await queuegate('profiles', 'show', 'branch')).toMatchObject(
    done(expect.stringContaining(String(release?.release))),
  );
  expect((await queuegate('profiles', 'show', 'branch')).out).toMatch(/^agents +0 assigned, 0 running it$/m);
  expect(await queuegate('profiles', 'list')).toMatchObject(done(expect.stringMatching(/^branch  +4 /m)));
});

test('its files are listed, read and changed, from the state that was read', async () => {
  expect(await queuegate('profiles', 'files', 'list', 'branch')).toMatchObject(
    done(expect.stringContaining('conf/agent.conf')),
  );
  const got = await queuegate('profiles', 'files', 'get', 'branch', 'large.bin', '--out', 'copy.bin');
  expect([got.status, readFileSync(join(folder, 'copy.bin')).length]).toEqual([0, 1_000_000]);
  expect(
    await queuegate('profiles', 'files', 'put', 'branch', 'bin/run me.sh', 'copy.bin', '--executable'),
  ).toMatchObject(done('+ bin/run me.sh (1000000 bytes)'));
  const stale = ['--if-match', '"1"'];
  expect(await queuegate('profiles', 'files', 'put', 'branch', 'x', 'copy.bin', ...stale)).toMatchObject(
    refused(7, 'version_conflict'),
  );
  expect(await queuegate('profiles', 'set', 'branch', 'log.level=WARN', ...stale)).toMatchObject(
    refused(7, 'version_conflict'),
  );
  expect(await queuegate('profiles', 'files', 'delete', 'branch', 'bin/run me.sh', '--yes')).toMatchObject(
    done(expect.anything()),
  );
  expect(await queuegate('profiles', 'files', 'get', 'branch', 'bin/run me.sh')).toMatchObject(
    refused(5, 'profile_file_unknown'),
  );
  expect(await queuegate('profiles', 'truststore', 'delete', 'branch', 'queuegate-root', '--yes')).toMatchObject(
    done(expect.anything()),
  );
  expect((await queuegate('profiles', 'truststore', 'list', 'branch')).out).not.toContain('queuegate-root');
});

test('what agents could not use is refused, and a profile is deleted with its releases', async () => {
  expect(await queuegate('profiles', 'set', 'branch', 'central.websocket.secur=true')).toMatchObject(
    refused(6, 'profile_setting_unknown'),
  );
  expect(await queuegate('profiles', 'set', 'branch', 'log.level=loud')).toMatchObject(
    refused(6, 'profile_setting_invalid'),
  );
  symlinkSync('/etc/passwd', join(folder, 'branch/link'));
  expect(await queuegate('profiles', 'import', 'branch', '--name', 'other')).toMatchObject(
    refused(6, 'release_path_invalid'),
  );
  expect(await queuegate('profiles', 'delete', 'branch', '--yes')).toMatchObject(done('Deleted branch.'));
  expect(await queuegate('profiles', 'releases', 'branch')).toMatchObject(refused(5, 'profile_unknown'));
});
