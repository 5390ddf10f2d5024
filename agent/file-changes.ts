// Notices when a file on disk is changed, created or removed. Polls, because editors and installers replace files by
// renaming, and the watchers of the operating systems lose track of those.
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** Soon enough for a person who looks at the log, and nothing to a disk. */
const POLL_MS = 1_000;

/** What files looked like at one moment. */
export interface FileSnapshot {
  readonly files: readonly string[];
  /** Of each file, in the same order. */
  readonly looks: readonly string[];
}

/** Taken before the files are read, so that a change while they are in use is noticed too. */
export async function snapshotFiles(files: readonly string[]): Promise<FileSnapshot> {
  return { files, looks: await looksOf(files) };
}

/** How to take a file as it is now for seen: the answer makes the new snapshot of the one that counts by then. */
export async function refreshSnapshot(file: string): Promise<(snapshot: FileSnapshot) => FileSnapshot> {
  const [look = ''] = await looksOf([file]);
  return (snapshot) => ({
    ...snapshot,
    looks: snapshot.looks.map((seen, place) => (snapshot.files[place] === file ? look : seen)),
  });
}

/** Resolves when one of the files differs from the snapshot, or when `signal` aborts. */
export async function filesChanged(snapshot: FileSnapshot, signal: AbortSignal, pollMs = POLL_MS): Promise<void> {
  while (!signal.aborted && (await looksOf(snapshot.files)).join('|') === snapshot.looks.join('|')) {
    try {
      await delay(pollMs, undefined, { signal });
    } catch {
      // Aborted: the caller no longer waits.
      return;
    }
  }
}

async function looksOf(files: readonly string[]): Promise<string[]> {
  return await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
        // Missing or out of reach: that too is a look, and its end is a change.
        () => 'none',
      ),
    ),
  );
}
