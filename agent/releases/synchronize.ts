// Has all files of a release on the disk: what the agent has already is copied, the rest is downloaded, and what was
// cut is continued as soon as there is a session again.
import { createBackoff } from '../../shared/backoff.ts';
import { makeFolder } from '../../shared/files/disk-faults.ts';
import { isCoded, type CodedError } from '../../shared/errors.ts';
import { releaseBytes, type Manifest } from '../../shared/releases/manifest.ts';
import type { DialPlan } from '../connection/connection.ts';
import type { ReleaseFolders } from '../release-record.ts';
import { Download, RetryLater } from './download.ts';
import { assemble, blobsFolder, loadManifest, reusableFiles, saveManifest } from './folders.ts';

/** A damaged answer that comes again is not an accident of the line. */
const MAX_DAMAGED = 3;
/** While messages come and go, a pause after each piece leaves the line to them. */
const YIELD_MS = 50;

interface SynchronizePorts {
  readonly folders: ReleaseFolders;
  readonly release: string;
  /** What is said of a manifest before anything of it is downloaded. */
  readonly manifests: ManifestPolicy;
  /** Of the newest offer. */
  readonly ticket: () => string;
  /** 0: as fast as Central sends. */
  readonly bytesPerSecond: number;
  /** Folders whose files need not come again. */
  readonly sources: (manifest: Manifest) => Promise<readonly string[]>;
  /** What the session was dialed with, as soon as there is one. Rejects when `signal` aborts. */
  readonly line: (signal: AbortSignal) => Promise<DialPlan>;
  /** Errors: release_timeout. */
  readonly checkTime: () => void;
  /** Messages came or went a moment ago. */
  readonly isBusy: () => boolean;
  readonly onProgress: (receivedBytes: number, totalBytes: number) => void;
  /** It does not go on at present. */
  readonly onWaiting: (reason: CodedError) => void;
  readonly onStep: (step: string) => void;
  readonly clock: () => number;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** What a kind of release demands of its manifest. */
export interface ManifestPolicy {
  /** It has a build signature, which is downloaded with it. */
  readonly isSigned: boolean;
  /** Errors: why this agent does not take it. */
  readonly check: (manifest: Manifest, signature: string | undefined, release: string) => Promise<void>;
}

/** Bytes of the release. Errors: those of `Download` and `assemble`, release_timeout. Rejects when `signal` aborts. */
export async function synchronize(ports: SynchronizePorts, signal: AbortSignal): Promise<number> {
  const { release, ticket, line, wait } = ports;
  const backoff = createBackoff();
  const pace = pacer(ports, signal);
  let damaged = 0;
  for (;;) {
    const plan = await line(signal);
    const download = new Download({
      plan,
      ticket: ticket(),
      signal,
      pace: async (bytes) => {
        backoff.reset();
        await pace(bytes);
      },
    });
    try {
      return await fetchOnce(ports, download);
    } catch (error) {
      signal.throwIfAborted();
      const isDamaged = isCoded(error, 'release_blob_damaged', 'release_incomplete', 'release_answer_bad');
      if (isDamaged) damaged += 1;
      if (!(error instanceof RetryLater) && (!isDamaged || damaged === MAX_DAMAGED)) throw error;
      const [fault, afterMs] = error instanceof RetryLater ? [error.fault, error.afterMs] : [error, 0];
      ports.onWaiting(fault);
      ports.checkTime();
      await wait(backoff.next(afterMs), signal);
    } finally {
      download.close();
      ports.onStep(`left ${release}`);
    }
  }
}

async function fetchOnce(ports: SynchronizePorts, download: Download): Promise<number> {
  const { folders, release, onStep, onProgress } = ports;
  const manifest = await manifestOf(ports, download);
  const totalBytes = releaseBytes(manifest);
  const sources = await reusableFiles(await ports.sources(manifest));
  await makeFolder(blobsFolder(folders), 0o700);
  let received = 0;
  const done = new Set<string>();
  for (const file of manifest.files) {
    onProgress(received, totalBytes);
    if (!sources.has(file.sha256) && !done.has(file.sha256)) {
      await download.blob(file, blobsFolder(folders));
      onStep(`blob of ${file.path}`);
    }
    done.add(file.sha256);
    received += file.size;
  }
  onProgress(received, totalBytes);
  await assemble({ folders, release, manifest, sources, onStep });
  return totalBytes;
}

async function manifestOf(
  { folders, release, manifests, onStep }: SynchronizePorts,
  download: Download,
): Promise<Manifest> {
  const known = await loadManifest(folders, release);
  if (known !== undefined && !manifests.isSigned) return known;
  const { text, manifest } = await download.manifest(release);
  const signature = manifests.isSigned ? await download.signature(release) : undefined;
  await manifests.check(manifest, signature, release);
  await saveManifest(folders, release, text, signature);
  onStep('manifest');
  return manifest;
}

/** Within the rate, and behind messages. */
function pacer(
  { bytesPerSecond, isBusy, clock, wait }: SynchronizePorts,
  signal: AbortSignal,
): (bytes: number) => Promise<void> {
  let dueAt = 0;
  return async (bytes) => {
    const now = clock();
    if (bytesPerSecond > 0) dueAt = Math.max(dueAt, now) + (bytes / bytesPerSecond) * 1000;
    const waitMs = Math.max(dueAt - now, isBusy() ? YIELD_MS : 0);
    if (waitMs > 0) await wait(waitMs, signal);
  };
}
