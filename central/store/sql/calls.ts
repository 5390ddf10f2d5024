// The store's interface as calls to the two database threads: which call goes to the writing thread and which to the
// reading one. Holds no rows and runs no SQL.
import { Mutex } from '../../../shared/mutex.ts';
import type { MessageFrame } from '../../../shared/delivery/message-frames.ts';
import type { Message } from '../../../shared/delivery/message.ts';
import { fingerprint, type SeenPlace } from '../../../shared/sqlite/logs/fingerprint.ts';
import type { AgentStore } from '../agent-store.ts';
import type { AuditStore } from '../audit-store.ts';
import type { CertificateStore } from '../certificate-store.ts';
import type { EnrollmentStore } from '../enrollment-store.ts';
import type { KeyMaterialStore } from '../key-material-store.ts';
import type { OutboxStore } from '../message-store.ts';
import type { ParameterStore } from '../parameter-store.ts';
import type { EngineStore } from '../memory/committed.ts';
import { UNUSED_BLOB_MS } from '../releases/release-store.ts';
import type { RetentionLimits } from '../store.ts';
import type { TokenStore } from '../token-store.ts';
import { EventReads } from './event-reads.ts';
import { rolloutCalls } from './rollouts/calls.ts';
import { releaseCalls } from './releases/calls.ts';
import { exposureCalls } from './services/calls.ts';
import { subscriptionCalls } from './subscriptions/calls.ts';
import { taskCalls } from './tasks/calls.ts';
import { SeenIndexing } from './seen-indexing.ts';
import type { Aging } from './retention.ts';
import { packMessages, unpackAppended, unpackEntries } from './packed-items.ts';
import type { Reader, Writer } from './threads.ts';

/** Above every key: a page from the newest row on. */
const MAX_KEY = Number.MAX_SAFE_INTEGER;

/** Messages expired in one call, a few milliseconds of work. */
const EXPIRE_STEP = 500;
const LAZY = { lazy: true } as const;
const FROM_THE_FIRST = { notAfter: Number.MIN_SAFE_INTEGER, thumbprint: '' };

/** Everything but the store's own life (`snapshot`, `stop`). */
export function storeCalls(writer: Writer, reader: Reader): EngineStore {
  return {
    agents: agentCalls(writer, reader),
    outbox: outboxCalls(writer, reader),
    inbox: inboxCalls(writer, reader),
    parameters: parameterCalls(writer, reader),
    tokens: tokenCalls(writer, reader),
    keyMaterial: keyMaterialCalls(writer, reader),
    certificates: certificateCalls(writer, reader),
    enrollments: enrollmentCalls(writer, reader),
    rollouts: rolloutCalls(writer, reader),
    releases: releaseCalls(writer, reader),
    subscriptions: subscriptionCalls(writer, reader),
    exposures: exposureCalls(writer, reader),
    tasks: taskCalls(writer, reader),
    audit: auditCalls(writer, reader),
    idempotency: {
      begin: (request) => writer.call('beginKeyed', [request]),
      finish: (tokenId, key, body, answer) => writer.call('finishKeyed', [tokenId, key, body, answer]),
      forget: (tokenId, key) => writer.call('forgetKeyed', [tokenId, key]),
    },
    clock: {
      recorded: () => reader.call('recordedClock', []),
      record: (at) => writer.call('recordClock', [at], LAZY),
      accept: (at, entry) => writer.call('acceptClock', [at, entry]),
    },
    maintenance: {
      load: () => reader.call('loadMaintenance', []),
      save: (state, entry) => writer.call('saveMaintenance', [state, entry]),
    },
    nodes: undefined,
    away: () => undefined,
    prune: (limits) => prune(writer, limits),
    convert: () => writer.call('convertEvents', [], LAZY),
    onCommit: (listener) => writer.onCommit(listener),
    bound: (bounds) => writer.call('bound', [bounds]),
    space: () => writer.call('space', []),
    async stats() {
      const figures = await reader.call('figures', []);
      return { engine: 'sqlite', ...figures, waitingCalls: writer.waiting + reader.waiting, commits: writer.batches };
    },
  };
}

function agentCalls(writer: Writer, reader: Reader): AgentStore {
  // One at a time: the answers of several would come in one turn of the event loop.
  const [selects, lists] = [new Mutex(), new Mutex()];
  return {
    register: (agent, tokenId, audit) => writer.call('registerAgent', [audit, agent, tokenId]),
    get: (id) => reader.call('getAgent', [id]),
    findByKey: (keyThumbprint) => reader.call('findAgentByKey', [keyThumbprint]),
    findByName: (name) => reader.call('findAgentByName', [name]),
    findByReference: (reference, limit) => reader.call('findAgentsByReference', [reference, limit]),
    hasLeftRecords: (id) => reader.call('hasLeftRecords', [id]),
    nameFaults: (limit) => reader.call('nameFaults', [limit]),
    list: (page) => lists.runExclusive(() => reader.call('listAgents', [page])),
    select: (matches, within = []) => selects.runExclusive(() => reader.call('selectAgents', [matches, within])),
    labelsOf: (ids) => reader.call('labelsOfAgents', [ids]),
    selectIds: (matches) => reader.call('selectAgentIds', [matches]),
    change: (agentId, change, terms, audit) => writer.call('changeAgent', [audit, agentId, change, terms]),
    disable: (agentId, { now, text }, audit) => writer.call('disableAgent', [audit, agentId, now, text]),
    enable: (agentId, { now, text }, audit) => writer.call('enableAgent', [audit, agentId, now, text]),
    replace: (oldId, newId, act, audit) => writer.call('replaceAgent', [audit, oldId, newId, act]),
    remove: (id, audit) => writer.call('removeAgent', [audit, id]),
    claimSession: (claim) => writer.call('claimSession', [claim]),
    logIn: (claim, terms) => writer.call('logIn', [claim, terms]),
    endSession: (end) => writer.call('endSession', [end.agentId, end.epoch, end.now, end.reason, end.until ?? null]),
    recordRefusal: (refusal) => writer.call('recordRefusedHello', [refusal], LAZY),
    // One process holds the data folder: whatever name a session was recorded under, nothing serves it any more.
    endAbandonedSessions: (_node, now, reason) => writer.call('endAbandonedSessions', [now, reason]),
    revoke: (agentId, { reason, now, text }, audit) => writer.call('revokeAgent', [audit, agentId, reason, now, text]),
    recordConsumers: (reports) => writer.call('recordConsumers', [reports], LAZY),
    consumersOf: (agentId) => reader.call('consumersOf', [agentId]),
    history: (agentId) => reader.call('agentHistory', [agentId]),
    count: (filter) => reader.call('countAgents', [filter]),
    countByState: () => reader.call('countAgentsByState', []),
    quarantine: (agentId, until, now, reason) => writer.call('quarantineAgent', [agentId, until, now, reason]),
    recordIncident: (incident) => writer.call('recordIncident', [incident]),
    incidents: ({ limit, agentId, kind, before }) =>
      reader.call('listIncidents', [limit, agentId ?? null, before ?? MAX_KEY, kind ?? null]),
  };
}

function outboxCalls(writer: Writer, reader: Reader): OutboxStore {
  return {
    append: async (agentId, messages, bounds, now) =>
      unpackAppended(
        await writer.call('appendCommands', [agentId, packMessages(messages), bounds, now], {
          bytes: bytesOf(messages),
        }),
      ),
    read: async (agentId, after, maxItems, maxBytes) =>
      unpackEntries(await reader.call('readCommands', [agentId, after, maxItems, maxBytes])),
    acknowledge: (agentId, epoch, through) => writer.call('acknowledgeCommands', [agentId, epoch, through], LAZY),
    waiting: ({ limit, agentId, after }) => reader.call('waitingCommands', [limit, agentId ?? null, after ?? 0]),
    statesOf: (message, { limit, agentId, after }) =>
      reader.call('commandsOf', [fingerprint(message), limit, agentId ?? null, after ?? '']),
    list: (query) => reader.call('listCommands', [query]),
    find: (commandId) => reader.call('findCommand', [commandId]),
    withdraw: (commandId, now, audit) => writer.call('withdrawCommand', [audit, commandId, now]),
    rehearseWithdrawal: (commandId, now) => writer.call('rehearseWithdrawal', [commandId, now], LAZY),
    backlog: (limit) => reader.call('outboxBacklog', [limit]),
    expire: (now) => expire(writer, now),
    recordExpired: (agentId, epoch, items, now) => writer.call('recordExpiredCommands', [agentId, epoch, items, now]),
  };
}

function inboxCalls(writer: Writer, reader: Reader): EngineStore['inbox'] {
  const eventReads = new EventReads((after, filter, limit) => reader.call('readEvents', [after, filter, limit]));
  const indexing = new SeenIndexing((agentId) => writer.call('indexSeen', [agentId], LAZY));
  return {
    begin: (agentId, epoch, begin, now) => writer.call('beginInbox', [agentId, epoch, begin, now]),
    append: (agentId, epoch, next, frames, now) => {
      const sent = frames.map(ownFrame);
      const transfer = sent.map(({ data }) => data.buffer);
      const bytes = transfer.reduce((sum, { byteLength }) => sum + byteLength, 0);
      return indexing.watch(
        agentId,
        writer.call('appendEvents', [agentId, epoch, next, sent, now], { bytes, transfer }),
      );
    },
    read: (after, filter, limit, gone) => eventReads.read(after, filter, limit, gone),
    prunedThrough: (after) => reader.call('prunedThrough', [after]),
    lastCursor: () => reader.call('lastCursor', []),
    incarnations: () => reader.call('storeIncarnations', []),
    deadLetters: (page) => reader.call('listDeadLetters', [page]),
  };
}

function parameterCalls(writer: Writer, reader: Reader): ParameterStore {
  return {
    load: () => reader.call('loadParameters', []),
    save: (change) => writer.call('saveParameters', [change]),
  };
}

function tokenCalls(writer: Writer, reader: Reader): TokenStore {
  return {
    addApiToken: (token, audit) => writer.call('addApiToken', [audit, token]),
    getApiToken: (id) => reader.call('getApiToken', [id]),
    listApiTokens: () => reader.call('listApiTokens', []),
    changeApiToken: (id, change, version, audit) => writer.call('changeApiToken', [audit, id, change, version]),
    noteApiTokenUse: (id, at) => writer.call('noteApiTokenUse', [id, at]),
    removeApiToken: (id, audit) => writer.call('removeApiToken', [audit, id]),
    addSignIn: (signIn, replaced, audit) => writer.call('addSignIn', [audit, signIn, replaced]),
    getSignIn: (id) => reader.call('getSignIn', [id]),
    removeSignIn: (id, audit) => writer.call('removeSignIn', [audit, id]),
    addEnrollmentToken: (token, audit) => writer.call('addEnrollmentToken', [audit, token]),
    getEnrollmentToken: (id) => reader.call('getEnrollmentToken', [id]),
    listEnrollmentTokens: () => reader.call('listEnrollmentTokens', []),
    removeEnrollmentToken: (id, audit) => writer.call('removeEnrollmentToken', [audit, id]),
  };
}

function keyMaterialCalls(writer: Writer, reader: Reader): KeyMaterialStore {
  return {
    names: () => reader.call('keyMaterialNames', []),
    load: (subject) => reader.call('loadKeyMaterial', [subject]),
    put: (changes, audit) => writer.call('putKeyMaterial', [changes, audit]),
  };
}

function certificateCalls(writer: Writer, reader: Reader): CertificateStore {
  return {
    recordRenewal: (renewal) => writer.call('recordRenewal', [renewal]),
    recordInstalled: (agentId, thumbprint, now) => writer.call('recordInstalled', [agentId, thumbprint, now], LAZY),
    mayRenew: (agentId, thumbprint) => reader.call('mayRenew', [agentId, thumbprint]),
    find: (thumbprint) => reader.call('findCertificate', [thumbprint]),
    revokedBy: (page) =>
      reader.call('revokedCertificates', [page.issuer, page.endsAfter, page.after ?? '', page.limit]),
    recordDevice: (certificate, epoch, audit) => writer.call('recordDevice', [audit, certificate, epoch]),
    recordIssued: (certificate, audit) => writer.call('recordIssued', [audit, certificate]),
    soonest: (page) =>
      reader.call('soonestCertificates', [
        page.after ?? FROM_THE_FIRST,
        page.until ?? Number.MAX_SAFE_INTEGER,
        page.limit,
      ]),
    ofAgent: (agentId, limit) => reader.call('certificatesOfAgent', [agentId, limit]),
    countUntil: (until) => reader.call('countCertificatesUntil', [until]),
    recordTrust: (agentId, thumbprints) => writer.call('recordTrust', [agentId, thumbprints]),
    trustOf: (agentId) => reader.call('trustOfAgent', [agentId]),
    trust: (page) => reader.call('trustOfAgents', [page.after ?? '', page.limit]),
    expiryWarnings: (thumbprints) => reader.call('expiryWarnings', [thumbprints]),
    recordExpiryWarnings: (warnings, forgetOlderThan) =>
      writer.call('recordExpiryWarnings', [warnings, forgetOlderThan]),
  };
}

function enrollmentCalls(writer: Writer, reader: Reader): EnrollmentStore {
  return {
    submit: (request, bounds, now) => writer.call('submitEnrollmentRequest', [request, bounds, now]),
    list: (page) =>
      reader.call('listEnrollmentRequests', [page.after ?? '', page.prefix ?? null, page.state ?? null, page.limit]),
    pendingBlocks: (limit) => reader.call('pendingBlocks', [limit]),
    countByState: () => reader.call('countEnrollmentRequestsByState', []),
    prune: (retention) => writer.call('pruneEnrollmentRequests', [retention]),
    accept: (csr, agent, by, audit) => writer.call('acceptEnrollment', [audit, csr, agent, by]),
    replace: (csr, replacement, by, audit) => writer.call('replaceByRequest', [audit, csr, replacement, by]),
    rehearseAccept: (csr, agent, by) => writer.call('rehearseAcceptance', [csr, agent, by], LAZY),
    rehearseReplace: (csr, replacement, by) => writer.call('rehearseReplacement', [csr, replacement, by], LAZY),
    reject: (keyThumbprint, by, comment, now, audit) =>
      writer.call('rejectEnrollment', [audit, keyThumbprint, by, comment, now]),
    keepCertificate: (keyThumbprint, certificate) => writer.call('keepCertificate', [keyThumbprint, certificate]),
    admit: (agent, by, audit) => writer.call('admitAgent', [audit, agent, by]),
    putRecoveryCode: (agentId, code, audit) => writer.call('putRecoveryCode', [audit, agentId, code]),
    removeRecoveryCode: (agentId, audit) => writer.call('removeRecoveryCode', [audit, agentId]),
    getRecoveryCode: (agentId) => reader.call('getRecoveryCode', [agentId]),
    recover: (recovery, audit) => writer.call('recoverAgent', [audit, recovery]),
  };
}

function auditCalls(writer: Writer, reader: Reader): AuditStore {
  return {
    append: (entry) => writer.call('appendAudit', [entry]),
    appendRefusals: (entry) => writer.call('appendRefusals', [entry]),
    list: (page) => reader.call('listAudit', [page.before ?? Number.MAX_SAFE_INTEGER, page.limit]),
    find: ({ order, after, limit, filter }) => reader.call('findAudit', [order, after, limit, filter]),
    head: () => reader.call('auditHead', []),
    check: (from, limit, lookFor) => reader.call('checkAudit', [from, limit, lookFor ?? null]),
  };
}

async function expire(writer: Writer, now: number): Promise<number> {
  let expired = 0;
  let step: number;
  do {
    step = await writer.call('expireCommands', [now, EXPIRE_STEP]);
    expired += step;
  } while (step === EXPIRE_STEP);
  return expired;
}

/** Each step is a lazy call, which waits for the next commit: senders of messages do not notice. */
async function prune(writer: Writer, limits: RetentionLimits): Promise<void> {
  const undeliveredOlderThan = Math.min(limits.eventsOlderThan, limits.undeliveredOlderThan ?? limits.eventsOlderThan);
  const aging: [Aging, number][] = [
    // Events of an older version, while they are converted: the longer retention for all.
    ['event', undeliveredOlderThan],
    ['dead_letter', limits.deadLettersOlderThan],
    ['incident', limits.incidentsOlderThan],
  ];
  for (const [table, olderThan] of aging) {
    while (await writer.call('pruneOldest', [table, olderThan], LAZY));
  }
  while (await writer.call('pruneRuns', [limits.eventsOlderThan, undeliveredOlderThan], LAZY));
  while (await writer.call('pruneDeadLetters', [limits.now], LAZY));
  while (await writer.call('pruneIncidents', [], LAZY));
  await writer.call('pruneEnrollmentTokens', [limits.now], LAZY);
  await writer.call('pruneKeyed', [limits.now], LAZY);
  if (limits.tasksOlderThan !== undefined) while (await writer.call('pruneTasks', [limits.tasksOlderThan], LAZY));
  while (await writer.call('pruneBlobs', [limits.now - UNUSED_BLOB_MS], LAZY));
  const { deduplicationOlderThan, commandStatesOlderThan = deduplicationOlderThan } = limits;
  const seenOlderThan = {
    outbox: Math.min(deduplicationOlderThan, commandStatesOlderThan),
    inbox: deduplicationOlderThan,
  };
  for (const log of ['outbox', 'inbox'] as const) {
    let place: SeenPlace | null = null;
    do place = await writer.call('pruneSeen', [log, place, seenOlderThan[log]], LAZY);
    while (place !== null);
  }
  await writer.call('ageDeduplication', [limits.now, deduplicationOlderThan], LAZY);
  let origin: number | null = 0;
  do origin = await writer.call('pruneOrigins', [origin], LAZY);
  while (origin !== null);
}

/** Counts UTF-16 units instead of bytes: this only bounds a batch. */
function bytesOf(messages: readonly Message[]): number {
  let bytes = 0;
  for (const message of messages) bytes += message.json.length;
  return bytes;
}

/**
 * A copy that the other thread takes over: a frame is kept until it is on disk, and shares its memory with what came
 * beside it.
 */
function ownFrame(frame: MessageFrame): MessageFrame & { readonly data: Uint8Array<ArrayBuffer> } {
  return { ...frame, data: new Uint8Array(frame.data) };
}
