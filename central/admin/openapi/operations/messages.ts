// The operations on messages: commands to agents, events from them, dead letters.
import {
  AGENT_REFERENCE,
  anything,
  array,
  BULK,
  count,
  countOrNull,
  json,
  listOf,
  named,
  NO_CONTENT,
  object,
  shortId,
  text,
  textOrNull,
  time,
  timeOrNull,
  words,
  type Operations,
} from '../schema.ts';

const CLOUD_EVENT = named('CloudEvent', {
  type: 'object',
  description:
    'A CloudEvents 1.0 event in its JSON format. specversion, id, source and time are added where they are missing.',
  properties: { type: { type: 'string', minLength: 1 }, data: {} },
  required: ['type'],
} as const);
const SENT = { anyOf: [CLOUD_EVENT, { type: 'array', items: CLOUD_EVENT, minItems: 1, maxItems: 1000 }] } as const;
const SENT_TYPES = {
  'application/json': SENT,
  'application/cloudevents+json': CLOUD_EVENT,
  'application/cloudevents-batch+json': array(CLOUD_EVENT),
} as const;
const COMMAND = named(
  'Command',
  object({
    commandId: text,
    agent: AGENT_REFERENCE,
    state: words(['queued', 'delivered', 'acknowledged', 'expired', 'withdrawn']),
    queuedAt: timeOrNull,
    expiresAt: timeOrNull,
    number: countOrNull,
    id: textOrNull,
    source: textOrNull,
    type: textOrNull,
    text: { ...textOrNull, description: 'the CloudEvent as it was sent; null: it is no longer kept' },
  }),
);
const OF_MESSAGES = ['body_not_utf8', 'message_expired', 'message_invalid', 'outbox_full', 'store_low'] as const;
const EXAMPLE = { type: 'com.example.ticket.call', data: { ticket: 'A017', counter: 4 } };

export const MESSAGE_OPERATIONS: Operations = {
  'POST /agents/{agent}/commands': {
    id: 'sendCommands',
    summary: 'Queues commands for one agent, all or nothing.',
    body: SENT_TYPES,
    answers: {
      202: json(
        'On disk.',
        object({
          items: array(
            object({
              id: text,
              source: text,
              commandId: text,
              outcome: words(['stored', 'duplicate']),
              number: countOrNull,
            }),
          ),
        }),
      ),
    },
    errors: [...OF_MESSAGES, 'agent_disabled', 'agent_revoked', 'id_reused', 'message_withdrawn'],
    example: { body: EXAMPLE },
  },
  'GET /agents/{agent}/commands': {
    id: 'listAgentCommands',
    summary: 'The commands that wait for one agent, the oldest first.',
    answers: { 200: json('A page.', listOf(COMMAND)) },
  },
  'POST /commands': {
    id: 'sendCommandsToAgents',
    summary: 'Queues commands for all agents that the selectors mean; each agent stands for itself.',
    body: SENT_TYPES,
    answers: { 202: json('How it ended for each agent.', BULK) },
    errors: [...OF_MESSAGES, 'agent_ambiguous', 'agent_unknown', 'selector_empty', 'selector_invalid'],
    example: { query: { agents: 'name:branch-*' }, body: EXAMPLE },
  },
  'GET /commands': {
    id: 'listCommands',
    summary: 'Commands that wait, or what became of the one with a source and an id.',
    answers: { 200: json('A page.', listOf(COMMAND)) },
    errors: ['agent_ambiguous', 'agent_unknown'],
    example: { query: { agent: 'branch-0042' } },
  },
  'GET /commands/{command}': {
    id: 'getCommand',
    summary: 'One command, with its state up to its consumer.',
    answers: { 200: json('The command.', COMMAND) },
    errors: ['command_id_unknown'],
  },
  'DELETE /commands/{command}': {
    id: 'withdrawCommand',
    summary: 'Withdraws a command that is not yet delivered.',
    answers: NO_CONTENT,
    errors: ['command_delivered', 'command_id_unknown'],
  },
  'GET /dead-letters': {
    id: 'listDeadLetters',
    summary: 'Messages that expired, were rejected or withdrawn, the newest first.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            id: shortId,
            createdAt: time,
            direction: words(['up', 'down']),
            agentId: text,
            number: countOrNull,
            throughNumber: countOrNull,
            count,
            messageId: textOrNull,
            code: textOrNull,
            detail: textOrNull,
            place: textOrNull,
            text: textOrNull,
          }),
        ),
      ),
    },
    errors: ['agent_ambiguous', 'agent_unknown'],
  },
  'GET /events': {
    id: 'listEvents',
    summary: 'Events from agents behind a position, in the order in which they were committed; waits for the next one.',
    answers: {
      200: {
        description: 'May be empty.',
        schema: object({
          items: array(
            object({
              cursor: count,
              agentId: text,
              incarnation: text,
              number: count,
              receivedAt: time,
              event: { ...anything, description: 'the CloudEvent, byte for byte as it was sent' },
            }),
          ),
          next: { ...count, description: 'the position behind this page; never null' },
        }),
        types: { 'application/cloudevents-batch+json': array({ type: 'object' }), 'text/event-stream': text },
      },
    },
    errors: [
      'agent_ambiguous',
      'agent_unknown',
      'cursor_ahead',
      'cursor_expired',
      'selector_invalid',
      'too_many_waiting',
    ],
    example: { query: { after: 'oldest', type: 'com.example.ticket.printed', limit: '10' } },
  },
};
