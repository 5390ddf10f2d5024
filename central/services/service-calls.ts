// Decides about each call of a service, whichever port it came by, and passes it: the form of the request, the role of
// the caller, and the bounds of all calls together.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import { whenClosed } from '../../shared/http/closed.ts';
import { READING_METHODS, SERVICE_METHODS } from '../../shared/http/service-path.ts';
import { jsonPayload } from '../../shared/session/streams/frames.ts';
import type { RefusalAudit } from '../auth/records/refusal-audit.ts';
import type { AgentStreams } from '../forwarding/agent-streams.ts';
import type { StreamCaller } from '../forwarding/node-calls.ts';
import type { Metrics } from '../metrics.ts';
import { normalAddress } from '../parameters/address-access.ts';
import type { CallerRules } from './caller-rules.ts';
import { refuseCall } from './caller-server.ts';
import { serviceFault } from './errors.ts';
import { openOf, requestFault, upgradeFault, upgradeOf } from './request-rules.ts';
import { passCall, passUpgrade } from './service-call.ts';
import { WebSocketPlaces } from './websocket-places.ts';
import type { WriteAudit } from './write-audit.ts';

/** Each may make Central keep 256 KiB. */
const MAX_STREAMS_IN_ALL = 1_000;
/** Names of services that the metrics tell apart, of those that callers name: each is a time series. */
const MAX_NAMES = 200;
const OTHER_NAMES = 'other';

const FAULTS = { offline: 'service_agent_offline', 'too-old': 'service_agent_too_old', full: 'streams_full' } as const;

/** What a call is for. */
export interface Destination {
  readonly agentId: string;
  readonly service: string;
  /** As the service gets it. */
  readonly target: string;
  /** What callers have in front of the paths of the service; empty: nothing. */
  readonly prefix: string;
}

/** A port of services, and whom it lets in. */
interface CallPort {
  readonly rules: CallerRules;
  /** For the audit log; null: the port of all services. */
  readonly exposure: string | null;
  /** The service of all calls; null: their targets name it. */
  readonly service: string | null;
  /** Of a request whose form and caller are accepted. Errors: agent_unknown, service_address_unknown. */
  readonly destinationOf: (target: string) => Destination | Promise<Destination>;
}

interface ServiceCallsNeeds {
  readonly agentStreams: Pick<AgentStreams, 'open'>;
  readonly writes: Pick<WriteAudit, 'record'>;
  readonly refusals: Pick<RefusalAudit, 'record'>;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'error'>;
}

interface Call {
  readonly port: CallPort;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Where a WebSocket is asked for. */
  readonly socket: Socket | undefined;
  readonly address: string;
  /** For the metrics. */
  name: string;
}

export class ServiceCalls {
  readonly #needs: ServiceCallsNeeds;
  #streams = 0;
  readonly #websockets = new WebSocketPlaces();
  readonly #names = new Set<string>();

  constructor(needs: ServiceCallsNeeds) {
    this.#needs = needs;
  }

  /** Answers the request. With the socket, where a WebSocket is asked for. */
  answer(port: CallPort, request: IncomingMessage, response: ServerResponse, socket?: Socket): void {
    const address = normalAddress(request.socket.remoteAddress);
    const call: Call = { port, request, response, socket, address, name: port.service ?? OTHER_NAMES };
    const count = (): void => {
      const status = response.headersSent ? String(response.statusCode) : 'none';
      this.#needs.metrics.instruments.queuegate_service_requests_total.inc({ service: call.name, status });
    };
    if (socket === undefined) whenClosed(response, count);
    else socket.once('close', count);
    this.#pass(call).catch((error: unknown) => this.#refuse(call, error));
  }

  /** Errors: those of SERVICE_ERRORS, agent_unknown. */
  async #pass(call: Call): Promise<void> {
    const { port, request, response, socket, address } = call;
    const { method = '' } = request;
    const { who, role } = this.#callerOf(call);
    const destination = await port.destinationOf(request.url ?? '');
    // The caller has left meanwhile: what counts for a socket ends with an event that has passed.
    if (hasLeft(call)) return;
    const { agentId, service } = destination;
    const open =
      socket === undefined
        ? openOf(request, { ...destination, address })
        : upgradeOf(request, { ...destination, address, role });
    if (jsonPayload(open) === undefined) throw serviceFault('service_headers_too_large', {});
    if (socket !== undefined) this.#websockets.enter(`${agentId} ${address}`, socket);
    const { stream, agentName } = await this.#opened(agentId, open, { who, from: address });
    if (hasLeft(call)) return void stream.destroy();
    if (socket !== undefined || !READING_METHODS.some((reading) => reading === method))
      this.#needs.writes.record({
        exposure: port.exposure,
        agent: agentId,
        service,
        method: socket === undefined ? method : 'WEBSOCKET',
        who,
        from: address,
      });
    // Only then it is a service, and not what a caller has typed.
    stream.once('head', () => (call.name = port.service ?? this.#nameOf(service)));
    const refuse = (refusal: CodedError): void => {
      if (refusal.code === 'service_access_denied') this.#recordRefusal(refusal, address);
      this.#countRefusal(refusal);
      refuseCall(response, refusal);
    };
    const options = {
      request,
      response,
      stream,
      open,
      agent: agentName,
      prefix: destination.prefix,
      refuse,
    };
    if (socket === undefined) passCall(options);
    else passUpgrade(options, socket);
  }

  #refuse({ response, port }: Call, error: unknown): void {
    const fault = isCoded(error) ? error : serviceFault('service_failed', {}, error);
    if (!isCoded(error))
      this.#needs.log.error({ error: textOf(error), exposure: port.exposure }, 'a call failed unexpectedly');
    this.#countRefusal(fault);
    refuseCall(response, fault, fault.code === 'service_method_denied' ? SERVICE_METHODS.join(', ') : undefined);
  }

  /** Errors: those of requestFault and upgradeFault, service_access_denied, service_certificate_required. */
  #callerOf({ port, request, socket, address }: Call) {
    try {
      const fault = socket === undefined ? requestFault(request) : upgradeFault(request);
      if (fault !== undefined) throw fault;
      return port.rules.callerOf(request.socket, address, request.method ?? '');
    } catch (error) {
      if (isCoded(error)) this.#recordRefusal(error, address);
      throw error;
    }
  }

  /** Errors: service_agent_offline, service_agent_too_old, streams_full, and those of AgentStreams. */
  async #opened(agentId: string, open: object, caller: StreamCaller) {
    const { agentStreams, metrics } = this.#needs;
    if (this.#streams >= MAX_STREAMS_IN_ALL) throw serviceFault('streams_full', {});
    const count = (change: number): void => {
      this.#streams += change;
      metrics.instruments.queuegate_service_streams.set(this.#streams);
    };
    // From now on: another node is asked meanwhile.
    count(1);
    const answer = await agentStreams.open(agentId, open, caller).catch((error: unknown) => {
      count(-1);
      throw error;
    });
    if (answer.kind === 'opened') {
      whenClosed(answer.stream, () => count(-1));
      return answer;
    }
    count(-1);
    throw serviceFault(FAULTS[answer.kind], {});
  }

  #nameOf(service: string): string {
    if (this.#names.size < MAX_NAMES) this.#names.add(service);
    return this.#names.has(service) ? service : OTHER_NAMES;
  }

  /** Its code is one of Central's tables, also where an agent has refused the call. */
  #countRefusal({ code }: CodedError): void {
    this.#needs.metrics.instruments.queuegate_service_refusals_total.inc({ code });
  }

  #recordRefusal(fault: CodedError, address: string): void {
    this.#needs.refusals.record(fault, { address, listener: 'service' });
  }
}

function hasLeft({ response, socket }: Call): boolean {
  return response.closed || socket?.destroyed === true;
}
