// How far the agent is with the newest instruction of one kind: on the disk, in memory, and reported to Central, in
// this order. What is decided is on the disk before it counts, so that a crash at any moment leaves a state that is
// known.
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import type { ReleaseKind } from '../../shared/releases/manifest.ts';
import { MAX_CHANGED_FILES, MAX_OVERRIDDEN_KEYS, type ReleaseState } from '../../shared/wire/release-frames.ts';
import { agentFault } from '../errors.ts';
import { saveReleaseRecord, type KindRecord, type ReleaseRecord } from '../release-record.ts';
import type { StateReport } from './state-report.ts';

export type Problem = Pick<CodedError, 'code' | 'message' | 'hint'>;
export const NO_PROBLEM = { code: '', detail: '', hint: '' } as const;

/** What was found of a release that runs. */
export interface Measured {
  /** Undefined: nothing has changed. */
  readonly fault: Problem | undefined;
  /** Files that differ from the release. */
  readonly files: readonly string[];
  /** Keys of its agent.conf that a value of this host overrides. */
  readonly overridden: readonly string[];
}

/** The record of all kinds: one file, written by one job at a time. */
export class RecordKeeper {
  readonly #dataFolder: string;
  readonly #onStep: (step: string) => void;
  readonly #turns = new Mutex();
  #record: ReleaseRecord;

  constructor(dataFolder: string, record: ReleaseRecord | undefined, onStep: (step: string) => void) {
    this.#dataFolder = dataFolder;
    this.#record = record ?? { profile: null, software: null };
    this.#onStep = onStep;
  }

  get record(): ReleaseRecord {
    return this.#record;
  }

  set(next: ReleaseRecord): void {
    this.#record = next;
  }

  async save(make: (record: ReleaseRecord) => ReleaseRecord, what: () => string): Promise<void> {
    await this.#turns.runExclusive(async () => {
      this.#onStep(`before ${what()}`);
      const next = make(this.#record);
      await saveReleaseRecord(this.#dataFolder, next);
      this.#record = next;
      this.#onStep(`after ${what()}`);
    });
  }
}

export class KindState<K extends ReleaseKind = ReleaseKind> {
  readonly kind: K;
  readonly #keeper: RecordKeeper;
  readonly #report: StateReport;

  constructor(kind: K, keeper: RecordKeeper, report: StateReport) {
    this.kind = kind;
    this.#keeper = keeper;
    this.#report = report;
  }

  /** Null: no instruction has come. */
  get found(): KindRecord<K> | null {
    return this.#keeper.record[this.kind];
  }

  get record(): KindRecord<K> {
    const { found } = this;
    if (found === null) throw new Error('no instruction');
    return found;
  }

  /** Nothing is left to do for it. */
  get isFinal(): boolean {
    const { state, instruction } = this.record;
    if (state === 'synchronized') return instruction.stage === 'synchronize';
    return state !== 'offered' && state !== 'synchronizing' && state !== 'trying';
  }

  /** On the disk, then in memory, then reported. Errors: disk faults; then nothing has changed. */
  async save(change: Partial<KindRecord<K>>): Promise<void> {
    const what = (): string => change.state ?? this.record.state;
    await this.#keeper.save((record) => this.#changed(record, change), what);
    this.report();
  }

  /** In memory, for what the next save writes. */
  set(change: Partial<KindRecord<K>>): void {
    this.#keeper.set(this.#changed(this.#keeper.record, change));
  }

  report(): void {
    if (this.found === null) return;
    const { instruction, state, receivedBytes, totalBytes, code, detail, hint } = this.record;
    const { generation, release } = instruction;
    this.#send('state', { generation, release, state, receivedBytes, totalBytes, code, detail, hint });
  }

  /** Of a release that runs, beside the state of the instruction. */
  reportRunning(release: string, { fault, files, overridden }: Measured): void {
    const { found } = this;
    if (found === null) return;
    // It is being repaired: what is reported of its generation is how far that is.
    if (!this.isFinal && found.instruction.release === release) return;
    this.#report.report(`${this.kind} running ${release}`, {
      type: 'release-measured',
      kind: this.kind,
      release,
      changedFiles: files.slice(0, MAX_CHANGED_FILES).map((file) => file.slice(0, 240)),
      overriddenKeys: overridden.slice(0, MAX_OVERRIDDEN_KEYS),
      ...(fault === undefined ? NO_PROBLEM : shown(fault)),
    });
  }

  reportRefused(generation: number, release: string, { code, message: detail, hint }: Problem): void {
    const state = { state: 'failed', receivedBytes: 0, totalBytes: 0 } as const;
    this.#send('refused', { generation, release, ...state, code, detail, hint });
  }

  #send(subject: string, state: Omit<ReleaseState, 'type' | 'kind'>): void {
    this.#report.report(`${this.kind} ${subject}`, { type: 'release-state', kind: this.kind, ...state });
  }

  /** The first change is whole. */
  #changed(record: ReleaseRecord, change: Partial<KindRecord<K>>): ReleaseRecord {
    return { ...record, [this.kind]: { ...record[this.kind], ...change } };
  }
}

export function problemOf(error: unknown): Problem {
  return isCoded(error) ? error : agentFault('release_failed', { found: textOf(error) }, error);
}

export function shown({ code, message, hint }: Problem): Pick<ReleaseState, 'code' | 'detail' | 'hint'> {
  return { code, detail: message.slice(0, 1024), hint: hint.slice(0, 1024) };
}
