// What a power cut would find: the order of the system calls with which a file is replaced, as strace sees them.
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Cleanup, run } from '../../flow/processes.ts';
import { canTrace, missing } from '../../reliability/tracer.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe.skipIf(missing('strace', canTrace())).each([
  ['replaceFile', 'atomic-file.ts', "replaceFile(process.argv[2], Buffer.from('new'), 0o600)"],
  ['replaceSecretFile', 'secret-file.ts', "replaceSecretFile(process.argv[2], Buffer.from('new'))"],
])('%s', (name, file, call) => {
  it('has the bytes on disk before the new name, and the new name on disk before it returns', async () => {
    const folder = await cleanup.folder();
    const script = join(folder, 'replace.mjs');
    const module = resolve(import.meta.dirname, `../../../shared/files/${file}`);
    await writeFile(
      script,
      `import { ${name} } from ${JSON.stringify(module)};\nawait ${call};\nprocess.kill(process.pid, 0);\n`,
    );
    await writeFile(join(folder, 'target'), 'old', { mode: 0o600 });
    const trace = join(folder, 'trace');
    const ended = await run('strace', [
      '-f',
      '-o',
      trace,
      '-y',
      '-e',
      'trace=fsync,rename,renameat,renameat2,kill',
      process.execPath,
      script,
      join(folder, 'target'),
    ]);
    expect([ended.code, await readFile(join(folder, 'target'), 'utf8')]).toEqual([0, 'new']);
    const calls = (await readFile(trace, 'utf8'))
      .split('\n')
      .filter((line) => line.includes(folder) || line.includes('kill('));
    const at = (pattern: RegExp): number => calls.findIndex((line) => pattern.test(line));
    const order = [
      at(/fsync\(.*\.target\.[-0-9a-f]+\.tmp>/),
      at(/rename/),
      at(new RegExp(`fsync\\(\\d+<${folder}>`)),
      at(/kill\(/),
    ];
    expect(order).toEqual([...order].toSorted((a, b) => a - b));
    expect(order).not.toContain(-1);
  });
});
