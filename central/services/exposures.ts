// Exposed services: which port of Central leads to which service of which agent, and who may call it. Keeps a port for
// each; service-calls.ts decides about each call.
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { isCoded, type CodedError } from '../../shared/errors.ts';
import { auditEntry, type Actor, type AuditAction } from '../audit.ts';
import { hasIpv6, openBinding, type Binding } from '../listeners/bind.ts';
import type { Credentials } from '../listeners/tls.ts';
import { problemOf, type Problem } from '../problems.ts';
import { storeFault } from '../store/errors.ts';
import type { ExposureRecord, ExposureSettings, ExposureStore } from '../store/services/exposure-store.ts';
import { assertSettings, CallerRules } from './caller-rules.ts';
import { serviceFault } from './errors.ts';
import { CallerServer } from './caller-server.ts';
import type { ServiceCalls } from './service-calls.ts';

/** How soon a port is tried again that another process holds. */
const RETRY_MS = 15_000;

interface ExposuresNeeds {
  readonly store: ExposureStore;
  readonly credentials: () => Credentials;
  /** Empty: all. */
  readonly bindAddresses: readonly string[];
  readonly deadlineMs: () => number;
  /** Connections to one exposure at once. */
  readonly places: () => number;
  readonly calls: Pick<ServiceCalls, 'answer'>;
  readonly log: Pick<Logger, 'debug'>;
  readonly now: () => number;
}

export interface ExposureView {
  readonly record: ExposureRecord;
  readonly state: 'listening' | 'closed';
  /** Why the port is closed. */
  readonly reason: CodedError | null;
}

interface Kept {
  readonly record: ExposureRecord;
  readonly server: CallerServer;
  /** Undefined: the port is not bound. */
  binding: Binding | undefined;
  isClosed: boolean;
  reason: CodedError | null;
  since: number;
}

export class Exposures {
  readonly #needs: ExposuresNeeds;
  readonly #kept = new Map<string, Kept>();
  /** Changes one after the other: two of them must not bind one port. */
  #turn: Promise<unknown> = Promise.resolve();
  #retries: NodeJS.Timeout | undefined;

  constructor(needs: ExposuresNeeds) {
    this.#needs = needs;
  }

  /** Opens all ports. One that cannot be bound is a problem in the status, and tried again. */
  async start(): Promise<void> {
    for (const record of await this.#needs.store.list()) await this.#openOrNote(this.#keep(record));
    this.#retries = setInterval(() => void this.#exclusive(() => this.#retry()), RETRY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#retries);
    for (const kept of this.#kept.values()) close(kept);
    this.#kept.clear();
  }

  /** New handshakes show this certificate. */
  show(credentials: Credentials): void {
    for (const { server } of this.#kept.values()) server.show(credentials);
  }

  /** In order of port. */
  list(): ExposureView[] {
    return Array.from(this.#kept.values(), viewOf).toSorted((a, b) => a.record.listenPort - b.record.listenPort);
  }

  /** Errors: service_exposure_unknown. */
  find(id: string): ExposureView {
    return viewOf(this.#find(id));
  }

  /** Errors: service_exposure_invalid, service_exposure_port_taken, service_exposures_full, port_taken, port_refused. */
  create(
    settings: ExposureSettings & Pick<ExposureRecord, 'agentId' | 'listenPort'>,
    actor: Actor,
  ): Promise<ExposureView> {
    return this.#exclusive(async () => {
      assertSettings(settings);
      const { store, now } = this.#needs;
      const id = randomBytes(8).toString('hex');
      const { agentId, service, listenPort } = settings;
      const known = [...this.#kept.values()].find(({ record }) => record.listenPort === listenPort);
      if (known !== undefined)
        throw storeFault('service_exposure_port_taken', { port: listenPort, id: known.record.id });
      const record: ExposureRecord = { ...settings, id, createdAt: now(), createdBy: actor.who, version: 1 };
      // Before it is stored: a port that cannot be bound is refused.
      const kept = this.#keep(record);
      try {
        await this.#open(kept);
        const { version: _, ...stored } = record;
        const detail = { id, agent: agentId, service, listenPort, allow: settings.allow };
        await store.create(stored, this.#entry('services.expose', detail, actor));
      } catch (error) {
        this.#drop(kept);
        throw error;
      }
      return viewOf(kept);
    });
  }

  /** Errors: service_exposure_unknown, service_exposure_invalid, version_conflict. */
  set(id: string, change: Partial<ExposureSettings>, version: number | null, actor: Actor): Promise<ExposureView> {
    return this.#exclusive(async () => {
      const kept = this.#find(id);
      assertSettings({ ...kept.record, ...change });
      const { clientCa, ...shown } = change;
      const detail = { id, ...shown, ...(clientCa === undefined ? {} : { hasClientCa: clientCa !== null }) };
      const record = await this.#needs.store.change(id, change, version, this.#entry('services.set', detail, actor));
      // Connections that were made by the rules before end.
      close(kept);
      const next = this.#keep(record);
      await this.#openOrNote(next);
      return viewOf(next);
    });
  }

  /** Its connections end. Errors: service_exposure_unknown. */
  remove(id: string, actor: Actor): Promise<void> {
    return this.#exclusive(async () => {
      const kept = this.#find(id);
      const { agentId, service, listenPort } = kept.record;
      const detail = { id, agent: agentId, service, listenPort };
      await this.#needs.store.remove(id, this.#entry('services.unexpose', detail, actor));
      this.#drop(kept);
    });
  }

  /** Another node changed them: opens, moves and closes ports as the store has them. */
  follow(): Promise<void> {
    return this.#exclusive(async () => {
      const records = await this.#needs.store.list();
      const ids = new Set(records.map(({ id }) => id));
      for (const kept of this.#kept.values()) if (!ids.has(kept.record.id)) this.#drop(kept);
      for (const record of records) {
        const kept = this.#kept.get(record.id);
        if (kept?.record.version === record.version) continue;
        if (kept !== undefined) close(kept);
        await this.#openOrNote(this.#keep(record));
      }
    });
  }

  problems(): Problem[] {
    return Array.from(this.#kept.values(), ({ record, reason, since }) =>
      reason === null
        ? []
        : [
            problemOf(
              serviceFault('service_listener_closed', {
                service: record.service,
                agent: record.agentId,
                port: record.listenPort,
                found: reason.message,
              }),
              since,
            ),
          ],
    ).flat();
  }

  #find(id: string): Kept {
    const kept = this.#kept.get(id);
    if (kept === undefined) throw storeFault('service_exposure_unknown', { id });
    return kept;
  }

  #keep(record: ExposureRecord): Kept {
    const { credentials, deadlineMs, places, calls, log, now } = this.#needs;
    const { id, agentId, service, clientCa } = record;
    const port = {
      rules: new CallerRules(record),
      exposure: id,
      service,
      destinationOf: (target: string) => ({ agentId, service, target, prefix: '' }),
    };
    const server = new CallerServer({
      credentials: credentials(),
      clientCa,
      deadlineMs,
      places,
      onRequest: (request, response) => calls.answer(port, request, response),
      onUpgrade: (request, response, socket) => calls.answer(port, request, response, socket),
      onFailure: (fault, address) => log.debug({ exposure: id, cause: fault.code, address }, 'a handshake failed'),
    });
    const kept: Kept = { record, server, binding: undefined, isClosed: false, reason: null, since: now() };
    this.#kept.set(id, kept);
    return kept;
  }

  #drop(kept: Kept): void {
    close(kept);
    this.#kept.delete(kept.record.id);
  }

  /** Binds the port. Errors: port_taken, port_refused. */
  async #open(kept: Kept): Promise<void> {
    const { bindAddresses } = this.#needs;
    const { service, listenPort } = kept.record;
    const everywhere = hasIpv6() ? ['::'] : ['0.0.0.0'];
    const addresses = bindAddresses.length === 0 ? everywhere : bindAddresses;
    const plan = { listener: `the service ${service}`, addresses, port: listenPort };
    const binding = await openBinding(plan, (socket) => kept.server.accept(socket));
    if (kept.isClosed) binding.close();
    else kept.binding = binding;
  }

  async #openOrNote(kept: Kept): Promise<void> {
    try {
      await this.#open(kept);
      kept.reason = null;
    } catch (error) {
      if (!isCoded(error)) throw error;
      kept.reason = error;
    }
  }

  async #retry(): Promise<void> {
    for (const kept of this.#kept.values()) if (kept.binding === undefined) await this.#openOrNote(kept);
  }

  #exclusive<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #entry(action: AuditAction, detail: Readonly<Record<string, unknown>>, actor: Actor) {
    return auditEntry(actor, action, detail, this.#needs.now());
  }
}

function viewOf({ record, binding, reason }: Kept): ExposureView {
  return { record, state: binding === undefined ? 'closed' : 'listening', reason };
}

/** Its connections end: another one takes the port over, with other rules. */
function close(kept: Kept): void {
  kept.isClosed = true;
  kept.binding?.close();
  kept.binding = undefined;
  kept.server.close();
}
