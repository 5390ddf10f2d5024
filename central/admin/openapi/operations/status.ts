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
  named,
  object,
  orNull,
  sha256,
  text,
  textOrNull,
  time,
  words,
  yes,
  type Operations,
} from '../schema.ts';

const BACKUP = named('Backup', object({ createdAt: time, central: text, version: text, bytes: count }));
const HEALTH = named(
  'Health',
  object({ state: words(['ok', 'failing']), reasons: array(text, 'codes of what is wrong, as in ERRORS.md') }),
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
    errors: ['backup_busy', 'backup_failed', 'backup_no_room', 'backup_password_short'],
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
