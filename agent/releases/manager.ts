// Carries out the instructions of Central for profiles: has a release on the disk, tries it beside the session, keeps it or stays
// on the one before. What it decides is on the disk before it counts, so that a crash at any moment leaves one of the two
// releases running, and the state known.
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import type { Envelope } from '../../shared/releases/dsse.ts';
import { openInstruction, type Instruction } from '../../shared/releases/instruction.ts';
import type { ReleaseCancel, ReleaseOffer, ReleaseState } from '../../shared/wire/messages.ts';
import { readPublicKey } from '../../shared/wire/proof.ts';
import type { AgentConf } from '../conf.ts';
import type { DialPlan } from '../connection/connection.ts';
import type { ControlLine, SendControl } from '../connection/control.ts';
import type { Attempt } from '../connection/takeover.ts';
import { agentFault } from '../errors.ts';
import type { Identity } from '../identity/identity.ts';
import { saveReleaseRecord, type KindRecord, type ReleaseRecord } from '../release-record.ts';
import { Drift } from './drift.ts';
import { intactBytes, prune } from './folders.ts';
import { claimedInstruction, faultOf, isSame } from './offer.ts';
import { StateReport } from './state-report.ts';
import { synchronize } from './synchronize.ts';
import { tryRelease, type Verdict } from './trial.ts';

export interface ReleaseNeeds {
  readonly dataFolder: string;
  readonly identity: () => Promise<Identity | undefined>;
  /** The configuration on the disk: of the running release, or of this one. */
  readonly conf: (release?: string) => Promise<AgentConf>;
  /** What the open session was dialed with. */
  readonly livePlan: () => DialPlan | undefined;
  readonly plansFor: (conf: AgentConf) => Promise<readonly DialPlan[]>;
  /** Dials beside the open session. */
  readonly attempt: (plan: DialPlan, signal: AbortSignal) => Attempt | undefined;
  /** Another release is the running one: its settings apply from now on. Never rejects. */
  readonly onCommitted: () => Promise<void>;
  /** Messages came or went a moment ago. */
  readonly isBusy: () => boolean;
  readonly log: {
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
    error(facts: object, text: string): void;
  };
  readonly after: (ms: number, run: () => void) => () => void;
  /** Milliseconds; no setting of a clock moves it. */
  readonly clock: () => number;
  /** Rejects when `signal` aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Before each effect on the disk, for tests. */
  readonly onStep?: (step: string) => void;
}

/** The first trial, and three more while it is not the release that fails. */
const TRY_AGAIN_MS = [60_000, 600_000, 3_600_000] as const;
/** For a download, and for a trial that says nothing. */
const MAX_AGE_MS = 86_400_000;

type Problem = Pick<CodedError, 'code' | 'message' | 'hint'>;
const STOPPED = 'the agent was stopped each time.';
const NO_PROBLEM = { code: '', detail: '', hint: '' };

export class ReleaseManager {
  readonly #needs: ReleaseNeeds;
  readonly #report: StateReport;
  readonly #drift: Drift;
  readonly #turns = new Mutex();
  #record: ReleaseRecord;
  /** What is under way for the newest instruction. */
  #run: { readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  /** Central's time at a moment of `clock`. */
  #time = { at: 0, since: 0 };
  readonly #waiting = new Set<(plan: DialPlan) => void>();
  #isStopped = false;

  constructor(record: ReleaseRecord | undefined, needs: ReleaseNeeds) {
    this.#needs = needs;
    this.#record = record ?? { profile: null };
    this.#report = new StateReport(needs.after);
    this.#drift = new Drift({
      dataFolder: needs.dataFolder,
      current: () => this.#record.profile?.current ?? null,
      onChanged: () => this.#reportDrift(),
      log: needs.log,
      after: needs.after,
    });
  }

  /** Goes on where the last process stopped. Resolves when the folders are in order; never rejects. */
  async start(): Promise<void> {
    await this.#turns.runExclusive(async () => {
      await this.#prune();
      this.#begin();
    });
    this.#drift.start();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#report.stop();
    this.#drift.stop();
    await this.#stopRun();
  }

  onOnline(send: SendControl, { time }: Pick<ControlLine, 'time'>): void {
    this.#time = { at: time, since: this.#needs.clock() };
    this.#reportState();
    if (this.#drift.fault !== undefined) this.#reportDrift();
    this.#report.onOnline(send);
    const plan = this.#needs.livePlan();
    if (plan !== undefined) for (const resolve of this.#waiting) resolve(plan);
  }

  onOffline(): void {
    this.#report.onOffline();
  }

  /** Never rejects. */
  async onFrame(frame: ReleaseOffer | ReleaseCancel): Promise<void> {
    await this.#turns
      .runExclusive(() => (frame.type === 'release-offer' ? this.#offer(frame) : this.#cancel(frame)))
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'release'));
  }

  /** For the local API; null: nothing has ever been offered. */
  get state(): KindRecord | null {
    return this.#record.profile;
  }

  get changedFiles(): readonly string[] {
    return this.#drift.files;
  }

  async #offer({ instruction: envelope, ticket }: ReleaseOffer): Promise<void> {
    const identity = await this.#needs.identity();
    if (identity === undefined) return;
    let instruction: Instruction;
    try {
      instruction = openedWith(identity, envelope);
    } catch (error) {
      return this.#refuse(claimedInstruction(envelope), error);
    }
    const kind = this.#record.profile;
    const fault = faultOf(instruction, { agent: identity.id, now: this.#centralTime(), newest: kind?.instruction });
    if (fault !== undefined) {
      // Which generation is the newest one comes first: Central continues with a newer one then.
      this.#reportState();
      return this.#refuse(instruction, fault);
    }
    if (kind !== null && isSame(kind.instruction, instruction)) {
      // Offered again: the new ticket counts for what is still to come.
      if (!isFinal(kind)) await this.#save({ instruction, ticket });
      this.#reportState();
      return this.#begin();
    }
    await this.#stopRun();
    const { current = null, previous = null } = kind ?? {};
    const { release } = instruction;
    try {
      await this.#save({
        instruction,
        ticket,
        state: 'offered',
        acceptedAt: this.#centralTime(),
        receivedBytes: 0,
        totalBytes: 0,
        tries: 0,
        ...NO_PROBLEM,
        current,
        candidate: release,
        previous,
      });
    } catch (error) {
      return this.#refuse(instruction, error);
    }
    this.#needs.log.info({ release, generation: instruction.generation, stage: instruction.stage }, 'release offered');
    this.#begin();
  }

  async #cancel({ kind: named, generation }: ReleaseCancel): Promise<void> {
    const kind = this.#record.profile;
    if (named !== 'profile' || kind?.instruction.generation !== generation) return;
    await this.#stopRun();
    const now = this.#record.profile;
    if (now !== null && !isFinal(now)) {
      await this.#save({ state: 'canceled', ...NO_PROBLEM });
      this.#needs.log.info({ release: kind.instruction.release, generation }, 'release canceled');
    }
    this.#reportState();
  }

  /** Nothing changes; Central and the log learn why. */
  #refuse(instruction: Pick<Instruction, 'kind' | 'generation' | 'release'> | undefined, error: unknown): void {
    const { code, message: detail, hint } = problemOf(error);
    this.#needs.log.warn({ code, release: instruction?.release }, `${detail} ${hint}`);
    if (instruction === undefined) return;
    const { kind, generation, release } = instruction;
    const state = { state: 'failed', receivedBytes: 0, totalBytes: 0 } as const;
    this.#report.report('refused', { kind, generation, release, ...state, code, detail, hint });
  }

  /** Starts or continues the newest instruction. */
  #begin(): void {
    const kind = this.#record.profile;
    if (kind === null || isFinal(kind) || this.#run !== undefined || this.#isStopped) return;
    const stop = new AbortController();
    const run = { stop, done: Promise.resolve() };
    run.done = this.#work(kind.instruction, stop.signal)
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'release'))
      .finally(() => {
        if (this.#run === run) this.#run = undefined;
      });
    this.#run = run;
  }

  async #stopRun(): Promise<void> {
    const run = this.#run;
    run?.stop.abort(agentFault('stopped', {}));
    await run?.done;
  }

  async #work(instruction: Instruction, signal: AbortSignal): Promise<void> {
    try {
      await this.#synchronize(instruction, signal);
      if (instruction.stage === 'upgrade') await this.#upgrade(instruction, signal);
    } catch (error) {
      if (signal.aborted) return;
      await this.#end('failed', problemOf(error));
    }
    await this.#prune();
  }

  async #synchronize({ release, bytesPerSecond }: Instruction, signal: AbortSignal): Promise<void> {
    const { dataFolder, conf, isBusy, clock, wait } = this.#needs;
    let totalBytes = await intactBytes(dataFolder, release);
    if (totalBytes !== undefined && this.#kind.state === 'trying') return;
    if (totalBytes === undefined) {
      await this.#save({ state: 'synchronizing', ...NO_PROBLEM });
      const { folder } = (await conf()).profile;
      totalBytes = await synchronize(
        {
          dataFolder,
          release,
          bytesPerSecond,
          isBusy,
          clock,
          wait,
          ticket: () => this.#kind.ticket,
          runningFolder: folder,
          line: (stopped) => this.#line(stopped),
          checkTime: () => this.#checkTime(release),
          onProgress: (receivedBytes, of) => {
            this.#set({
              receivedBytes,
              totalBytes: of,
              ...NO_PROBLEM,
            });
            this.#reportState();
          },
          onWaiting: (reason) => {
            this.#set(shown(reason));
            this.#reportState();
          },
          onStep: (step) => this.#needs.onStep?.(step),
        },
        signal,
      );
      signal.throwIfAborted();
    }
    await this.#save({ state: 'synchronized', receivedBytes: totalBytes, totalBytes, ...NO_PROBLEM });
    if (this.#kind.current === release) this.#drift.repaired();
    this.#needs.log.info({ release, bytes: totalBytes }, 'release synchronized');
  }

  async #upgrade(instruction: Instruction, signal: AbortSignal): Promise<void> {
    const { release } = instruction;
    // It runs already, and was repaired where it had changed.
    if (this.#kind.current === release) return await this.#save({ state: 'succeeded', candidate: null, ...NO_PROBLEM });
    for (;;) {
      const { tries, code, detail, hint } = this.#kind;
      const againMs = tries === 0 ? 0 : TRY_AGAIN_MS[tries - 1];
      if (againMs === undefined)
        return await this.#end(
          'failed',
          code === '' ? inconclusive(release, STOPPED) : { code, message: detail, hint },
        );
      await this.#line(signal);
      if (againMs > 0) await this.#needs.wait(againMs, signal);
      await this.#line(signal);
      this.#checkTime(release);
      await this.#save({ state: 'trying', tries: tries + 1 });
      this.#needs.log.info({ release, trial: tries + 1 }, 'release on trial');
      const verdict = await this.#try(instruction, signal);
      if (verdict.kind === 'proved') return await this.#commit(release, verdict.attempt, signal);
      if (verdict.kind === 'failed') return await this.#end('rolled-back', verdict.reason);
      await this.#save(shown(inconclusive(release, verdict.reason.message)));
    }
  }

  async #try({ release, trialSeconds }: Instruction, signal: AbortSignal): Promise<Verdict> {
    const { conf, plansFor, livePlan, attempt, clock, wait } = this.#needs;
    this.#needs.onStep?.('dial');
    // Once it has proved itself, its session goes on, whatever comes next.
    const trial = new AbortController();
    const abort = (): void => trial.abort(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener('abort', abort, { once: true });
    const plans = async (): Promise<readonly DialPlan[]> => await plansFor(await conf(release));
    const isOnline = (): boolean => livePlan() !== undefined;
    try {
      return await tryRelease({ plans, attempt, isOnline, trialSeconds, clock, wait }, trial.signal);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** From the one write on the release is the running one, whatever happens. */
  async #commit(release: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const { current } = this.#kind;
    try {
      signal.throwIfAborted();
      await this.#save({ state: 'succeeded', current: release, previous: current, candidate: null, ...NO_PROBLEM });
    } catch (error) {
      attempt.end(agentFault('trial_ended', {}));
      signal.throwIfAborted();
      return await this.#end('rolled-back', problemOf(error));
    }
    this.#needs.log.info({ release, previous: current }, 'release committed');
    this.#drift.repaired();
    await this.#needs.onCommitted();
  }

  /** The instruction is over, and the agent stays on its release. */
  async #end(state: 'failed' | 'rolled-back', problem: Problem): Promise<void> {
    const { code, message, hint } = problem;
    this.#needs.log.warn({ code, release: this.#kind.instruction.release, state }, `${message} ${hint}`);
    try {
      await this.#save({ state, ...shown(problem) });
    } catch (error) {
      // A disk that is full: Central learns it now, and the next process tries again.
      this.#set({ state, ...shown(problem) });
      this.#reportState();
      this.#needs.log.warn({ error: textOf(error) }, 'the state of the release could not be written');
    }
  }

  /** What the session was dialed with, as soon as there is one. */
  async #line(signal: AbortSignal): Promise<DialPlan> {
    signal.throwIfAborted();
    const plan = this.#needs.livePlan();
    if (plan !== undefined) return plan;
    return await new Promise((resolve, reject) => {
      const online = (found: DialPlan): void => {
        this.#waiting.delete(online);
        signal.removeEventListener('abort', aborted);
        resolve(found);
      };
      const aborted = (): void => {
        this.#waiting.delete(online);
        reject(signal.reason as Error);
      };
      this.#waiting.add(online);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  #centralTime(): number {
    return Math.round(this.#time.at + this.#needs.clock() - this.#time.since);
  }

  #checkTime(release: string): void {
    const { acceptedAt } = this.#kind;
    if (this.#time.at > 0 && this.#centralTime() - acceptedAt > MAX_AGE_MS)
      throw agentFault('release_timeout', { release, hours: MAX_AGE_MS / 3_600_000 });
  }

  get #kind(): KindRecord {
    const { profile } = this.#record;
    if (profile === null) throw new Error('no instruction');
    return profile;
  }

  /** On the disk, then in memory, then reported. */
  async #save(change: Partial<KindRecord>): Promise<void> {
    const { dataFolder, onStep } = this.#needs;
    // The first one is whole.
    const profile = { ...this.#record.profile, ...change } as KindRecord;
    onStep?.(`before ${profile.state}`);
    await saveReleaseRecord(dataFolder, { profile });
    this.#record = { profile };
    onStep?.(`after ${profile.state}`);
    this.#reportState();
  }

  #set(change: Partial<KindRecord>): void {
    this.#record = { profile: { ...this.#kind, ...change } };
  }

  #reportState(): void {
    const kind = this.#record.profile;
    if (kind === null) return;
    const { state, receivedBytes, totalBytes, code, detail, hint } = kind;
    const { generation, release } = kind.instruction;
    const problem = { code, detail, hint };
    this.#report.report('state', {
      kind: 'profile',
      generation,
      release,
      state,
      receivedBytes,
      totalBytes,
      ...problem,
    });
  }

  async #prune(): Promise<void> {
    const kind = this.#record.profile;
    const keep = [kind?.current ?? null, kind?.candidate ?? null, kind?.previous ?? null];
    const withBlobs = kind === null || isFinal(kind) || kind.state === 'synchronized';
    this.#needs.onStep?.('prune');
    await prune(this.#needs.dataFolder, keep, { withBlobs }).catch((error: unknown) =>
      this.#needs.log.warn({ error: textOf(error) }, 'releases that are not used any more could not be removed'),
    );
  }

  #reportDrift(): void {
    const kind = this.#record.profile;
    if (kind === null || kind.current === null) return;
    // It is being repaired: what is reported of its generation is how far that is.
    if (!isFinal(kind) && kind.instruction.release === kind.current) return;
    const { current: release, totalBytes } = kind;
    const { generation } = kind.instruction;
    const { fault } = this.#drift;
    const problem = fault === undefined ? NO_PROBLEM : shown(fault);
    const state = { state: 'succeeded', receivedBytes: totalBytes, totalBytes } as const;
    this.#report.report('drift', { kind: 'profile', generation, release, ...state, ...problem });
  }
}

/** Nothing is left to do for it. */
function isFinal({ state, instruction }: Pick<KindRecord, 'state' | 'instruction'>): boolean {
  if (state === 'synchronized') return instruction.stage === 'synchronize';
  return state !== 'offered' && state !== 'synchronizing' && state !== 'trying';
}

function openedWith({ signingKey }: Identity, envelope: Envelope): Instruction {
  const key = readPublicKey(signingKey);
  if (key === undefined) throw agentFault('identity_damaged', { file: 'identity.json', found: 'its signing key' });
  return openInstruction(envelope, key);
}

function inconclusive(release: string, found: string): CodedError {
  return agentFault('trial_inconclusive', { release, found });
}

function problemOf(error: unknown): Problem {
  return isCoded(error) ? error : agentFault('release_failed', { found: textOf(error) }, error);
}

function shown({ code, message, hint }: Problem): Pick<ReleaseState, 'code' | 'detail' | 'hint'> {
  return { code, detail: message.slice(0, 1024), hint: hint.slice(0, 1024) };
}
