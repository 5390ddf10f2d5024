// Acts and their audit entries where the disk has no room: an act whose entry cannot be written does not happen, and
// below the reserve the acts of administrators go on while entries about refusals wait.
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { storeFault } from '../../../../central/store/errors.ts';
import type { AuditEntry } from '../../../../central/store/audit-store.ts';
import { APPLICATION_ID, MIGRATIONS } from '../../../../central/store/sqlite/migrations.ts';
import { createWrites, type Writes } from '../../../../central/store/sql/writes.ts';
import { openDatabase } from '../../../../shared/sqlite/database.ts';
import { transactionExecutor } from '../../../../shared/sqlite/transaction.ts';
import { commandIdOf } from '../../../../central/store/agents/command-id.ts';
import { packMessages } from '../../../../central/store/sql/packed-items.ts';
import { fingerprint } from '../../../../shared/sqlite/logs/fingerprint.ts';
import {
  auditEntry,
  claimOf,
  DAY,
  enrollmentToken,
  message,
  newRollout,
  newExposure,
  newSubscription,
  NOW,
  ROOM,
} from '../samples.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const agent = (id: string) => ({
  id,
  name: id,
  publicKey: `key of ${id}`,
  keyThumbprint: `thumbprint of ${id}`,
  now: NOW,
});
const request = (key: string) => ({
  keyThumbprint: `thumbprint of ${key}`,
  name: key,
  id: null,
  csr: `request of ${key}`,
  address: '192.0.2.7',
  block: '192.0.2.7',
  site: '192.0',
  transport: 'wss' as const,
});
const apiToken = (id: string) => ({
  id,
  name: id,
  role: 'administrator' as const,
  hash: `hash of ${id}`,
  createdAt: NOW,
  createdBy: 'admin',
  expiresAt: null,
  lastUsedAt: null,
  scope: null,
});
const signIn = (id: string) => ({ id, hash: 'hash', owner: 't1', person: null, createdAt: NOW, expiresAt: NOW + DAY });
const recoveryCode = { hash: 'hash', createdAt: NOW, createdBy: 'admin', expiresAt: NOW + DAY };
const certificate = {
  thumbprint: 'c1',
  agentId: 'a1',
  serial: '01',
  issuer: 'ca',
  keyThumbprint: 'thumbprint of a1',
  notBefore: NOW,
  notAfter: NOW + DAY,
  issuedAt: NOW,
};

const DIGEST = 'd'.repeat(64);
/** Of a release that is there. */
const OTHER = 'e'.repeat(64);
const release = {
  digest: DIGEST,
  kind: 'profile' as const,
  name: 'branch',
  bytes: 1,
  fileCount: 1,
  preparedAt: NOW,
  preparedBy: 'admin',
  comment: null,
  ticket: null,
  signature: null,
};

/** Every call that brings an audit entry. */
const AUDITED: Readonly<Record<string, (writes: Writes, entry: AuditEntry) => unknown>> = {
  addRelease: (writes, entry) => writes.addRelease(entry, release, [DIGEST]),
  changeDraft: (writes, entry) =>
    writes.changeDraft(entry, { name: 'hub', expectedVersion: null, remove: [], put: [], by: 'admin', now: NOW }),
  removeProfile: (writes, entry) => writes.removeProfile(entry, 'branch'),
  signRelease: (writes, entry) => writes.signRelease(entry, OTHER, OTHER),
  removeRelease: (writes, entry) => writes.removeRelease(entry, OTHER),
  acceptClock: (writes, entry) => writes.acceptClock(NOW, entry),
  acceptEnrollment: (writes, entry) => writes.acceptEnrollment(entry, 'request of p1', agent('p1'), 'admin'),
  addApiToken: (writes, entry) => writes.addApiToken(entry, apiToken('new')),
  addSignIn: (writes, entry) => writes.addSignIn(entry, signIn('new'), null),
  removeSignIn: (writes, entry) => writes.removeSignIn(entry, 'new'),
  addEnrollmentToken: (writes, entry) => writes.addEnrollmentToken(entry, enrollmentToken('new')),
  admitAgent: (writes, entry) => writes.admitAgent(entry, agent('offline'), 'admin'),
  appendAudit: (writes, entry) => writes.appendAudit(entry),
  appendRefusals: (writes, entry) => writes.appendRefusals(entry),
  changeAgent: (writes, entry) =>
    writes.changeAgent(entry, 'a1', { labels: { region: 'north' } }, { version: null, by: 'admin', now: NOW }),
  createRollout: (writes, entry) => writes.createRollout(entry, newRollout(), [{ agentId: 'a1', isEligible: true }]),
  saveRollout: (writes, entry) =>
    writes.saveRollout({ rollout: undefined, number: 1, agents: [], generations: [], committed: [], audit: entry }),
  createExposure: (writes, entry) => writes.createExposure(entry, newExposure('2')),
  changeExposure: (writes, entry) => writes.changeExposure(entry, '1'.repeat(16), { service: 'other' }, null),
  removeExposure: (writes, entry) => writes.removeExposure(entry, '1'.repeat(16)),
  createSubscription: (writes, entry) => writes.createSubscription(entry, newSubscription('2')),
  changeSubscription: (writes, entry) => writes.changeSubscription(entry, '1'.repeat(16), { cursor: 5 }, null),
  removeSubscription: (writes, entry) => writes.removeSubscription(entry, '1'.repeat(16)),
  createTask: (writes, entry) => writes.createTask(entry, newTask('2'), { bounds: OUTBOX, maxUnfinished: 10 }),
  enqueueTask: (writes, entry) => {
    const { key, handler, arguments: given, deadlineAt, createdAt, createdBy, comment, ticket } = newTask('2');
    const order = { key, handler, arguments: given, deadlineAt, createdAt, createdBy, comment, ticket };
    writes.enqueueTask(entry, { ...order, queue: 'printing', scope: null }, { maxPerQueue: 10, maxQueued: 10 });
  },
  cancelTask: (writes, entry) => writes.cancelTask(entry, 1, { now: NOW, lostAfterMs: 60_000 }),
  disableAgent: (writes, entry) => writes.disableAgent(entry, 'a1', NOW, 'disabled'),
  enableAgent: (writes, entry) => writes.enableAgent(entry, 'a3', NOW, 'enabled'),
  putKeyMaterial: (writes, entry) =>
    writes.putKeyMaterial([{ subject: 'ca', version: 0, entries: [{ name: 'ca.key', value: 'k' }] }], entry),
  putRecoveryCode: (writes, entry) => writes.putRecoveryCode(entry, 'a1', recoveryCode),
  recordDevice: (writes, entry) => writes.recordDevice(entry, certificate, 0),
  recordIssued: (writes, entry) => writes.recordIssued(entry, certificate),
  recoverAgent: (writes, entry) =>
    writes.recoverAgent(entry, { ...agent('a2'), agentId: 'a2', keyThumbprint: 'other', hash: 'hash', reason: 'lost' }),
  registerAgent: (writes, entry) => writes.registerAgent(entry, agent('new'), 'machine'),
  rejectEnrollment: (writes, entry) => writes.rejectEnrollment(entry, 'thumbprint of p1', 'admin', null, NOW),
  removeAgent: (writes, entry) => writes.removeAgent(entry, 'a1'),
  changeApiToken: (writes, entry) => writes.changeApiToken(entry, 't1', { name: 'another' }, null),
  withdrawCommand: (writes, entry) => writes.withdrawCommand(entry, commandIdOf(1, fingerprint(message('c1'))), NOW),
  saveMaintenance: (writes, entry) => writes.saveMaintenance({ enabledAt: NOW, retryAfterSeconds: 60 }, entry),
  removeApiToken: (writes, entry) => writes.removeApiToken(entry, 't1'),
  removeEnrollmentToken: (writes, entry) => writes.removeEnrollmentToken(entry, 'machine'),
  removeRecoveryCode: (writes, entry) => writes.removeRecoveryCode(entry, 'a2'),
  replaceAgent: (writes, entry) => writes.replaceAgent(entry, 'a1', 'a2', { by: 'admin', now: NOW }),
  replaceByRequest: (writes, entry) =>
    writes.replaceByRequest(
      entry,
      'request of p1',
      { agentId: 'a1', publicKey: 'key of p1', keyThumbprint: 'thumbprint of p1', now: NOW, reason: 'replaced' },
      'admin',
    ),
  revokeAgent: (writes, entry) => writes.revokeAgent(entry, 'a1', 'keyCompromise', NOW, 'lost'),
  saveParameters: (writes, entry) =>
    writes.saveParameters({
      expectedVersion: 0,
      rows: [{ name: 'a', value: '1', changedBy: 'admin', changedAt: NOW }],
      pending: null,
      audit: entry,
    }),
};

const OUTBOX = { maxMessages: 100, maxBytes: 1_000_000 };
const newTask = (digit: string) => ({
  key: digit.repeat(32),
  agentId: 'a1',
  handler: 'backup',
  arguments: ['--full'],
  deadlineAt: NOW + 60_000,
  createdAt: NOW,
  createdBy: 'admin',
  comment: null,
  ticket: null,
});

/** What strangers can cause, agents that come new, and new rollouts must not use up the reserve. */
const AT_REST_BELOW_RESERVE = [
  'appendRefusals',
  'createRollout',
  'createSubscription',
  'createTask',
  'enqueueTask',
  'registerAgent',
];

function open() {
  const folder = temporaryFolder();
  const database = openDatabase({
    path: join(folder, 'central.db'),
    applicationId: APPLICATION_ID,
    migrations: MIGRATIONS,
    cacheKiB: 1024,
    checkpointPages: 1000,
  });
  onTestFinished(() => {
    database.close();
  });
  const reserve = { isReached: false };
  const writes = createWrites(database, {
    deduplicationMs: DAY,
    space: {
      report: () => ({ state: 'unwatched', freeBytes: null, availableBytes: null, reserveBytes: 0 }),
      setReserve: () => undefined,
      take() {
        if (reserve.isReached) throw storeFault('store_reserve', { available: 1, reserve: 2 });
      },
    },
    now: () => NOW,
    namesOfCentral: [],
    holdLog: () => undefined,
  });
  const execute = transactionExecutor(database);
  const entry = auditEntry('test.act');
  for (const id of ['a1', 'a2', 'a3', 'a4']) writes.admitAgent(entry, agent(id), 'test');
  writes.disableAgent(entry, 'a3', NOW, 'disabled');
  for (const id of ['t1', 't2']) writes.addApiToken(entry, apiToken(id));
  writes.addEnrollmentToken(entry, enrollmentToken('machine'));
  writes.createSubscription(entry, newSubscription('1'));
  writes.createExposure(entry, newExposure('1'));
  writes.createTask(entry, newTask('1'), { bounds: OUTBOX, maxUnfinished: 10 });
  const { epoch } = writes.claimSession(claimOf('a4'));
  writes.recordTaskHandlers('a4', epoch, {
    containment: 'cgroup',
    accounts: 'one',
    queues: ['printing'],
    handlers: [
      {
        name: 'backup',
        arguments: 'list',
        argumentPattern: null,
        timeoutSeconds: 60,
        graceSeconds: 10,
        concurrencyCount: 1,
        rerun: false,
      },
    ],
    reportedAt: NOW,
  });
  writes.putRecoveryCode(entry, 'a2', recoveryCode);
  writes.finishBlob(writes.beginBlob(NOW), { sha256: DIGEST, size: 0 }, NOW);
  const draft = { expectedVersion: null, remove: [], by: 'admin', now: NOW };
  writes.finishBlob(writes.beginBlob(NOW), { sha256: OTHER, size: 0 }, NOW);
  writes.addRelease(entry, { ...release, digest: OTHER }, []);
  writes.changeDraft(entry, { ...draft, name: 'branch', put: [{ path: 'a', sha256: DIGEST, executable: false }] });
  const bounds = { most: 9, mostOfBlock: 9, silentBefore: 0, pendingBefore: 0, rejectedBefore: 0, acceptedBefore: 0 };
  writes.submitEnrollmentRequest(request('p1'), bounds, NOW);
  writes.appendCommands('a1', packMessages([message('c1')]), ROOM, NOW);
  return { database, writes, execute, reserve };
}

/** Every row of every table. */
function contents(database: DatabaseSync): Readonly<Record<string, unknown>> {
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return Object.fromEntries(
    tables.map(({ name }) => [String(name), database.prepare(`SELECT * FROM "${String(name)}"`).all()]),
  );
}

const entries = (database: DatabaseSync): number =>
  Number(database.prepare('SELECT count(*) AS n FROM audit').get()?.['n']);

describe('an act and its audit entry', () => {
  test.each(Object.entries(AUDITED))('%s does not happen when its entry does not fit on the disk', (_, act) => {
    const { database, writes, execute } = open();
    const before = contents(database);
    const pages = Number(database.prepare('PRAGMA page_count').get()?.['page_count']);
    database.exec(`PRAGMA max_page_count = ${pages + 20}`);
    const tooLarge = auditEntry('test.act', { detail: JSON.stringify('x'.repeat(1024 * 1024)) });
    expect(() => execute([() => act(writes, tooLarge)])).toThrow('full');
    expect(contents(database)).toEqual(before);

    database.exec(`PRAGMA max_page_count = ${pages + 10_000}`);
    expect(execute([() => act(writes, tooLarge)])).toMatchObject([{ ok: true }]);
    expect(entries(database)).toBe((before['audit'] as unknown[]).length + 1);
  });

  test.each(Object.entries(AUDITED).filter(([name]) => !AT_REST_BELOW_RESERVE.includes(name)))(
    '%s happens below the disk reserve, with its entry',
    (_, act) => {
      const { database, writes, execute, reserve } = open();
      const before = entries(database);
      reserve.isReached = true;
      expect(execute([() => act(writes, auditEntry('test.act'))])).toMatchObject([{ ok: true }]);
      expect(entries(database)).toBe(before + 1);
    },
  );

  test.each(AT_REST_BELOW_RESERVE)('%s does not happen below the disk reserve', (name) => {
    const { database, writes, execute, reserve } = open();
    const before = contents(database);
    reserve.isReached = true;
    expect(execute([() => AUDITED[name]?.(writes, auditEntry('test.act'))])).toMatchObject([
      { ok: false, error: { code: 'store_reserve' } },
    ]);
    expect(contents(database)).toEqual(before);
  });

  test('every call of the store that brings an entry is in these tests', () => {
    const { writes } = open();
    const audited = Object.entries(writes).filter(([, call]) => /entry|audit/.test(String(call)));
    expect(audited.map(([name]) => name).filter((name) => !Object.hasOwn(AUDITED, name))).toEqual([]);
    expect(Object.keys(writes)).toEqual(expect.arrayContaining(Object.keys(AUDITED)));
  });
});
