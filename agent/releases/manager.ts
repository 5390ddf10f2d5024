// Takes the instructions of Central: verifies who signed each, whether it is for this agent, new and valid now, and
// hands it to the flow of its kind (flow.ts). Says again after each welcome how far each kind is.
import { textOf } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import type { Envelope } from '../../shared/releases/dsse.ts';
import { openInstruction, type Instruction } from '../../shared/releases/instruction.ts';
import type { ReleaseCancel, ReleaseMeasure, ReleaseOffer } from '../../shared/wire/release-frames.ts';
import { readPublicKey } from '../../shared/wire/proof.ts';
import type { DialPlan } from '../connection/connection.ts';
import type { ControlLine, SendControl } from '../connection/control.ts';
import { agentFault } from '../errors.ts';
import type { Identity } from '../identity/identity.ts';
import type { KindRecord, ReleaseRecord } from '../release-record.ts';
import { Flow } from './flow.ts';
import { KindState, problemOf, RecordKeeper } from './kind-state.ts';
import { claimedInstruction, faultOf } from './offer.ts';
import { ProfileTarget, type ProfileNeeds } from './profile/target.ts';
import { SoftwareTarget, type SoftwareNeeds } from './software/target.ts';
import { StateReport } from './state-report.ts';
import type { FlowNeeds, Target } from './target.ts';

export interface ReleaseNeeds extends ProfileNeeds, Pick<FlowNeeds, 'isBusy' | 'log' | 'after' | 'clock' | 'wait'> {
  readonly software: SoftwareNeeds;
  readonly identity: () => Promise<Identity | undefined>;
  /** Before each effect on the disk, for tests. */
  readonly onStep?: (step: string) => void;
}

export class ReleaseManager {
  readonly #needs: ReleaseNeeds;
  readonly #report: StateReport;
  readonly #turns = new Mutex();
  readonly #profile: ProfileTarget;
  readonly #software: SoftwareTarget;
  readonly #flows: { readonly profile: Flow; readonly software: Flow };
  /** Central's time at a moment of `clock`. */
  #time = { at: 0, since: 0 };
  readonly #waiting = new Set<(plan: DialPlan) => void>();

  constructor(record: ReleaseRecord | undefined, needs: ReleaseNeeds) {
    this.#needs = needs;
    this.#report = new StateReport(needs.after);
    const onStep = (step: string): void => needs.onStep?.(step);
    const keeper = new RecordKeeper(needs.dataFolder, record, onStep);
    const shared: FlowNeeds = {
      isBusy: needs.isBusy,
      log: needs.log,
      after: needs.after,
      clock: needs.clock,
      wait: needs.wait,
      onStep,
      line: (signal) => this.#line(signal),
      centralTime: () => this.#centralTime(),
    };
    const profile = new KindState('profile', keeper, this.#report);
    const software = new KindState('software', keeper, this.#report);
    this.#profile = new ProfileTarget(profile, { ...needs, ...shared });
    this.#software = new SoftwareTarget(software, { ...needs.software, ...shared });
    const trials = new Mutex();
    this.#flows = {
      profile: new Flow(this.#profile, shared, trials),
      software: new Flow(this.#software, shared, trials),
    };
  }

  /** Goes on where the last process stopped. Resolves when the folders are in order; never rejects. */
  async start(): Promise<void> {
    await this.#turns
      .runExclusive(async () => {
        if (!(await this.#software.start())) return;
        await this.#flows.software.start();
        await this.#flows.profile.start();
      })
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'releases'));
    for (const { drift } of this.#targets) drift.start();
  }

  async stop(): Promise<void> {
    this.#report.stop();
    for (const { drift } of this.#targets) drift.stop();
    this.#software.stop();
    await Promise.all([this.#flows.software.stop(), this.#flows.profile.stop()]);
  }

  onOnline(send: SendControl, { time }: Pick<ControlLine, 'time'>): void {
    this.#time = { at: time, since: this.#needs.clock() };
    for (const { state, drift } of this.#targets) {
      state.report();
      for (const [release, measured] of drift.measured) state.reportRunning(release, measured);
    }
    this.#report.onOnline(send);
    const plan = this.#needs.livePlan();
    if (plan !== undefined) for (const resolve of this.#waiting) resolve(plan);
  }

  onOffline(): void {
    this.#report.onOffline();
  }

  /** Never rejects. */
  async onFrame(frame: ReleaseOffer | ReleaseCancel | ReleaseMeasure): Promise<void> {
    // Beside what is under way: it may take as long as the disk needs to read a release.
    if (frame.type === 'release-measure') {
      for (const { drift } of this.#targets) drift.request();
      return;
    }
    await this.#turns
      .runExclusive(async () => {
        if (frame.type === 'release-offer') await this.#offer(frame);
        else await this.#flows[frame.kind].cancel(frame.generation);
      })
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'release'));
  }

  /** For the local API; null: nothing of the kind has ever been offered. */
  get profile(): { readonly record: KindRecord<'profile'>; readonly changedFiles: readonly string[] } | null {
    const record = this.#profile.state.found;
    return record === null ? null : { record, changedFiles: this.#profile.drift.files };
  }

  get software(): {
    readonly record: KindRecord<'software'>;
    readonly isOnTrial: boolean;
    readonly changedFiles: readonly string[];
  } | null {
    const { state, isOnTrial, drift } = this.#software;
    return state.found === null ? null : { record: state.found, isOnTrial, changedFiles: drift.files };
  }

  get #targets(): readonly Target[] {
    return [this.#software, this.#profile];
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
    const { state } = this.#flows[instruction.kind].target;
    const newest = state.found?.instruction;
    const fault = faultOf(instruction, { agent: identity.id, now: this.#centralTime(), newest });
    if (fault !== undefined) {
      // Which generation is the newest one comes first: Central continues with a newer one then.
      state.report();
      return this.#refuse(instruction, fault);
    }
    try {
      await this.#flows[instruction.kind].take(instruction, ticket);
    } catch (error) {
      this.#refuse(instruction, error);
    }
  }

  /** Nothing changes; Central and the log learn why. */
  #refuse(instruction: Pick<Instruction, 'kind' | 'generation' | 'release'> | undefined, error: unknown): void {
    const problem = problemOf(error);
    this.#needs.log.warn({ code: problem.code, release: instruction?.release }, `${problem.message} ${problem.hint}`);
    if (instruction === undefined) return;
    const { kind, generation, release } = instruction;
    this.#flows[kind].target.state.reportRefused(generation, release, problem);
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
    const { at, since } = this.#time;
    return at === 0 ? 0 : Math.round(at + this.#needs.clock() - since);
  }
}

function openedWith({ signingKey }: Identity, envelope: Envelope): Instruction {
  const key = readPublicKey(signingKey);
  if (key === undefined) throw agentFault('identity_damaged', { file: 'identity.json', found: 'its signing key' });
  return openInstruction(envelope, key);
}
