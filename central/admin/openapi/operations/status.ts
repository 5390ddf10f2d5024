// The operations on the status of Central, its health, its store and its metrics.
import { AGENT_STATES } from '../../../store/agent-store.ts';
import { PROBLEM_SUBJECTS } from '../../../problems.ts';
import { BACKUP_ERRORS } from '../../../store/backup/errors.ts';
import {
  array,
  binary,
  count,
  countOrNull,
  json,
  listOf,
  named,
  NO_CONTENT,
  object,
  orNull,
  sha256,
  text,
  textOrNull,
  time,
  timeOrNull,
  words,
  yes,
  type Operations,
} from '../schema.ts';

const BACKUP = named('Backup', object({ createdAt: time, central: text, version: text, bytes: count }));
const HEALTH = named(
  'Health',
  object({ state: words(['ok', 'failing']), reasons: array(text, 'codes of what is wrong, as in ERRORS.md') }),
);

const NODE = named(
  'Node',
  object({
    name: text,
    state: words(['alive', 'dead', 'stopped'], 'dead: it was not heard of for so long that its sessions were ended'),
    leader: { ...yes, description: 'it does what is done once for all nodes' },
    version: text,
    address: { ...textOrNull, description: 'where other nodes reach it' },
    startedAt: time,
    lastSeenAt: time,
    clockOffsetSeconds: { type: 'number', description: 'positive: its clock is ahead of that of PostgreSQL' },
    sessionCount: count,
    appliedParameters: { ...count, description: 'the version of the parameters that it applies' },
    drainedAt: { ...timeOrNull, description: 'since when it admits no agents; null: it does' },
  }),
);

export const STATUS_OPERATIONS: Operations = {
  'GET /status': {
    id: 'getStatus',
    summary: 'Version, listeners, and what is wrong right now.',
    answers: {
      200: json(
        'The status.',
        object({
          central: text,
          node: text,
          nodes: object({
            aliveCount: count,
            leader: { ...textOrNull, description: 'null: none leads at the moment' },
          }),
          version: text,
          startedAt: time,
          listeners: array(
            object({
              listener: words(['ws', 'wss', 'http', 'https', 'services', 'socket']),
              addresses: array(text),
              port: countOrNull,
              encrypted: yes,
              text: { ...text, description: 'who is served here, and how encrypted' },
            }),
          ),
          certificate: orNull(object({ subject: text, names: array(text), notAfter: time, thumbprint: sha256 })),
          restore: orNull(object({ backup: BACKUP, failure: textOrNull })),
          agents: object({
            agentCount: count,
            states: array(object({ state: words(AGENT_STATES), agentCount: count })),
            transports: array(object({ transport: words(['ws', 'wss']), agentCount: count })),
            versions: array(object({ version: text, agentCount: count })),
            releases: array(object({ release: sha256, name: textOrNull, agentCount: count })),
          }),
          sessions: orNull(array(object({ listener: words(['ws', 'wss']), sessionCount: count }))),
          enrollmentRequests: object({
            pendingCount: count,
            maxCount: count,
            blocks: array(object({ addressBlock: text, pendingCount: count })),
          }),
          problems: array(
            object({
              code: text,
              detail: text,
              hint: text,
              startedAt: time,
              subject: orNull(object({ kind: words(PROBLEM_SUBJECTS), id: text, name: text })),
            }),
          ),
        }),
      ),
    },
  },
  'GET /health/live': {
    id: 'getLive',
    summary: 'Answers while the process runs.',
    answers: { 200: json('It runs.', HEALTH) },
  },
  'GET /health/ready': {
    id: 'getReady',
    summary: 'Whether Central serves agents.',
    answers: { 200: json('It does.', HEALTH), 503: json('It does not.', HEALTH) },
  },
  'GET /nodes': {
    id: 'listNodes',
    summary: 'The nodes: the processes of this Central.',
    answers: { 200: json('A page.', listOf(NODE)) },
  },
  'GET /nodes/{node}': {
    id: 'getNode',
    summary: 'One node.',
    answers: { 200: json('The node.', NODE) },
    errors: ['node_unknown'],
  },
  'POST /nodes/{node}/drain': {
    id: 'drainNode',
    summary: 'Lets the agents of a node reconnect to others, and admits none there; or ends that.',
    answers: { 202: json('The node.', NODE) },
    errors: ['node_alone', 'node_unknown'],
    example: { body: { cancel: true } },
  },
  'DELETE /nodes/{node}': {
    id: 'deleteNode',
    summary: 'Forgets a node that is stopped or dead.',
    answers: NO_CONTENT,
    errors: ['node_alive', 'node_unknown'],
  },
  'GET /store': {
    id: 'getStore',
    summary: 'What the store contains, its size, reserve and quotas.',
    answers: {
      200: json(
        'The store.',
        object({
          engine: text,
          schema: count,
          bytes: count,
          eventCount: count,
          unconvertedEventCount: count,
          deadLetterCount: count,
          droppedDeadLetterCount: count,
          reserve: object({ state: text, freeBytes: count, availableBytes: count, reserveBytes: count }),
          quotas: object({ deadLetterCount: count, deadLetterBytes: count, eventsPerDayCount: countOrNull }),
        }),
      ),
    },
  },
  'POST /store/backup': {
    id: 'backUpStore',
    summary: 'The whole store with its keys, sealed with a password.',
    answers: { 200: { description: 'The backup.', types: { 'application/octet-stream': binary } } },
    errors: ['backup_busy', 'backup_elsewhere', 'backup_failed', 'backup_no_room', 'backup_password_short'],
    example: { body: { password: 'correct horse battery staple' } },
  },
  'POST /store/restore': {
    id: 'restoreStore',
    summary:
      'Replaces the store with that of a backup; Central starts again. The password is in the header Queuegate-Password.',
    body: { 'application/octet-stream': binary },
    answers: { 202: json('Central stops and starts with it.', object({ backup: BACKUP })) },
    errors: Object.keys(BACKUP_ERRORS),
  },
  'GET /metrics': {
    id: 'getMetrics',
    summary: 'Metrics for Prometheus.',
    answers: { 200: { description: 'Prometheus text.', types: { 'text/plain': text } } },
  },
};
