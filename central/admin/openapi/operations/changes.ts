// The operations on parameters and on changes that wait for their confirmation.
import {
  anything,
  array,
  count,
  json,
  listOf,
  named,
  object,
  orNull,
  reported,
  share,
  text,
  textOrNull,
  time,
  timeOrNull,
  UNCHANGED,
  words,
  yes,
  type Operations,
} from '../schema.ts';

const PARAMETER = named(
  'Parameter',
  object({
    name: text,
    group: text,
    description: text,
    type: text,
    bounds: {
      type: 'object',
      description: 'minimum, maximum, unit, the words of an enum, as PARAMETERS.md lists them',
    },
    allowed: text,
    default: anything,
    defaultReason: text,
    applying: text,
    value: anything,
    isDefault: yes,
    effective: anything,
    overriddenBy: textOrNull,
    changedBy: textOrNull,
    changedAt: timeOrNull,
  }),
);
const CHANGE = named(
  'Change',
  object({
    id: text,
    subject: words(['parameters', 'server-certificate', 'ca-rotation']),
    state: words(['pending', 'confirmed', 'rolled-back']),
    changed: array(object({ name: text, from: anything, to: anything })),
    changedBy: text,
    comment: textOrNull,
    ticket: textOrNull,
    expiresAt: time,
    requiredShare: share,
    agentCount: count,
    returnedCount: count,
    confirmOver: orNull(text),
  }),
);
const NODE_ANSWER = object({ name: text, answer: words(['ready', 'refused', 'silent']), detail: textOrNull });
const PARAMETERS_CHANGED = reported(
  object({
    listens: array(text, 'where Central listens then'),
    nodes: array(NODE_ANSWER, 'what each node says to the change'),
  }),
);
const OF_PARAMETERS = [
  'change_in_progress',
  'change_pending',
  'node_cannot_apply',
  'node_silent',
  'parameters_invalid',
  'version_conflict',
  'would_cut_off_administrator',
  'would_cut_off_agents',
] as const;
const OF_LISTENERS = ['port_refused', 'port_taken'] as const;

export const CHANGE_OPERATIONS: Operations = {
  'GET /parameters': {
    id: 'listParameters',
    summary: 'Lists the parameters with their values.',
    answers: { 200: json('A page.', listOf(PARAMETER)), 304: UNCHANGED },
    example: { query: { limit: '1000' } },
  },
  'GET /parameters/{parameter}': {
    id: 'getParameter',
    summary: 'One parameter.',
    answers: { 200: json('The parameter.', PARAMETER), 304: UNCHANGED },
    errors: ['parameter_unknown'],
  },
  'PATCH /parameters': {
    id: 'changeParameters',
    summary: 'Changes parameters, all or none; null restores a default.',
    answers: PARAMETERS_CHANGED,
    errors: [...OF_PARAMETERS, ...OF_LISTENERS],
    example: {
      query: { comment: 'Two more branches', ticket: 'CHG-1042' },
      body: { 'agents.eventsPerDay': 200_000, 'events.retentionDays': null },
    },
  },
  'DELETE /parameters/{parameter}': {
    id: 'resetParameter',
    summary: 'Restores the default of a parameter.',
    answers: PARAMETERS_CHANGED,
    errors: [...OF_PARAMETERS, ...OF_LISTENERS, 'parameter_unknown'],
  },
  'GET /watch': {
    id: 'watchResources',
    summary: 'Agents, parameters, changes, rollouts and tasks as they change, as a stream of server-sent events.',
    answers: {
      200: {
        description:
          'Events such as agent.updated with the resource as its own route answers it, until the client leaves.',
        types: { 'text/event-stream': text },
      },
    },
    errors: ['too_many_waiting'],
    example: { query: { collections: 'agents,rollouts' } },
  },
  'GET /changes': {
    id: 'listChanges',
    summary: 'Changes that are rolled back unless they are confirmed, and the last ones of them.',
    answers: { 200: json('A page.', listOf(CHANGE)) },
    example: { query: { state: 'pending' } },
  },
  'GET /changes/{change}': {
    id: 'getChange',
    summary: 'One change; with If-None-Match and waitSeconds once it is another one.',
    answers: { 200: json('The change.', CHANGE), 304: UNCHANGED },
    errors: ['change_unknown'],
  },
  'POST /changes/{change}/confirm': {
    id: 'confirmChange',
    summary: 'Confirms a change: it stays.',
    answers: { 200: json('The change.', CHANGE) },
    errors: ['change_ended', 'change_unknown', 'confirm_over_new_connection', 'share_not_met'],
  },
  'POST /changes/{change}/rollback': {
    id: 'rollBackChange',
    summary: 'Rolls a change back at once.',
    answers: { 200: json('The change.', CHANGE) },
    errors: ['change_ended', 'change_unknown'],
  },
};
