// Runs the real tools whose files we read and which read ours. One that is missing skips loudly; in CI it fails.
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export type Peer = 'keytool' | 'openssl' | 'java';

const PROBE: Readonly<Record<Peer, string[]>> = { keytool: ['-help'], openssl: ['version'], java: ['-version'] };

/** Java compiles and collects less for programs of one second: half of their time. */
export const QUICK_JAVA: readonly string[] = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
export const QUICK_KEYTOOL: readonly string[] = QUICK_JAVA.map((option) => `-J${option}`);
const FIRST: Readonly<Record<Peer, readonly string[]>> = { keytool: QUICK_KEYTOOL, openssl: [], java: QUICK_JAVA };

const missing = new Map<Peer, boolean>();

function isMissing(peer: Peer): boolean {
  const known = missing.get(peer) ?? spawnSync(peer, PROBE[peer], { stdio: 'ignore' }).error !== undefined;
  missing.set(peer, known);
  return known;
}

/** For test.skipIf: a missing peer skips loudly; with CI=true the test runs, and fails. */
export function lacks(...peers: Peer[]): boolean {
  const lacking = peers.filter(isMissing);
  if (lacking.length === 0 || process.env['CI'] === 'true') return false;
  console.warn(`SKIPPED: ${lacking.join(', ')} not installed; tests with it do not run.`);
  return true;
}

/** Runs a peer and gives stdout and stderr as one text; a failure is an error with both. */
export async function run(peer: Peer, args: readonly string[]): Promise<string> {
  // One language and one clock, whatever the machine has.
  const env = { ...process.env, LC_ALL: 'C', JAVA_TOOL_OPTIONS: '' };
  const { stdout, stderr } = await promisify(execFile)(peer, [...FIRST[peer], ...args], { env, timeout: 60_000 });
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
