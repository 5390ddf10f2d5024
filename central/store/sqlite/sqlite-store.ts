// Owns Central's embedded store as the event loop sees it: which calls go to the writing thread and which to the reading one,
// and the order of start and end. Holds no rows and runs no SQL.
import type { CodedError } from '../../../shared/errors.ts';
import type { Item, Message } from '../../../shared/delivery/message.ts';
import { holdDataFolder } from '../../../shared/sqlite/data-folder.ts';
import type { SeenPlace } from '../../../shared/sqlite/logs/fingerprint.ts';
import { WorkerHost, workerUrl } from '../../../shared/sqlite/worker/host.ts';
import type { RetentionLimits, Store } from '../store.ts';
import { EventReads } from './event-reads.ts';
import { packItems, packMessages, unpackAppended, unpackEntries } from './threads/packed-items.ts';
import type { Reads } from './threads/reads.ts';
import type { Aging } from './retention.ts';
import { inFileThread } from './store-files.ts';
import { databasePath, type ThreadData } from './threads/thread-data.ts';
import type { Writes } from './threads/writes.ts';

export interface SqliteStoreOptions {
  /** The data folder; made if need be, and held until `stop`. */
  readonly folder: string;
  /** How long (source, id) is remembered. */
  readonly deduplicationMs: number;
  /** Central's own name and host names, which no agent may take; none unless given. */
  readonly namesOfCentral?: readonly string[];
  /** Called once, when nothing can be written any more: the process has to end. */
  readonly onFailure: (error: CodedError) => void;
}

/** So many messages are given up in one call, a few milliseconds. */
const EXPIRE_STEP = 500;
const LAZY = { lazy: true } as const;
const FROM_THE_FIRST = { notAfter: Number.MIN_SAFE_INTEGER, thumbprint: '' };

type Writer = WorkerHost<Writes>;
type Reader = WorkerHost<Reads>;

/** Errors: data_in_use, data_newer, data_damaged, data_foreign, data_unusable. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const held = holdDataFolder(options.folder);
  let failed = false;
  const onFailure = (error: CodedError): void => {
    if (failed) return;
    failed = true;
    for (const thread of threads) thread.fail(error);
    options.onFailure(error);
  };
  const workerData: ThreadData = {
    folder: options.folder,
    deduplicationMs: options.deduplicationMs,
    namesOfCentral: options.namesOfCentral ?? [],
  };
  const threads: (Writer | Reader)[] = [];
  try {
    const writer: Writer = new WorkerHost({
      url: workerUrl('./threads/writer', import.meta.url),
      workerData,
      onFailure,
    });
    threads.push(writer);
    // The reader finds the database made and migrated.
    await writer.started();
    const reader: Reader = new WorkerHost({
      url: workerUrl('./threads/reader', import.meta.url),
      workerData,
      onFailure,
    });
    threads.unshift(reader);
    await reader.started();
    // The reader first: the last connection to close folds the write-ahead log into the database, which takes a writer.
    const stop = once(async () => {
      await reader.stop();
      await writer.stop();
      held.release();
    });
    return facade(writer, reader, (file) => snapshot(writer, options.folder, file), stop);
  } catch (error) {
    for (const thread of threads) await thread.stop();
    held.release();
    throw error;
  }
}

function facade(writer: Writer, reader: Reader, snapshot: Store['snapshot'], stop: () => Promise<void>): Store {
  const eventReads = new EventReads((after, filter, limit) => reader.call('readEvents', [after, filter, limit]));
  return {
    agents: {
      register: (agent, tokenId) => writer.call('registerAgent', [agent, tokenId]),
      get: (id) => reader.call('getAgent', [id]),
      findByKey: (keyThumbprint) => reader.call('findAgentByKey', [keyThumbprint]),
      findByName: (name) => reader.call('findAgentByName', [name]),
      findByReference: (reference, limit) => reader.call('findAgentsByReference', [reference, limit]),
      hasLeftRecords: (id) => reader.call('hasLeftRecords', [id]),
      nameFaults: (limit) => reader.call('nameFaults', [limit]),
      list: (page) => reader.call('listAgents', [page.after ?? '', page.limit, page.state ?? null]),
      remove: (id) => writer.call('removeAgent', [id]),
      claimSession: (claim) => writer.call('claimSession', [claim]),
      endSession: (end) => writer.call('endSession', [end.agentId, end.epoch, end.now, end.reason]),
      endSessionsOfNode: (node, now, reason) => writer.call('endSessionsOfNode', [node, now, reason]),
      revoke: (agentId, { reason, now, text }) => writer.call('revokeAgent', [agentId, reason, now, text]),
      countInState: (state) => reader.call('countAgentsInState', [state]),
      quarantine: (agentId, until, now, reason) => writer.call('quarantineAgent', [agentId, until, now, reason]),
      recordIncident: (incident) => writer.call('recordIncident', [incident]),
      incidents: (page) => reader.call('listIncidents', [page.limit, page.agentId ?? null]),
    },
    outbox: {
      append: async (agentId, messages, bounds, now) =>
        unpackAppended(
          await writer.call('appendCommands', [agentId, packMessages(messages), bounds, now], {
            bytes: bytesOf(messages),
          }),
        ),
      read: async (agentId, after, maxItems, maxBytes) =>
        unpackEntries(await reader.call('readCommands', [agentId, after, maxItems, maxBytes])),
      resume: (agentId, epoch, peer, now) => writer.call('resumeOutbox', [agentId, epoch, peer, now]),
      acknowledge: (agentId, epoch, through) => writer.call('acknowledgeCommands', [agentId, epoch, through], LAZY),
      expire: (now) => expire(writer, now),
    },
    inbox: {
      begin: (agentId, epoch, begin, now) => writer.call('beginInbox', [agentId, epoch, begin, now]),
      append: (agentId, epoch, first, items, now) =>
        writer.call('appendEvents', [agentId, epoch, first, packItems(items), now], { bytes: bytesOfItems(items) }),
      read: (after, filter, limit, gone) => eventReads.read(after, filter, limit, gone),
      lastCursor: () => reader.call('lastCursor', []),
      deadLetters: (page) => reader.call('listDeadLetters', [page.limit, page.agentId ?? null]),
    },
    parameters: {
      load: () => reader.call('loadParameters', []),
      save: (change) => writer.call('saveParameters', [change]),
    },
    tokens: {
      addApiToken: (token) => writer.call('addApiToken', [token]),
      getApiToken: (id) => reader.call('getApiToken', [id]),
      listApiTokens: () => reader.call('listApiTokens', []),
      removeApiToken: (id) => writer.call('removeApiToken', [id]),
      addEnrollmentToken: (token) => writer.call('addEnrollmentToken', [token]),
      getEnrollmentToken: (id) => reader.call('getEnrollmentToken', [id]),
      listEnrollmentTokens: () => reader.call('listEnrollmentTokens', []),
      removeEnrollmentToken: (id) => writer.call('removeEnrollmentToken', [id]),
    },
    keyMaterial: {
      names: () => reader.call('keyMaterialNames', []),
      get: (name) => reader.call('getKeyMaterial', [name]),
      put: (entries, audit) => writer.call('putKeyMaterial', [entries, audit]),
    },
    certificates: {
      recordRenewal: (renewal) => writer.call('recordRenewal', [renewal]),
      recordInstalled: (agentId, thumbprint, now) => writer.call('recordInstalled', [agentId, thumbprint, now], LAZY),
      mayRenew: (agentId, thumbprint) => reader.call('mayRenew', [agentId, thumbprint]),
      find: (thumbprint) => reader.call('findCertificate', [thumbprint]),
      revokedBy: (page) =>
        reader.call('revokedCertificates', [page.issuer, page.endsAfter, page.after ?? '', page.limit]),
      recordIssued: (certificate) => writer.call('recordIssued', [certificate]),
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
    },
    enrollments: {
      ask: (asking, bounds, now) => writer.call('askEnrollment', [asking, bounds, now]),
      asked: (page) =>
        reader.call('askedEnrollments', [page.after ?? '', page.prefix ?? null, page.state ?? null, page.limit]),
      pendingBlocks: (limit) => reader.call('pendingBlocks', [limit]),
      countPending: () => reader.call('countPendingEnrollments', []),
      forgetAsked: (limits) => writer.call('forgetAsked', [limits]),
      accept: (csr, agent, by) => writer.call('acceptEnrollment', [csr, agent, by]),
      reject: (keyThumbprint, by, comment, now) => writer.call('rejectEnrollment', [keyThumbprint, by, comment, now]),
      keepCertificate: (keyThumbprint, certificate) => writer.call('keepCertificate', [keyThumbprint, certificate]),
      admit: (agent, by) => writer.call('admitAgent', [agent, by]),
      putRescue: (agentId, code) => writer.call('putRescue', [agentId, code]),
      getRescue: (agentId) => reader.call('getRescue', [agentId]),
      rescue: (rescue) => writer.call('rescueAgent', [rescue]),
    },
    audit: {
      append: (entry) => writer.call('appendAudit', [entry]),
      list: (page) => reader.call('listAudit', [page.before ?? Number.MAX_SAFE_INTEGER, page.limit]),
    },
    prune: (limits) => prune(writer, limits),
    bound: (bounds) => writer.call('bound', [bounds]),
    space: () => writer.call('space', []),
    async stats() {
      const figures = await reader.call('figures', []);
      return { engine: 'sqlite', ...figures, waitingCalls: writer.waiting + reader.waiting, commits: writer.batches };
    },
    snapshot,
    stop,
  };
}

async function snapshot(writer: Writer, folder: string, file: string): Promise<void> {
  await writer.call('holdLog', [true]);
  try {
    await inFileThread((files) => files.call('copyStore', [databasePath(folder), file]));
  } finally {
    await writer.call('holdLog', [false]);
  }
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

/** Each step a call that waits for company: whoever sends messages does not notice. */
async function prune(writer: Writer, limits: RetentionLimits): Promise<void> {
  const aging: [Aging, number][] = [
    ['event', limits.eventsOlderThan],
    ['dead_letter', limits.deadLettersOlderThan],
    ['incident', limits.incidentsOlderThan],
  ];
  for (const [table, olderThan] of aging) {
    while (await writer.call('pruneOldest', [table, olderThan], LAZY));
  }
  while (await writer.call('pruneDeadLetters', [limits.now], LAZY));
  while (await writer.call('pruneIncidents', [], LAZY));
  for (const log of ['outbox', 'inbox'] as const) {
    let place: SeenPlace | null = null;
    do place = await writer.call('pruneSeen', [log, place, limits.deduplicationOlderThan], LAZY);
    while (place !== null);
  }
  let origin: number | null = 0;
  do origin = await writer.call('pruneOrigins', [origin], LAZY);
  while (origin !== null);
}

/** UTF-16 units stand for bytes here: this bounds a batch, and no more. */
function bytesOf(messages: readonly Message[]): number {
  let bytes = 0;
  for (const message of messages) bytes += message.json.length;
  return bytes;
}

function bytesOfItems(items: readonly Item[]): number {
  let bytes = 0;
  for (const item of items)
    bytes += item.kind === 'message' ? item.message.json.length : item.kind === 'rejected' ? item.json.length : 0;
  return bytes;
}

function once(work: () => Promise<void>): () => Promise<void> {
  let promise: Promise<void> | undefined;
  return () => (promise ??= work());
}
