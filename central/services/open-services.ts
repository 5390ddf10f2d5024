// Opens the ports of services: those of exposures, and that of all services.
import type { Logger } from 'pino';
import type { RefusalAudit } from '../auth/records/refusal-audit.ts';
import type { CentralConfig } from '../config.ts';
import type { AgentStreams } from '../forwarding/agent-streams.ts';
import type { Descriptors } from '../listeners/limits/descriptors.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Store } from '../store/store.ts';
import { Exposures } from './exposures.ts';
import { ServiceCalls } from './service-calls.ts';
import { ServiceReports } from './service-reports.ts';
import { ServicesPort } from './services-port.ts';
import { WriteAudit } from './write-audit.ts';

/** Connections to one exposure; each call is a stream, of which an agent has 64. */
const MAX_CONNECTIONS = 256;
/** The same to the port of all services: of each call, one that Central can pass (1,000 streams). */
const MAX_CONNECTIONS_IN_ALL = 1_024;

interface ServicesNeeds {
  readonly config: Pick<CentralConfig, 'bindAddress'>;
  readonly store: Pick<Store, 'agents' | 'audit' | 'exposures'>;
  readonly pki: Pick<Pki, 'first' | 'identity'>;
  readonly agentStreams: Pick<AgentStreams, 'open'>;
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
  const ofCallers = {
    calls: new ServiceCalls({ ...needs, writes: serviceWrites }),
    credentials: () => pki.identity.current() ?? pki.first,
    deadlineMs: () => parameters.values()['agents.welcomeTimeoutSeconds'] * 1000,
    log: needs.log,
  };
  const exposures = new Exposures({
    ...needs,
    ...ofCallers,
    store: store.exposures,
    bindAddresses: config.bindAddress === undefined ? [] : [config.bindAddress],
    places: () => Math.min(descriptors.administration, MAX_CONNECTIONS),
  });
  const servicesPort = new ServicesPort({
    ...ofCallers,
    agents: store.agents,
    values: () => parameters.values(),
    places: () => Math.min(descriptors.administration, MAX_CONNECTIONS_IN_ALL),
  });
  const serviceReports = new ServiceReports({ ...needs, store: store.exposures });
  return { exposures, servicesPort, serviceWrites, serviceReports };
}
