// The operations on agents, their states, drains, incidents, and maintenance mode.
import { DRAIN_STATES } from '../../../agents/acts/drain.ts';
import { RELEASE_PARTS } from '../../../../shared/releases/software.ts';
import { AGENT_STATES } from '../../../store/agent-store.ts';
import {
  anything,
  array,
  BULK,
  CAUSE,
  count,
  json,
  listOf,
  named,
  NO_CONTENT,
  object,
  orNull,
  record,
  reportOf,
  sha256,
  shortId,
  text,
  textOrNull,
  time,
  timeOrNull,
  UNCHANGED,
  words,
  yes,
  type Operations,
  type Schema,
} from '../schema.ts';

const LIFE = object({ revokedAt: time, reason: text });
const CERTIFICATE = named(
  'AgentCertificate',
  object({
    thumbprint: sha256,
    serialNumber: text,
    issuerThumbprint: text,
    notBefore: time,
    notAfter: time,
    revocation: orNull(LIFE),
  }),
);
const MEMBERS: Readonly<Record<string, Schema>> = {
  id: text,
  name: text,
  nameSource: words(['administrator', 'agent']),
  labels: record(text),
  notes: text,
  state: words(AGENT_STATES),
  stateChangedAt: time,
  stateReason: CAUSE,
  stateDeadlineAt: { ...timeOrNull, description: 'when the state ends by itself' },
  keyThumbprint: sha256,
  certificate: orNull(CERTIFICATE),
  renewal: orNull(
    object({ keyThumbprint: sha256, startedAt: time, installedAt: timeOrNull, certificate: CERTIFICATE }),
  ),
  revocation: orNull(LIFE),
  enrolledAt: time,
  enrolledBy: text,
  epoch: count,
  lastSeenAt: timeOrNull,
  session: orNull(
    object({
      id: text,
      transport: words(['ws', 'wss']),
      address: text,
      version: text,
      node: text,
      startedAt: time,
      endedAt: timeOrNull,
    }),
  ),
  releases: {
    ...array(object({ part: words(RELEASE_PARTS), digest: sha256, name: textOrNull })),
    description: 'what it last reported that it runs',
  },
  logs: object({
    down: object({ incarnation: text, messageCount: count, bytes: count, oldestAt: timeOrNull }),
    up: object({ incarnation: textOrNull, number: count, lastAt: timeOrNull }),
  }),
};
const AGENT = named('Agent', object(MEMBERS));
const CONSUMER = named(
  'Consumer',
  object({
    name: text,
    types: array(text),
    acknowledged: orNull(object({ incarnation: text, number: count })),
    waitingCount: count,
    reportedAt: time,
  }),
);
const AGENT_WITH_CONSUMERS = named(
  'AgentWithConsumers',
  object({
    ...MEMBERS,
    inboxFull: { type: ['boolean', 'null'] },
    consumers: orNull(array(CONSUMER)),
    queues: { ...array(text), description: 'whose tasks it takes, as it reported last' },
    devicePort: {
      ...orNull(
        object({
          listenPort: count,
          state: words(['open', 'closed']),
          names: array(text),
          notAfter: timeOrNull,
          clientCertificates: yes,
          connectionCount: count,
          reportedAt: time,
        }),
      ),
      description: 'its port for devices, as it reported last',
    },
  }),
);

const DRAIN = named(
  'Drain',
  object({
    id: text,
    state: words(DRAIN_STATES),
    stateChangedAt: time,
    createdAt: time,
    createdBy: text,
    agents: array(text),
    scope: textOrNull,
    withinSeconds: count,
    retryAfterSeconds: count,
    agentCount: count,
    offlineCount: count,
    waitingCount: count,
    awayCount: count,
    reconnectedCount: count,
  }),
);
const MAINTENANCE = named('Maintenance', object({ enabled: yes, retryAfterSeconds: count, enabledAt: timeOrNull }));
const REPORT = reportOf({ type: 'null' });
const agentOrReport = { 200: json('The agent, or what a dry run found.', { anyOf: [AGENT, REPORT] }) } as const;

export const AGENT_OPERATIONS: Operations = {
  'GET /agents': {
    id: 'listAgents',
    summary: 'Lists the agents.',
    answers: { 200: json('A page.', listOf(AGENT)) },
    errors: ['selector_invalid'],
    example: { query: { state: 'online', label: 'region=north', sort: '-lastSeenAt', limit: '50' } },
  },
  'POST /agents': {
    id: 'createAgent',
    summary: 'Enrolls a machine offline: issues a certificate for its request.',
    answers: {
      201: json(
        'Enrolled.',
        object({
          id: text,
          name: text,
          keyThumbprint: sha256,
          certificate: object({ thumbprint: sha256, notAfter: time }),
          pem: { ...text, description: 'the certificate with its chain' },
        }),
      ),
    },
    errors: [
      'agent_id_invalid',
      'agent_id_taken',
      'agent_key_known',
      'agent_key_revoked',
      'agent_name_reserved',
      'agent_name_taken',
      'csr_key_type',
      'csr_signature',
      'csr_unreadable',
      'enrollment_name_reserved',
      'enrollments_per_day',
      'issue_name_missing',
    ],
  },
  'GET /agents/{agent}': {
    id: 'getAgent',
    summary: 'One agent, with its consumers and queues.',
    answers: { 200: json('The agent.', AGENT_WITH_CONSUMERS) },
  },
  'PATCH /agents/{agent}': {
    id: 'changeAgent',
    summary: 'Changes name, labels and notes of an agent.',
    answers: { 200: json('The agent.', AGENT) },
    errors: ['agent_labels_full', 'agent_name_reserved', 'agent_name_taken', 'version_conflict'],
    example: { body: { labels: { region: 'north', tier: null }, notes: 'Ground floor, behind the counter.' } },
  },
  'DELETE /agents/{agent}': {
    id: 'deleteAgent',
    summary: 'Deletes an agent with everything that waits for it; its certificates are revoked.',
    answers: { ...NO_CONTENT, 200: json('What a dry run found.', REPORT) },
  },
  'GET /agents/{agent}/history': {
    id: 'listAgentHistory',
    summary: 'The last 50 changes of the state of an agent, the newest first.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            state: words(AGENT_STATES),
            stateChangedAt: time,
            stateReason: CAUSE,
            stateDeadlineAt: timeOrNull,
          }),
        ),
      ),
    },
  },
  'POST /agents/{agent}/replace': {
    id: 'replaceAgent',
    summary: 'Gives the agent the key of another device: name, labels, history and commands go to it.',
    answers: agentOrReport,
    errors: [
      'agent_key_known',
      'agent_key_revoked',
      'agent_replaces_itself',
      'agent_revoked',
      'enrollment_request_ambiguous',
      'rollout_state_conflict',
    ],
    example: { body: { by: 'branch-0099' } },
  },
  'POST /agents/{agent}/disable': {
    id: 'disableAgent',
    summary: 'Ends the session of an agent and refuses it until it is enabled.',
    answers: agentOrReport,
    errors: ['agent_revoked'],
  },
  'POST /agents/{agent}/enable': {
    id: 'enableAgent',
    summary: 'Admits a disabled agent again.',
    answers: agentOrReport,
    errors: ['agent_revoked'],
  },
  'POST /agents/{agent}/revoke': {
    id: 'revokeAgent',
    summary: 'Revokes the certificates and the key of an agent, and ends its session.',
    answers: agentOrReport,
    errors: ['agent_revoked'],
    example: { query: { dryRun: 'true' }, body: { reason: 'keyCompromise' } },
  },
  'POST /agent-actions': {
    id: 'actOnAgents',
    summary: 'Disables, enables, revokes or labels all agents that the selectors mean.',
    answers: {
      202: json('How it ended for each agent.', BULK),
      200: json('What a dry run found.', reportOf(object({ agentCount: count }))),
    },
    errors: ['agent_ambiguous', 'agent_unknown', 'selector_empty', 'selector_invalid'],
    example: { body: { verb: 'labels', agents: ['name:branch-*'], labels: { tier: 'gold' } } },
  },
  'GET /drains': {
    id: 'listDrains',
    summary: 'The drains of this process, the newest first.',
    answers: { 200: json('A page.', listOf(DRAIN)) },
  },
  'POST /drains': {
    id: 'createDrain',
    summary: 'Ends the sessions of the selected agents, spread over a time, so that they connect again.',
    answers: {
      202: json('The drain.', DRAIN),
      200: json('What a dry run found.', reportOf(object({ agentCount: count }))),
    },
    errors: ['agent_ambiguous', 'agent_unknown', 'drains_full', 'selector_empty', 'selector_invalid'],
    example: { body: { agents: ['name:branch-*'], withinSeconds: 60 } },
  },
  'GET /drains/{drain}': {
    id: 'getDrain',
    summary: 'One drain; with If-None-Match and waitSeconds once it is another one.',
    answers: { 200: json('The drain.', DRAIN), 304: UNCHANGED },
    errors: ['drain_unknown'],
  },
  'POST /drains/{drain}/cancel': {
    id: 'cancelDrain',
    summary: 'Ends a drain; agents that still wait keep their sessions.',
    answers: { 200: json('The drain.', DRAIN) },
    errors: ['drain_ended', 'drain_unknown'],
  },
  'GET /incidents': {
    id: 'listIncidents',
    summary: 'What went wrong with agents, the newest first.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            id: shortId,
            code: text,
            firstAt: time,
            lastAt: time,
            count,
            agentId: textOrNull,
            address: textOrNull,
            detail: anything,
          }),
        ),
      ),
    },
    errors: ['agent_ambiguous', 'agent_unknown'],
  },
  'GET /handshake-failures': {
    id: 'listHandshakeFailures',
    summary: 'Connections and enrollments that failed since this process started.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            listener: words(['ws', 'wss', 'http', 'https']),
            cause: text,
            address: text,
            firstAt: time,
            lastAt: time,
            count,
            detail: text,
            hint: text,
          }),
          {
            startedAt: time,
            droppedCount: count,
            inferredFrom: orNull(object({ agentId: text, address: textOrNull })),
          },
        ),
      ),
    },
    errors: ['agent_ambiguous', 'agent_unknown'],
    example: { query: { listener: 'wss' } },
  },
  'GET /maintenance': {
    id: 'getMaintenance',
    summary: 'Whether Central is in maintenance mode.',
    answers: { 200: json('The mode.', MAINTENANCE) },
  },
  'PATCH /maintenance': {
    id: 'changeMaintenance',
    summary: 'Enables or disables maintenance mode, in which no agent is admitted.',
    answers: { 200: json('The mode, or what a dry run found.', { anyOf: [MAINTENANCE, REPORT] }) },
    example: { body: { enabled: true, retryAfterSeconds: 120 } },
  },
  'POST /maintenance/accept-clock': {
    id: 'acceptClock',
    summary: 'Accepts the time of this host, of which Central doubts.',
    answers: { 200: json('What was doubted; null: nothing.', object({ expectedAt: timeOrNull, foundAt: timeOrNull })) },
  },
};
