// The operations on messages: commands to agents, events from them, dead letters.
import { COMMAND_STATES } from '../../../store/message-store.ts';
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
  orNull,
  reportOf,
  shortId,
  text,
  textOrNull,
  time,
  timeOrNull,
  words,
  type Operations,
  type Schema,
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
    state: words(COMMAND_STATES),
    queuedAt: timeOrNull,
    expiresAt: timeOrNull,
    number: countOrNull,
    id: textOrNull,
    source: textOrNull,
    type: textOrNull,
    text: { ...textOrNull, description: 'the CloudEvent as it was sent; null: it is no longer kept' },
  }),
);
const SUBSCRIPTION: Readonly<Record<string, Schema>> = {
  id: shortId,
  name: text,
  kind: words(['webhook']),
  target: text,
  ca: { ...textOrNull, description: 'PEM; null: the authorities of the system' },
  filter: object({ type: textOrNull, source: textOrNull, agentId: textOrNull, label: textOrNull }),
  state: words(['active', 'failing', 'paused']),
  stateChangedAt: time,
  stateReason: orNull(object({ code: text, detail: text, hint: text })),
  createdAt: time,
  createdBy: text,
  cursor: { ...text, description: 'the events through it are delivered, or do not fit the filter' },
  lagCount: count,
  lagSeconds: count,
  lostCount: { ...count, description: 'events that were deleted before they were delivered, at most' },
  lostAt: timeOrNull,
  deliveredAt: { ...timeOrNull, description: 'the last delivery since Central started' },
  lastError: orNull(object({ code: text, detail: text, hint: text, occurredAt: time })),
  previousSecretExpiresAt: timeOrNull,
};
const SUBSCRIPTION_SHAPE = named('Subscription', object(SUBSCRIPTION));
const WITH_SECRET = object({
  ...SUBSCRIPTION,
  secret: { ...textOrNull, description: 'whsec_ and base64; only in this answer, null where it is repeated' },
});
const OF_SETTINGS = [
  'agent_ambiguous',
  'agent_unknown',
  'selector_invalid',
  'subscription_ca_invalid',
  'subscription_name_taken',
  'subscription_target_invalid',
] as const;
const OF_SUBSCRIPTION = ['subscription_unknown'] as const;
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
    summary: 'Commands that wait, that have a state, or what became of the one with a source and an id.',
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
    answers: { ...NO_CONTENT, 200: json('What a dry run found.', reportOf({ type: 'null' })) },
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
  'GET /subscriptions': {
    id: 'listSubscriptions',
    summary: 'The receivers to which Central pushes events, and how far each is.',
    answers: { 200: json('A page.', listOf(SUBSCRIPTION_SHAPE)) },
  },
  'POST /subscriptions': {
    id: 'createSubscription',
    summary: 'Pushes events to a webhook from now on.',
    answers: { 201: json('The subscription, with its secret.', WITH_SECRET) },
    errors: [...OF_SETTINGS, 'cursor_ahead', 'cursor_invalid', 'subscriptions_full'],
    example: {
      body: {
        name: 'tickets',
        target: 'https://tickets.example.com/hook',
        filter: { type: 'com.example.ticket.printed', label: 'region=north' },
      },
    },
  },
  'GET /subscriptions/{subscription}': {
    id: 'getSubscription',
    summary: 'One subscription, by its id or name.',
    answers: { 200: json('The subscription.', SUBSCRIPTION_SHAPE) },
    errors: OF_SUBSCRIPTION,
  },
  'PATCH /subscriptions/{subscription}': {
    id: 'changeSubscription',
    summary: 'Changes name, target, authorities or filter of a subscription.',
    answers: { 200: json('The subscription.', SUBSCRIPTION_SHAPE) },
    errors: [...OF_SETTINGS, ...OF_SUBSCRIPTION, 'version_conflict'],
    example: { body: { filter: { type: 'com.example.ticket.printed' } } },
  },
  'DELETE /subscriptions/{subscription}': {
    id: 'deleteSubscription',
    summary: 'Deletes a subscription; nothing is delivered to it any more.',
    answers: NO_CONTENT,
    errors: OF_SUBSCRIPTION,
  },
  'POST /subscriptions/{subscription}/pause': {
    id: 'pauseSubscription',
    summary: 'Delivers nothing until the subscription is resumed.',
    answers: { 200: json('The subscription.', SUBSCRIPTION_SHAPE) },
    errors: OF_SUBSCRIPTION,
  },
  'POST /subscriptions/{subscription}/resume': {
    id: 'resumeSubscription',
    summary: 'Continues where the subscription was paused.',
    answers: { 200: json('The subscription.', SUBSCRIPTION_SHAPE) },
    errors: OF_SUBSCRIPTION,
  },
  'POST /subscriptions/{subscription}/replay': {
    id: 'replaySubscription',
    summary: 'Delivers from another position, again or not at all.',
    answers: { 200: json('The subscription.', SUBSCRIPTION_SHAPE) },
    errors: ['cursor_ahead', 'cursor_invalid', ...OF_SUBSCRIPTION],
    example: { body: { after: 'oldest' } },
  },
  'POST /subscriptions/{subscription}/rotate-secret': {
    id: 'rotateSubscriptionSecret',
    summary: 'Gives the subscription a new secret; for 24 hours both sign.',
    answers: { 200: json('The subscription, with its secret.', WITH_SECRET) },
    errors: OF_SUBSCRIPTION,
  },
  'GET /subscriptions/{subscription}/deliveries': {
    id: 'listSubscriptionDeliveries',
    summary: 'The last 1,000 attempts, the newest first.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            number: count,
            startedAt: time,
            durationSeconds: { type: 'number', minimum: 0 },
            webhookId: text,
            attempt: count,
            eventCount: count,
            firstCursor: text,
            lastCursor: text,
            status: { type: ['integer', 'null'], description: 'of HTTP; null: no answer came' },
            failure: orNull(object({ code: text, detail: text, hint: text })),
          }),
        ),
      ),
    },
    errors: OF_SUBSCRIPTION,
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
              cursor: { ...text, description: 'opaque' },
              agentId: text,
              incarnation: text,
              number: count,
              receivedAt: time,
              event: { ...anything, description: 'the CloudEvent, byte for byte as it was sent' },
            }),
          ),
          next: { ...text, description: 'the position behind this page, opaque; never null' },
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
