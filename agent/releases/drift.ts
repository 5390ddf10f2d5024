// Measures the running releases of one kind on the disk, at the start, every hour and when Central requests it, and says
// which of their files have changed, and which of their settings do not count on this host.
import { textOf, type CodedError } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import { findFolder, type ReleaseFolders } from '../release-record.ts';
import { driftOf, loadManifest } from './folders.ts';
import type { Measured } from './kind-state.ts';

interface DriftNeeds {
  readonly folders: ReleaseFolders;
  /** Digests of what runs; what was placed by hand, or is of the package, is not measured. */
  readonly running: () => readonly string[];
  /** Keys of the running release that a value of this host overrides. */
  readonly overridden: () => Promise<readonly string[]>;
  readonly faultOf: (release: string, files: string) => CodedError;
  /** It was measured on request, or with another result than before. */
  readonly onMeasured: (release: string, measured: Measured) => void;
  readonly log: { warn(facts: object, text: string): void };
  readonly after: (ms: number, run: () => void) => () => void;
}

const MEASURE_MS = 3_600_000;
const NAMED_FILES = 10;
/** As long as nothing else was found. */
const AS_RELEASED: Finding = { files: [], overridden: [] };

type Finding = Pick<Measured, 'files' | 'overridden'>;

export class Drift {
  readonly #needs: DriftNeeds;
  /** By digest. */
  readonly #found = new Map<string, Finding>();
  readonly #turns = new Mutex();
  #cancel: (() => void) | undefined;
  #isRequested = false;
  #isStopped = false;

  constructor(needs: DriftNeeds) {
    this.#needs = needs;
  }

  /** Files of running releases that have changed on the disk. */
  get files(): readonly string[] {
    return this.#needs.running().flatMap((release) => this.#found.get(release)?.files ?? []);
  }

  /** By digest: what was found last of running releases, where it is anything. */
  get measured(): readonly (readonly [string, Measured])[] {
    return this.#needs.running().flatMap((release) => {
      const found = this.#found.get(release);
      return found === undefined || isSame(found, AS_RELEASED)
        ? []
        : [[release, this.#measuredOf(release, found)] as const];
    });
  }

  start(): void {
    void this.#measure(false).finally(() => {
      if (!this.#isStopped) this.#cancel = this.#needs.after(MEASURE_MS, () => this.start());
    });
  }

  /** Measures once more, and reports what it finds. Requests that come before it has begun are one. */
  request(): void {
    if (this.#isRequested || this.#isStopped) return;
    this.#isRequested = true;
    void this.#measure(true);
  }

  /** Another release runs from now on. */
  again(): void {
    void this.#measure(false);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** The release was assembled from what has been verified. */
  repaired(release: string): void {
    this.#found.delete(release);
  }

  /** One at a time. Never rejects. */
  async #measure(isRequested: boolean): Promise<void> {
    await this.#turns
      .runExclusive(async () => {
        if (isRequested) this.#isRequested = false;
        for (const release of this.#needs.running()) await this.#measureOne(release, isRequested);
      })
      .catch((error: unknown) => this.#needs.log.warn({ error: textOf(error) }, 'measuring the release'));
  }

  async #measureOne(release: string, isRequested: boolean): Promise<void> {
    const { folders, running, overridden, onMeasured, log } = this.#needs;
    const manifest = await loadManifest(folders, release);
    if (manifest === undefined) return;
    const folder = findFolder(folders, release);
    const files = folder === undefined ? manifest.files.map(({ path }) => path) : await driftOf(folder, manifest);
    const found = { files, overridden: await overridden() };
    if (!running().includes(release)) return;
    const isNew = !isSame(this.#found.get(release) ?? AS_RELEASED, found);
    if (!isNew && !isRequested) return;
    this.#found.set(release, found);
    const measured = this.#measuredOf(release, found);
    const { fault } = measured;
    if (isNew && fault !== undefined) log.warn({ code: fault.code }, `${fault.message} ${fault.hint}`);
    onMeasured(release, measured);
  }

  #measuredOf(release: string, { files, overridden }: Finding): Measured {
    const more = files.length > NAMED_FILES ? ` and ${files.length - NAMED_FILES} more` : '';
    const named = `${files.slice(0, NAMED_FILES).join(', ')}${more}`;
    return { fault: files.length === 0 ? undefined : this.#needs.faultOf(release, named), files, overridden };
  }
}

function isSame(one: Finding, other: Finding): boolean {
  return JSON.stringify([one.files, one.overridden]) === JSON.stringify([other.files, other.overridden]);
}
