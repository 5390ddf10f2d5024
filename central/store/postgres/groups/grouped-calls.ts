// The calls that come of many agents at once, as calls for all of them: logins, ends of sessions, what agents report behind
// their welcome, and what is read for each session.
import type { OutboxEntry } from '../../../../shared/delivery/log-interfaces.ts';
import type { WorkerHost } from '../../../../shared/sqlite/worker/host.ts';
import type { EngineStore } from '../../memory/committed.ts';
import type { AgentRecord, AgentStore, ClaimTerms, ConsumerReport, Login, SessionClaim } from '../../agent-store.ts';
import type { CertificateStore } from '../../certificate-store.ts';
import type { OutboxStore } from '../../message-store.ts';
import type { RevertedPart, RolloutStore } from '../../rollouts/rollout-store.ts';
import type { ExposureStore, ReportedServices } from '../../services/exposure-store.ts';
import { reportDocument } from '../../sql/document-reports.ts';
import type { TaskHandlersReport, TaskStore } from '../../tasks/task-store.ts';
import type { PostgresReads } from '../threads/postgres-reader.ts';
import type { PostgresWrites } from '../threads/postgres-writer.ts';
import { Groups } from './groups.ts';
import type { DocumentReport, ReleaseReport, SessionEnd } from './reports.ts';

/** What agents report once they are in would keep the next ones waiting longer than they wait for an answer. */
const FIRST = { first: true } as const;
const LAZY = { lazy: true } as const;
/** Some 50 ms under the lock of all nodes. */
const MAX_CONSUMER_REPORTS = 500;

interface GroupedCalls {
  readonly agents: Pick<AgentStore, 'endSession' | 'get' | 'logIn' | 'recordConsumers'>;
  readonly certificates: Pick<CertificateStore, 'recordTrust' | 'trustOf'>;
  readonly outbox: Pick<OutboxStore, 'read'>;
  readonly exposures: Pick<ExposureStore, 'recordServices'>;
  readonly rollouts: Pick<RolloutStore, 'recordReported'>;
  readonly tasks: Pick<TaskStore, 'recordHandlers'>;
  /** Until all of them so far are on their way. */
  settled(): Promise<void>;
}

interface Whole<R> extends DocumentReport {
  /** For a call of its own. */
  readonly whole: R;
}

interface Threads {
  readonly writer: Pick<WorkerHost<PostgresWrites>, 'call'>;
  readonly reader: Pick<WorkerHost<PostgresReads>, 'call'>;
}

/** `calls`: those for one agent. */
export function groupedCalls(
  threads: Threads,
  calls: Pick<EngineStore, 'agents' | 'certificates' | 'exposures' | 'outbox' | 'rollouts' | 'tasks'>,
): GroupedCalls {
  const { writer } = threads;
  const reads = groupedReads(threads, calls);
  const logins = new Groups<{ readonly claim: SessionClaim; readonly terms: ClaimTerms }, Login>({
    many: (requests) => writer.call('logInMany', [requests], FIRST),
    alone: ({ claim, terms }) => writer.call('logIn', [claim, terms], FIRST),
  });
  const ends = new Groups<SessionEnd, unknown>({
    many: (group) => writer.call('endSessions', [group]),
    alone: (end) => calls.agents.endSession(end),
  });
  const trust = new Groups<Parameters<CertificateStore['recordTrust']>, unknown>({
    many: (group) =>
      writer.call('recordTrustOfMany', [group.map(([agentId, thumbprints]) => ({ agentId, thumbprints }))], LAZY),
    alone: (call) => calls.certificates.recordTrust(...call),
  });
  const releases = new Groups<ReleaseReport, readonly RevertedPart[]>({
    many: (group) => writer.call('recordReleasesOfMany', [group]),
    alone: ({ agentId, releases: reported, causes, now }) =>
      calls.rollouts.recordReported(agentId, reported, causes, now),
  });
  const services = new Groups<Whole<ReportedServices>, unknown>({
    many: (group) => writer.call('recordServicesOfMany', [group.map(withoutWhole)], LAZY),
    alone: ({ agentId, epoch, whole }) => calls.exposures.recordServices(agentId, epoch, whole),
    bytesOf: ({ report }) => report.length,
  });
  const handlers = new Groups<Whole<TaskHandlersReport>, unknown>({
    many: (group) => writer.call('recordHandlersOfMany', [group.map(withoutWhole)], LAZY),
    alone: ({ agentId, epoch, whole }) => calls.tasks.recordHandlers(agentId, epoch, whole),
    bytesOf: ({ report }) => report.length,
  });
  const all = [logins, ends, trust, releases, services, handlers];
  return {
    async settled() {
      await Promise.all(all.map((groups) => groups.settled()));
    },
    agents: {
      get: reads.get,
      logIn: (claim, terms) => logins.call({ claim, terms }),
      endSession: async (end) => void (await ends.call(end)),
      async recordConsumers(reports) {
        const changed: string[] = [];
        for (const some of consumerGroups(reports))
          changed.push(...(await writer.call('recordConsumersOfMany', [some], LAZY)));
        return changed;
      },
    },
    certificates: {
      recordTrust: async (...call) => void (await trust.call(call)),
      trustOf: reads.trustOf,
    },
    outbox: { read: reads.commands },
    exposures: {
      async recordServices(agentId, epoch, whole) {
        await services.call({ agentId, epoch, report: reportDocument(whole), whole });
      },
    },
    rollouts: {
      recordReported: (agentId, reported, causes, now) => releases.call({ agentId, releases: reported, causes, now }),
    },
    tasks: {
      async recordHandlers(agentId, epoch, whole) {
        await handlers.call({ agentId, epoch, report: reportDocument(whole), queues: whole.queues ?? [], whole });
      },
    },
  };
}

function groupedReads({ reader }: Threads, calls: Pick<EngineStore, 'agents' | 'certificates' | 'outbox'>) {
  const agents = new Groups<string, AgentRecord | undefined>({
    many: (ids) => reader.call('getAgents', [ids]),
    alone: (id) => calls.agents.get(id),
  });
  const trusts = new Groups<string, readonly string[] | null>({
    many: (ids) => reader.call('trustOfMany', [ids]),
    alone: (id) => calls.certificates.trustOf(id),
  });
  const outboxes = new Groups<Parameters<OutboxStore['read']>, OutboxEntry[]>({
    many: async (reads) =>
      (await reader.call('areUpToDate', [reads.map(([agentId, after]) => ({ agentId, after }))])).map((isUpToDate) =>
        isUpToDate ? [] : 'alone',
      ),
    alone: (read) => calls.outbox.read(...read),
  });
  return {
    get: (id: string) => agents.call(id),
    trustOf: (id: string) => trusts.call(id),
    commands: (...read: Parameters<OutboxStore['read']>) => outboxes.call(read),
  };
}

/** In their order; an agent comes once in each. */
function consumerGroups(reports: readonly ConsumerReport[]): ConsumerReport[][] {
  const groups: ConsumerReport[][] = [];
  let agents = new Set<string>();
  for (const report of reports) {
    const last = groups.at(-1);
    if (last === undefined || last.length === MAX_CONSUMER_REPORTS || agents.has(report.agentId)) {
      groups.push([report]);
      agents = new Set();
    } else last.push(report);
    agents.add(report.agentId);
  }
  return groups;
}

function withoutWhole({ agentId, epoch, report, queues }: DocumentReport): DocumentReport {
  return queues === undefined ? { agentId, epoch, report } : { agentId, epoch, report, queues };
}
