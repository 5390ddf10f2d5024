// The operations on tokens, enrollment requests, recovery codes and the audit log.
import { ROLES } from '../../../auth/api-tokens.ts';
import { ENROLLMENT_REQUEST_STATES } from '../../../store/enrollment-store.ts';
import {
  AGENT_REFERENCE,
  anything,
  array,
  count,
  json,
  listOf,
  named,
  NO_CONTENT,
  object,
  reportOf,
  sha256,
  sha256OrNull,
  text,
  textOrNull,
  time,
  timeOrNull,
  words,
  yes,
  type Operations,
  type Schema,
} from '../schema.ts';

const TOKEN: Readonly<Record<string, Schema>> = {
  id: text,
  name: text,
  role: words(ROLES),
  scope: { ...textOrNull, description: 'a selector of labels: it is for these agents only; null: for all' },
  createdAt: time,
  createdBy: text,
  expiresAt: timeOrNull,
  lastUsedAt: { ...timeOrNull, description: 'up to a minute ago; null: not used yet' },
};
const LOGIN = object({
  id: { ...textOrNull, description: 'of the API token; null: a person of the OpenID provider' },
  name: text,
  role: words(ROLES),
  scope: textOrNull,
  expiresAt: { ...timeOrNull, description: 'of a session within 12 hours' },
});
const ENROLLMENT_TOKEN: Readonly<Record<string, Schema>> = {
  id: text,
  createdAt: time,
  createdBy: text,
  expiresAt: time,
  useCount: count,
  maxUses: count,
  agentName: textOrNull,
};
const SECRET = { ...textOrNull, description: 'only in this answer; null where it is repeated' } as const;
const ENROLLMENT_REQUEST = named(
  'EnrollmentRequest',
  object({
    keyThumbprint: sha256,
    name: text,
    agentId: textOrNull,
    address: text,
    addressBlock: text,
    transport: words(['ws', 'wss']),
    firstRequestedAt: time,
    lastRequestedAt: time,
    state: words(ENROLLMENT_REQUEST_STATES),
    decidedAt: timeOrNull,
    decidedBy: textOrNull,
    comment: textOrNull,
  }),
);
const decision = (state: string, agent: Schema) =>
  object({ keyThumbprint: sha256, name: text, state: words([state]), agent });
const decisionOrReport = (done: string, answer: Schema) =>
  ({ 200: json(`${done}, or what a dry run found.`, { anyOf: [answer, reportOf({ type: 'null' })] }) }) as const;
const OF_REQUEST = ['enrollment_request_ambiguous', 'enrollment_request_unknown', 'enrollment_thumbprint_bad'] as const;
const ENTRY = named(
  'AuditEntry',
  object({
    number: count,
    createdAt: time,
    actor: text,
    address: textOrNull,
    action: text,
    target: textOrNull,
    detail: anything,
    comment: textOrNull,
    ticket: textOrNull,
    hash: sha256,
  }),
);

export const TOKEN_OPERATIONS: Operations = {
  'GET /login': {
    id: 'getLogin',
    summary: 'Whose API token, or whose session, this is. The 401 says in `signIn` how a browser can sign in.',
    answers: { 200: json('Who sends the request.', LOGIN) },
  },
  'POST /login': {
    id: 'createLogin',
    summary: 'Begins the session of a browser with an API token; the answer sets its cookie.',
    answers: { 200: json('Whose session it is.', LOGIN) },
    errors: ['csrf_required', 'too_many_attempts', 'too_many_sign_ins', 'unauthenticated'],
  },
  'DELETE /login': {
    id: 'deleteLogin',
    summary: 'Ends the session of the browser, and clears its cookie.',
    answers: NO_CONTENT,
  },
  'GET /api-tokens': {
    id: 'listApiTokens',
    summary: 'Lists the API tokens, without their secrets.',
    answers: { 200: json('A page.', listOf(object(TOKEN))) },
  },
  'POST /api-tokens': {
    id: 'createApiToken',
    summary: 'Creates an API token.',
    answers: { 201: json('The token.', object({ ...TOKEN, token: SECRET })) },
    errors: ['api_tokens_full', 'selector_invalid'],
    example: {
      body: {
        name: 'branches of the north',
        role: 'operator',
        scope: 'label:region=north',
        lifetimeSeconds: 7_776_000,
      },
    },
  },
  'GET /api-tokens/{token}': {
    id: 'getApiToken',
    summary: 'One API token.',
    answers: { 200: json('The token.', object(TOKEN)) },
    errors: ['token_unknown'],
  },
  'PATCH /api-tokens/{token}': {
    id: 'changeApiToken',
    summary: 'Changes name, role, scope and lifetime of an API token.',
    answers: { 200: json('The token.', object(TOKEN)) },
    errors: ['last_administrator', 'selector_invalid', 'token_unknown', 'version_conflict'],
    example: { body: { name: 'monitoring of the north', lifetimeSeconds: null } },
  },
  'DELETE /api-tokens/{token}': {
    id: 'deleteApiToken',
    summary: 'Deletes an API token: it is refused from then on.',
    answers: NO_CONTENT,
    errors: ['last_administrator', 'token_unknown'],
  },
  'GET /enrollment-tokens': {
    id: 'listEnrollmentTokens',
    summary: 'Lists the enrollment tokens, without their secrets.',
    answers: { 200: json('A page.', listOf(object(ENROLLMENT_TOKEN))) },
  },
  'POST /enrollment-tokens': {
    id: 'createEnrollmentToken',
    summary: 'Creates a token with which machines enroll, and the line to copy.',
    answers: {
      201: json(
        'The token.',
        object({
          ...ENROLLMENT_TOKEN,
          token: SECRET,
          pin: { ...text, description: 'of the top certificate that Central shows' },
          commandLine: {
            ...textOrNull,
            description: 'for the machine; it contains the token; null where it is repeated',
          },
        }),
      ),
    },
    errors: ['agent_name_reserved', 'agent_name_taken', 'enrollment_tokens_full'],
    example: { body: { lifetimeSeconds: 3600, maxUses: 1, agentName: 'branch-0043' } },
  },
  'GET /enrollment-tokens/{token}': {
    id: 'getEnrollmentToken',
    summary: 'One enrollment token.',
    answers: { 200: json('The token.', object(ENROLLMENT_TOKEN)) },
    errors: ['token_unknown'],
  },
  'DELETE /enrollment-tokens/{token}': {
    id: 'deleteEnrollmentToken',
    summary: 'Deletes an enrollment token.',
    answers: NO_CONTENT,
    errors: ['token_unknown'],
  },
  'GET /enrollment-requests': {
    id: 'listEnrollmentRequests',
    summary: 'Machines that requested enrollment without a token.',
    answers: { 200: json('A page.', listOf(ENROLLMENT_REQUEST)) },
    example: { query: { state: 'pending' } },
  },
  'GET /enrollment-requests/{request}': {
    id: 'getEnrollmentRequest',
    summary: 'One request; it is named by the thumbprint of its key, or the beginning of it.',
    answers: { 200: json('The request.', ENROLLMENT_REQUEST) },
    errors: OF_REQUEST,
  },
  'POST /enrollment-requests/{request}/accept': {
    id: 'acceptEnrollmentRequest',
    summary: 'Enrolls the machine with its next request.',
    answers: decisionOrReport('Accepted', decision('accepted', AGENT_REFERENCE)),
    errors: [
      ...OF_REQUEST,
      'agent_id_taken',
      'agent_key_known',
      'agent_key_revoked',
      'agent_name_reserved',
      'agent_name_taken',
      'enrollments_per_day',
    ],
  },
  'POST /enrollment-requests/{request}/reject': {
    id: 'rejectEnrollmentRequest',
    summary: 'Rejects the machine.',
    answers: decisionOrReport('Rejected', decision('rejected', { type: 'null' })),
    errors: OF_REQUEST,
  },
  'GET /agents/{agent}/recovery-code': {
    id: 'getRecoveryCode',
    summary: 'When the recovery code of an agent was created and expires, without the code.',
    answers: {
      200: json(
        'The code.',
        object({
          agent: AGENT_REFERENCE,
          createdAt: time,
          createdBy: text,
          expiresAt: time,
          usedByKeyThumbprint: sha256OrNull,
        }),
      ),
    },
    errors: ['recovery_code_missing'],
  },
  'POST /agents/{agent}/recovery-code': {
    id: 'createRecoveryCode',
    summary: 'Creates a code with which the agent gets a new key; an earlier one is no longer valid.',
    answers: {
      201: json(
        'The code.',
        object({
          agent: AGENT_REFERENCE,
          code: SECRET,
          expiresAt: time,
          commandLine: { ...text, description: 'for the machine; it asks for the code' },
        }),
      ),
    },
    errors: ['agent_revoked'],
    example: { body: { lifetimeSeconds: 86_400 } },
  },
  'DELETE /agents/{agent}/recovery-code': {
    id: 'deleteRecoveryCode',
    summary: 'Deletes the recovery code of an agent.',
    answers: NO_CONTENT,
    errors: ['recovery_code_missing'],
  },
  'GET /audit': {
    id: 'listAudit',
    summary: 'Who did what, when and from where, the newest first.',
    answers: {
      200: {
        description: 'A page; as application/x-ndjson the entries alone, one a line.',
        schema: listOf(ENTRY, { head: { ...sha256OrNull, description: 'the hash of the newest entry' } }),
        types: { 'application/x-ndjson': text },
      },
    },
    example: { query: { action: 'parameters.*', sort: 'number', limit: '20' } },
  },
  'POST /audit/verify': {
    id: 'verifyAudit',
    summary: 'Verifies the chain that the entries of the audit log form.',
    answers: {
      200: json(
        'What was found.',
        object({
          valid: yes,
          entryCount: count,
          head: sha256OrNull,
          faults: array(object({ code: text, detail: text, hint: text })),
        }),
      ),
    },
    example: { body: {} },
  },
};
