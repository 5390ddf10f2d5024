// What the tests of Central's store put into it, and what an engine offers them. Runs outside of the test runner, too.
import { afterEach, beforeEach } from 'vitest';
import type { Item, Message } from '../../../shared/delivery/message.ts';
import type { AgentRecord, SessionClaim } from '../../../central/store/agent-store.ts';
import type { AuditEntry } from '../../../central/store/audit-store.ts';
import type { NewRollout } from '../../../central/store/rollouts/rollout-store.ts';
import type { NewExposure } from '../../../central/store/services/exposure-store.ts';
import type { NewSubscription } from '../../../central/store/subscriptions/subscription-store.ts';
import type { Store } from '../../../central/store/store.ts';
import type { EnrollmentTokenRecord } from '../../../central/store/token-store.ts';
import type { TaskReport } from '../../../shared/wire/tasks/frames.ts';

/** One installation of the engine: opened before each test with nothing in it, and thrown away after. */
export interface Engine {
  readonly store: Store;
  /** Stops the store in order and opens it again on the same data. */
  restart(): Promise<Store>;
  dispose(): Promise<void>;
}

export type OpenEngine = () => Promise<Engine>;

/** Opens an engine for each test, which `use` gets, and disposes of it. */
export function eachEngine(open: OpenEngine, use: (engine: Engine) => void): void {
  let engine: Engine;
  beforeEach(async () => {
    engine = await open();
    use(engine);
  });
  afterEach(() => engine.dispose());
}

export const DAY = 86_400_000;
export const NOW = 1_790_000_000_000;
export const ROOM = { maxMessages: 10_000, maxBytes: 16 * 1024 * 1024 };

/** Of a release of a profile, in two waves. */
export function newRollout(changes: Partial<NewRollout> = {}): NewRollout {
  return {
    kind: 'profile',
    release: 'a'.repeat(64),
    name: 'branch',
    stage: 'upgrade',
    selectors: ['all'],
    scope: null,
    state: 'running',
    stateChangedAt: NOW,
    stateReason: { code: '', detail: '', hint: '' },
    waves: [{ count: 1 }, { share: 1 }],
    waveTargets: [1, 2],
    wave: 0,
    soakUntil: null,
    acceptedErrors: 0,
    successShare: 0.95,
    errorShare: 0.05,
    soakSeconds: 60,
    trialSeconds: 300,
    bytesPerSecond: 0,
    createdAt: NOW,
    createdBy: 'admin',
    comment: null,
    ticket: 'CHG-1',
    endedAt: null,
    ...changes,
  };
}

/** A webhook; `digit` makes its id. */
export function newSubscription(digit: string, changes: Partial<NewSubscription> = {}): NewSubscription {
  return {
    id: digit.repeat(16),
    kind: 'webhook',
    name: `Tickets ${digit}`,
    target: 'https://tickets.example/hook',
    ca: null,
    filter: { type: null, source: null, agentId: null, label: null },
    state: 'active',
    stateChangedAt: NOW,
    stateReason: null,
    secret: { seed: 's1', previous: null },
    createdAt: NOW,
    createdBy: 'admin',
    cursor: 0,
    ...changes,
  };
}

/** An exposed service; `digit` makes its id and its port. */
export function newExposure(digit: string, changes: Partial<NewExposure> = {}): NewExposure {
  return {
    id: digit.repeat(16),
    agentId: 'a1',
    service: 'jobscheduler',
    listenPort: 24_440 + Number(digit),
    allow: [{ address: '10.1.0.0/16', certificate: null, role: 'viewer' }],
    clientCa: null,
    createdAt: NOW,
    createdBy: 'admin',
    ...changes,
  };
}

export function enrollmentToken(id: string, changes: Partial<EnrollmentTokenRecord> = {}): EnrollmentTokenRecord {
  return {
    id,
    hash: `hash of ${id}`,
    createdAt: NOW,
    createdBy: 'admin',
    expiresAt: NOW + DAY,
    uses: 0,
    maxUses: 1,
    agentName: null,
    ...changes,
  };
}

/** Registers an agent with a token of its own. */
export async function registered(store: Store, id: string, name = id): Promise<AgentRecord> {
  await store.tokens.addEnrollmentToken(enrollmentToken(`token-${id}`), ACT);
  return store.agents.register(
    { id, name, publicKey: `key of ${id}`, keyThumbprint: `thumbprint of ${id}`, now: NOW },
    `token-${id}`,
    ACT,
  );
}

export function claimOf(id: string, changes: Partial<SessionClaim> = {}): SessionClaim {
  return {
    agentId: id,
    keyThumbprint: `thumbprint of ${id}`,
    name: id,
    session: 's1',
    bootId: 'b1',
    version: '1.0.0',
    transport: 'wss',
    address: '192.0.2.7',
    node: 'central-1',
    down: null,
    now: NOW,
    ...changes,
  };
}

/** An agent with an open session whose log of events has begun; its epoch. */
export async function online(store: Store, id: string): Promise<number> {
  await registered(store, id);
  const { epoch } = await store.agents.claimSession(claimOf(id));
  await store.inbox.begin(id, epoch, { incarnation: `log of ${id}`, next: 1, missing: null }, NOW);
  return epoch;
}

export function message(id: string, changes: Partial<Message> = {}): Message {
  const source = changes.source ?? '/test';
  const type = changes.type ?? 'test.thing';
  return {
    id,
    source,
    type,
    json: JSON.stringify({ specversion: '1.0', id, source, type, data: 'grüezi' }),
    expiresAt: null,
    dataHash: 1,
    ...changes,
  };
}

export function items(...ids: string[]): Item[] {
  return ids.map((id) => ({ kind: 'message', message: message(id) }));
}

export function auditEntry(action: string, changes: Partial<AuditEntry> = {}): AuditEntry {
  return {
    at: NOW,
    who: 'admin',
    from: '127.0.0.1',
    action,
    detail: '{"x":1}',
    comment: null,
    ticket: null,
    ...changes,
  };
}

/** The audit entry of an act that a test is not about. */
export const ACT = auditEntry('test.act');

/** Ids of the events behind a cursor. */
export async function eventIds(store: Store, after = 0, filter = {}): Promise<string[]> {
  const events = await store.inbox.read(after, filter, 1_000);
  return events.map((event) => (JSON.parse(event.json) as { id: string }).id);
}

/** Page by page. */
export async function allEventIds(store: Store): Promise<string[]> {
  const ids: string[] = [];
  let cursor = 0;
  for (;;) {
    const events = await store.inbox.read(cursor, {}, 1_000);
    const last = events.at(-1);
    if (last === undefined) return ids;
    for (const event of events) ids.push((JSON.parse(event.json) as { id: string }).id);
    cursor = last.cursor;
  }
}

/** What an agent reports of a task that it has not started. */
export function taskReport(
  state: TaskReport['state'],
  change: Partial<TaskReport> & Pick<TaskReport, 'changedAt' | 'key'>,
): TaskReport {
  const nothing = { startedAt: null, endsWithinSeconds: null, exitCode: null, stdout: null, stderr: null };
  return { state, ...nothing, code: '', detail: '', hint: '', ...change };
}
