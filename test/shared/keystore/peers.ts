// Owns running the real tools whose files we read and which read ours. One that is missing skips loudly; in CI it fails.
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export type Peer = 'keytool' | 'openssl' | 'java';

const PROBE: Readonly<Record<Peer, string[]>> = { keytool: ['-help'], openssl: ['version'], java: ['-version'] };

/** For test.skipIf: a missing peer skips loudly; with CI=true the test runs, and fails. */
export function lacks(...peers: Peer[]): boolean {
  const missing = peers.filter((peer) => spawnSync(peer, PROBE[peer], { stdio: 'ignore' }).error !== undefined);
  if (missing.length === 0 || process.env['CI'] === 'true') return false;
  console.warn(`SKIPPED: ${missing.join(', ')} not installed; tests with it do not run.`);
  return true;
}

/** Runs a peer and gives stdout and stderr as one text; a failure is an error with both. */
export async function run(peer: Peer, args: readonly string[]): Promise<string> {
  // One language and one clock, whatever the machine has.
  const env = { ...process.env, LC_ALL: 'C', JAVA_TOOL_OPTIONS: '' };
  const { stdout, stderr } = await promisify(execFile)(peer, [...args], { env, timeout: 60_000 });
  return `${stdout}\n${stderr}`;
}

export async function temporaryFolder(): Promise<AsyncDisposable & { path(name: string): string }> {
  const folder = await mkdtemp(join(tmpdir(), 'queuegate-keystore-'));
  return {
    path: (name) => join(folder, name),
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true }),
  };
}

export const KEYSTORES = new URL('../../fixtures/keystores/', import.meta.url).pathname;

export function fixture(name: string): Buffer {
  return readFileSync(join(KEYSTORES, name));
}
