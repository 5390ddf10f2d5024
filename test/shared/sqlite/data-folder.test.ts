import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { holdDataFolder } from '../../../shared/sqlite/data-folder.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

let root: string;
let folder: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  root = temporaryFolder();
  folder = join(root, 'data');
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/**
 * A process that holds the folder until it is killed; it keeps nothing of the hold but that, and collects its garbage.
 */
async function holder(): Promise<ChildProcess> {
  const module = new URL('../../../shared/sqlite/data-folder.ts', import.meta.url).href;
  const script = `import { holdDataFolder } from ${JSON.stringify(module)}; holdDataFolder(${JSON.stringify(folder)}); setImmediate(() => { globalThis.gc(); setImmediate(() => console.log('held')); }); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

describe('holdDataFolder', () => {
  it('makes the folder for this account alone, and closes one that is open to others', () => {
    holdDataFolder(folder).release();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'lock')).mode & 0o777).toBe(0o600);
    chmodSync(folder, 0o755);
    holdDataFolder(folder).release();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it('refuses a folder that another process holds, with its pid, and takes it when that one was killed', async () => {
    const child = await holder();
    expect(() => holdDataFolder(folder)).toThrow(
      expect.objectContaining({ code: 'data_in_use', message: expect.stringContaining(`pid ${child.pid}`) }),
    );
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    holdDataFolder(folder).release();
  });

  it('does not take the number of a dead process for a holder', () => {
    mkdirSync(folder);
    // The number belongs to another process by now, and that one lives.
    writeFileSync(join(folder, 'lock.pid'), `${process.ppid}\n`);
    expect(() => holdDataFolder(folder).release()).not.toThrow();
  });

  it('writes through no link, also from the time before the folder was closed', () => {
    mkdirSync(folder, { mode: 0o777 });
    const victim = join(root, 'victim');
    writeFileSync(victim, 'untouched');
    symlinkSync(victim, join(folder, 'lock.pid'));
    holdDataFolder(folder).release();
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
    expect(readFileSync(join(folder, 'lock.pid'), 'utf8')).toBe(`${process.pid}\n`);
  });

  it.runIf(process.geteuid?.() === 0)(
    'refuses a folder in which another account put a file, a folder or a link, and a link of it to the folder',
    () => {
      const [file, other] = [join(folder, 'central.db'), 65_534];
      const plants = [
        () => writeFileSync(file, 'a store of mine'),
        () => mkdirSync(file),
        () => symlinkSync('/dev/null', file),
      ];
      for (const plant of plants) {
        mkdirSync(folder, { mode: 0o777 });
        plant();
        lchownSync(file, other, other);
        expect(() => holdDataFolder(folder)).toThrow(
          expect.objectContaining({
            code: 'data_unusable',
            message: expect.stringContaining(`${file} belongs to another account (uid ${other})`),
          }),
        );
        expect(existsSync(join(folder, 'lock'))).toBe(false);
        // Root runs on the folder of the account that owns all of it.
        if (plant === plants[0]) {
          chownSync(folder, other, other);
          holdDataFolder(folder).release();
        }
        rmSync(folder, { recursive: true });
      }
      mkdirSync(folder);
      symlinkSync(folder, join(root, 'link'));
      lchownSync(join(root, 'link'), other, other);
      expect(() => holdDataFolder(join(root, 'link'))).toThrow(expect.objectContaining({ code: 'data_unusable' }));
    },
  );

  it('refuses a second hold in the same process, and gives it after release', () => {
    const held = holdDataFolder(folder);
    expect(() => holdDataFolder(folder)).toThrow(expect.objectContaining({ code: 'data_in_use' }));
    held.release();
    held.release();
    holdDataFolder(folder).release();
  });

  it('says that the path is a file, or leads through one', () => {
    writeFileSync(folder, '');
    for (const path of [folder, join(folder, 'below')]) {
      expect(() => holdDataFolder(path)).toThrow(
        expect.objectContaining({ code: 'data_unusable', hint: expect.stringContaining('is a file') }),
      );
    }
    expect(existsSync(folder)).toBe(true);
  });
});
