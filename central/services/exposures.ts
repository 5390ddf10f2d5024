// Exposed services: which port of Central leads to which service of which agent, and who may call it. Keeps a listener
// for each, and decides about each call.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import { whenClosed } from '../../shared/http/closed.ts';
import { READING_METHODS, SERVICE_METHODS } from '../../shared/http/service-path.ts';
import { jsonPayload } from '../../shared/session/streams/frames.ts';
import type { Stream } from '../../shared/session/streams/stream.ts';
import { auditEntry, type Actor, type AuditAction } from '../audit.ts';
import { hasIpv6 } from '../listeners/bind.ts';
import type { Credentials } from '../listeners/tls.ts';
import type { Metrics } from '../metrics.ts';
import { normalAddress } from '../parameters/address-access.ts';
import { problemOf, type Problem } from '../problems.ts';
import type { RefusalAudit } from '../auth/refusal-audit.ts';
import type { Session } from '../sessions/session.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { storeFault } from '../store/errors.ts';
import type { ExposureRecord, ExposureSettings, ExposureStore } from '../store/services/exposure-store.ts';
import { assertSettings, CallerRules } from './caller-rules.ts';
import { serviceFault } from './errors.ts';
import { ExposureListener, refuseCall } from './exposure-listener.ts';
import { openOf, requestFault, upgradeFault, upgradeOf } from './request-rules.ts';
import { passCall, passUpgrade } from './service-call.ts';
import { WebSocketPlaces } from './websocket-places.ts';
import type { WriteAudit } from './write-audit.ts';

/** Each may make Central keep 256 KiB. */
const MAX_STREAMS_IN_ALL = 1_000;
/** How soon a port is tried again that another process holds. */
const RETRY_MS = 15_000;

interface ExposuresNeeds {
  readonly store: ExposureStore;
  readonly sessions: Pick<Sessions, 'of'>;
  readonly credentials: () => Credentials;
  /** Empty: all. */
  readonly bindAddresses: readonly string[];
  readonly deadlineMs: () => number;
  /** Connections to one exposure at once. */
  readonly places: () => number;
  readonly writes: Pick<WriteAudit, 'record'>;
  readonly refusals: Pick<RefusalAudit, 'record'>;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'error' | 'debug'>;
  readonly now: () => number;
}

export interface ExposureView {
  readonly record: ExposureRecord;
  readonly state: 'listening' | 'closed';
  /** Why the port is closed. */
  readonly reason: CodedError | null;
}

interface Kept {
  record: ExposureRecord;
  rules: CallerRules;
  listener: ExposureListener;
  reason: CodedError | null;
  since: number;
}

export class Exposures {
  readonly #needs: ExposuresNeeds;
  readonly #kept = new Map<string, Kept>();
  /** Changes one after the other: two of them must not bind one port. */
  #turn: Promise<unknown> = Promise.resolve();
  #retries: NodeJS.Timeout | undefined;
  #streams = 0;
  readonly #websockets = new WebSocketPlaces();

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
    for (const { listener } of this.#kept.values()) listener.close();
    this.#kept.clear();
  }

  /** New handshakes show this certificate. */
  show(credentials: Credentials): void {
    for (const { listener } of this.#kept.values()) listener.show(credentials);
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
        await kept.listener.open();
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
      kept.listener.close();
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
    const { credentials, bindAddresses, deadlineMs, places, log, now } = this.#needs;
    const everywhere = hasIpv6() ? ['::'] : ['0.0.0.0'];
    const kept: Kept = {
      record,
      rules: new CallerRules(record),
      listener: new ExposureListener({
        record,
        credentials: credentials(),
        addresses: bindAddresses.length === 0 ? everywhere : bindAddresses,
        deadlineMs,
        places,
        onRequest: (request, response) => this.#onRequest(kept, request, response),
        onUpgrade: (request, response, socket) => this.#onRequest(kept, request, response, socket),
        onFailure: (fault, address) =>
          log.debug({ exposure: record.id, cause: fault.code, address }, 'a handshake failed'),
      }),
      reason: null,
      since: now(),
    };
    this.#kept.set(record.id, kept);
    return kept;
  }

  #drop({ record, listener }: Kept): void {
    listener.close();
    this.#kept.delete(record.id);
  }

  async #openOrNote(kept: Kept): Promise<void> {
    try {
      await kept.listener.open();
      kept.reason = null;
    } catch (error) {
      if (!isCoded(error)) throw error;
      kept.reason = error;
    }
  }

  async #retry(): Promise<void> {
    for (const kept of this.#kept.values()) if (!kept.listener.isOpen) await this.#openOrNote(kept);
  }

  #exclusive<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #entry(action: AuditAction, detail: Readonly<Record<string, unknown>>, actor: Actor) {
    return auditEntry(actor, action, detail, this.#needs.now());
  }

  /** With the socket, where a WebSocket is asked for. */
  #onRequest(kept: Kept, request: IncomingMessage, response: ServerResponse, socket?: Socket): void {
    const { metrics, log } = this.#needs;
    const { service } = kept.record;
    const count = (): void => {
      const status = response.headersSent ? String(response.statusCode) : 'none';
      metrics.instruments.queuegate_service_requests_total.inc({ service, status });
    };
    if (socket === undefined) whenClosed(response, count);
    else socket.once('close', count);
    try {
      this.#call(kept, request, response, socket);
    } catch (error) {
      const fault = isCoded(error) ? error : serviceFault('service_failed', {}, error);
      if (!isCoded(error)) log.error({ error: textOf(error), exposure: kept.record.id }, 'a call failed unexpectedly');
      const isMethod = fault.code === 'service_method_denied';
      refuseCall(response, fault, isMethod ? SERVICE_METHODS.join(', ') : undefined);
    }
  }

  /** Errors: those of SERVICE_ERRORS. */
  #call({ record, rules }: Kept, request: IncomingMessage, response: ServerResponse, socket?: Socket): void {
    const { writes } = this.#needs;
    const { service, agentId } = record;
    const fault = socket === undefined ? requestFault(request) : upgradeFault(request);
    const address = normalAddress(request.socket.remoteAddress);
    if (fault !== undefined) {
      this.#recordRefusal(fault, address);
      throw fault;
    }
    const { method = '' } = request;
    const { who, role } = this.#callerOf(rules, request, address);
    const session = this.#sessionOf(agentId);
    const open =
      socket === undefined ? openOf(request, service, address) : upgradeOf(request, { service, address, role });
    if (jsonPayload(open) === undefined) throw serviceFault('service_headers_too_large', {});
    if (socket !== undefined) this.#websockets.enter(`${agentId} ${address}`, socket);
    const stream = this.#streams >= MAX_STREAMS_IN_ALL ? undefined : session.openStream(open);
    if (stream === undefined) throw serviceFault('streams_full', {});
    if (socket !== undefined || !READING_METHODS.some((reading) => reading === method))
      writes.record({
        exposure: record.id,
        agent: agentId,
        service,
        method: socket === undefined ? method : 'WEBSOCKET',
        who,
        from: address,
      });
    this.#count(stream);
    const agent = session.facts.agentName;
    const refuse = (refusal: CodedError): void => {
      if (refusal.code === 'service_access_denied') this.#recordRefusal(refusal, address);
      refuseCall(response, refusal);
    };
    const options = { request, response, stream, open, agent, refuse };
    if (socket === undefined) passCall(options);
    else passUpgrade(options, socket);
  }

  /** Errors: service_agent_offline, service_agent_too_old. */
  #sessionOf(agentId: string): Session {
    const session = this.#needs.sessions.of(agentId);
    if (session?.isOpen !== true) throw serviceFault('service_agent_offline', {});
    if (!session.hasStreams) throw serviceFault('service_agent_too_old', {});
    return session;
  }

  #count(stream: Stream): void {
    const { queuegate_service_streams: gauge } = this.#needs.metrics.instruments;
    this.#streams += 1;
    gauge.set(this.#streams);
    stream.once('close', () => {
      this.#streams -= 1;
      gauge.set(this.#streams);
    });
  }

  #callerOf(rules: CallerRules, request: IncomingMessage, address: string) {
    try {
      return rules.callerOf(request.socket, address, request.method ?? '');
    } catch (error) {
      if (isCoded(error)) this.#recordRefusal(error, address);
      throw error;
    }
  }

  #recordRefusal(fault: CodedError, address: string): void {
    this.#needs.refusals.record(fault, { address, listener: 'service' });
  }
}

function viewOf({ record, listener, reason }: Kept): ExposureView {
  return { record, state: listener.isOpen ? 'listening' : 'closed', reason };
}
