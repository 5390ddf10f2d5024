// The port of all services (services.port): /AGENT/SERVICE/ and the path of the service. Who may call is in the
// parameters services.*. The listeners bind, move and close the port (central/listeners/reconcile.ts).
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Credentials } from '../listeners/tls.ts';
import { parseCallerRule } from '../parameters/caller-rule.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import { differs } from '../parameters/values.ts';
import type { AgentStore } from '../store/agent-store.ts';
import { storeFault } from '../store/errors.ts';
import { CallerRules } from './caller-rules.ts';
import { CallerServer } from './caller-server.ts';
import { serviceFault } from './errors.ts';
import type { Destination, ServiceCalls } from './service-calls.ts';

interface ServicesPortNeeds {
  readonly agents: Pick<AgentStore, 'findByReference'>;
  readonly values: () => ParameterValues;
  readonly credentials: () => Credentials;
  readonly deadlineMs: () => number;
  /** Connections at once. */
  readonly places: () => number;
  readonly calls: Pick<ServiceCalls, 'answer'>;
  readonly log: Pick<Logger, 'debug'>;
}

/** The agent, the service, and the target behind them. */
const TARGET = /^\/([^/?]+)\/([a-z0-9-]{1,32})(\/.*)$/;
/** Of an id. */
const MAX_REFERENCE = 255;

export class ServicesPort {
  readonly #needs: ServicesPortNeeds;
  /** From the first connection on, until the rules change. */
  #server: CallerServer | undefined;

  constructor(needs: ServicesPortNeeds) {
    this.#needs = needs;
  }

  /** Takes a connection that the listener has accepted. */
  readonly accept = (socket: Socket): void => {
    this.#server ??= this.#serve();
    this.#server.accept(socket);
  };

  /** New handshakes show this certificate. */
  show(credentials: Credentials): void {
    this.#server?.show(credentials);
  }

  /** Connections that were made by other rules end, and all where the port is closed. */
  onParametersChanged(values: ParameterValues, before: ParameterValues): void {
    const isClosed = values['services.port'] === 0 && before['services.port'] !== 0;
    if (isClosed || differs(values, before, 'services.allow', 'services.clientCa')) this.stop();
  }

  /** Its connections end. */
  stop(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  #serve(): CallerServer {
    const { values, credentials, deadlineMs, places, calls, log } = this.#needs;
    const { 'services.allow': rules, 'services.clientCa': authorities } = values();
    const clientCa = authorities === '' ? null : authorities;
    const port = {
      rules: new CallerRules({ allow: rules.flatMap((text) => parseCallerRule(text) ?? []), clientCa }),
      exposure: null,
      service: null,
      destinationOf: (target: string) => this.#destinationOf(target),
    };
    return new CallerServer({
      credentials: credentials(),
      clientCa,
      deadlineMs,
      places,
      onRequest: (request, response) => calls.answer(port, request, response),
      onUpgrade: (request, response, socket) => calls.answer(port, request, response, socket),
      onFailure: (fault, address) => log.debug({ cause: fault.code, address }, 'a handshake failed'),
    });
  }

  /** By the id or the whole name of the agent. Errors: agent_unknown, service_address_unknown. */
  async #destinationOf(text: string): Promise<Destination> {
    const [, segment = '', service, target] = TARGET.exec(text) ?? [];
    const reference = decoded(segment);
    if (service === undefined || target === undefined || reference === undefined)
      throw serviceFault('service_address_unknown', {});
    const [found] = await this.#needs.agents.findByReference(reference, 1);
    if (found === undefined || !(found.id === reference || found.name.toLowerCase() === reference.toLowerCase()))
      throw storeFault('agent_unknown', { id: reference });
    return { agentId: found.id, service, target, prefix: `/${encodeURIComponent(reference)}/${service}` };
  }
}

function decoded(segment: string): string | undefined {
  try {
    const reference = decodeURIComponent(segment);
    return reference.length > 0 && reference.length <= MAX_REFERENCE ? reference : undefined;
  } catch {
    // Not UTF-8: the name of no agent.
    return undefined;
  }
}
