// Both programs in the background of a terminal, which is then closed.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { anyPorts, Cleanup, ROOT, Running, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;

interface Started {
  readonly pid: number;
  /** What it held of the terminal while that was open. */
  readonly held: readonly string[];
}

/**
 * Runs a program in the background of a terminal of its own (script(1)), which is closed once the program has printed
 * `ready`.
 */
async function inBackground(script: string, args: readonly string[], ready: RegExp): Promise<Started> {
  const folder = await cleanup.folder();
  const end = join(folder, 'end');
  const pidFile = join(folder, 'pid');
  const words = [process.execPath, join(ROOT, script), ...args].join(' ');
  const shell = `${words} & echo $! > ${pidFile}; while ! test -e ${end}; do sleep 0.1; done`;
  const terminal = new Running('script', ['--quiet', '--command', `bash -m -c '${shell}'`, '/dev/null']);
  cleanup.add(() => terminal.stop());
  await terminal.printed(ready);
  const pid = Number(await readFile(pidFile, 'utf8'));
  cleanup.add(() => goesOn(pid) && process.kill(pid, 'SIGKILL'));
  const held = terminalsOf(pid);
  await writeFile(end, '');
  await terminal.ended();
  return { pid, held };
}

/** The descriptors of a process that are terminals. */
function terminalsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(join(folder, fd)).startsWith('/dev/pts/');
    } catch {
      return false; // Closed meanwhile.
    }
  });
}

/** Also false for a process that has ended, and that its new parent has not waited for. */
function goesOn(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe.runIf(hasScript)('in the background of a terminal', () => {
  it.each([
    [
      'the agent',
      'agent/cli.ts',
      ['start', '--profile', join(ROOT, 'profiles/default'), '--local-api-port', '0', '--central-host', '127.0.0.1'],
      /queue agent started/,
    ],
    ['Central', 'central/main.ts', anyPorts, /Administration: /],
  ])(
    '%s does not hold it as its input, goes on when it is closed, and stops in order',
    async (_, script, args, ready) => {
      const folder = await cleanup.folder();
      const { pid, held } = await inBackground(script, [...args, '--data-folder', folder], ready);
      expect(held).toContain('1');
      expect(held).not.toContain('0');
      // Each is logged, to a terminal that is closed: the log lets go of it.
      process.kill(pid, 'SIGHUP');
      await until(() => terminalsOf(pid).length < held.length || undefined);
      process.kill(pid, 'SIGHUP');
      expect(goesOn(pid)).toBe(true);
      process.kill(pid, 'SIGTERM');
      await until(() => !goesOn(pid) || undefined);
      // Orderly: what a kill would leave behind is gone.
      expect(readdirSync(folder)).not.toContain(script.startsWith('agent') ? 'local-api.sock' : 'administration.sock');
    },
  );
});
