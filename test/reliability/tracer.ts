// strace on a process of the tests: slows its system calls, or writes them down. Linux, and the right to trace; where
// either is missing a test skips and says so, except in CI, which has both.
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Running, until, type Cleanup } from '../flow/processes.ts';

/** Says loudly what is missing for a test and gives true when it has to be skipped. Throws in CI. */
export function missing(what: string, there: boolean): boolean {
  if (there) return false;
  if (process.env['CI'] !== undefined) throw new Error(`CI needs ${what}`);
  process.stderr.write(`SKIPPED: these tests need ${what}\n`);
  return true;
}

export function canTrace(): boolean {
  return (
    process.platform === 'linux' &&
    spawnSync('strace', ['-f', '-e', 'trace=fsync', '-o', '/dev/null', 'true']).status === 0
  );
}

export class Tracer {
  readonly #process: Running;
  readonly #file: string;

  private constructor(process_: Running, file: string) {
    this.#process = process_;
    this.#file = file;
  }

  /** Attaches to all threads of a process, and to those that it starts. `options` are strace's. */
  static async attach(cleanup: Cleanup, pid: number | undefined, options: readonly string[]): Promise<Tracer> {
    if (pid === undefined) throw new Error('no process');
    const file = join(await cleanup.folder(), 'trace');
    const process_ = new Running('strace', ['-f', '-o', file, ...options, '-p', String(pid)]);
    const tracer = new Tracer(process_, file);
    cleanup.add(() => tracer.detach());
    await process_.printed(/attached/);
    return tracer;
  }

  async text(): Promise<string> {
    return await readFile(this.#file, 'utf8');
  }

  /** How many calls that match were begun so far. */
  async count(pattern: RegExp): Promise<number> {
    return (await this.text()).split('\n').filter((line) => pattern.test(line)).length;
  }

  /** Lets the process run on untraced. */
  async detach(): Promise<void> {
    // strace detaches on SIGINT; the process that it traced does not notice.
    await this.#process.stop('SIGINT');
  }

  /** Waits until it has written down a line that matches. */
  async saw(pattern: RegExp, withinMs = 20_000): Promise<void> {
    await until(
      async () => pattern.test(await this.text()) || undefined,
      withinMs,
      () => `${String(pattern)} was not traced`,
    );
  }
}
