// The methods of the writing thread, composed over one connection.
import type { SqlDatabase } from '../../../shared/sqlite/sql.ts';
import type { OutboxBounds } from '../../../shared/delivery/log-interfaces.ts';
import { readMessageFrames, releaseFrames, type MessageFrame } from '../../../shared/delivery/message-frames.ts';
import { InboxLog } from '../../../shared/sqlite/logs/inbox-log.ts';
import { OutboxLog } from '../../../shared/sqlite/logs/outbox-log.ts';
import type { Row } from '../../../shared/sqlite/row.ts';
import { agentRecord, agentRows } from './rows/agents/agent-reads.ts';
import { agentWrites } from './rows/agents/agents.ts';
import { DEFAULT_BOUNDS, type StoreBounds, type StoreSpace, type SpaceKeeper } from '../space/bounds.ts';
import type { ClaimedSession, ClaimTerms, Login, SessionClaim, NewIncident } from '../agent-store.ts';
import { meetsTerms } from '../agents/claim-terms.ts';
import type { AuditEntry } from '../audit-store.ts';
import type { CommittedEvents } from '../message-store.ts';
import { audited, auditWrites, rehearsed } from './rows/audit.ts';
import { commandWithdrawal } from './rows/commands.ts';
import { certificateWrites } from './rows/certificates.ts';
import { enrollmentWrites } from './rows/enrollments.ts';
import { dayQuotas } from './rows/day-quota.ts';
import { deadLetterWrites } from './rows/dead-letters.ts';
import { idempotencyWrites } from './rows/idempotency-keys.ts';
import { incidentWrites } from './rows/incidents.ts';
import { maintenanceWrites } from './rows/maintenance.ts';
import { messageWrites } from './rows/messages.ts';
import { packAppended, unpackMessages, type PackedAppended, type PackedMessages } from './packed-items.ts';
import { keyMaterialWrites, parameterWrites } from './rows/parameters.ts';
import { conversionWrites } from './events/conversion.ts';
import { SeenEvents } from './events/seen-events.ts';
import { clockWrites, retentionWrites } from './retention.ts';
import { rolloutWrites } from './rollouts/rollouts.ts';
import { blobWrites } from './releases/blobs.ts';
import { profileWrites } from './releases/profiles.ts';
import { releaseWrites } from './releases/releases.ts';
import { signInWrites } from './sign-ins/sign-ins.ts';
import { exposureWrites } from './services/exposures.ts';
import { subscriptionWrites } from './subscriptions/subscriptions.ts';
import { taskId } from '../tasks/task-steps.ts';
import { taskWrites } from './tasks/tasks.ts';
import type { NewQueuedTask, NewTask, QueueBounds, TaskCreation, TaskRecord } from '../tasks/task-store.ts';
import { tokenWrites } from './rows/tokens.ts';

interface WritesOptions {
  readonly deduplicationMs: number;
  readonly space: Pick<SpaceKeeper, 'report' | 'setReserve' | 'take'>;
  readonly now: () => number;
  /** Central's own name and host names: no agent takes them. */
  readonly namesOfCentral: readonly string[];
  /**
   * A long read begins (true) or ends: the write-ahead log cannot be truncated meanwhile, and no commit may wait for
   * that.
   */
  readonly holdLog: (held: boolean) => void;
  /** A group of calls may run a second time: what they got is kept until then. */
  readonly runsAgain?: boolean;
  /** Where others write too: gives the first of so many cursors. */
  readonly takeCursors?: (count: number) => number;
}

/** Estimates of the rows and indexes of a command, and of an agent with its first certificates, besides their texts. */
const COMMAND_COST = 768;
const AGENT_COST = 32 * 1024;
/** A rollout's document, and the row of an agent in it with its last error. */
const ROLLOUT_COST = 16 * 1024;
const ROLLOUT_AGENT_COST = 1024;
/** A subscription with its attempts. */
const SUBSCRIPTION_COST = 512 * 1024;
/** A task with its arguments, the command that starts it, and the ends of what it wrote. */
const TASK_COST = 64 * 1024;
/** An audit entry about refusals, with the page that it may need. */
const REFUSALS_COST = 4 * 1024;

export type Writes = ReturnType<typeof createWrites>;

export function createWrites(database: SqlDatabase, options: WritesOptions) {
  const outbox = new OutboxLog(database, options.deduplicationMs);
  const seen = new SeenEvents(database, options.deduplicationMs);
  const inbox = new InboxLog(database, options.deduplicationMs, seen);
  const audit = auditWrites(database);
  const namesOfCentral = new Set(options.namesOfCentral.map((name) => name.toLowerCase()));
  const tokens = tokenWrites(database, options.now, namesOfCentral);
  const incidents = incidentWrites(database);
  const certificates = certificateWrites(database);
  let bounds: StoreBounds = DEFAULT_BOUNDS;
  const bounded = {
    bounds: () => bounds,
    recordIncident: (incident: NewIncident) => incidents.recordIncident(incident),
  };
  const deadLetters = deadLetterWrites(database, bounded);
  const quotas = dayQuotas(database, bounded);
  const agents = agentWrites(database, { outbox, inbox, tokens, certificates, namesOfCentral, now: options.now });
  const { space } = options;
  const enrollments = enrollmentWrites(database, agents);
  const messages = messageWrites(database, {
    outbox,
    inbox,
    seen,
    incidents,
    deadLetters,
    takeRoom: (bytes) => space.take(bytes),
    takeCursors: options.takeCursors,
  });
  const withdrawal = commandWithdrawal(database, { outbox, deadLetters });
  const tasks = taskWrites(database, {
    append: (...call) => messages.appendCommands(...call),
    withdraw: (...call) => withdrawal.withdrawCommand(...call),
  });
  return {
    ...agents,
    ...enrollments,
    ...messages,
    ...deadLetters,
    ...incidents,
    ...certificates,
    ...parameterWrites(database, audit),
    ...keyMaterialWrites(database, audit),
    ...tokens,
    ...audit,
    ...retentionWrites(database, seen),
    ...conversionWrites(database, space),
    ...auditedWrites(audit, { agents, enrollments, certificates, tokens }),
    withdrawCommand: audited(audit, withdrawal, 'withdrawCommand'),
    rehearseWithdrawal: rehearsed(database, withdrawal, 'withdrawCommand'),
    rehearseAcceptance: rehearsed(database, enrollments, 'acceptEnrollment'),
    rehearseReplacement: rehearsed(database, enrollments, 'replaceByRequest'),
    ...clockWrites(database, audit),
    ...maintenanceWrites(database, audit),
    ...idempotencyWrites(database),
    ...signInParts(database, audit),
    ...boundedRollouts(space, audit, rolloutWrites(database, audit)),
    ...releaseParts(database, audit, space),
    ...subscriptionParts(database, audit, space),
    ...exposureParts(database, audit),
    ...taskParts(audit, space, tasks),
    holdLog: options.holdLog,
    ...sessionClaims(database, agents, messages),

    // Calls that add data need room and count against the agent's quotas. All others are essential: they change what is
    // there, free space, or are bounded.
    ...boundedMessages({ space, quotas, messages, releases: options.runsAgain !== true }),
    ...boundedEnrollments({ space, quotas, audit, agents, enrollments }),
    appendRefusals(entry: AuditEntry): void {
      space.take(REFUSALS_COST);
      audit.appendAudit(entry);
    },

    bound(next: StoreBounds): void {
      bounds = next;
      space.setReserve(next.reserveBytes);
    },
    space: (): StoreSpace => space.report(),
  };
}

interface BoundedMessageParts {
  readonly space: WritesOptions['space'];
  readonly quotas: ReturnType<typeof dayQuotas>;
  readonly messages: ReturnType<typeof messageWrites>;
  /** Frames go as soon as they are read. */
  readonly releases: boolean;
}

/** Messages need room; an agent sends so many events, and restarts its log so often, within a day. */
function boundedMessages({ space, quotas, messages, releases }: BoundedMessageParts) {
  return {
    appendEvents(
      agentId: string,
      epoch: number,
      next: number,
      frames: readonly MessageFrame[],
      now: number,
    ): CommittedEvents {
      const items = readMessageFrames(next, frames);
      if (releases) releaseFrames(frames);
      quotas.takeEvents(agentId, items.length, now);
      return messages.appendEvents(agentId, epoch, next, items, now);
    },
    beginInbox(...call: Parameters<typeof messages.beginInbox>) {
      const [agentId, , { incarnation }, now] = call;
      quotas.takeRestart(agentId, incarnation, now);
      return messages.beginInbox(...call);
    },
    appendCommands(agentId: string, packed: PackedMessages, bounds: OutboxBounds, now: number): PackedAppended {
      const commands = unpackMessages(packed);
      space.take(commands.reduce((bytes, { json }) => bytes + json.length, commands.length * COMMAND_COST));
      return packAppended(messages.appendCommands(agentId, commands, bounds, now));
    },
  };
}

/** A new rollout needs room for a row of each of its agents; their states are written into those. */
function boundedRollouts(
  space: WritesOptions['space'],
  audit: ReturnType<typeof auditWrites>,
  rollouts: ReturnType<typeof rolloutWrites>,
) {
  return {
    ...rollouts,
    createRollout(entry: AuditEntry, ...call: Parameters<typeof rollouts.createRollout>) {
      space.take(ROLLOUT_COST + call[1].length * ROLLOUT_AGENT_COST);
      return audited(audit, rollouts, 'createRollout')(entry, ...call);
    },
  };
}

interface BoundedEnrollmentParts {
  readonly space: WritesOptions['space'];
  readonly quotas: ReturnType<typeof dayQuotas>;
  readonly audit: ReturnType<typeof auditWrites>;
  readonly agents: ReturnType<typeof agentWrites>;
  readonly enrollments: ReturnType<typeof enrollmentWrites>;
}

/** New agents and requests need room; an agent enrolls so often within a day. */
function boundedEnrollments({ space, quotas, audit, agents, enrollments }: BoundedEnrollmentParts) {
  return {
    registerAgent(entry: AuditEntry, ...call: Parameters<typeof agents.registerAgent>) {
      space.take(AGENT_COST);
      quotas.takeEnrollment(call[0].id, call[0].now);
      return audited(audit, agents, 'registerAgent')(entry, ...call);
    },
    recoverAgent(entry: AuditEntry, ...call: Parameters<typeof enrollments.recoverAgent>) {
      quotas.takeEnrollment(call[0].agentId, call[0].now);
      return audited(audit, enrollments, 'recoverAgent')(entry, ...call);
    },
    submitEnrollmentRequest(...call: Parameters<typeof enrollments.submitEnrollmentRequest>) {
      space.take(AGENT_COST);
      return enrollments.submitEnrollmentRequest(...call);
    },
  };
}

/** A session with both its logs. */
function sessionClaims(
  database: SqlDatabase,
  agents: ReturnType<typeof agentWrites>,
  messages: ReturnType<typeof messageWrites>,
) {
  const byId = agentRows(database);
  const claim = ({ down, ...session }: SessionClaim, row?: Row): ClaimedSession => {
    const claimed = agents.claimSession(session, row);
    return { ...claimed, ...messages.resumeOutbox(session.agentId, claimed.epoch, down, session.now) };
  };
  return {
    claimSession: (session: SessionClaim): ClaimedSession => claim(session),
    logIn(session: SessionClaim, terms: ClaimTerms): Login {
      const row = byId(session.agentId);
      const agent = row === undefined ? undefined : agentRecord(row);
      if (agent === undefined || !meetsTerms(agent, session, terms)) return { kind: 'found', agent };
      return { kind: 'claimed', claimed: claim(session, row), certificate: agent.certificate };
    },
  };
}

function releaseParts(database: SqlDatabase, audit: ReturnType<typeof auditWrites>, space: Pick<SpaceKeeper, 'take'>) {
  const profiles = profileWrites(database);
  const releases = releaseWrites(database);
  return {
    ...blobWrites(database, (bytes) => space.take(bytes)),
    changeDraft: audited(audit, profiles, 'changeDraft'),
    removeProfile: audited(audit, profiles, 'removeProfile'),
    addRelease: audited(audit, releases, 'addRelease'),
    signRelease: audited(audit, releases, 'signRelease'),
    removeRelease: audited(audit, releases, 'removeRelease'),
  };
}

/** A new subscription needs room for the attempts that are kept of it. */
function subscriptionParts(
  database: SqlDatabase,
  audit: ReturnType<typeof auditWrites>,
  space: Pick<SpaceKeeper, 'take'>,
) {
  const subscriptions = subscriptionWrites(database);
  return {
    recordProgress: (...call: Parameters<typeof subscriptions.recordProgress>) => subscriptions.recordProgress(...call),
    changeSubscription: audited(audit, subscriptions, 'changeSubscription'),
    removeSubscription: audited(audit, subscriptions, 'removeSubscription'),
    createSubscription(entry: AuditEntry, ...call: Parameters<typeof subscriptions.createSubscription>) {
      space.take(SUBSCRIPTION_COST);
      return audited(audit, subscriptions, 'createSubscription')(entry, ...call);
    },
  };
}

function exposureParts(database: SqlDatabase, audit: ReturnType<typeof auditWrites>) {
  const exposures = exposureWrites(database);
  return {
    createExposure: audited(audit, exposures, 'createExposure'),
    changeExposure: audited(audit, exposures, 'changeExposure'),
    removeExposure: audited(audit, exposures, 'removeExposure'),
    recordServices: exposures.recordServices.bind(exposures),
  };
}

/** A new task needs room for its row, its command and its result. */
function taskParts(
  audit: ReturnType<typeof auditWrites>,
  space: Pick<SpaceKeeper, 'take'>,
  tasks: ReturnType<typeof taskWrites>,
) {
  // Its number is known only now.
  const noteTask = (entry: AuditEntry, task: TaskRecord): void => {
    const detail = { task: taskId(task), ...(JSON.parse(entry.detail) as object) };
    audit.appendAudit({ ...entry, detail: JSON.stringify(detail) });
  };
  return {
    ...tasks,
    cancelTask: audited(audit, tasks, 'cancelTask'),
    enqueueTask(entry: AuditEntry, task: NewQueuedTask, bounds: QueueBounds) {
      space.take(TASK_COST);
      const queued = tasks.enqueueTask(task, bounds);
      noteTask(entry, queued);
      return queued;
    },
    createTask(entry: AuditEntry, task: NewTask, terms: TaskCreation) {
      space.take(TASK_COST);
      const created = tasks.createTask(task, terms);
      noteTask(entry, created.task);
      return created;
    },
  };
}

function signInParts(database: SqlDatabase, audit: ReturnType<typeof auditWrites>) {
  const signIns = signInWrites(database);
  return {
    addSignIn: audited(audit, signIns, 'addSignIn'),
    removeSignIn: audited(audit, signIns, 'removeSignIn'),
  };
}

interface AuditedParts {
  readonly agents: ReturnType<typeof agentWrites>;
  readonly enrollments: ReturnType<typeof enrollmentWrites>;
  readonly certificates: ReturnType<typeof certificateWrites>;
  readonly tokens: ReturnType<typeof tokenWrites>;
}

/** What administrators and enrolling agents do. Parameters and key material carry their entry in the change itself. */
function auditedWrites(
  audit: ReturnType<typeof auditWrites>,
  { agents, enrollments, certificates, tokens }: AuditedParts,
) {
  return {
    removeAgent: audited(audit, agents, 'removeAgent'),
    replaceAgent: audited(audit, agents, 'replaceAgent'),
    replaceByRequest: audited(audit, enrollments, 'replaceByRequest'),
    revokeAgent: audited(audit, agents, 'revokeAgent'),
    changeAgent: audited(audit, agents, 'changeAgent'),
    disableAgent: audited(audit, agents, 'disableAgent'),
    enableAgent: audited(audit, agents, 'enableAgent'),
    admitAgent: audited(audit, agents, 'admitAgent'),
    acceptEnrollment: audited(audit, enrollments, 'acceptEnrollment'),
    rejectEnrollment: audited(audit, enrollments, 'rejectEnrollment'),
    putRecoveryCode: audited(audit, enrollments, 'putRecoveryCode'),
    removeRecoveryCode: audited(audit, enrollments, 'removeRecoveryCode'),
    recordDevice: audited(audit, certificates, 'recordDevice'),
    recordIssued: audited(audit, certificates, 'recordIssued'),
    addApiToken: audited(audit, tokens, 'addApiToken'),
    changeApiToken: audited(audit, tokens, 'changeApiToken'),
    removeApiToken: audited(audit, tokens, 'removeApiToken'),
    addEnrollmentToken: audited(audit, tokens, 'addEnrollmentToken'),
    removeEnrollmentToken: audited(audit, tokens, 'removeEnrollmentToken'),
  };
}
