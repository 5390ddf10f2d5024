// The bench leaves no process behind, however it ends.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runs } from './flow/processes.ts';

const GUARD = pathToFileURL(join(import.meta.dirname, '../bench/guard.ts')).href;
const IDLE = 'setInterval(() => undefined, 60_000)';

describe('the guard of the bench', () => {
  test('ends what the bench started, and removes its folder, when the bench is killed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'queuegate-guard-'));
    const bench = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { spawn } from 'node:child_process';
        import { startGuard, watchProcess } from ${JSON.stringify(GUARD)};
        startGuard(${JSON.stringify(folder)});
        const child = spawn(process.execPath, ['-e', ${JSON.stringify(IDLE)}], { stdio: 'ignore' });
        watchProcess(child);
        console.log(child.pid);
        ${IDLE}`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    onTestFinished(() => void bench.kill('SIGKILL'));
    const pid = await new Promise<number>((resolve) =>
      bench.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString()))),
    );
    onTestFinished(() => void (runs(pid) && process.kill(pid, 'SIGKILL')));
    expect(runs(pid)).toBe(true);
    bench.kill('SIGKILL');
    await expect.poll(() => runs(pid) || existsSync(folder), { timeout: 20_000 }).toBe(false);
  });
});
