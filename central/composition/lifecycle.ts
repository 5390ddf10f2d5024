// Starts and stops the parts of Central in a written order.
import type { Logger } from 'pino';
import { textOf, type CodedError } from '../../shared/errors.ts';
import type { Drains } from '../agents/acts/drains.ts';
import type { Incidents } from '../agents/incidents.ts';
import type { CentralAgent } from '../central-agent.ts';
import type { Changes } from '../change/changes.ts';
import type { OpenedListeners } from '../listeners/open-listeners.ts';
import type { ListenerName } from '../listeners/reconcile.ts';
import type { Maintenance } from '../maintenance.ts';
import type { OpenStreams } from '../messaging/open-streams.ts';
import type { NodeService } from '../nodes/node-service.ts';
import type { ParameterService } from '../parameters/service.ts';
import type { PkiServices } from '../pki/open-pki-services.ts';
import type { RolloutEngine } from '../rollouts/engine.ts';
import type { RolloutRelay } from '../rollouts/relay.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { StagedRestore } from '../store/backup/backup.ts';
import type { Problem } from '../problems.ts';
import type { Store } from '../store/store.ts';
import type { Forwarding } from '../forwarding/open-forwarding.ts';
import type { Exposures } from '../services/exposures.ts';
import type { ServicesPort } from '../services/services-port.ts';
import type { Tasks } from '../tasks/tasks.ts';
import type { Subscriptions } from '../subscriptions/subscriptions.ts';
import type { FirstStart } from './first-start.ts';

/** Sessions have this long to close on a stop. */
const SESSIONS_STOP_MS = 3_000;

export interface RunningCentral {
  /** What a new installation is entered with; undefined once it has been shown. */
  readonly firstStart: FirstStart | undefined;
  /** Sentences: what listens where, and how encrypted. */
  readonly listens: readonly string[];
  /** What is wrong already, such as a port that another process holds. */
  readonly problems: readonly Problem[];
  port(listener: ListenerName): number | undefined;
  /** Resolves with the error after which Central cannot go on; then stop it. */
  readonly failed: Promise<CodedError>;
  /** Resolves with the store that an administrator restores; then stop Central, and start it with that store. */
  readonly restore: Promise<StagedRestore>;
  /** The newest cursor of an event, once Central has stopped. */
  lastCursor(): number;
  /** Ends in order, bounded. May be called twice. */
  stop(): Promise<void>;
}

interface LifecycleParts {
  readonly store: Store;
  readonly parameters: ParameterService;
  readonly changes: Changes;
  readonly incidents: Incidents;
  readonly drains: Drains;
  readonly refusals: { flush(): Promise<void> };
  readonly auditVerification: { run(): Promise<void> };
  readonly firstStart: () => Promise<FirstStart | undefined>;
  readonly sessions: Sessions;
  readonly streams: Pick<OpenStreams, 'stop'>;
  readonly nodes: Pick<NodeService, 'onLead' | 'stop'>;
  readonly rolloutEngine: Pick<RolloutEngine, 'start' | 'stop'>;
  readonly rolloutRelay: Pick<RolloutRelay, 'start' | 'stop'>;
  readonly tasks: Pick<Tasks, 'start' | 'stop'>;
  readonly subscriptions: Pick<Subscriptions, 'start' | 'stop'>;
  readonly exposures: Pick<Exposures, 'start' | 'stop'>;
  readonly forwarding: Pick<Forwarding, 'start' | 'stop'>;
  readonly servicesPort: Pick<ServicesPort, 'stop'>;
  readonly serviceWrites: { flush(): Promise<void> };
  readonly pkiServices: PkiServices;
  readonly opened: OpenedListeners;
  readonly maintenance: Maintenance;
  readonly centralAgent: CentralAgent | undefined;
  readonly log: Logger;
  readonly now: () => number;
}

export class Lifecycle {
  readonly #parts: LifecycleParts;
  #lastCursor = 0;
  #stopping: Promise<void> | undefined;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  /** After an error everything is stopped. */
  async start(): Promise<FirstStart | undefined> {
    const { parameters, pkiServices, maintenance, centralAgent } = this.#parts;
    const { listeners, localSocket } = this.#parts.opened;
    try {
      const { nodes, rolloutEngine, subscriptions } = this.#parts;
      await nodes.onLead({ start: () => rolloutEngine.start(), stop: () => rolloutEngine.stop() });
      this.#parts.rolloutRelay.start();
      await this.#parts.tasks.start();
      await parameters.start((values) => listeners.start(values));
      await localSocket.start();
      await nodes.onLead({ start: () => subscriptions.start(), stop: () => subscriptions.stop() });
      await this.#parts.forwarding.start();
      await this.#parts.exposures.start();
      maintenance.start();
      pkiServices.trustPublication.start();
      await pkiServices.profiles?.follow();
      const firstStart = await this.#parts.firstStart();
      await centralAgent?.start();
      return firstStart;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Listeners first, so that no connection arrives any more; the store last, so that what was accepted is committed.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** The newest cursor of an event, once Central has stopped. */
  lastCursor(): number {
    return this.#lastCursor;
  }

  async #stop(): Promise<void> {
    const { store, parameters, changes, incidents, sessions, pkiServices, opened, log, now } = this.#parts;
    const { apps, listeners, localSocket } = opened;
    listeners.stop();
    this.#parts.exposures.stop();
    this.#parts.servicesPort.stop();
    this.#parts.forwarding.stop();
    await localSocket
      .stop()
      .catch((error: unknown) =>
        log.error({ error: textOf(error) }, 'the socket of the administration could not be removed'),
      );
    // Each with an end event, while its connection is there.
    await this.#parts.streams.stop();
    this.#parts.maintenance.stop();
    pkiServices.trustPublication.stop();
    this.#parts.drains.stop();
    parameters.stop();
    await changes.stop();
    await this.#parts.centralAgent?.stop();
    await sessions.stop(parameters.values()['agents.drain.spreadSeconds'], SESSIONS_STOP_MS);
    localSocket.cut();
    await apps.stop();
    // With it, what this node does as the one that leads.
    await this.#parts.nodes.stop();
    await this.#parts.subscriptions.stop();
    await this.#parts.tasks.stop();
    this.#parts.rolloutRelay.stop();
    await this.#parts.rolloutEngine.stop();
    await incidents.flush(now());
    await this.#parts.refusals.flush();
    await this.#parts.serviceWrites.flush();
    await this.#parts.auditVerification
      .run()
      .catch((error: unknown) => log.error({ error: textOf(error) }, 'the audit log could not be verified'));
    // A store that has failed does not answer; then it is not replaced either.
    this.#lastCursor = await store.inbox.lastCursor().catch(() => this.#lastCursor);
    await store.stop();
    log.info('Central stopped');
  }
}
