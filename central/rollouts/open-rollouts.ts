// Opens the rollouts of releases: the engine that runs them, and what administrators do with them.
import type { Logger } from 'pino';
import type { AgingClock } from '../aging-clock.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Tickets } from '../profiles/tickets.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { NodeRecord, SharedChange } from '../store/nodes/node-store.ts';
import type { NoteQueue } from '../store/nodes/note-queue.ts';
import type { Store } from '../store/store.ts';
import { RolloutEngine } from './engine.ts';
import { Measurements } from './nodes/measurements.ts';
import { createOffers } from './offers.ts';
import { LeaderActs } from './leader-acts.ts';
import { RolloutRelay } from './relay.ts';
import { Rollouts } from './rollouts.ts';

interface RolloutsNeeds {
  readonly store: Pick<Store, 'agents' | 'nodes' | 'releases' | 'rollouts'>;
  readonly pki: Pick<Pki, 'signingKey'>;
  readonly tickets: Pick<Tickets, 'issue'>;
  readonly sessions: Pick<Sessions, 'of'>;
  readonly aging: Pick<AgingClock, 'steady'>;
  readonly nodes: { readonly self: string; leads(): boolean; list(): readonly NodeRecord[]; hurry(ms: number): void };
  readonly nodeNotes: NoteQueue;
  readonly log: Logger;
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

interface OpenedRollouts {
  readonly rolloutEngine: RolloutEngine;
  readonly rolloutRelay: RolloutRelay;
  readonly measurements: Measurements;
  readonly rollouts: Rollouts;
  /** Other nodes changed rollouts, or told something of them; no changes: some were missed. */
  followRollouts(changes: readonly SharedChange[]): Promise<void>;
}

export function openRollouts(needs: RolloutsNeeds): OpenedRollouts {
  const { store, pki, tickets, sessions, aging, nodes, nodeNotes: notes, log, now, after } = needs;
  const offers = createOffers({ signingKey: pki.signingKey, tickets, steady: () => aging.steady() });
  const of = store.nodes;
  const tell = of === undefined ? undefined : of.tell.bind(of);
  const rolloutRelay = new RolloutRelay({ store: store.rollouts, tell, nodes, sessions, offers, log, now });
  const rolloutEngine = new RolloutEngine({
    store: store.rollouts,
    sessionOf: (agentId) => sessions.of(agentId) ?? rolloutRelay.sessionOf(agentId),
    offers,
    relay: rolloutRelay,
    log,
    now,
  });
  rolloutRelay.serve(rolloutEngine);
  const engine = rolloutEngine;
  const acts = new LeaderActs({ engine, store: store.rollouts, tell, nodes, log, now, after });
  const followRollouts = async (changes: readonly SharedChange[]): Promise<void> => {
    acts.follow(changes);
    await rolloutRelay.follow(changes);
  };
  const measurements = new Measurements({ engine, sessions, agents: store.agents, notes, nodes, after });
  const rollouts = new Rollouts({ engine, acts, measurements, store, now });
  return { rolloutEngine, rolloutRelay, followRollouts, measurements, rollouts };
}
