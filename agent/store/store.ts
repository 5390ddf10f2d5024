// The durable state of the agent: one SQLite file in its data folder with both logs. It runs in the daemon's own
// thread: a second thread would cost some 9 MiB on every branch PC, and the load of one agent does not need it.
import type { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import type { CodedError } from '../../shared/errors.ts';
import type { OutboxBounds } from '../../shared/delivery/log-interfaces.ts';
import { holdDataFolder } from '../../shared/sqlite/data-folder.ts';
import { openDatabase } from '../../shared/sqlite/database.ts';
import { isFatal, storeFailure } from '../../shared/sqlite/errors.ts';
import { SeenWalk, type SeenPlace } from '../../shared/sqlite/logs/fingerprint.ts';
import { GroupCommit } from '../../shared/sqlite/group-commit.ts';
import { InboxLog } from '../../shared/sqlite/logs/inbox-log.ts';
import { OutboxLog } from '../../shared/sqlite/logs/outbox-log.ts';
import { transactionExecutor } from '../../shared/sqlite/transaction.ts';
import { Commands } from './commands.ts';
import { Inbox } from './inbox.ts';
import { Outbox, type Disk } from './outbox.ts';
import { APPLICATION_ID, MIGRATIONS } from './migrations.ts';
import { CentralTime, type HostClocks } from './central-time.ts';
import { ExpiredLog } from './expired.ts';
import { TaskLog, TaskRecords } from './tasks.ts';
import { DeadLetterLog, IncidentLog, type NewestFirst } from './records.ts';

export interface AgentStoreOptions extends HostClocks {
  /** The data folder; made if need be, and held until `stop`. */
  readonly folder: string;
  readonly outbox: OutboxBounds;
  readonly inbox: OutboxBounds;
  /** How long (source, id) is remembered. */
  readonly deduplicationMs: number;
  /** Called once, when nothing can be written any more: the process has to end. */
  readonly onFailure: (error: CodedError) => void;
}

export interface AgentStore {
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly tasks: TaskRecords;
  incidents(page: NewestFirst): Promise<ReturnType<IncidentLog['list']>>;
  deadLetters(page: NewestFirst): Promise<ReturnType<DeadLetterLog['list']>>;
  /** Forgets what was seen longer ago than `deduplicationMs`. Small steps; once a day is enough. */
  prune(): Promise<void>;
  /** Ends after every accepted call is committed. May be called twice. */
  stop(): Promise<void>;
}

/** 1 MiB: a page is looked at a few times per message, and the logs are read in order. */
const CACHE_KIB = 1024;
/** 4 MiB of write-ahead log, SQLite's default. */
const CHECKPOINT_PAGES = 1_000;
/** A batch holds up the daemon's event loop: some 5 ms of work and one fdatasync. */
const MAX_BATCH_CALLS = 200;
const MAX_BATCH_BYTES = 1024 * 1024;

/** Errors: data_in_use, data_newer, data_damaged, data_foreign, data_unusable. */
export function openAgentStore(options: AgentStoreOptions): AgentStore {
  const { folder, deduplicationMs, now } = options;
  const held = holdDataFolder(folder);
  let database: DatabaseSync;
  try {
    database = openDatabase({
      path: join(folder, 'agent.db'),
      applicationId: APPLICATION_ID,
      migrations: MIGRATIONS,
      cacheKiB: CACHE_KIB,
      checkpointPages: CHECKPOINT_PAGES,
    });
  } catch (error) {
    held.release();
    throw error;
  }
  const execute = transactionExecutor(database);
  const group = new GroupCommit({
    execute: async (batch, durability) => execute(batch, durability),
    failure: (error) => storeFailure(error, folder),
    onFailure: options.onFailure,
    maxBatchCalls: MAX_BATCH_CALLS,
    maxBatchBytes: MAX_BATCH_BYTES,
  });
  const disk = createDisk(group);
  const [incidents, deadLetters] = [new IncidentLog(database), new DeadLetterLog(database)];
  const outboxLog = new OutboxLog(database, deduplicationMs);
  const inboxLog = new InboxLog(database, deduplicationMs);
  const centralTime = new CentralTime(database, options);
  const taskLog = new TaskLog(database);
  const inbox = new Inbox({
    disk,
    log: inboxLog,
    commands: new Commands(database),
    incidents,
    deadLetters,
    expired: new ExpiredLog(database),
    tasks: taskLog,
    centralTime,
    bounds: options.inbox,
    now,
  });
  const walks = [new SeenWalk(database, 'outbox_seen'), new SeenWalk(database, 'inbox_dedup')];
  let stopping: Promise<void> | undefined;

  return {
    outbox: new Outbox({ disk, log: outboxLog, incidents, deadLetters, bounds: options.outbox, now }),
    inbox,
    tasks: new TaskRecords(disk, taskLog, centralTime),
    incidents: (page) => disk.read(() => incidents.list(page)),
    deadLetters: (page) => disk.read(() => deadLetters.list(page)),
    async prune() {
      const olderThan = now() - deduplicationMs;
      for (const walk of walks) {
        let place: SeenPlace | null = null;
        do {
          const after: SeenPlace | null = place;
          place = await disk.write(() => walk.step(after, olderThan), { lazy: true });
        } while (place !== null);
      }
    },
    stop() {
      stopping ??= (async () => {
        inbox.stop();
        await group.stop();
        database.close();
        held.release();
      })();
      return stopping;
    },
  };
}

/** A batch runs to its end in one go, so that a read between two of them sees what is committed and nothing else. */
function createDisk(group: GroupCommit): Disk {
  return {
    write: (work, cost) => group.run(work, cost),
    async read(work) {
      try {
        return work();
      } catch (error) {
        if (!isFatal(error)) throw error;
        // What cannot be read now ends the store, as what cannot be written does.
        return group.run(() => {
          throw error;
        });
      }
    },
  };
}
