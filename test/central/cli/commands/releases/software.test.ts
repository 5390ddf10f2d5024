// The commands on software over the socket of a whole Central, from the archive of a build to its deletion.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../../../../central/cli/run.ts';
import type { RunningCentral } from '../../../../../central/composition/lifecycle.ts';
import { Cleanup } from '../../../../flow/processes.ts';
import { secretsFrom } from '../../../../shared/secrets.ts';
import { startInProcess } from '../../../in-process.ts';
import { archiveOf, BUILD_KEY, programFiles } from '../../../software/samples.ts';

const NAME = 'queue-agent-program-0.2.0';
const cleanup = new Cleanup();
let central: RunningCentral;
let [data, folder] = ['', ''];

beforeAll(async () => {
  data = await cleanup.folder();
  folder = await cleanup.folder();
  central = await startInProcess(data, '--central-name', 'central.test');
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function queuegate(...line: string[]) {
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

test('a release is imported, listed, shown, named in a rollout and deleted', async () => {
  const { archive, digest } = archiveOf(NAME, programFiles());
  writeFileSync(join(folder, 'program.qgs'), archive);
  const release = `${NAME}@${digest.slice(0, 8)}`;
  expect((await queuegate('software', 'import', 'program.qgs', '--dry-run')).out).toContain('Would be imported:');
  expect((await queuegate('software', 'list')).out).toContain('No releases.');
  const imported = await queuegate('software', 'import', 'program.qgs', '--ticket', 'CHG-7');
  expect(imported).toMatchObject({ status: 0, error: '' });
  expect(imported.out).toContain(`Imported ${release}.`);
  expect(imported.out).toMatch(/part +program 0\.2\.0\n/);
  expect((await queuegate('software', 'import', 'program.qgs')).out).toContain(`${release} was imported at `);
  expect((await queuegate('software', 'list')).out).toMatch(new RegExp(`${release} +program .* ${BUILD_KEY.keyId}`));
  expect((await queuegate('software', 'list', '-o', 'name')).out.trim()).toBe(release);
  const shown = await queuegate('software', 'show', release);
  expect(shown.out).toMatch(/ticket +CHG-7/);
  expect(shown.out).toMatch(/agent\/cli\.js +8 /);

  const begun = await queuegate('software', 'upgrade', release, '--agents', 'state:offline', '--json');
  expect(begun.error).toContain('(');
  expect((await queuegate('software', 'upgrade', `${NAME}@00000000`, '--agents', 'all')).error).toContain(
    '(rollout_release_unknown)',
  );
  expect(await queuegate('software', 'delete', release)).toMatchObject({ status: 2 });
  expect(await queuegate('software', 'delete', release, '--yes')).toMatchObject({
    status: 0,
    out: `Deleted ${release}.`,
  });
  expect(await queuegate('software', 'show', release)).toMatchObject({
    status: 5,
    error: expect.stringContaining('(software_release_unknown)'),
  });
});

test('what is not the archive of a build is refused with what to do, and a missing file is named', async () => {
  writeFileSync(join(folder, 'wrong.qgs'), 'PK');
  expect(await queuegate('software', 'import', 'wrong.qgs')).toMatchObject({
    status: 6,
    error: expect.stringMatching(/archive_invalid/),
  });
  // Refused at its beginning, and answered when it has been read.
  writeFileSync(join(folder, 'large.qgs'), Buffer.alloc(8_000_000, 'x'));
  expect(await queuegate('software', 'import', 'large.qgs')).toMatchObject({
    status: 6,
    error: expect.stringMatching(/archive_invalid/),
  });
  const missing = await queuegate('software', 'import', 'missing.qgs');
  expect(missing.status).toBe(2);
  expect(missing.error).toContain('missing.qgs');
});
