// Measures the running release on the disk, at the start and every hour, and says which of its files have changed.
import { textOf, type CodedError } from '../../../shared/errors.ts';
import { agentFault } from '../../errors.ts';
import { findRelease, profileFolders } from '../../release-record.ts';
import { driftOf, loadManifest } from '../folders.ts';

interface DriftNeeds {
  readonly dataFolder: string;
  /** Digest of the running release; null: placed by hand, and not measured. */
  readonly current: () => string | null;
  /** Other files have changed, or none any more. */
  readonly onChanged: () => void;
  readonly log: { warn(facts: object, text: string): void };
  readonly after: (ms: number, run: () => void) => () => void;
}

const MEASURE_MS = 3_600_000;
const NAMED_FILES = 10;

export class Drift {
  readonly #needs: DriftNeeds;
  #files: readonly string[] = [];
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(needs: DriftNeeds) {
    this.#needs = needs;
  }

  /** Files that have changed on the disk. */
  get files(): readonly string[] {
    return this.#files;
  }

  /** Undefined: nothing has changed. */
  get fault(): CodedError | undefined {
    const release = this.#needs.current();
    if (release === null || this.#files.length === 0) return undefined;
    const more = this.#files.length > NAMED_FILES ? ` and ${this.#files.length - NAMED_FILES} more` : '';
    return agentFault('profile_drift', { release, files: `${this.#files.slice(0, NAMED_FILES).join(', ')}${more}` });
  }

  start(): void {
    this.#measure()
      .catch((error: unknown) => this.#needs.log.warn({ error: textOf(error) }, 'measuring the release'))
      .finally(() => {
        if (!this.#isStopped) this.#cancel = this.#needs.after(MEASURE_MS, () => this.start());
      });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** The release was assembled from what has been verified. */
  repaired(): void {
    this.#files = [];
  }

  async #measure(): Promise<void> {
    const { dataFolder, current, onChanged, log } = this.#needs;
    const release = current();
    if (release === null) return;
    const [found, manifest] = [
      findRelease(dataFolder, release),
      await loadManifest(profileFolders(dataFolder), release),
    ];
    if (manifest === undefined) return;
    const files = found === undefined ? manifest.files.map(({ path }) => path) : await driftOf(found.folder, manifest);
    if (current() !== release || files.join() === this.#files.join()) return;
    this.#files = files;
    const { fault } = this;
    if (fault !== undefined) log.warn({ code: fault.code }, `${fault.message} ${fault.hint}`);
    onChanged();
  }
}
