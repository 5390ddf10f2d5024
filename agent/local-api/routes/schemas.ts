// The shapes of requests and answers of the local API: what validates a request, and what openapi.json is made of.
import { MESSAGE_SCHEMA } from '../../../shared/delivery/message.ts';
import type { JsonSchema } from '../../../shared/wire/json-schema.ts';
import { RELEASE_STATES } from '../../../shared/wire/release-frames.ts';

export const MAX_BODY_BYTES = 1024 * 1024;
export const MAX_ITEMS = 1_000;
/** Below the minute after which proxies and HTTP clients give up. */
const MAX_WAIT_SECONDS = 55;

const MAX_NUMBER = Number.MAX_SAFE_INTEGER;

const text = { type: 'string', maxLength: 65_536 } as const;
const textOrNull = { anyOf: [{ type: 'null' }, text] } as const;
const time = { type: 'string', maxLength: 24, description: 'RFC 3339, UTC, three decimals' } as const;
const timeOrNull = { anyOf: [{ type: 'null' }, time] } as const;
const count = { type: 'integer', minimum: 0, maximum: MAX_NUMBER } as const;
const countOrNull = { anyOf: [{ type: 'null' }, count] } as const;
const cursor = { type: 'integer', minimum: 1, maximum: MAX_NUMBER, description: 'Only grows.' } as const;
const next = { anyOf: [{ type: 'null' }, { type: 'string', maxLength: 64 }] } as const;

function listOf<const S extends JsonSchema>(items: S) {
  return {
    type: 'object',
    required: ['items', 'next'],
    properties: { items: { type: 'array', maxItems: MAX_ITEMS, items }, next },
    additionalProperties: false,
  } as const;
}

/**
 * As a program posts it; `readProduced` (shared/delivery/message.ts) validates the values too, and completes what is
 * missing.
 */
const EVENT = {
  type: 'object',
  required: ['type'],
  properties: { ...MESSAGE_SCHEMA.properties, data: {} },
  description:
    'A CloudEvents 1.0 event in its JSON format; extension attributes are allowed. specversion, id, source (/agents/NAME) and time are added where they are missing. A repetition under the same source and id is stored once.',
} as const satisfies JsonSchema;

export const EVENTS = {
  anyOf: [EVENT, { type: 'array', maxItems: MAX_ITEMS, items: EVENT }],
  description: `One event, or an array of 1 to ${MAX_ITEMS}: all or nothing.`,
} as const satisfies JsonSchema;

export const POSTED = listOf({
  type: 'object',
  required: ['id', 'source', 'outcome', 'number'],
  properties: {
    id: text,
    source: text,
    outcome: {
      enum: ['stored', 'duplicate'],
      description: 'duplicate: this source and id was stored within seven days; nothing was stored again.',
    },
    number: {
      ...countOrNull,
      description: 'Position in the log of events; null: a duplicate that Central already has.',
    },
  },
  additionalProperties: false,
}) satisfies JsonSchema;

export const COMMANDS = listOf({
  type: 'object',
  required: ['cursor', 'command'],
  properties: { cursor, command: { description: 'The CloudEvent, byte for byte as it was sent.' } },
  additionalProperties: false,
}) satisfies JsonSchema;

export const ACK = {
  type: 'object',
  required: ['through'],
  properties: { through: { ...cursor, description: 'The cursor of the last command that was processed.' } },
  additionalProperties: false,
} as const satisfies JsonSchema;

export const CONSUMER = {
  type: 'object',
  required: ['name', 'types', 'tokenFile', 'cursor', 'deliveredCursor', 'waitingCount', 'waitingBytes', 'oldestAt'],
  properties: {
    name: text,
    types: { type: 'array', maxItems: 64, items: text },
    tokenFile: text,
    cursor: { ...countOrNull, description: 'The last cursor that it acknowledged; null: none yet.' },
    deliveredCursor: { ...countOrNull, description: 'The last cursor that was delivered to it; null: none yet.' },
    waitingCount: { ...count, description: 'Commands that it has not acknowledged.' },
    waitingBytes: count,
    oldestAt: timeOrNull,
  },
  additionalProperties: false,
} as const satisfies JsonSchema;
export const CONSUMERS = listOf(CONSUMER) satisfies JsonSchema;

export const ROTATED = {
  type: 'object',
  required: ['tokenFile', 'previousExpiresAt'],
  properties: {
    tokenFile: { ...text, description: 'The file with the new token.' },
    previousExpiresAt: { ...time, description: 'Until then the previous token stays valid.' },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

const REASON = {
  anyOf: [
    { type: 'null' },
    {
      type: 'object',
      required: ['code', 'detail', 'hint'],
      properties: { code: text, detail: text, hint: text },
      additionalProperties: false,
    },
  ],
} as const satisfies JsonSchema;

const DEPTH = {
  type: 'object',
  required: ['messageCount', 'bytes', 'oldestAt'],
  properties: { messageCount: count, bytes: count, oldestAt: timeOrNull },
  additionalProperties: false,
} as const satisfies JsonSchema;

/** The members of `connection`, for a client too, which ignores what it does not know. */
const CONNECTION = {
  type: 'object',
  required: ['state', 'stateChangedAt', 'stateReason', 'central', 'connectedAt'],
  properties: {
    state: { enum: ['connecting', 'online', 'waiting', 'stopped-by-refusal'] },
    stateChangedAt: time,
    stateReason: { ...REASON, description: 'Why it is not online: the last failure.' },
    central: {
      anyOf: [
        { type: 'null' },
        {
          type: 'object',
          required: ['name', 'url', 'sessionId', 'epoch'],
          properties: { name: text, url: text, sessionId: textOrNull, epoch: count },
        },
      ],
    },
    connectedAt: { ...timeOrNull, description: 'Online since this time; null: not online.' },
  },
} as const satisfies JsonSchema;

const digestOrNull = { anyOf: [{ type: 'null' }, { type: 'string', maxLength: 64 }] } as const;

const RELEASE_INSTRUCTION = {
  type: 'object',
  required: ['release', 'generation', 'stage', 'state', 'receivedBytes', 'totalBytes', 'stateReason'],
  properties: {
    release: text,
    generation: count,
    stage: { enum: ['synchronize', 'upgrade'] },
    state: { enum: RELEASE_STATES },
    receivedBytes: count,
    totalBytes: count,
    stateReason: { ...REASON, description: 'Why it is not further.' },
  },
  description: 'The newest instruction of Central.',
} as const;

const CHANGED_FILES = {
  type: 'array',
  maxItems: 100,
  items: text,
  description: 'Files of what runs that have changed on the disk; none where it is not from a release.',
} as const;

const RELEASES = {
  type: 'object',
  required: ['profile', 'software'],
  properties: {
    profile: {
      anyOf: [
        { type: 'null' },
        {
          type: 'object',
          required: ['release', 'previousRelease', 'instruction', 'changedFiles'],
          properties: {
            release: { ...digestOrNull, description: 'What the agent runs; null: the profile of its command line.' },
            previousRelease: digestOrNull,
            instruction: RELEASE_INSTRUCTION,
            changedFiles: CHANGED_FILES,
          },
        },
      ],
      description: 'null: Central has never offered a release of a profile.',
    },
    software: {
      anyOf: [
        { type: 'null' },
        {
          type: 'object',
          required: ['program', 'runtime', 'isOnTrial', 'previous', 'instruction', 'changedFiles'],
          properties: {
            program: { ...digestOrNull, description: 'What the agent runs; null: that of its package.' },
            runtime: { ...digestOrNull, description: 'What the agent runs; null: that of its package.' },
            isOnTrial: { type: 'boolean', description: 'What runs is not committed yet.' },
            previous: {
              anyOf: [
                { type: 'null' },
                {
                  type: 'object',
                  required: ['program', 'runtime'],
                  properties: { program: digestOrNull, runtime: digestOrNull },
                },
              ],
              description: 'What ran before the last commit, and stays on the disk for 7 days; null: it is gone.',
            },
            instruction: RELEASE_INSTRUCTION,
            changedFiles: CHANGED_FILES,
          },
        },
      ],
      description: 'null: Central has never offered a release of the software.',
    },
  },
} as const satisfies JsonSchema;

const DEVICE_PORT = {
  anyOf: [
    { type: 'null' },
    {
      type: 'object',
      required: ['port', 'address', 'state', 'names', 'notAfter'],
      properties: {
        port: { type: 'integer', minimum: 1, maximum: 65_535 },
        address: { ...text, description: 'Empty: all addresses of this host.' },
        state: { enum: ['open', 'closed'] },
        names: { type: 'array', maxItems: 64, items: text, description: 'Of its certificate.' },
        notAfter: { ...textOrNull, description: 'Until when its certificate is valid; null: there is none yet.' },
        clientCertificates: { type: 'boolean', description: 'Client certificates of devices are accepted.' },
        connectionCount: { ...count, description: 'Devices that are connected.' },
      },
      additionalProperties: false,
    },
  ],
  description: 'The port for devices; null: it is off.',
} as const satisfies JsonSchema;

export const STATUS = {
  type: 'object',
  required: [
    'name',
    'version',
    'keyThumbprint',
    'connection',
    'outbox',
    'inbox',
    'localApi',
    'devicePort',
    'releases',
    'accounts',
    'problems',
  ],
  properties: {
    name: text,
    version: text,
    keyThumbprint: text,
    connection: CONNECTION,
    outbox: DEPTH,
    inbox: { ...DEPTH, description: 'Of all consumers together.' },
    localApi: {
      type: 'object',
      required: ['socket', 'url'],
      properties: { socket: textOrNull, url: textOrNull },
      additionalProperties: false,
    },
    devicePort: DEVICE_PORT,
    releases: {
      anyOf: [{ type: 'null' }, RELEASES],
      description: 'null: Central has never offered a release.',
    },
    accounts: {
      anyOf: [{ type: 'null' }, { enum: ['one', 'two'] }],
      description: '`two`: tasks run under another account than the agent; `one`: under that of the agent.',
    },
    problems: {
      type: 'array',
      maxItems: 100,
      items: {
        type: 'object',
        required: ['code', 'detail', 'hint', 'startedAt'],
        properties: { code: text, detail: text, hint: text, startedAt: time },
        additionalProperties: false,
      },
    },
  },
} as const satisfies JsonSchema;

export const INCIDENTS = listOf({
  type: 'object',
  required: ['code', 'occurredAt', 'detail'],
  properties: {
    code: text,
    occurredAt: time,
    detail: { description: 'Facts of this code, as an object.' },
  },
  additionalProperties: false,
}) satisfies JsonSchema;

export const DEAD_LETTERS = listOf({
  type: 'object',
  required: ['deadAt', 'direction', 'number', 'id', 'code', 'detail', 'text'],
  properties: {
    deadAt: time,
    direction: { enum: ['up', 'down'], description: 'up: an event; down: a command.' },
    number: { ...countOrNull, description: 'Position in the log; null if Central has abandoned that log.' },
    id: text,
    code: { ...text, description: 'Why it became a dead letter.' },
    detail: { ...textOrNull, description: 'Describes the fault; null if the code says everything.' },
    text: { ...text, description: 'The message as it was sent.' },
  },
  additionalProperties: false,
}) satisfies JsonSchema;

export const HEALTH = {
  type: 'object',
  required: ['state', 'reasons'],
  properties: { state: { enum: ['ok', 'failing'] }, reasons: { type: 'array', maxItems: 16, items: text } },
  additionalProperties: false,
} as const satisfies JsonSchema;

export const PROBLEM = {
  type: 'object',
  required: ['type', 'code', 'title', 'status', 'detail', 'hint', 'instance'],
  properties: {
    type: text,
    code: { ...text, description: 'One of docs/ERRORS.md.' },
    title: text,
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: text,
    hint: text,
    instance: { ...text, description: 'urn:uuid: of the header Queuegate-Request-Id.' },
    errors: {
      type: 'array',
      maxItems: 20,
      items: {
        type: 'object',
        required: ['detail', 'allowed', 'found'],
        properties: {
          pointer: text,
          parameter: text,
          header: text,
          detail: text,
          allowed: { anyOf: [{ type: 'null' }, { type: 'array', maxItems: 100, items: text }] },
          found: textOrNull,
        },
        additionalProperties: false,
      },
    },
    errorCount: count,
  },
} as const satisfies JsonSchema;

const LIMIT = {
  type: 'integer',
  minimum: 1,
  maximum: MAX_ITEMS,
  description: 'At most this many. Default: 100.',
} as const satisfies JsonSchema;

export const NO_PARAMETERS = {} as const;
export const COMMAND_PARAMETERS = {
  limit: LIMIT,
  waitSeconds: {
    type: 'integer',
    minimum: 0,
    maximum: MAX_WAIT_SECONDS,
    description: 'How long to wait for a command if there is none. Default: 0.',
  },
} as const satisfies Readonly<Record<string, JsonSchema>>;
export const LIST_PARAMETERS = {
  limit: LIMIT,
  after: { type: 'string', minLength: 1, maxLength: 64, description: 'The `next` of the previous page.' },
} as const satisfies Readonly<Record<string, JsonSchema>>;
