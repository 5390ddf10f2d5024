// Owns noticing that a file on disk was changed, made or removed. Polls: editors and installers replace files by renaming, and
// watchers of the operating systems lose sight of those.
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** Soon enough for a person who looks at the log, and nothing to a disk. */
const POLL_MS = 1_000;

/** Resolves when one of the files is another one than at the call, or when `signal` aborts. */
export async function filesChanged(files: readonly string[], signal: AbortSignal, pollMs = POLL_MS): Promise<void> {
  const before = await fingerprints(files);
  while (!signal.aborted) {
    try {
      await delay(pollMs, undefined, { signal });
    } catch {
      // Aborted: nobody waits any more.
      return;
    }
    if ((await fingerprints(files)) !== before) return;
  }
}

async function fingerprints(files: readonly string[]): Promise<string> {
  const found = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
        // Missing or out of reach: that too is a state, and its end is a change.
        () => 'none',
      ),
    ),
  );
  return found.join('|');
}
