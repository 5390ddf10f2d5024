// The administration on a real HTTP server, over an in-memory store and ports that a test fills.
import { onTestFinished } from 'vitest';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { adminRoutes, dashboardPages, MAX_ADMIN_BODY_BYTES } from '../../../central/admin/routes.ts';
import { OpenStreams } from '../../../central/messaging/open-streams.ts';
import { CURSORS } from '../../event-cursors.ts';
import type { EventHub } from '../../../central/messaging/event-hub.ts';
import type { InboxStore } from '../../../central/store/message-store.ts';
import type { AdminServices, StatusReport } from '../../../central/admin/services.ts';
import { AgentDirectory } from '../../../central/agents/directory.ts';
import { Drains } from '../../../central/agents/acts/drains.ts';
import { CENTRAL, type Actor } from '../../../central/audit.ts';
import { createEnrollmentTokens } from '../../../central/enrollment/tokens.ts';
import type { NodeRecord } from '../../../central/store/nodes/node-store.ts';
import type { MaintenanceState } from '../../../central/store/store.ts';
import { createSignIns } from '../../../central/auth/sign-in/sign-ins.ts';
import { createApiTokens } from '../../../central/auth/api-tokens.ts';
import { createHttpApp, createHttpServer } from '../../../central/listeners/http.ts';
import type { Problem } from '../../../central/problems.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { ResourceChanges } from '../../../central/watching/resource-changes.ts';
import { WaitingRequests } from '../../../central/admin/changes/waiting.ts';
import type { OnlineAgent } from '../../../central/change/agents.ts';
import { AddressAccess } from '../../../central/parameters/address-access.ts';
import { ParameterService } from '../../../central/parameters/service.ts';
import { ParameterState } from '../../../central/parameters/state.ts';
import { matchesAgent, mergedLabels, type AgentMatch, type LabelTerm } from '../../../central/store/agents/labels.ts';
import type { MadeBackup, StagedRestore } from '../../../central/store/backup/backup.ts';
import { storeFault } from '../../../central/store/errors.ts';
import { AGENT_STATES, type AgentRecord, type AgentState, type Incident } from '../../../central/store/agent-store.ts';
import type { DeadLetter, DeadLetterQuery, StoredEvent } from '../../../central/store/message-store.ts';
import type { Role } from '../../../central/store/token-store.ts';
import type { Message } from '../../../shared/delivery/message.ts';
import { CodedError } from '../../../shared/errors.ts';
import { expectDescribed } from '../../described-answers.ts';
import { aloneAgreement, makeChanges, memoryStore, NO_DELAY, type MemoryStore } from '../fakes.ts';
import { memoryReleases } from '../memory-releases.ts';

export interface Rest {
  readonly url: string;
  readonly store: MemoryStore;
  readonly tokens: Readonly<Record<Role, string>>;
  readonly agents: AgentRecord[];
  readonly revoked: { readonly id: string; readonly reason: string; readonly comment: string | undefined }[];
  readonly online: OnlineAgent[];
  readonly incidents: Incident[];
  readonly sent: { readonly agentId: string; readonly messages: readonly Message[] }[];
  readonly deadLetters: DeadLetter[];
  readonly deadLetterQueries: DeadLetterQuery[];
  readonly unexpected: unknown[];
  readonly status: { report: StatusReport; online: readonly OnlineAgent[] };
  /** What was recorded of refusals. */
  readonly refused: { code: string; address: string; route?: string }[];
  /** Makes the next sending fail. */
  readonly fail: { sending: Error | null };
  readonly events: Events;
  readonly streams: OpenStreams;
  readonly resourceChanges: ResourceChanges;
  readonly backups: Backups;
  /** How many are open. */
  connections(): Promise<number>;
  /** One request; `as` is the role whose token it carries, null for none. */
  request(
    method: string,
    path: string,
    options?: { as?: Role | null; body?: unknown; headers?: Record<string, string>; signal?: AbortSignal },
  ): Promise<Response>;
}

/** Events in memory, with the wake-up that the port promises. */
export class Events implements Pick<EventHub, 'wait'>, Pick<InboxStore, 'lastCursor' | 'prunedThrough' | 'read'> {
  readonly all: StoredEvent[] = [];
  readonly #waiting = new Set<() => void>();

  get waiting(): number {
    return this.#waiting.size;
  }

  push(agentId: string, event: Record<string, unknown>): void {
    const cursor = this.all.length + 1;
    this.all.push({
      cursor,
      agentId,
      incarnation: 'i',
      number: cursor,
      receivedAt: cursor,
      json: JSON.stringify({ specversion: '1.0', ...event }),
    });
    for (const wake of this.#waiting) wake();
  }

  async read(after: number, filter: { agentId?: string; type?: string }, limit: number): Promise<StoredEvent[]> {
    const fits = ({ cursor, agentId, json }: StoredEvent) =>
      cursor > after &&
      (filter.agentId === undefined || filter.agentId === agentId) &&
      (filter.type === undefined || (JSON.parse(json) as { type: string }).type === filter.type);
    return this.all.filter((event) => fits(event)).slice(0, limit);
  }

  /** The last cursor that was pruned. */
  pruned = 0;

  async prunedThrough(after: number): Promise<number | null> {
    return after < this.pruned ? this.pruned : null;
  }

  async lastCursor(): Promise<number> {
    return this.all.length;
  }

  wait(cursor: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.all.length > cursor || signal.aborted) return resolve();
      const done = (): void => {
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

/** Backups that are a text; what was brought is kept. */
export class Backups implements Pick<AdminServices['backups'], 'make' | 'stage'> {
  readonly staged: { readonly password: string; readonly content: string; readonly who: string }[] = [];
  readonly applied: StagedRestore[] = [];
  /** Backups that were read to their end, or given up. */
  ended = 0;

  async make(password: string, actor: Actor): Promise<MadeBackup> {
    const text = `${actor.who} ${password}`;
    const end = (): void => void (this.ended += 1);
    async function* sealed(): AsyncGenerator<Buffer> {
      try {
        for (const letter of text) yield Buffer.from(letter);
      } finally {
        end();
      }
    }
    return {
      facts: { created: '2026-11-22T10:00:00.000Z', central: 'central.test', version: '0.1.0', bytes: text.length },
      sealed: Readable.from(sealed(), { objectMode: false }),
    };
  }

  async stage(sealed: AsyncIterable<Buffer>, password: string, actor: Actor): Promise<StagedRestore> {
    const chunks: Buffer[] = [];
    for await (const chunk of sealed) chunks.push(chunk);
    this.staged.push({ password, content: Buffer.concat(chunks).toString(), who: actor.who });
    const facts = { created: '2026-11-22T10:00:00.000Z', central: 'central.test', version: '0.1.0', bytes: 1 };
    return {
      file: 'f',
      folder: 'd',
      facts,
      keys: [],
      audit: {
        at: 0,
        who: actor.who,
        from: actor.from,
        action: 'store.restore',
        detail: '{}',
        comment: null,
        ticket: null,
      },
    };
  }
}

const NODE: NodeRecord = {
  name: 'n1',
  generation: 1,
  version: '0.1.0',
  address: null,
  startedAt: 0,
  lastSeenAt: 0,
  state: 'alive',
  leads: true,
  clockOffsetMs: 0,
  sessions: 0,
  appliedParameters: 1,
  drainedAt: null,
};

/** `more`: services in place of the ones here, such as those of certificates, which are absent unless given. */
export async function startRest(
  more: (store: MemoryStore) => Promise<Partial<AdminServices>> = async () => ({}),
): Promise<Rest> {
  const store = memoryStore();
  const now = Date.now;
  const maintenance: MaintenanceState = { enabledAt: null, retryAfterSeconds: 60 };
  const apiTokens = createApiTokens({ tokens: store.tokens, attempts: NO_DELAY, now });
  const token = async (role: Role) => (await apiTokens.create({ name: role, role, expiresAt: null }, CENTRAL)).token;
  const tokens = {
    viewer: await token('viewer'),
    operator: await token('operator'),
    administrator: await token('administrator'),
  };
  const online: OnlineAgent[] = [];
  const agents: AgentRecord[] = [];
  const incidents: Incident[] = [];
  const revocations: { id: string; reason: string; comment: string | undefined }[] = [];
  const sent: { agentId: string; messages: readonly Message[] }[] = [];
  const deadLetters: DeadLetter[] = [];
  const deadLetterQueries: DeadLetterQuery[] = [];
  const unexpected: unknown[] = [];
  const refused: Rest['refused'] = [];
  const fail: { sending: Error | null } = { sending: null };
  const events = new Events();
  const streams = new OpenStreams();
  const backups = new Backups();
  const status: Rest['status'] = {
    online: [],
    report: {
      central: 'central.test',
      node: 'n1',
      nodes: { alive: 1, leader: 'n1' },
      version: '0.1.0',
      startedAt: 0,
      listeners: [
        {
          listener: 'ws',
          addresses: ['127.0.0.1'],
          port: 8787,
          encrypted: false,
          text: 'unencrypted, this host only',
        },
      ],
      certificate: null,
      restore: null,
      problems: [] as Problem[],
      advice: [] as Problem[],
    },
  };
  const metrics = createMetrics();
  const resourceChanges = new ResourceChanges({ gatherMs: 5 });
  const changes = makeChanges(now);
  const parameters = new ParameterService({
    state: await ParameterState.open({
      store: store.parameters,
      overrides: [],
      log: { info() {}, error() {} },
      now,
    }),
    applier: {
      check: async () => [],
      hold: async () => [],
      release: () => undefined,
      apply: async () => {},
      describe: () => ['wss on all addresses'],
    },
    agreement: aloneAgreement(),
    node: 'n1',
    changes,
    agents: { online: async () => online },
    onChanged: () => undefined,
    log: { error() {} },
    now,
    after: () => () => {},
  });
  /** Changes a record; a revoked one refuses. */
  const changed = async (id: string, change: (agent: AgentRecord) => Partial<AgentRecord>): Promise<AgentRecord> => {
    const at = agents.findIndex((agent) => agent.id === id);
    const agent = agents[at];
    if (agent === undefined) throw storeFault('agent_unknown', { id });
    if (agent.state === 'revoked') throw storeFault('agent_revoked', { id });
    const next: AgentRecord = { ...agent, ...change(agent) };
    agents[at] = next;
    return next;
  };
  /** Each agent that is online has a session, until it is asked to reconnect. */
  const drainSessions = () => ({
    sessions: {
      follow: async () => undefined,
      unfollow: () => undefined,
      epochOf: (id: string) => (agents.some((agent) => agent.id === id && agent.state === 'online') ? 1 : undefined),
      reconnect: (ended: readonly { readonly agentId: string }[]) => {
        for (const { agentId } of ended) void changed(agentId, () => ({ state: 'disconnected' }));
      },
    },
    elsewhere: {
      list: () => [],
      get: () => undefined,
      show: () => undefined,
      cancel: async () => undefined,
    },
  });
  const registry = {
    select: async (matches: readonly AgentMatch[], within: readonly LabelTerm[] = []) =>
      agents
        .filter((agent) => matches.some((match) => matchesAgent(match, agent)))
        .filter((agent) => matchesAgent({ kind: 'labels', terms: within }, agent))
        .map(({ id, name, state }) => ({ id, name, state, offlineSince: null })),
    selectIds: async (matches: readonly AgentMatch[]) =>
      agents.filter((agent) => matches.some((match) => matchesAgent(match, agent))).map(({ id }) => id),
    async findByReference(reference: string, limit: number) {
      const exact =
        agents.find(({ id }) => id === reference) ??
        agents.find(({ name }) => name.toLowerCase() === reference.toLowerCase());
      return exact === undefined
        ? agents.filter(({ id }) => reference.length >= 8 && id.startsWith(reference)).slice(0, limit)
        : [exact];
    },
    labelsOf: async (ids: readonly string[]) =>
      agents.filter(({ id }) => ids.includes(id)).map(({ id, labels }) => [id, labels] as const),
    list: async ({ after = '', limit, names = ['*'], labels = [[]] }: Parameters<AgentDirectory['list']>[0]) =>
      agents
        .filter(({ name }) => name > after)
        .filter((agent) => names.some((pattern) => matchesAgent({ kind: 'name', pattern }, agent)))
        .filter((agent) => labels.some((terms) => matchesAgent({ kind: 'labels', terms }, agent)))
        .slice(0, limit),
    async count({ labels = [[]] }: Parameters<AgentDirectory['count']>[0]) {
      const found = agents.filter((agent) => labels.some((terms) => matchesAgent({ kind: 'labels', terms }, agent)));
      const states = Object.fromEntries(AGENT_STATES.map((state) => [state, 0])) as Record<AgentState, number>;
      for (const { state } of found) states[state] += 1;
      return { agents: found.length, states, transports: { ws: 0, wss: 0 }, versions: [], releases: [] };
    },
    consumersOf: async () => undefined,
    history: async () => [
      { at: 2_000, state: 'disconnected' as const, reason: 'session_cut: The connection was cut.', until: null },
      { at: 1_000, state: 'enrolled' as const, reason: 'not_yet_connected: It is enrolled.', until: null },
    ],
    incidents: async () => incidents.map((incident, key) => ({ ...incident, key })),
    hasLeftRecords: async (id: string) =>
      events.all.some(({ agentId }) => agentId === id) ||
      [...incidents, ...deadLetters].some(({ agentId }) => agentId === id),
  };
  const services: AdminServices = {
    profiles: memoryReleases().profiles,
    profileReleases: memoryReleases().profileReleases,
    software: memoryReleases().software,
    apiTokens,
    signIns: createSignIns({ store: store.tokens, apiTokens, now }),
    oidc: undefined,
    addressAccess: new AddressAccess(() => parameters.values()),
    refusals: { record: (fault, place) => void refused.push({ code: fault.code, ...place }) },
    enrollmentTokens: createEnrollmentTokens({ tokens: store.tokens, now }),
    parameters,
    changes,
    agents: new AgentDirectory(registry),
    agentChanges: {
      replace: async (_old, next) => next,
      rehearseReplace: () => undefined,
      change: async (id, { name, labels, notes }, version, { who }) =>
        await changed(id, (agent) => {
          if (version !== null && version !== agent.version)
            throw storeFault('version_conflict', { subject: id, found: agent.version, expected: version });
          return {
            version: agent.version + 1,
            changedBy: who,
            ...(name === undefined ? {} : { name: name ?? agent.name, isNameSet: name !== null }),
            ...(labels === undefined ? {} : { labels: labels === null ? {} : mergedLabels(agent.labels, labels) }),
            ...(notes === undefined ? {} : { notes }),
          };
        }),
      disable: async (id) => await changed(id, () => ({ state: 'disabled' })),
      enable: async (id) => await changed(id, () => ({ state: 'disconnected' })),
    },
    drains: new Drains({
      ...drainSessions(),
      audit: store.audit,
      log: { info() {} },
      now,
      every: () => () => undefined,
    }),
    revocations: {
      async remove(id) {
        const at = agents.findIndex((agent) => agent.id === id);
        if (at === -1) throw storeFault('agent_unknown', { id });
        agents.splice(at, 1);
      },
      async revoke(id, why, { comment }) {
        const at = agents.findIndex((agent) => agent.id === id);
        const agent = agents[at];
        if (agent === undefined) throw storeFault('agent_unknown', { id });
        const revoked: AgentRecord = { ...agent, state: 'revoked', revocation: { at: now(), reason: why } };
        agents[at] = revoked;
        revocations.push({ id, reason: why, comment });
        return revoked;
      },
    },
    messages: {
      // Agents of this registry have no sessions.
      online: () => undefined,
      async append(agentId, messages) {
        if (fail.sending !== null) throw fail.sending;
        if (!agents.some(({ id }) => id === agentId)) throw storeFault('agent_unknown', { id: agentId });
        sent.push({ agentId, messages });
        return messages.map((_, i) => ({ outcome: 'stored', number: i + 1 }));
      },
      async deadLetters(query) {
        deadLetterQueries.push(query);
        const { before = Number.MAX_SAFE_INTEGER, limit } = query;
        const items = deadLetters
          .map((letter, i) => ({ ...letter, key: deadLetters.length - 1 - i }))
          .filter(({ key }) => key < before)
          .slice(0, limit);
        return { items, next: items.length === limit ? (items.at(-1)?.key ?? null) : null };
      },
      waiting: async () => [],
      statesOf: async () => [],
      list: async () => ({ items: [], next: null }),
      find: async () => undefined,
      withdraw: async () => undefined,
      rehearseWithdrawal: async () => undefined,
    },
    inbox: events,
    maintenanceMode: {
      state: maintenance,
      async change({ enabled, retryAfterSeconds = 60 }) {
        Object.assign(maintenance, { enabledAt: enabled === true ? 60_000 : null, retryAfterSeconds });
        return maintenance;
      },
    },
    onlineAgents: { online: async () => status.online },
    aging: { accept: async () => ({ expectedAt: 0, foundAt: 60 * 86_400_000 }) },
    hub: events,
    streams,
    cursors: CURSORS,
    backups,
    applyRestore: (staged) => void backups.applied.push(staged),
    pki: {
      trust: { pem: () => '-----BEGIN CERTIFICATE-----\n' },
      pin: () => 'sha256:00',
      signingKey: { fingerprint: 'sha256:11' },
    },
    advertised: () => ({ host: 'central.test', port: 9150 }),
    revocationLists: { der: async () => Buffer.from('list'), pem: async () => '-----BEGIN X509 CRL-----\n' },
    status: () => status.report,
    store: {
      idempotency: store.idempotency,
      nodes: undefined,
      stats: async () => ({
        engine: 'sqlite',
        schema: 7,
        bytes: 4096,
        events: 5,
        deadLetters: 1,
        unconvertedEvents: 0,
        deadLettersDropped: 2,
        waitingCalls: 0,
        commits: 1,
      }),
    },
    nodes: { list: () => [NODE] },
    space: { current: () => ({ state: 'low', freeBytes: 900, availableBytes: 800, reserveBytes: 500 }) },
    profileFaults: () => [],
    audit: store.audit,
    auditVerification: { verify: async () => ({ valid: true, entryCount: 0, head: null, faults: [] }) },
    ...absentPki(),
    handshakeFailures: { list: () => [], dropped: 0 },
    metrics,
    resourceChanges,
    waiting: new WaitingRequests(metrics),
    now,
    onUnexpected: (error) => unexpected.push(error),
    ...(await more(store)),
  };
  const server = createHttpServer(10_000);
  const app = createHttpApp({
    server,
    maxBodyBytes: MAX_ADMIN_BODY_BYTES,
    onUnexpected: (error) => unexpected.push(error),
  });
  await adminRoutes(app, services);
  await dashboardPages(app, services);
  await app.ready();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    store,
    tokens,
    agents,
    revoked: revocations,
    online,
    incidents,
    sent,
    deadLetters,
    deadLetterQueries,
    unexpected,
    status,
    refused,
    fail,
    events,
    streams,
    resourceChanges,
    backups,
    connections: promisify(server.getConnections.bind(server)),
    async request(method, path, { as = 'administrator', body, headers = {}, signal } = {}) {
      const all = {
        ...(as === null ? {} : { authorization: `Bearer ${tokens[as]}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      };
      const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
      const whole = path.startsWith('/api/') || path === '/metrics' ? path : `/api/v1${path}`;
      const response = await fetch(`${url}${whole}`, {
        method,
        headers: all,
        ...(text === undefined ? {} : { body: text }),
        ...(signal === undefined ? {} : { signal }),
      });
      await expectDescribed(method, whole, response);
      return response;
    },
  };
}

type AbsentService =
  | 'exposures'
  | 'serviceReports'
  | 'subscriptions'
  | 'authorityService'
  | 'serverCertificates'
  | 'expiry'
  | 'rotation'
  | 'approvals'
  | 'offlineEnrollment'
  | 'recoveries'
  | 'rollouts'
  | 'taskOutputs'
  | 'tasks';

/**
 * Routes of the authority, of certificates and of enrollments have tests of their own (certificates.test.ts,
 * test/flow).
 */
function absentPki(): Pick<AdminServices, AbsentService> {
  const absent = new Proxy(
    {},
    { get: (_, name) => () => Promise.reject(new Error(`no ${String(name)} in this test`)) },
  );
  return {
    authorityService: absent,
    serverCertificates: absent,
    expiry: absent,
    rotation: absent,
    approvals: { ...absent, counts: async () => ({ pending: 0, most: 1000, blocks: [] }) },
    offlineEnrollment: absent,
    recoveries: absent,
    rollouts: { ...absent, agentsPerRelease: async () => [] },
    exposures: { ...absent, list: () => [] },
    serviceReports: { of: async () => undefined },
    subscriptions: absent,
    taskOutputs: absent,
    tasks: { ...absent, list: async () => [], handlersOf: async () => undefined },
  } as unknown as Pick<AdminServices, AbsentService>;
}

export const outboxFull = () => new CodedError('outbox_full', { text: 'full', hint: 'wait', status: 503 }, {});
