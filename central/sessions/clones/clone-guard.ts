// Refuses two running copies of one key. One process keeps what it saw in memory; of several nodes each asks the store, which
// has what all of them saw: two machines may alternate between two nodes.
import type { Hello } from '../../../shared/wire/messages.ts';
import { refusal } from '../../../shared/wire/refusals.ts';
import type { Incidents } from '../../agents/incidents.ts';
import { keptReason } from '../../store/agents/state-reasons.ts';
import { CLONE_PERIOD_MS } from '../../store/agents/boot-history.ts';
import type { AgentRecord, ClaimTerms } from '../../store/agent-store.ts';
import type { Store } from '../../store/store.ts';
import type { Session } from '../session.ts';
import { CloneWatch } from './clone-watch.ts';

/** How long both are refused: long enough to be noticed, short enough to need no administrator. */
export const QUARANTINE_MS = 600_000;

interface CloneGuardNeeds {
  readonly store: Pick<Store, 'agents' | 'nodes'>;
  readonly incidents: Pick<Incidents, 'record'>;
  readonly now: () => number;
}

interface Copy {
  readonly hello: Pick<Hello, 'bootId' | 'id'>;
  readonly origin: { readonly address: string };
}

export class CloneGuard {
  readonly #needs: CloneGuardNeeds;
  readonly #watch = new CloneWatch();

  constructor(needs: CloneGuardNeeds) {
    this.#needs = needs;
  }

  /** True when this hello cannot be one of two running copies of a key, or when the store decides that as it claims. */
  isSteady({ id, bootId }: Pick<Hello, 'bootId' | 'id'>): boolean {
    return this.#needs.store.nodes !== undefined || this.#watch.isSteady(id, bootId);
  }

  /** What the store has to know to decide it. */
  terms(terms: ClaimTerms): ClaimTerms {
    const { store, now } = this.#needs;
    return store.nodes === undefined ? terms : { ...terms, otherBootSince: now() - CLONE_PERIOD_MS };
  }

  /** A session was claimed at once. Throws a refusal as `refuse` does. */
  async refuseClaimed(copy: Copy, open: Session | undefined): Promise<void> {
    if (this.#needs.store.nodes === undefined) await this.refuse(copy, open, null);
  }

  /**
   * Two running copies of one key: both are refused for a while, and an incident says why. `open`: the session of the
   * agent at this node, which ends; `last`: the last one at any.
   */
  async refuse(copy: Copy, open: Session | undefined, last: AgentRecord['session']): Promise<void> {
    const { store, incidents, now } = this.#needs;
    const { id: agentId, bootId } = copy.hello;
    const at = now();
    if (!(await this.#isClone(copy, last, at))) return;
    const seconds = QUARANTINE_MS / 1000;
    const quarantined = refusal('quarantined', { seconds });
    await store.agents.quarantine(agentId, at + QUARANTINE_MS, at, keptReason(quarantined));
    const other = open?.facts ?? last;
    incidents.record({
      kind: 'clone',
      agentId,
      address: copy.origin.address,
      at: now(),
      detail: { boots: [bootId, other?.bootId ?? null], otherAddress: other?.address ?? null },
    });
    open?.end(quarantined, { retryAfterSeconds: seconds });
    throw quarantined;
  }

  /** Its key is another one, or it is deleted. */
  forget(agentId: string): void {
    this.#watch.forget(agentId);
  }

  async #isClone({ hello: { id, bootId } }: Copy, last: AgentRecord['session'], now: number): Promise<boolean> {
    const { nodes } = this.#needs.store;
    if (nodes === undefined) return this.#watch.sawBoot(id, bootId, now);
    if (last === null || last.bootId === bootId || last.since < now - CLONE_PERIOD_MS) return false;
    return await nodes.sawBoot(id, bootId, now);
  }
}
