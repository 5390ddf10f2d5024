// The services of each host and its port for devices, as its agent reported them last: what can be exposed there, and
// what it exposes.
import type { Logger } from 'pino';
import { textOf } from '../../shared/errors.ts';
import type { ServicesReport } from '../../shared/wire/services/frames.ts';
import { NewestReports } from '../sessions/limits/newest-reports.ts';
import type { Session } from '../sessions/session.ts';
import type { ExposureStore, ReportedServices } from '../store/services/exposure-store.ts';

interface ServiceReportsNeeds {
  readonly store: Pick<ExposureStore, 'recordServices' | 'servicesOf'>;
  readonly log: Pick<Logger, 'debug'>;
  readonly now: () => number;
}

export class ServiceReports {
  readonly #needs: ServiceReportsNeeds;
  readonly #reports: NewestReports<ReportedServices & { readonly epoch: number }>;

  constructor(needs: ServiceReportsNeeds) {
    this.#needs = needs;
    this.#reports = new NewestReports(async (agentId, { epoch, ...report }) => {
      await needs.store
        .recordServices(agentId, epoch, report)
        .catch((error: unknown) => needs.log.debug({ agent: agentId, error: textOf(error) }, 'services of an agent'));
    });
  }

  /** Must not throw. */
  onFrame(
    { facts: { agentId, epoch } }: Pick<Session, 'facts'>,
    { services, devicePort = null }: ServicesReport,
  ): void {
    this.#reports.note(agentId, { epoch, services, devicePort, reportedAt: this.#needs.now() });
  }

  /** Undefined: the agent has never reported them. */
  of(agentId: string): Promise<ReportedServices | undefined> {
    return this.#needs.store.servicesOf(agentId);
  }
}
