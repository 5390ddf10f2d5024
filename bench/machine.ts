// What the figures depend on: processor, memory, system, versions, and how long this disk takes to have something on
// it.
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { arch, cpus, platform, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { median, percentile } from './figures.ts';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly openssl: string;
  readonly sqlite: string;
  /** One write of 4 KiB with fdatasync, in milliseconds: what one commit costs at least. */
  readonly fdatasyncMs: { readonly median: number; readonly p99: number };
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    system: `${platform()} ${arch()} ${release()}`,
    node: process.version,
    openssl: process.versions.openssl ?? 'unknown',
    sqlite: process.versions['sqlite'] ?? 'unknown',
    fdatasyncMs: diskTimes(),
  };
}

function diskTimes(): Machine['fdatasyncMs'] {
  const path = join(tmpdir(), `queuegate-bench-disk-${process.pid}`);
  const file = openSync(path, 'w', 0o600);
  const page = Buffer.alloc(4096, 1);
  const taken: number[] = [];
  try {
    for (let i = 0; i < 300; i += 1) {
      const startedAt = performance.now();
      writeSync(file, page, 0, page.length, i * page.length);
      fdatasyncSync(file);
      taken.push(performance.now() - startedAt);
    }
  } finally {
    closeSync(file);
    rmSync(path);
  }
  return { median: median(taken), p99: percentile(taken, 0.99) };
}
