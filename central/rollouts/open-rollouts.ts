// Opens the rollouts of releases: the engine that runs them, and what administrators do with them.
import type { Logger } from 'pino';
import type { AgingClock } from '../aging-clock.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Tickets } from '../profiles/tickets.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Store } from '../store/store.ts';
import { RolloutEngine } from './engine.ts';
import { createOffers } from './offers.ts';
import { Rollouts } from './rollouts.ts';

interface RolloutsNeeds {
  readonly store: Pick<Store, 'releases' | 'rollouts'>;
  readonly pki: Pick<Pki, 'signingKey'>;
  readonly tickets: Pick<Tickets, 'issue'>;
  readonly sessions: Pick<Sessions, 'of'>;
  readonly aging: Pick<AgingClock, 'steady'>;
  readonly nodes: { list(): readonly { readonly name: string; readonly leads: boolean }[] };
  readonly log: Logger;
  readonly now: () => number;
}

interface OpenedRollouts {
  readonly rolloutEngine: RolloutEngine;
  readonly rollouts: Rollouts;
}

export function openRollouts({ store, pki, tickets, sessions, aging, nodes, log, now }: RolloutsNeeds): OpenedRollouts {
  const rolloutEngine = new RolloutEngine({
    store: store.rollouts,
    sessionOf: (agentId) => sessions.of(agentId),
    offers: createOffers({ signingKey: pki.signingKey, tickets, steady: () => aging.steady() }),
    leader: () => nodes.list().find(({ leads }) => leads)?.name,
    log,
    now,
  });
  return { rolloutEngine, rollouts: new Rollouts({ engine: rolloutEngine, store, now }) };
}
