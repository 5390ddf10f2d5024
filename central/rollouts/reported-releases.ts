// Keeps what agents report outside of a rollout: the release of each hello, files that have changed, and generations that this Central
// does not know. One agent makes Central write once for each change of its release, and once a session for a generation.
import { textOf } from '../../shared/errors.ts';
import type { ReleaseKind } from '../../shared/releases/manifest.ts';
import type { Hello, ReleaseState } from '../../shared/wire/messages.ts';
import type { SessionFacts } from '../sessions/session.ts';
import type { Cause, RolloutStore } from '../store/rollouts/rollout-store.ts';
import { causeOf } from './errors.ts';

/** Agents that name it carry out instructions. */
export const RELEASES_CAPABILITY = 'releases.1';

export interface ReportedReleasesNeeds {
  readonly store: Pick<RolloutStore, 'recordReported' | 'releasesOf' | 'save'>;
  readonly log: { warn(facts: object, text: string): void };
  readonly now: () => number;
}

/** A success that a later hello contradicts. */
interface Reverted {
  readonly agentId: string;
  /** Of the rollout. */
  readonly number: number;
  readonly cause: Cause;
}

interface Drift extends Cause {
  /** Digest of the release whose files have changed. */
  readonly release: string;
  readonly reportedAt: number;
}

type Facts = Pick<SessionFacts, 'agentId' | 'capabilities' | 'releases'>;

/** States in which the agent still does something for its instruction. */
const UNDER_WAY: ReadonlySet<ReleaseState['state']> = new Set(['offered', 'synchronizing', 'trying']);

export function reportedOf(kind: ReleaseKind, releases: Hello['releases'] | undefined): string | null {
  return releases?.[kind === 'profile' ? 'profile' : 'program'] ?? null;
}

export class ReportedReleases {
  readonly #needs: ReportedReleasesNeeds;
  /** By agent: the profile of its last hello in this process. */
  readonly #known = new Map<string, string | null>();
  readonly #waiting = new Map<string, string | null>();
  readonly #drift = new Map<string, Drift>();
  /** By session: the largest generation that was looked at. */
  readonly #looked = new WeakMap<object, number>();

  constructor(needs: ReportedReleasesNeeds) {
    this.#needs = needs;
  }

  /** Something is to be recorded. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  onOpened({ agentId, capabilities, releases }: Facts): void {
    const reported = reportedOf('profile', releases);
    if (reported === null && !capabilities.includes(RELEASES_CAPABILITY)) return;
    // The agent repeats it after each welcome.
    this.#drift.delete(agentId);
    if (this.#known.get(agentId) !== reported) this.#waiting.set(agentId, reported);
  }

  onFrame(agentId: string, { kind, state, release, code, detail, hint }: ReleaseState): void {
    if (kind !== 'profile' || state !== 'succeeded') return;
    if (code === '') this.#drift.delete(agentId);
    else this.#drift.set(agentId, { release, code, detail, hint, reportedAt: this.#needs.now() });
  }

  driftOf(agentId: string): Drift | undefined {
    return this.#drift.get(agentId);
  }

  /** Writes what hellos reported; the successes that they contradict. */
  async record(): Promise<readonly Reverted[]> {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    const reverted = await Promise.all(waiting.map(([agentId, reported]) => this.#record(agentId, reported)));
    return reverted.filter((one) => one !== undefined);
  }

  /**
   * A frame of an agent that takes part in no rollout: true when it still does something for its instruction, which is to end. A
   * generation that is new to Central is recorded, so that the next one is larger.
   */
  isStray({ facts }: { readonly facts: Facts }, frame: ReleaseState): boolean {
    const { agentId } = facts;
    const looked = this.#looked.get(facts) ?? 0;
    if (frame.generation <= looked) return false;
    const isFirst = looked === 0;
    this.#looked.set(facts, frame.generation);
    if (isFirst) void this.#raise(agentId, frame);
    return UNDER_WAY.has(frame.state);
  }

  async #record(agentId: string, reported: string | null): Promise<Reverted | undefined> {
    const cause = causeOf('release_reverted', {
      reported: reported === null ? 'a profile that was placed by hand' : `the release ${reported.slice(0, 8)}`,
    });
    const { store, now, log } = this.#needs;
    try {
      const number = await store.recordReported({ agentId, kind: 'profile', reported }, cause, now());
      this.#known.set(agentId, reported);
      if (number === null) return undefined;
      log.warn({ agent: agentId, rollout: `r-${number}`, code: cause.code }, cause.detail);
      return { agentId, number, cause };
    } catch (error) {
      // Its next hello repeats it.
      log.warn({ agent: agentId, error: textOf(error) }, 'the release of an agent could not be recorded');
      return undefined;
    }
  }

  async #raise(agentId: string, { kind, generation }: ReleaseState): Promise<void> {
    const { store, log } = this.#needs;
    try {
      const known = await store.releasesOf(agentId);
      if (known.some((release) => release.generation >= generation)) return;
      await store.save({ number: 0, agents: [], generations: [{ agentId, kind, generation }], committed: [] });
    } catch (error) {
      // The agent refuses an older one and says which it knows: the rollout then continues with a newer one.
      log.warn({ agent: agentId, error: textOf(error) }, 'the generation of an agent could not be recorded');
    }
  }
}
