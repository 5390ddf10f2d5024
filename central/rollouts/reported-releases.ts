// Keeps what agents report outside of a rollout: the release of each hello, files that have changed, and generations
// that this Central does not know. One agent makes Central write once for each change of its release, and once a
// session for a generation.
import { textOf } from '../../shared/errors.ts';
import type { ReleaseKind } from '../../shared/releases/manifest.ts';
import { RELEASE_PARTS, SOFTWARE_PARTS, type ReleasePart } from '../../shared/releases/software.ts';
import type { Hello } from '../../shared/wire/messages.ts';
import type { ReleaseMeasured, ReleaseState } from '../../shared/wire/release-frames.ts';
import type { SessionFacts } from '../sessions/session.ts';
import type { Cause, ReportedDigests, RolloutStore } from '../store/rollouts/rollout-store.ts';
import { causeOf } from './errors.ts';

/** Agents that name it carry out instructions. */
export const RELEASES_CAPABILITY = 'releases.1';
/** Agents that name it measure their releases when they are asked to. */
export const MEASURE_CAPABILITY = 'releases.measure';

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

/** What an agent measured of a release that it runs. The cause is empty where no file has changed. */
export interface Drift extends Cause {
  /** Digest. */
  readonly release: string;
  /** The first files that have changed. */
  readonly changedFiles: readonly string[];
  /** The first keys of a profile's agent.conf that a value of the host overrides. */
  readonly overriddenKeys: readonly string[];
  readonly reportedAt: number;
}

/** Absent: no measurement was reported in this session. */
export type DriftByPart = { readonly [P in ReleasePart]?: Drift };

type Facts = Pick<SessionFacts, 'agentId' | 'capabilities' | 'releases'>;

/** States in which the agent still does something for its instruction. */
const UNDER_WAY: ReadonlySet<ReleaseState['state']> = new Set(['offered', 'synchronizing', 'trying']);

const NO_RELEASES: ReportedDigests = { profile: null, program: null, runtime: null };

export function reportedOf(part: ReleasePart, releases: Hello['releases'] | undefined): string | null {
  return releases?.[part] ?? null;
}

export class ReportedReleases {
  readonly #needs: ReportedReleasesNeeds;
  /** By agent: the releases of its last hello in this process. */
  readonly #known = new Map<string, ReportedDigests>();
  readonly #waiting = new Map<string, ReportedDigests>();
  readonly #drift = new Map<string, DriftByPart>();
  /** By session: the largest generation of each kind that was looked at. */
  readonly #looked = new WeakMap<object, Partial<Record<ReleaseKind, number>>>();

  constructor(needs: ReportedReleasesNeeds) {
    this.#needs = needs;
  }

  /** Something is to be recorded. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  onOpened({ agentId, capabilities, releases }: Facts): void {
    const reported = { ...NO_RELEASES, ...releases };
    const hasNone = RELEASE_PARTS.every((part) => reported[part] === null);
    if (hasNone && !capabilities.includes(RELEASES_CAPABILITY)) return;
    // The agent repeats it after each welcome.
    this.#drift.delete(agentId);
    const known = this.#known.get(agentId);
    if (known === undefined || RELEASE_PARTS.some((part) => known[part] !== reported[part]))
      this.#waiting.set(agentId, reported);
  }

  /** A release that was just taken or repaired is as it should be. */
  onFrame(facts: Facts, { kind, state, release }: ReleaseState): void {
    const part = partOf(facts, { kind, release });
    if (state !== 'succeeded' || part === undefined) return;
    const { [part]: _, ...others } = this.driftOf(facts.agentId);
    this.#drift.set(facts.agentId, others);
  }

  /** Of a release that the agent does not run nothing is kept. */
  onMeasured(facts: Facts, frame: ReleaseMeasured): void {
    const part = partOf(facts, frame);
    if (part === undefined) return;
    const { release, changedFiles, overriddenKeys, code, detail, hint } = frame;
    const drift = { release, changedFiles, overriddenKeys, code, detail, hint, reportedAt: this.#needs.now() };
    this.#drift.set(facts.agentId, { ...this.driftOf(facts.agentId), [part]: drift });
  }

  driftOf(agentId: string): DriftByPart {
    return this.#drift.get(agentId) ?? {};
  }

  /** Writes what hellos reported; the successes that they contradict. */
  async record(): Promise<readonly Reverted[]> {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    const reverted = await Promise.all(waiting.map(([agentId, reported]) => this.#record(agentId, reported)));
    return reverted.flat();
  }

  /**
   * A frame of an agent that takes part in no rollout: true when it still does something for its instruction, which is
   * to end. A generation that is new to Central is recorded, so that the next one is larger.
   */
  isStray({ facts }: { readonly facts: Facts }, frame: ReleaseState): boolean {
    const { agentId } = facts;
    const looked = this.#looked.get(facts) ?? {};
    const isFirst = looked[frame.kind] === undefined;
    if (frame.generation <= (looked[frame.kind] ?? 0)) return false;
    this.#looked.set(facts, { ...looked, [frame.kind]: frame.generation });
    if (isFirst) void this.#raise(agentId, frame);
    return UNDER_WAY.has(frame.state);
  }

  async #record(agentId: string, reported: ReportedDigests): Promise<readonly Reverted[]> {
    const causeFor = (part: ReleasePart): Cause =>
      causeOf('release_reverted', { reported: digestText(part, reported[part]) });
    const causes = { profile: causeFor('profile'), program: causeFor('program'), runtime: causeFor('runtime') };
    const { store, now, log } = this.#needs;
    try {
      const reverted = await store.recordReported(agentId, reported, causes, now());
      this.#known.set(agentId, reported);
      return reverted.map(({ part, rollout: number }) => {
        const cause = causes[part];
        log.warn({ agent: agentId, rollout: `r-${number}`, code: cause.code }, cause.detail);
        return { agentId, number, cause };
      });
    } catch (error) {
      // Its next hello repeats it.
      log.warn({ agent: agentId, error: textOf(error) }, 'the release of an agent could not be recorded');
      return [];
    }
  }

  async #raise(agentId: string, { kind, generation }: ReleaseState): Promise<void> {
    const { store, log } = this.#needs;
    try {
      const known = await store.releasesOf(agentId);
      if (known.some((release) => release.generation >= generation)) return;
      await store.save({
        number: 0,
        agents: [],
        generations: [{ agentId, part: kind === 'profile' ? kind : 'program', generation }],
        committed: [],
      });
    } catch (error) {
      // The agent refuses an older one and says which it knows: the rollout then continues with a newer one.
      log.warn({ agent: agentId, error: textOf(error) }, 'the generation of an agent could not be recorded');
    }
  }
}

/** What of the agent this release is; undefined: software that it does not run. */
function partOf(
  { releases }: Facts,
  { kind, release }: Pick<ReleaseMeasured, 'kind' | 'release'>,
): ReleasePart | undefined {
  return kind === 'profile' ? kind : SOFTWARE_PARTS.find((part) => releases?.[part] === release);
}

function digestText(part: ReleasePart, digest: string | null): string {
  if (digest !== null) return `the release ${digest.slice(0, 8)}`;
  return part === 'profile' ? 'a profile that was placed by hand' : `the ${part} of its package`;
}
