// Opens the exposed services.
import type { Logger } from 'pino';
import type { RefusalAudit } from '../auth/refusal-audit.ts';
import type { CentralConfig } from '../config.ts';
import type { Descriptors } from '../listeners/limits/descriptors.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Store } from '../store/store.ts';
import { Exposures } from './exposures.ts';
import { ServiceReports } from './service-reports.ts';
import { WriteAudit } from './write-audit.ts';

/** Connections to one exposure; each call is a stream, of which an agent has 64. */
const MAX_CONNECTIONS = 256;

interface ServicesNeeds {
  readonly config: Pick<CentralConfig, 'bindAddress'>;
  readonly store: Pick<Store, 'audit' | 'exposures'>;
  readonly pki: Pick<Pki, 'first' | 'identity'>;
  readonly sessions: Pick<Sessions, 'of'>;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly descriptors: Pick<Descriptors, 'administration'>;
  readonly refusals: Pick<RefusalAudit, 'record'>;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => unknown;
}

export function openServices(needs: ServicesNeeds) {
  const { config, store, pki, parameters, descriptors } = needs;
  const serviceWrites = new WriteAudit({ ...needs, store: store.audit });
  const exposures = new Exposures({
    ...needs,
    store: store.exposures,
    credentials: () => pki.identity.current() ?? pki.first,
    bindAddresses: config.bindAddress === undefined ? [] : [config.bindAddress],
    deadlineMs: () => parameters.values()['agents.welcomeTimeoutSeconds'] * 1000,
    places: () => Math.min(descriptors.administration, MAX_CONNECTIONS),
    writes: serviceWrites,
  });
  return { exposures, serviceWrites, serviceReports: new ServiceReports({ ...needs, store: store.exposures }) };
}
