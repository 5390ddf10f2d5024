// All routes of the local API: who may use each, its parameters, body and answers. The server dispatches by this table,
// and openapi.json is made from it.
import { JsonText } from '../answers.ts';
import type { Route } from '../types.ts';
import { acknowledgeCommands, getCommands } from './commands.ts';
import { postEvents } from './events.ts';
import {
  getConsumer,
  getLive,
  getReady,
  getStatus,
  listConsumers,
  listDeadLetters,
  listIncidents,
  rotateToken,
} from './records.ts';
import {
  ACK,
  COMMAND_PARAMETERS,
  COMMANDS,
  CONSUMER,
  CONSUMERS,
  DEAD_LETTERS,
  EVENTS,
  HEALTH,
  INCIDENTS,
  LIST_PARAMETERS,
  NO_PARAMETERS,
  POSTED,
  ROTATED,
  STATUS,
} from './schemas.ts';

const JSON_ONLY = ['application/json'];
const EVENT_TYPES = ['application/json', 'application/cloudevents+json', 'application/cloudevents-batch+json'];
const LIST_ERRORS = ['local_parameter_unknown', 'local_query_bad', 'local_cursor_invalid'] as const;
const BODY_ERRORS = [
  'local_parameter_unknown',
  'local_body_bad',
  'body_not_utf8',
  'local_body_too_large',
  'local_content_type',
] as const;

export const ROUTES: readonly Route[] = [
  {
    path: '/api/v1/events',
    POST: {
      id: 'postEvents',
      summary: 'Posts events for Central, all or nothing. The answer is sent when they are on disk.',
      who: 'producer',
      parameters: NO_PARAMETERS,
      body: { types: EVENT_TYPES, schema: EVENTS },
      answers: { 202: { description: 'On disk.', schema: POSTED } },
      errors: [...BODY_ERRORS, 'message_expired', 'id_reused', 'outbox_full'],
      handle: postEvents,
    },
  },
  {
    path: '/api/v1/commands',
    GET: {
      id: 'getCommands',
      summary: 'The unacknowledged commands of the consumer, oldest first; with Accept: text/event-stream as a stream.',
      who: 'any',
      parameters: COMMAND_PARAMETERS,
      answers: { 200: { description: 'May be empty.', schema: COMMANDS, stream: 'text/event-stream' } },
      errors: ['local_parameter_unknown', 'local_query_bad', 'local_not_acceptable'],
      handle: getCommands,
    },
  },
  {
    path: '/api/v1/commands/ack',
    POST: {
      id: 'acknowledgeCommands',
      summary: 'Acknowledges all commands of the consumer through a cursor; they are deleted.',
      who: 'any',
      parameters: NO_PARAMETERS,
      body: { types: JSON_ONLY, schema: ACK },
      answers: { 200: { description: 'Deleted.', schema: ACK } },
      errors: [...BODY_ERRORS, 'cursor_unknown', 'ack_beyond_delivered'],
      handle: acknowledgeCommands,
    },
  },
  {
    path: '/api/v1/consumers',
    GET: {
      id: 'listConsumers',
      summary: 'All consumers for the account of the agent; for a consumer only itself.',
      who: 'any',
      parameters: NO_PARAMETERS,
      answers: { 200: { description: 'default first.', schema: CONSUMERS } },
      errors: ['local_parameter_unknown'],
      handle: listConsumers,
    },
  },
  {
    path: '/api/v1/consumers/{consumer}',
    GET: {
      id: 'getConsumer',
      summary: 'One consumer, for itself and for the account of the agent.',
      who: 'own',
      parameters: NO_PARAMETERS,
      answers: { 200: { description: 'The consumer.', schema: CONSUMER } },
      errors: ['local_parameter_unknown', 'local_owner_only', 'local_consumer_unknown'],
      handle: getConsumer,
    },
  },
  {
    path: '/api/v1/consumers/{consumer}/rotate-token',
    POST: {
      id: 'rotateToken',
      summary: 'Creates a new token for a consumer; the previous one stays valid for 24 hours.',
      who: 'owner',
      parameters: NO_PARAMETERS,
      answers: { 201: { description: 'The new token is in the file.', schema: ROTATED } },
      errors: ['local_parameter_unknown', 'local_owner_only', 'local_consumer_unknown'],
      handle: rotateToken,
    },
  },
  {
    path: '/api/v1/status',
    GET: {
      id: 'getStatus',
      summary: 'The state of the agent.',
      who: 'any',
      parameters: NO_PARAMETERS,
      answers: { 200: { description: 'The status.', schema: STATUS } },
      errors: ['local_parameter_unknown'],
      handle: getStatus,
    },
  },
  {
    path: '/api/v1/incidents',
    GET: {
      id: 'listIncidents',
      summary: 'What went wrong, newest first; the last 1,000.',
      who: 'any',
      parameters: LIST_PARAMETERS,
      answers: { 200: { description: 'A page.', schema: INCIDENTS } },
      errors: LIST_ERRORS,
      handle: listIncidents,
    },
  },
  {
    path: '/api/v1/dead-letters',
    GET: {
      id: 'listDeadLetters',
      summary: 'Messages that expired or were rejected, newest first; the last 1,000.',
      who: 'any',
      parameters: LIST_PARAMETERS,
      answers: { 200: { description: 'A page.', schema: DEAD_LETTERS } },
      errors: LIST_ERRORS,
      handle: listDeadLetters,
    },
  },
  {
    path: '/api/v1/health/live',
    GET: {
      id: 'getLive',
      summary: 'The daemon answers.',
      who: 'none',
      parameters: NO_PARAMETERS,
      answers: { 200: { description: 'It does.', schema: HEALTH } },
      errors: ['local_parameter_unknown'],
      handle: getLive,
    },
  },
  {
    path: '/api/v1/health/ready',
    GET: {
      id: 'getReady',
      summary: 'Programs can post events.',
      who: 'none',
      parameters: NO_PARAMETERS,
      answers: {
        200: { description: 'They can.', schema: HEALTH },
        503: { description: 'They cannot at present.', schema: HEALTH },
      },
      errors: ['local_parameter_unknown'],
      handle: getReady,
    },
  },
  {
    path: '/api/v1/openapi.json',
    GET: {
      id: 'getOpenApi',
      summary: 'This document.',
      who: 'none',
      parameters: NO_PARAMETERS,
      answers: { 200: { description: 'OpenAPI 3.1.', schema: { description: 'An OpenAPI document.' } } },
      errors: ['local_parameter_unknown'],
      handle: async () => {
        const { openApiText } = await import('./openapi.ts');
        return { status: 200, body: new JsonText(openApiText(ROUTES)) };
      },
    },
  },
];

/** The route of a path, and what is in place of its segment in braces. */
export function findRoute(path: string): { readonly route: Route; readonly segment: string } | undefined {
  for (const route of ROUTES) {
    if (route.path === path) return { route, segment: '' };
    const open = route.path.indexOf('{');
    if (open === -1 || !path.startsWith(route.path.slice(0, open))) continue;
    const rest = route.path.slice(route.path.indexOf('}') + 1);
    const segment = path.slice(open, path.length - rest.length);
    if (segment !== '' && path.endsWith(rest) && !segment.includes('/')) return { route, segment };
  }
  return undefined;
}

/** As the header Allow lists them (RFC 9110 section 10.2.1). */
export function allowedMethods({ GET, POST }: Route): string {
  return [...(GET === undefined ? [] : ['GET', 'HEAD']), ...(POST === undefined ? [] : ['POST']), 'OPTIONS'].join(', ');
}
