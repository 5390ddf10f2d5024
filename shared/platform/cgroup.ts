// Finds and uses cgroup v2 for tasks: whatever a task starts stays in its cgroup and ends with it. Without one, only
// the process group is known, which a program can leave.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { access, constants, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';

const PROBE_MS = 5_000;

/** The folder in which this process may make cgroups; undefined: it may not, or there is no cgroup v2. */
export async function findCgroups(): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const base = ownCgroup(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'));
    return base !== undefined && (await isUsable(base)) ? base : undefined;
  } catch {
    // Best effort: the status says that there is none.
    return undefined;
  }
}

/**
 * The cgroup v2 of the process by its proc(5) files. Hybrid hosts mount it at /sys/fs/cgroup/unified. Undefined: there
 * is none that it can see.
 */
export function ownCgroup(mountinfo: string, cgroup: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1];
  for (const line of mountinfo.split('\n')) {
    const [mount = '', type = ''] = line.split(' - ');
    const [, , , root, point] = mount.split(' ');
    if (!type.startsWith('cgroup2 ') || root === undefined || point === undefined || path === undefined) continue;
    const below = relative(root, path);
    if (!below.startsWith('..')) return join(unescaped(point), below);
  }
  return undefined;
}

/** Octal escapes of mountinfo. */
function unescaped(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Makes one, and moves a process into it: permissions of the folder alone say too little. */
async function isUsable(base: string): Promise<boolean> {
  const probe = join(base, `queue-agent-probe-${process.pid}`);
  await mkdir(probe);
  try {
    await access(join(probe, 'cgroup.kill'), constants.W_OK);
    const line = 'echo $$ >"$1"';
    await promisify(execFile)('/bin/sh', ['-c', line, 'sh', join(probe, 'cgroup.procs')], { timeout: PROBE_MS });
    return true;
  } finally {
    await removeCgroup(probe);
  }
}

/** Whether a process is in it; false also where it is gone. */
export async function isPopulated(cgroup: string): Promise<boolean> {
  const events = await readFile(join(cgroup, 'cgroup.events'), 'utf8').catch(() => '');
  return /^populated 1$/m.test(events);
}

/** Ends all processes in it with SIGKILL, and those below. */
export async function killCgroup(cgroup: string): Promise<void> {
  await writeFile(join(cgroup, 'cgroup.kill'), '1').catch(ignoreGone);
}

const REMOVE_TRIES = 20;
const REMOVE_MS = 50;

/** One that is still populated, by a process that cannot end at present, stays. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (let tries = 0; tries < REMOVE_TRIES; tries += 1) {
    try {
      return await rmdir(cgroup);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return;
      await new Promise((resolve) => setTimeout(resolve, REMOVE_MS));
    }
  }
}

/** A cgroup that is gone has no process. */
function ignoreGone(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOENT' && code !== 'ENODEV') throw error;
}
