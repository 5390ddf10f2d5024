// Records incidents for administrators (a key under another agent's id, clones, a restored log), once per interval and
// cause with a count. An agent that has proven its key is the cause; for a stranger it is the block of the address,
// whatever id they name.
import type { Logger } from 'pino';
import { textOf } from '../../shared/errors.ts';
import { addressBlock } from '../auth/address-rules.ts';
import { INCIDENT_INTERVAL_MS } from '../store/space/bounds.ts';
import type { NewIncident } from '../store/agent-store.ts';

/** Kinds that only an agent with a proven key can cause. All others count as a stranger's, which is the safe side. */
const OF_AGENTS: ReadonlySet<string> = new Set([
  'clone',
  'agent_name_taken',
  'agent_revoked',
  'certificate_required',
  'certificate_foreign',
  'certificate_expired',
  'certificate_renewed_twice',
  'certificate_expired_in_grace',
]);
/**
 * Kinds that strangers cause against a registered agent, and whose number central/auth/records/attempt-records.ts bounds: each
 * attacked agent gets a record, also when the same address has attacked another one before.
 */
const AGAINST_AGENTS: ReadonlySet<string> = new Set(['wrong_recovery_codes']);
/**
 * Blocks of one kind in an interval that get a row and a log line of their own; all others share one. A site has fewer
 * faulty hosts.
 */
const MAX_BLOCKS = 100;

interface IncidentPort {
  recordIncident(incident: NewIncident): Promise<void>;
}

interface IncidentReport {
  readonly kind: string;
  readonly agentId: string | null;
  readonly address: string | null;
  readonly at: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

interface Cause {
  readonly first: NewIncident;
  /** Happened and not yet counted in the store. */
  waiting: number;
  lastAt: number;
}

export class Incidents {
  readonly #store: IncidentPort;
  readonly #log: Logger;
  /**
   * Of this interval. Strangers have at most MAX_BLOCKS + 1 of each kind, agents one of each kind: no entry has to be
   * evicted.
   */
  readonly #causes = new Map<string, Cause>();
  readonly #blocks = new Map<string, number>();

  constructor(store: IncidentPort, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Never throws and is not awaited: the refusal does not depend on it. */
  record(report: IncidentReport): void {
    const { kind, agentId, address, at } = report;
    const byAgent = agentId !== null && OF_AGENTS.has(kind);
    const block =
      AGAINST_AGENTS.has(kind) && agentId !== null
        ? `${addressBlock(address ?? '')} ${agentId}`
        : addressBlock(address ?? '');
    const key = byAgent ? `${kind} of ${agentId}` : `${kind} from ${block}`;
    if (this.#counted(key, at)) return;
    if (byAgent) return this.#open(key, { ...report, detail: JSON.stringify(report.detail), by: 'agent' });
    const blocks = this.#blocks.get(kind) ?? 0;
    if (blocks < MAX_BLOCKS) {
      this.#blocks.set(kind, blocks + 1);
      return this.#open(key, { ...report, detail: JSON.stringify(report.detail), by: 'stranger', block });
    }
    const others = `${kind} from others`;
    if (this.#counted(others, at)) return;
    const detail = JSON.stringify({
      text: `more than ${MAX_BLOCKS} addresses within ${INCIDENT_INTERVAL_MS / 60_000} minutes; these are counted together`,
    });
    this.#open(others, { kind, agentId: null, address: null, at, detail, by: 'stranger', block: '' });
  }

  /**
   * Writes the counts and drops the causes whose interval is over. Called every few seconds, and before the store
   * stops.
   */
  async flush(now: number): Promise<void> {
    const counted: Promise<void>[] = [];
    for (const [key, cause] of this.#causes) {
      const { first, waiting, lastAt } = cause;
      if (waiting > 0) counted.push(this.#write({ ...first, at: lastAt, count: waiting }));
      cause.waiting = 0;
      if (now - first.at < INCIDENT_INTERVAL_MS) continue;
      this.#causes.delete(key);
      if (first.by === 'stranger' && first.block !== '')
        this.#blocks.set(first.kind, (this.#blocks.get(first.kind) ?? 1) - 1);
    }
    await Promise.all(counted);
  }

  #counted(key: string, at: number): boolean {
    const cause = this.#causes.get(key);
    if (cause === undefined) return false;
    cause.waiting += 1;
    cause.lastAt = at;
    return true;
  }

  #open(key: string, first: NewIncident): void {
    this.#causes.set(key, { first, waiting: 0, lastAt: first.at });
    const { kind, agentId, address, detail } = first;
    this.#log.warn({ kind, agent: agentId, address, detail }, 'incident');
    void this.#write(first);
  }

  async #write(incident: NewIncident): Promise<void> {
    try {
      await this.#store.recordIncident(incident);
    } catch (error) {
      // The store reports its own failure and ends the process; this line only logs what was lost.
      this.#log.error({ kind: incident.kind, error: textOf(error) }, 'incident not recorded');
    }
  }
}
