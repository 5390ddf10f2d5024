// How far the agent is with the newest instruction of one kind: on the disk, in memory, and reported to Central, in
// this order. What is decided is on the disk before it counts, so that a crash at any moment leaves a state that is
// known.
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import type { ReleaseKind } from '../../shared/releases/manifest.ts';
import type { ReleaseState } from '../../shared/wire/messages.ts';
import { agentFault } from '../errors.ts';
import { saveReleaseRecord, type KindRecord, type ReleaseRecord } from '../release-record.ts';
import type { StateReport } from './state-report.ts';

export type Problem = Pick<CodedError, 'code' | 'message' | 'hint'>;
export const NO_PROBLEM = { code: '', detail: '', hint: '' } as const;

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

  /** Of a release that runs, beside the state of the instruction; undefined: nothing is wrong with it. */
  reportRunning(release: string, fault: Problem | undefined): void {
    const { found } = this;
    if (found === null) return;
    const { instruction, totalBytes } = found;
    // It is being repaired: what is reported of its generation is how far that is.
    if (!this.isFinal && instruction.release === release) return;
    const state = { state: 'succeeded', receivedBytes: totalBytes, totalBytes } as const;
    const problem = fault === undefined ? NO_PROBLEM : shown(fault);
    this.#send(`running ${release}`, { generation: instruction.generation, release, ...state, ...problem });
  }

  reportRefused(generation: number, release: string, { code, message: detail, hint }: Problem): void {
    const state = { state: 'failed', receivedBytes: 0, totalBytes: 0 } as const;
    this.#send('refused', { generation, release, ...state, code, detail, hint });
  }

  #send(subject: string, state: Omit<ReleaseState, 'type' | 'kind'>): void {
    this.#report.report(`${this.kind} ${subject}`, { kind: this.kind, ...state });
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
