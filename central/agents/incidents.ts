// Records what an administrator should look at (a key under somebody else's id, clones, a log that went back in time), and
// keeps a stranger from filling the store with it: one record per kind and peer each minute.
import type { Logger } from 'pino';
import { textOf } from '../../shared/errors.ts';
import type { Incident } from '../store/store.ts';

const QUIET_MS = 60_000;
const MAX_REMEMBERED = 10_000;

export interface IncidentPort {
  recordIncident(incident: Incident): Promise<void>;
}

export class Incidents {
  readonly #store: IncidentPort;
  readonly #log: Logger;
  readonly #lastAt = new Map<string, number>();

  constructor(store: IncidentPort, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Never throws and is not waited for: the refusal it belongs to stands by itself. */
  record(incident: { kind: string; agentId: string | null; address: string | null; at: number; detail: Readonly<Record<string, unknown>> }): void {
    const key = `${incident.kind} ${incident.agentId ?? ''} ${incident.address ?? ''}`;
    const last = this.#lastAt.get(key);
    if (last !== undefined && incident.at - last < QUIET_MS) return;
    if (this.#lastAt.size >= MAX_REMEMBERED) this.#lastAt.clear();
    this.#lastAt.set(key, incident.at);
    this.#log.warn({ kind: incident.kind, agent: incident.agentId, address: incident.address, ...incident.detail }, 'incident');
    this.#store.recordIncident({ ...incident, detail: JSON.stringify(incident.detail) }).catch((error: unknown) => {
      // The store reports its own failure and ends the process; this line only says what was lost with it.
      this.#log.error({ kind: incident.kind, error: textOf(error) }, 'incident not recorded');
    });
  }
}
