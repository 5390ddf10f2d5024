// Measures the running releases of one kind on the disk, at the start and every hour, and says which of their files
// have changed.
import { textOf, type CodedError } from '../../shared/errors.ts';
import { findFolder, type ReleaseFolders } from '../release-record.ts';
import { driftOf, loadManifest } from './folders.ts';

interface DriftNeeds {
  readonly folders: ReleaseFolders;
  /** Digests of what runs; what was placed by hand, or is of the package, is not measured. */
  readonly running: () => readonly string[];
  readonly faultOf: (release: string, files: string) => CodedError;
  /** Other files of this release have changed, or none any more. */
  readonly onChanged: (release: string, fault: CodedError | undefined) => void;
  readonly log: { warn(facts: object, text: string): void };
  readonly after: (ms: number, run: () => void) => () => void;
}

const MEASURE_MS = 3_600_000;
const NAMED_FILES = 10;

export class Drift {
  readonly #needs: DriftNeeds;
  /** By digest; without those of which nothing has changed. */
  readonly #changed = new Map<string, readonly string[]>();
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(needs: DriftNeeds) {
    this.#needs = needs;
  }

  /** Files of running releases that have changed on the disk. */
  get files(): readonly string[] {
    return this.#needs.running().flatMap((release) => this.#changed.get(release) ?? []);
  }

  /** By digest: what is wrong with running releases. */
  get faults(): readonly (readonly [string, CodedError])[] {
    return this.#needs.running().flatMap((release) => {
      const fault = this.#faultOf(release);
      return fault === undefined ? [] : [[release, fault] as const];
    });
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
  repaired(release: string): void {
    this.#changed.delete(release);
  }

  async #measure(): Promise<void> {
    for (const release of this.#needs.running()) await this.#measureOne(release);
  }

  async #measureOne(release: string): Promise<void> {
    const { folders, running, onChanged, log } = this.#needs;
    const manifest = await loadManifest(folders, release);
    if (manifest === undefined) return;
    const found = findFolder(folders, release);
    const files = found === undefined ? manifest.files.map(({ path }) => path) : await driftOf(found, manifest);
    if (!running().includes(release) || files.join() === (this.#changed.get(release) ?? []).join()) return;
    if (files.length === 0) this.#changed.delete(release);
    else this.#changed.set(release, files);
    const fault = this.#faultOf(release);
    if (fault !== undefined) log.warn({ code: fault.code }, `${fault.message} ${fault.hint}`);
    onChanged(release, fault);
  }

  #faultOf(release: string): CodedError | undefined {
    const files = this.#changed.get(release);
    if (files === undefined) return undefined;
    const more = files.length > NAMED_FILES ? ` and ${files.length - NAMED_FILES} more` : '';
    return this.#needs.faultOf(release, `${files.slice(0, NAMED_FILES).join(', ')}${more}`);
  }
}
