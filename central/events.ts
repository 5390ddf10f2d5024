// Carries what happens in one part of Central to parts that are opened after it. An emitter does not know its
// listeners; central/composition/event-wiring.ts subscribes them all.
import type { AgentControl } from '../shared/wire/messages.ts';
import type { ParameterValues } from './parameters/definitions.ts';
import type { ServerCredentials } from './pki/server/slots.ts';
import type { Session, SessionFacts } from './sessions/session.ts';

/** Each event with its arguments. */
export interface CentralEvents {
  /** A session is open: its agent may have missed something. */
  agentOnline: [session: Session];
  /** A session is over; a newer one of the agent may be open. */
  agentOffline: [facts: SessionFacts];
  /** An agent sent a frame about certificates or trust. */
  agentControl: [session: Session, frame: AgentControl];
  /** Other values apply on this node. */
  parametersChanged: [values: ParameterValues, before: ParameterValues];
  /** No agent is admitted from now on. */
  maintenanceEnabled: [];
  /** New handshakes must show this certificate. */
  certificateReplaced: [credentials: ServerCredentials];
  /** Another generation of the authority signs, by an act at this node or at another one. */
  signerReplaced: [];
}

type Listener<P extends readonly unknown[]> = (...payload: P) => void;

export class Events<T extends { [N in keyof T]: readonly unknown[] }> {
  readonly #listeners: { [N in keyof T]?: Listener<T[N]>[] } = {};

  on<N extends keyof T>(name: N, listener: Listener<T[N]>): void {
    this.#listeners[name] = [...(this.#listeners[name] ?? []), listener];
  }

  /**
   * Calls the listeners before it returns, in the order in which they subscribed. What one throws goes to the emitter.
   */
  emit<N extends keyof T>(name: N, ...payload: T[N]): void {
    for (const listener of this.#listeners[name] ?? []) listener(...payload);
  }
}
