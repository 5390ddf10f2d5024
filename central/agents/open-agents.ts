// Opens what Central does with the agents of its registry: lookup, renewal and revocation of their certificates, rules
// of their names.
import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Pki } from '../pki/open-pki.ts';
import { AgentRate, RENEWAL_BURST, SECONDS_PER_RENEWAL } from '../sessions/limits/agent-rate.ts';
import type { SessionsOfAll } from '../sessions/online/sessions-of-all.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import type { NoteQueue } from '../store/nodes/note-queue.ts';
import type { Store } from '../store/store.ts';
import type { Incidents } from './incidents.ts';
import { createAgentChanges, type AgentChanges } from './acts/changes.ts';
import { Drains } from './acts/drains.ts';
import { DrainsElsewhere } from './acts/drains-elsewhere.ts';
import { AgentDirectory } from './directory.ts';
import { ExpiredCommands } from './expired-commands.ts';
import { ConsumerReports } from './consumer-reports.ts';
import { NameReport } from './name-faults.ts';
import { QuotaReport } from './quota-report.ts';
import { DeviceCertificates } from './devices/certificates.ts';
import { Renewals } from './renewal.ts';
import { createRevocations, type Revocations } from './revocation.ts';

interface AgentsNeeds {
  readonly store: Pick<Store, 'agents' | 'audit' | 'certificates' | 'outbox'>;
  readonly pki: Pick<Pki, 'authority' | 'identity' | 'revocationLists'>;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly sessions: Sessions;
  readonly sessionsOfAll: SessionsOfAll;
  readonly nodeNotes: NoteQueue;
  readonly nodes: { readonly self: string; list(): readonly NodeRecord[] };
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  readonly incidents: Incidents;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
}

interface Agents {
  readonly agents: AgentDirectory;
  readonly names: NameReport;
  readonly quotas: QuotaReport;
  readonly renewals: Renewals;
  readonly revocations: Revocations;
  readonly agentChanges: AgentChanges;
  readonly drains: Drains;
  readonly drainsElsewhere: DrainsElsewhere;
  readonly consumerReports: ConsumerReports;
  readonly expiredCommands: ExpiredCommands;
  readonly deviceCertificates: DeviceCertificates;
}

export async function openAgents(needs: AgentsNeeds): Promise<Agents> {
  const { store, pki, parameters, sessions, incidents, metrics, log, now } = needs;
  const { agents, certificates } = store;
  const names = new NameReport({ agents, log, now });
  await names.measure();
  const drainsElsewhere = new DrainsElsewhere({ ...needs, notes: needs.nodeNotes });
  return {
    agents: new AgentDirectory(agents),
    names,
    quotas: new QuotaReport({ agents, now }),
    renewals: new Renewals({
      agents,
      certificates,
      authority: pki.authority,
      lifetimeDays: () => parameters.values()['agents.certificate.lifetimeDays'],
      online: async () => needs.sessionsOfAll.count(),
      rate: new AgentRate(RENEWAL_BURST, SECONDS_PER_RENEWAL, now),
      incidents,
      metrics,
      log,
      now,
    }),
    consumerReports: new ConsumerReports({ agents, sessionOf: (id) => sessions.of(id), log, now }),
    expiredCommands: new ExpiredCommands({
      outbox: store.outbox,
      onRecorded: (count) => metrics.instruments.queuegate_messages_expired_total.inc({ place: 'agent' }, count),
      log,
      now,
    }),
    deviceCertificates: new DeviceCertificates({
      agents,
      certificates,
      authority: pki.authority,
      centralNames: () => pki.identity.names(),
      lifetimeDays: () => parameters.values()['agents.certificate.lifetimeDays'],
      rate: new AgentRate(RENEWAL_BURST, SECONDS_PER_RENEWAL, now),
      metrics,
      log,
      now,
    }),
    agentChanges: createAgentChanges({ agents, sessions, now }),
    drains: new Drains({
      sessions: needs.sessionsOfAll,
      elsewhere: drainsElsewhere,
      audit: store.audit,
      log,
      now,
      every: repeat,
    }),
    drainsElsewhere,
    revocations: createRevocations({ agents, certificates, sessions, lists: pki.revocationLists, log, now }),
  };
}

function repeat(ms: number, run: () => void): () => void {
  const timer = setInterval(run, ms).unref();
  return () => clearInterval(timer);
}
