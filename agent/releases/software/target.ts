// Releases of the agent's own software, one part (program or runtime) at a time: each has a slot beside those that run.
// The trial is the next process: this one names the candidate to the launcher and ends; the next one commits it, or
// gives up (trial.ts).
import { join } from 'node:path';
import { textOf, type CodedError } from '../../../shared/errors.ts';
import { removeUnfinishedFiles } from '../../../shared/files/unfinished-files.ts';
import type { Instruction } from '../../../shared/releases/instruction.ts';
import type { Manifest } from '../../../shared/releases/manifest.ts';
import { runtimeTarget, softwarePart } from '../../../shared/releases/software.ts';
import { agentFault } from '../../errors.ts';
import type { ReleaseFolders } from '../../release-record.ts';
import type { SoftwarePair, SoftwareSlot } from '../../software-slot.ts';
import { Drift } from '../drift.ts';
import { intactBytes, loadManifest, prune } from '../folders.ts';
import { NO_PROBLEM, problemOf, shown, type KindState, type Problem } from '../kind-state.ts';
import type { ManifestPolicy } from '../synchronize.ts';
import type { FlowNeeds, Outcome, Target } from '../target.ts';
import { softwareFault, verdictFault } from './errors.ts';
import { isSamePair, LauncherState } from './launcher-state.ts';
import { checkBuildSignature, loadSigners } from './signers.ts';
import { COMMIT_SECONDS, proveSession, type Connection } from './trial.ts';

export interface SoftwareNeeds {
  /** Undefined: the launcher has not started this process. */
  readonly slot: SoftwareSlot | undefined;
  /** Folders of what runs. */
  readonly running: { readonly program: string; readonly runtime: string };
  /** Files with the public keys of those who may build software for this machine. */
  readonly signers: () => Promise<readonly string[]>;
  /** As the names of runtimes end: "linux-x64". */
  readonly machine: string;
  readonly connection: () => Connection;
  /** Ends this process in order; the service manager starts the next one. */
  readonly restart: () => void;
}

/** The software before the last commit stays so long. */
const PREVIOUS_MS = 7 * 86_400_000;
const PRUNE_MS = 6 * 3_600_000;
const INCONCLUSIVE = 'trial_inconclusive';

export class SoftwareTarget implements Target {
  readonly state: KindState<'software'>;
  readonly folders: ReleaseFolders;
  readonly drift: Drift;
  readonly manifests: ManifestPolicy = {
    isSigned: true,
    check: (manifest, signature, release) => this.#check(manifest, signature, release),
  };
  readonly #needs: SoftwareNeeds & FlowNeeds;
  readonly #launcher: LauncherState;
  #isOnTrial: boolean;
  /** What the launcher starts when nothing is on trial. */
  #committed: SoftwarePair | undefined;
  #cancelPrune: (() => void) | undefined;

  constructor(state: KindState<'software'>, needs: SoftwareNeeds & FlowNeeds) {
    this.state = state;
    this.#needs = needs;
    // Nothing is written where there is no launcher: such an agent takes no software.
    const root = needs.slot?.folder ?? '';
    this.folders = { root, releases: join(root, 'slots'), isPublic: true };
    this.#launcher = new LauncherState(root, needs.onStep);
    this.#isOnTrial = needs.slot?.isCandidate === true;
    this.drift = new Drift({
      folders: this.folders,
      // Those of the package are below /usr, which belongs to root.
      running: () => [this.#pair.program, this.#pair.runtime].filter((digest) => digest !== null),
      overridden: async () => [],
      faultOf: (release, files) => softwareFault('software_drift', { release, files }),
      onMeasured: (release, measured) => state.reportRunning(release, measured),
      log: needs.log,
      after: needs.after,
    });
  }

  get isOnTrial(): boolean {
    return this.#isOnTrial;
  }

  /** False: this process ends, because it is the trial of a candidate that it has no instruction for. */
  async start(): Promise<boolean> {
    if (this.#needs.slot === undefined) return true;
    await removeUnfinishedFiles(join(this.folders.root, 'state'));
    this.#committed = (await this.#launcher.read('current'))?.pair;
    const { found } = this.state;
    const isTrying = found?.state === 'trying';
    if (this.#isOnTrial && !(isTrying && this.#runs(found.instruction.release))) {
      const release = this.#pair.program ?? this.#pair.runtime ?? 'factory';
      await this.#giveUp(softwareFault('trial_unknown', { release }));
      return false;
    }
    if (!this.#isOnTrial && !isTrying) await this.#launcher.clear();
    this.#schedulePrune();
    return true;
  }

  stop(): void {
    this.#cancelPrune?.();
  }

  async checkReady(): Promise<void> {
    if (this.#needs.slot === undefined) throw softwareFault('software_without_launcher', {});
    await loadSigners(await this.#needs.signers());
  }

  async sources(manifest: Manifest): Promise<readonly string[]> {
    return [this.#needs.running[softwarePart(manifest)]];
  }

  begun(): object {
    const { previous = null, committedAt = 0 } = this.state.found ?? {};
    return { before: null, previous, committedAt };
  }

  onSynchronized(release: string): void {
    this.drift.repaired(release);
  }

  running(release: string): object | undefined {
    if (this.#isOnTrial || !this.#runs(release)) return undefined;
    const { before } = this.state.record;
    return before === null ? {} : { before: null, previous: before, committedAt: this.#needs.centralTime() };
  }

  async pending({ release, trialSeconds }: Instruction, signal: AbortSignal): Promise<Outcome | undefined> {
    if (this.#needs.slot === undefined) return undefined;
    if (this.#isOnTrial) return await this.#trial(release, trialSeconds, signal);
    const pair = await this.#pairWith(release);
    if (this.state.record.tries === 0 || this.#runs(release) || pair === undefined) return undefined;
    const verdict = await this.#launcher.read('verdict');
    if (verdict !== undefined && isSamePair(verdict.pair, pair)) return this.#outcomeOf(verdict.more, release);
    const candidate = await this.#launcher.read('candidate');
    if (candidate === undefined || !isSamePair(candidate.pair, pair)) return undefined;
    return { kind: 'inconclusive', reason: softwareFault('trial_not_counted', { release }) };
  }

  async settle(): Promise<void> {
    if (this.#needs.slot !== undefined) await this.#launcher.clear();
  }

  async try({ release, trialSeconds }: Instruction, signal: AbortSignal): Promise<Outcome> {
    const { slot, log, onStep } = this.#needs;
    if (slot === undefined) throw softwareFault('software_without_launcher', {});
    const pair = await this.#pairWith(release);
    if (pair === undefined) throw agentFault('release_incomplete', { release });
    await this.state.save({ before: slot.pair, ...NO_PROBLEM });
    signal.throwIfAborted();
    await this.#launcher.beginTrial(pair, trialSeconds + COMMIT_SECONDS);
    log.info({ kind: 'software', release, ...pair }, 'the agent ends, to be started with the software on trial');
    onStep('restart');
    return await this.#end(signal);
  }

  async leave(reason: CodedError): Promise<boolean> {
    if (!this.#isOnTrial) return false;
    await this.#giveUp(reason);
    return true;
  }

  kept(): readonly (string | null)[] {
    const { instruction, before = null, previous = null } = this.state.found ?? {};
    const pairs = [this.#needs.slot?.pair, this.#committed, before, this.#isPreviousKept() ? previous : null];
    return [instruction?.release ?? null, ...pairs.flatMap((pair) => [pair?.program ?? null, pair?.runtime ?? null])];
  }

  get #pair(): SoftwarePair {
    return this.#needs.slot?.pair ?? { program: null, runtime: null };
  }

  #runs(release: string): boolean {
    return this.#pair.program === release || this.#pair.runtime === release;
  }

  /** What runs, with this release in the place of one part; undefined: it is not on the disk. */
  async #pairWith(release: string): Promise<SoftwarePair | undefined> {
    const manifest = await loadManifest(this.folders, release);
    return manifest === undefined ? undefined : { ...this.#pair, [softwarePart(manifest)]: release };
  }

  async #check(manifest: Manifest, signature: string | undefined, release: string): Promise<void> {
    const { machine, signers } = this.#needs;
    const { kind, name } = manifest;
    if (kind !== 'software') throw agentFault('release_wrong_kind', { release, found: kind, expected: 'software' });
    checkBuildSignature(manifest, release, signature, await loadSigners(await signers()));
    if (softwarePart(manifest) === 'program') return;
    const target = runtimeTarget(name) ?? 'an unknown platform';
    if (target !== machine) throw softwareFault('runtime_foreign', { name, found: target, expected: machine });
  }

  /** This process is the trial: it commits the release, or gives up and ends. */
  async #trial(release: string, trialSeconds: number, signal: AbortSignal): Promise<Outcome> {
    const { connection, clock, wait } = this.#needs;
    try {
      if ((await intactBytes(this.folders, release)) === undefined) throw agentFault('release_incomplete', { release });
      const failed = await proveSession({ connection, clock, wait, trialSeconds }, signal);
      signal.throwIfAborted();
      if (failed === undefined) return await this.#commit(release);
      await this.#giveUp(failed.reason, failed.kind === 'inconclusive' ? INCONCLUSIVE : failed.reason.code);
    } catch (error) {
      signal.throwIfAborted();
      await this.#giveUp(problemOf(error));
    }
    return await this.#end(signal);
  }

  /** From the first write on it is what the launcher starts, whatever happens. */
  async #commit(release: string): Promise<Outcome> {
    const { log, centralTime } = this.#needs;
    await this.#launcher.commit(this.#pair);
    this.#isOnTrial = false;
    this.#committed = this.#pair;
    const { before } = this.state.record;
    const change = {
      state: 'succeeded',
      before: null,
      previous: before,
      committedAt: centralTime(),
      ...NO_PROBLEM,
    } as const;
    try {
      await this.state.save(change);
    } catch (error) {
      // The next process finds that it runs, and writes it then.
      this.state.set(change);
      this.state.report();
      log.warn({ error: textOf(error) }, 'the state of the software could not be written');
    }
    log.info({ kind: 'software', release, previous: before }, 'release committed');
    return { kind: 'committed' };
  }

  /** The next process runs what is committed, and reports why. */
  async #giveUp(problem: Problem, code = problem.code): Promise<void> {
    const { log } = this.#needs;
    log.warn({ kind: 'software', code: problem.code, ...this.#pair }, `${problem.message} ${problem.hint}`);
    const failed = (error: unknown): void =>
      // The launcher counts the tries of a candidate, and ends its trial.
      log.warn({ error: textOf(error) }, 'the end of the trial could not be written');
    if (this.state.found?.state === 'trying') await this.state.save(shown(problem)).catch(failed);
    await this.#launcher.giveUp(this.#pair, code).catch(failed);
    this.#needs.restart();
  }

  /** Nothing more happens in this process. Rejects when `signal` aborts. */
  async #end(signal: AbortSignal): Promise<never> {
    this.#needs.restart();
    return await new Promise((_resolve, reject) => {
      const aborted = (): void => reject(signal.reason as Error);
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted, { once: true });
    });
  }

  #outcomeOf(verdict: string, release: string): Outcome {
    const { code, detail, hint } = this.state.record;
    if (verdict === INCONCLUSIVE) {
      const reason = code === '' ? verdictFault(verdict, release) : { code, message: detail, hint };
      return { kind: 'inconclusive', reason };
    }
    const isKnown = code === verdict;
    return { kind: 'failed', reason: isKnown ? { code, message: detail, hint } : verdictFault(verdict, release) };
  }

  #isPreviousKept(): boolean {
    const { committedAt = 0 } = this.state.found ?? {};
    return this.#needs.centralTime() - committedAt < PREVIOUS_MS;
  }

  #schedulePrune(): void {
    this.#cancelPrune = this.#needs.after(PRUNE_MS, () => {
      this.#dropPrevious()
        .catch((error: unknown) =>
          this.#needs.log.warn({ error: textOf(error) }, 'the software before the last commit could not be removed'),
        )
        .finally(() => this.#schedulePrune());
    });
  }

  async #dropPrevious(): Promise<void> {
    if ((this.state.found?.previous ?? null) === null || this.#isPreviousKept()) return;
    await this.state.save({ previous: null });
    await prune(this.folders, this.kept(), { withBlobs: false });
  }
}
