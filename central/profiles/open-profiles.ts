// Opens what prepares profiles and serves releases: profiles, tickets, and the downloads that they allow.
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Store } from '../store/store.ts';
import { Downloads } from './downloads/downloads.ts';
import { DownloadPace } from './downloads/pace.ts';
import { ProfileReleases } from './releases.ts';
import { ProfileReader } from './report.ts';
import { Profiles } from './profiles.ts';
import { openTickets, type Tickets } from './tickets.ts';

interface ProfilesNeeds {
  readonly store: Store;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly pki: Pick<Pki, 'identity' | 'keyMaterial' | 'trust'>;
  readonly metrics: Metrics;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
}

interface OpenedProfiles {
  readonly tickets: Tickets;
  readonly downloads: Downloads;
  readonly profiles: Profiles;
  readonly profileReleases: ProfileReleases;
}

export async function openProfiles({
  store,
  parameters,
  pki,
  metrics,
  now,
  after,
}: ProfilesNeeds): Promise<OpenedProfiles> {
  const tickets = await openTickets({ keyMaterial: pki.keyMaterial, now });
  const clock = (): number => performance.now();
  const pace = new DownloadPace({
    rates() {
      const values = parameters.values();
      return {
        ofAgent: values['agents.downloads.bytesPerSecond'],
        inAll: values['agents.downloads.bytesPerSecondInAll'],
      };
    },
    clock,
    after,
    nextTurn: setImmediate,
  });
  const reader = new ProfileReader(store.releases);
  const profiles = new Profiles({
    store: store.releases,
    reader,
    trustBundle: () => pki.trust.certificates().map(({ raw }) => raw),
    now,
  });
  const profileReleases = new ProfileReleases({
    store: store.releases,
    reader,
    values: () => parameters.values(),
    certificate: () => pki.identity.slots.current,
    now,
  });
  return { profiles, profileReleases, tickets, downloads: new Downloads({ store, tickets, pace, metrics, clock }) };
}
