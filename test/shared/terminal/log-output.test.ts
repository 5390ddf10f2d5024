import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LogOutput } from '../../../shared/terminal/log-output.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

afterEach(() => vi.useRealTimers());

/** A disk with so much room, which more can be given to. */
class Disk {
  text = '';
  room: number;
  error = 'ENOSPC';
  /** How many bytes one call takes at most. */
  most = Infinity;

  constructor(room: number) {
    this.room = room;
  }

  readonly write = (bytes: Uint8Array): number => {
    const taken = Math.min(bytes.length, this.room, this.most);
    if (taken === 0) throw Object.assign(new Error('no room'), { code: this.error });
    this.text += Buffer.from(bytes.subarray(0, taken)).toString();
    this.room -= taken;
    return taken;
  };
}

function outputTo(disk: Disk): LogOutput {
  return new LogOutput({ write: disk.write, report: (lines, code) => `${lines} lost by ${code}\n` });
}

describe('the log', () => {
  it('is written line by line, in pieces where no more is taken at once', () => {
    const disk = new Disk(1_000);
    disk.most = 2;
    const output = outputTo(disk);
    for (const line of ['one\n', 'two\n']) output.write(line);
    expect(disk.text).toBe('one\ntwo\n');
    expect(output.lost().lines).toBe(0);
  });

  it('loses lines on a full disk, counts them, and reports them before the next line that fits', () => {
    const disk = new Disk(4);
    const output = outputTo(disk);
    for (const line of ['one\n', 'two\n', 'three\n']) output.write(line);
    expect(output.lost()).toMatchObject({ lines: 2, code: 'ENOSPC' });
    disk.room = 1_000;
    output.write('four\n');
    expect(disk.text).toBe('one\n2 lost by ENOSPC\nfour\n');
    output.write('five\n');
    expect(disk.text.endsWith('four\nfive\n')).toBe(true);
  });

  it('begins a new line after one that was cut by a full disk', () => {
    const disk = new Disk(6);
    const output = outputTo(disk);
    for (const line of ['one\n', 'two\n']) output.write(line);
    disk.room = 1_000;
    output.write('three\n');
    expect(disk.text).toBe('one\ntw\n1 lost by ENOSPC\nthree\n');
  });

  it('reports what was lost without a further line once there is room', () => {
    vi.useFakeTimers();
    const disk = new Disk(0);
    const output = outputTo(disk);
    output.write('one\n');
    vi.advanceTimersByTime(60_000);
    expect(disk.text).toBe('');
    disk.room = 1_000;
    vi.advanceTimersByTime(60_000);
    expect(disk.text).toBe('1 lost by ENOSPC\n');
    vi.advanceTimersByTime(60_000);
    expect(disk.text).toBe('1 lost by ENOSPC\n');
  });

  it('waits for a reader that pauses and keeps its lines in order', () => {
    vi.useFakeTimers();
    const disk = new Disk(6);
    disk.error = 'EAGAIN';
    const output = outputTo(disk);
    for (const line of ['one\n', 'two\n', 'three\n']) output.write(line);
    expect(disk.text).toBe('one\ntw');
    disk.room = 1_000;
    vi.advanceTimersByTime(200);
    expect(disk.text).toBe('one\ntwo\nthree\n');
    expect(output.lost().lines).toBe(0);
  });

  it('keeps one MiB for a reader that has stopped; what comes later is lost, and reported after what was kept', () => {
    vi.useFakeTimers();
    const disk = new Disk(0);
    disk.error = 'EAGAIN';
    const output = outputTo(disk);
    const line = `${'x'.repeat(1023)}\n`;
    for (let i = 0; i < 2_000; i += 1) output.write(line);
    expect(output.lost()).toMatchObject({ lines: 2_000 - 1_024, code: 'EAGAIN' });
    disk.room = 10_000_000;
    vi.advanceTimersByTime(200);
    expect(disk.text.length).toBe(1_024 * 1_024 + '976 lost by EAGAIN\n'.length);
  });
});

describe('the log of a process', () => {
  const LOG = join(import.meta.dirname, '../../../shared/terminal/log.ts');
  /** Logs a thousand lines of 4 KB, and says on stderr how many were lost. */
  const SCRIPT = `
    const { openLog } = await import(process.argv[1]);
    const { log, lostLines } = openLog('info', () => ({ agent: 'a' }));
    for (let i = 0; i < 1000; i += 1) log.info({ i, text: 'x'.repeat(4000) }, 'line');
    await new Promise((resolve) => setTimeout(resolve, 10));
    console.error(JSON.stringify(lostLines()));
    process.exit(0);
  `;

  async function lostWith(stdout: number): Promise<{ lines: number; code: string }> {
    const args = ['--input-type=module', '--eval', SCRIPT, LOG];
    const child = spawn(process.execPath, args, { stdio: ['ignore', stdout, 'pipe'] });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    expect(code, said).toBe(0);
    return JSON.parse(said) as { lines: number; code: string };
  }

  it('whose device takes nothing goes on and loses every line', async () => {
    const full = openSync('/dev/full', 'w');
    expect(await lostWith(full)).toMatchObject({ lines: 1_000, code: 'ENOSPC' });
    closeSync(full);
  });

  it('whose reader never reads from the pipe goes on, and the pipe stays as it is for others', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    const pipe = openSync(path, constants.O_RDWR);
    const { lines } = await lostWith(pipe);
    expect(lines).toBeGreaterThan(500);
    expect(lines).toBeLessThan(1_000);
    const first = Buffer.alloc(8_000);
    expect(readSync(pipe, first)).toBeGreaterThan(4_000);
    expect(JSON.parse(first.toString().split('\n')[0] ?? '')).toMatchObject({ agent: 'a', i: 0, msg: 'line' });
    closeSync(pipe);
  });
});
