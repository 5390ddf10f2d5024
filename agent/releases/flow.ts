// Carries out the newest instruction of one kind: has the release on the disk, tries it, keeps it or stays on the one
// before. What it decides is on the disk before it counts, so that a crash at any moment leaves one of the two releases
// running, and the state known.
import { textOf, type CodedError } from '../../shared/errors.ts';
import type { Mutex } from '../../shared/mutex.ts';
import type { Instruction } from '../../shared/releases/instruction.ts';
import { agentFault } from '../errors.ts';
import { findFolder } from '../release-record.ts';
import { intactBytes, loadManifest, loadSignature, prune } from './folders.ts';
import { NO_PROBLEM, problemOf, shown, type KindState, type Problem } from './kind-state.ts';
import { isSame } from './offer.ts';
import { synchronize } from './synchronize.ts';
import type { FlowNeeds, Outcome, Target } from './target.ts';

/** The first trial, and three more while it is not the release that fails. */
const TRY_AGAIN_MS = [60_000, 600_000, 3_600_000] as const;
/** For a download, and for a trial that says nothing. */
const MAX_AGE_MS = 86_400_000;
const STOPPED = 'the agent was stopped each time.';

export class Flow {
  readonly target: Target;
  readonly #state: KindState;
  readonly #needs: FlowNeeds;
  /** One trial at a time, of whatever kind: each needs the session. */
  readonly #trials: Mutex;
  /** What is under way for the newest instruction. */
  #run: { readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  #isStopped = false;

  constructor(target: Target, needs: FlowNeeds, trials: Mutex) {
    this.target = target;
    this.#state = target.state;
    this.#needs = needs;
    this.#trials = trials;
  }

  /** Goes on where the last process stopped. Resolves when the folders are in order; never rejects. */
  async start(): Promise<void> {
    await this.#prune();
    this.#begin();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#stopRun(agentFault('stopped', {}));
  }

  /**
   * An instruction that is for this agent, new and valid. Errors: why it is not carried out; nothing has changed then.
   */
  async take(instruction: Instruction, ticket: string): Promise<void> {
    const { found } = this.#state;
    if (found !== null && isSame(found.instruction, instruction)) {
      // Offered again: the new ticket counts for what is still to come.
      if (!this.#state.isFinal) await this.#state.save({ instruction, ticket });
      this.#state.report();
      return this.#begin();
    }
    await this.target.checkReady();
    const ended = agentFault('trial_ended', {});
    await this.#stopRun(ended);
    const { release, generation, stage } = instruction;
    await this.#state.save({
      instruction,
      ticket,
      state: 'offered',
      acceptedAt: this.#needs.centralTime(),
      receivedBytes: 0,
      totalBytes: 0,
      tries: 0,
      ...NO_PROBLEM,
      ...this.target.begun(release),
    });
    this.#needs.log.info({ kind: this.#state.kind, release, generation, stage }, 'release offered');
    if (!(await this.target.leave(ended))) this.#begin();
  }

  async cancel(generation: number): Promise<void> {
    if (this.#state.found?.instruction.generation !== generation) return;
    const ended = agentFault('trial_ended', {});
    await this.#stopRun(ended);
    if (!this.#state.isFinal) {
      const { release } = this.#state.record.instruction;
      await this.#state.save({ state: 'canceled', ...NO_PROBLEM });
      this.#needs.log.info({ kind: this.#state.kind, release, generation }, 'release canceled');
    }
    this.#state.report();
    await this.target.leave(ended);
  }

  /** Starts or continues the newest instruction. */
  #begin(): void {
    const { found } = this.#state;
    if (found === null || this.#state.isFinal || this.#run !== undefined || this.#isStopped) return;
    const stop = new AbortController();
    const run = { stop, done: Promise.resolve() };
    run.done = this.#work(found.instruction, stop.signal)
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'release'))
      .finally(() => {
        if (this.#run === run) this.#run = undefined;
      });
    this.#run = run;
  }

  async #stopRun(reason: CodedError): Promise<void> {
    const run = this.#run;
    run?.stop.abort(reason);
    await run?.done;
  }

  async #work(instruction: Instruction, signal: AbortSignal): Promise<void> {
    try {
      if (instruction.stage === 'upgrade') await this.#upgrade(instruction, signal);
      else await this.#synchronize(instruction, signal);
    } catch (error) {
      if (signal.aborted) return;
      await this.#end('failed', problemOf(error));
    }
    await this.#prune();
  }

  async #synchronize({ release, bytesPerSecond }: Instruction, signal: AbortSignal): Promise<void> {
    const { isBusy, clock, wait, line, onStep, log } = this.#needs;
    const { folders, manifests } = this.target;
    const state = this.#state;
    let totalBytes = await this.#bytesOnDisk(release);
    if (totalBytes !== undefined && state.record.state === 'trying') return;
    if (totalBytes === undefined) {
      await state.save({ state: 'synchronizing', ...NO_PROBLEM });
      totalBytes = await synchronize(
        {
          folders,
          manifests,
          release,
          bytesPerSecond,
          isBusy,
          clock,
          wait,
          line,
          onStep,
          ticket: () => state.record.ticket,
          sources: (manifest) => this.target.sources(manifest),
          checkTime: () => this.#checkTime(release),
          onProgress: (receivedBytes, of) => {
            state.set({ receivedBytes, totalBytes: of, ...NO_PROBLEM });
            state.report();
          },
          onWaiting: (reason) => {
            state.set(shown(reason));
            state.report();
          },
        },
        signal,
      );
      signal.throwIfAborted();
    }
    await state.save({ state: 'synchronized', receivedBytes: totalBytes, totalBytes, ...NO_PROBLEM });
    this.target.onSynchronized(release);
    log.info({ kind: state.kind, release, bytes: totalBytes }, 'release synchronized');
  }

  /**
   * Bytes of a release that is on the disk, unchanged, and that this agent takes; undefined: it has to be downloaded.
   */
  async #bytesOnDisk(release: string): Promise<number | undefined> {
    const { folders, manifests } = this.target;
    const manifest = await loadManifest(folders, release);
    if (manifest === undefined || findFolder(folders, release) === undefined) return undefined;
    if (manifests.isSigned) await manifests.check(manifest, await loadSignature(folders, release), release);
    return await intactBytes(folders, release);
  }

  async #upgrade(instruction: Instruction, signal: AbortSignal): Promise<void> {
    const { release } = instruction;
    const state = this.#state;
    let outcome = await this.#trials.runExclusive(async () => await this.target.pending(instruction, signal));
    if (outcome?.kind === 'committed') return;
    if (outcome?.kind !== 'failed') await this.#synchronize(instruction, signal);
    // It runs already, and was repaired where it had changed; or this process was to say so when it was killed.
    const running = this.target.running(release);
    if (running !== undefined) {
      await state.save({ state: 'succeeded', ...NO_PROBLEM, ...running });
      return await this.target.settle();
    }
    for (;;) {
      outcome ??= await this.#tryAgain(instruction, signal);
      if (outcome === undefined || outcome.kind === 'committed') return;
      if (outcome.kind === 'failed') {
        await this.#end('rolled-back', outcome.reason);
        return await this.target.settle();
      }
      await state.save(shown(inconclusive(release, outcome.reason.message)));
      await this.target.settle();
      outcome = undefined;
    }
  }

  /** Undefined: it was tried often enough. */
  async #tryAgain(instruction: Instruction, signal: AbortSignal): Promise<Outcome | undefined> {
    const { line, wait, log } = this.#needs;
    const { release } = instruction;
    const { tries, code, detail, hint } = this.#state.record;
    const againMs = tries === 0 ? 0 : TRY_AGAIN_MS[tries - 1];
    if (againMs === undefined) {
      await this.#end('failed', code === '' ? inconclusive(release, STOPPED) : { code, message: detail, hint });
      return undefined;
    }
    await line(signal);
    if (againMs > 0) await wait(againMs, signal);
    await line(signal);
    this.#checkTime(release);
    return await this.#trials.runExclusive(async () => {
      signal.throwIfAborted();
      await this.target.settle();
      await this.#state.save({ state: 'trying', tries: tries + 1 });
      log.info({ kind: this.#state.kind, release, trial: tries + 1 }, 'release on trial');
      return await this.target.try(instruction, signal);
    });
  }

  /** The instruction is over, and the agent stays on its release. */
  async #end(state: 'failed' | 'rolled-back', problem: Problem): Promise<void> {
    const { code, message, hint } = problem;
    const { kind, record } = this.#state;
    this.#needs.log.warn({ kind, code, release: record.instruction.release, state }, `${message} ${hint}`);
    try {
      await this.#state.save({ state, ...shown(problem) });
    } catch (error) {
      // A disk that is full: Central learns it now, and the next process tries again.
      this.#state.set({ state, ...shown(problem) });
      this.#state.report();
      this.#needs.log.warn({ error: textOf(error) }, 'the state of the release could not be written');
    }
  }

  #checkTime(release: string): void {
    const now = this.#needs.centralTime();
    if (now > 0 && now - this.#state.record.acceptedAt > MAX_AGE_MS)
      throw agentFault('release_timeout', { release, hours: MAX_AGE_MS / 3_600_000 });
  }

  async #prune(): Promise<void> {
    const { found, isFinal } = { found: this.#state.found, isFinal: this.#state.found === null || this.#state.isFinal };
    const withBlobs = isFinal || found?.state === 'synchronized';
    this.#needs.onStep('prune');
    await prune(this.target.folders, this.target.kept(), { withBlobs }).catch((error: unknown) =>
      this.#needs.log.warn({ error: textOf(error) }, 'releases that are not used any more could not be removed'),
    );
  }
}

function inconclusive(release: string, found: string): CodedError {
  return agentFault('trial_inconclusive', { release, found });
}
