// A file system of a few MiB in memory, for tests of a full disk. Mounting one takes root.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function mount(folder: string, megabytes: number): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'tmpfs', folder]).status === 0;
}

/** Taken away even when a process still uses it. */
export function unmount(folder: string): void {
  if (spawnSync('umount', [folder]).status !== 0) spawnSync('umount', ['-l', folder]);
}

export function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), 'queuegate-mount-'));
  const mounted = mount(folder, 1);
  if (mounted) unmount(folder);
  rmSync(folder, { recursive: true });
  return mounted;
}

/** Mounts one on the folder, until the test has ended. */
export function mountSmallDisk(folder: string, megabytes: number, cleanup: { add(undo: () => void): void }): void {
  if (!mount(folder, megabytes)) throw new Error(`${folder} could not be mounted`);
  cleanup.add(() => unmount(folder));
}
