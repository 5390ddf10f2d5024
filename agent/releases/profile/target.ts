// Releases of the profile: tried beside the session, which goes on until the release is welcomed; its settings apply
// from then on.
import type { CodedError } from '../../../shared/errors.ts';
import type { Instruction } from '../../../shared/releases/instruction.ts';
import type { AgentConf } from '../../conf.ts';
import type { DialPlan } from '../../connection/connection.ts';
import type { Attempt } from '../../connection/takeover.ts';
import { agentFault } from '../../errors.ts';
import { profileFolders, type ReleaseFolders } from '../../release-record.ts';
import { Drift } from '../drift.ts';
import { NO_PROBLEM, problemOf, type KindState } from '../kind-state.ts';
import type { ManifestPolicy } from '../synchronize.ts';
import type { FlowNeeds, Outcome, Target } from '../target.ts';
import { tryRelease } from './trial.ts';

export interface ProfileNeeds {
  readonly dataFolder: string;
  /** The configuration on the disk: of the running release, or of this one. */
  readonly conf: (release?: string) => Promise<AgentConf>;
  /** What the open session was dialed with. */
  readonly livePlan: () => DialPlan | undefined;
  readonly plansFor: (conf: AgentConf) => Promise<readonly DialPlan[]>;
  /** Dials beside the open session. */
  readonly attempt: (plan: DialPlan, signal: AbortSignal) => Attempt | undefined;
  /** Another release is the running one: its settings apply from now on. Never rejects. */
  readonly onCommitted: () => Promise<void>;
}

export class ProfileTarget implements Target {
  readonly state: KindState<'profile'>;
  readonly folders: ReleaseFolders;
  readonly drift: Drift;
  readonly manifests: ManifestPolicy = {
    isSigned: false,
    check: async ({ kind }, _signature, release) => {
      if (kind !== 'profile') throw agentFault('release_wrong_kind', { release, found: kind, expected: 'profile' });
    },
  };
  readonly #needs: ProfileNeeds & FlowNeeds;

  constructor(state: KindState<'profile'>, needs: ProfileNeeds & FlowNeeds) {
    this.state = state;
    this.folders = profileFolders(needs.dataFolder);
    this.#needs = needs;
    this.drift = new Drift({
      folders: this.folders,
      running: () => {
        const { current = null } = state.found ?? {};
        return current === null ? [] : [current];
      },
      overridden: async () => (await needs.conf()).overridden,
      faultOf: (release, files) => agentFault('profile_drift', { release, files }),
      onMeasured: (release, measured) => state.reportRunning(release, measured),
      log: needs.log,
      after: needs.after,
    });
  }

  async checkReady(): Promise<void> {
    // Every agent takes them.
  }

  async sources(): Promise<readonly string[]> {
    return [(await this.#needs.conf()).profile.folder];
  }

  begun(release: string): object {
    const { current = null, previous = null } = this.state.found ?? {};
    return { current, candidate: release, previous };
  }

  onSynchronized(release: string): void {
    this.drift.repaired(release);
  }

  running(release: string): object | undefined {
    return this.state.record.current === release ? { candidate: null } : undefined;
  }

  async pending(): Promise<undefined> {
    // A trial ends with its process.
  }

  async settle(): Promise<void> {
    // Nothing is left of one.
  }

  async try(instruction: Instruction, signal: AbortSignal): Promise<Outcome> {
    const { release, trialSeconds } = instruction;
    const { conf, plansFor, livePlan, attempt, clock, wait, onStep } = this.#needs;
    onStep('dial');
    // Once it has proved itself, its session goes on, whatever comes next.
    const trial = new AbortController();
    const abort = (): void => trial.abort(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener('abort', abort, { once: true });
    const plans = async (): Promise<readonly DialPlan[]> => await plansFor(await conf(release));
    const isOnline = (): boolean => livePlan() !== undefined;
    try {
      const verdict = await tryRelease({ plans, attempt, isOnline, trialSeconds, clock, wait }, trial.signal);
      return verdict.kind === 'proved' ? await this.#commit(release, verdict.attempt, signal) : verdict;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async leave(_reason: CodedError): Promise<boolean> {
    return false;
  }

  kept(): readonly (string | null)[] {
    const { current = null, candidate = null, previous = null } = this.state.found ?? {};
    return [current, candidate, previous];
  }

  /** From the one write on the release is the running one, whatever happens. */
  async #commit(release: string, attempt: Attempt, signal: AbortSignal): Promise<Outcome> {
    const { current } = this.state.record;
    try {
      signal.throwIfAborted();
      await this.state.save({
        state: 'succeeded',
        current: release,
        previous: current,
        candidate: null,
        ...NO_PROBLEM,
      });
    } catch (error) {
      attempt.end(agentFault('trial_ended', {}));
      signal.throwIfAborted();
      return { kind: 'failed', reason: problemOf(error) };
    }
    this.#needs.log.info({ kind: 'profile', release, previous: current }, 'release committed');
    this.drift.repaired(release);
    await this.#needs.onCommitted();
    // Other keys of it may be overridden here.
    this.drift.again();
    return { kind: 'committed' };
  }
}
