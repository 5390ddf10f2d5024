// The whole conversation between an agent and Central: one WebSocket, path /agent, subprotocol queuegate.v1.
//
//   agent                                   Central
//     | ---- upgrade, queuegate.v1 ---------> |   without the subprotocol: HTTP 426
//     | <--------------------- challenge ---- |   Central's nonce and name
//     | ---- hello -------------------------> |   who it is, its position in the commands, signed with the agent's key
//     | <----------------------- welcome ---- |   session, epoch, Central's time and position in the events, signed with its key
//     |           (or refuse, and a close)    |
//     | ---- begin -------------------------> |   the events' log: incarnation and next number; recovered or what is missing
//     | <------------------------- begin ---- |   the same for the commands' log
//     | ---- messages ----------------------> |   first number and items, contiguous
//     | <--------------------------- ack ---- |   cumulative; sent after the commit, never before
//     | <---------------------- messages ---- |
//     | ---- ack ---------------------------> |
//     |      pause / resume (both ways): the receiver asks the sender to hold its messages
//     | <------------------------- drain ---- |   come back elsewhere or later, spread over a time
//     |   control, beside the messages and never behind them; what is missing is repaired by the next welcome:
//     | ---- renew -------------------------> |   a request for the next key, signed by the current one too
//     | <-------- renewed / renew-refused --- |   the certificate; the agent writes it to its disk
//     | ---- renew-installed ---------------> |   and confirms it
//     | <------------------------ renew-now - |   renew within a time (a new authority signs)
//     | <------------------------- trust ---- |   the certificates to trust Central by
//     | ---- trusted / trust-refused -------> |   which of them the agent's truststore holds now
//     | ---- consumers ---------------------> |   which programs take commands at the agent, and how far each is
//     | ---- expired -----------------------> |   commands that expired at the agent, after their acknowledgement
//     | <----------------- expired-recorded - |   they are on Central's disk
//     | <-------------------- release-offer - |   take a release, as the signed instruction says
//     | <------------------- release-cancel - |   do not go on with it
//     | <------------------ release-measure - |   measure what runs
//     | ---- release-state -----------------> |   how far the agent is with it
//     | ---- release-measured --------------> |   what of a release that runs has changed on the disk
//     | ---- services ----------------------> |   the services of its host that Central may reach
//     | ---- task-handlers -----------------> |   what the agent can run as tasks; a task starts with a message
//     | ---- task-states -------------------> |   how far its tasks are
//     | <------------- task-states-recorded - |   that is on Central's disk
//     | <---------------------- task-cancel - |   end these tasks
//     | ---- device-request ----------------> |   a certificate for the agent's port for devices
//     | <--- device-issued / device-refused - |
//     |   An answer needs its question: at most one trusted or trust-refused for each trust, one renew-installed for each
//     |   renewed, one renew, device-request, expired and task-states at a time; otherwise it is a bad_frame. What has no window is bounded by a rate (control_rate).
//     |      WebSocket pings both ways; a side that hears nothing for two and a half periods ends the connection
//
// On ws each frame of a session ends with a checksum of its bytes (checksum.ts): messages without one, and any frame with a wrong
// one, end the session. On wss none is sent; one that comes is validated.
//
// Text frames hold one JSON object; binary frames are streams (shared/session/streams/frames.ts). Members that are not named here are ignored, so that
// a newer peer may say more; a type that is not known is ignored too. Nothing here touches sockets or stores.
import type { JsonSchema, Static } from './json-schema.ts';
import type { JsonNode } from './json-text.ts';
import {
  RELEASE_CANCEL,
  RELEASE_MEASURE,
  RELEASE_MEASURED,
  RELEASE_OFFER,
  RELEASE_STATE,
  type ReleaseCancel,
  type ReleaseMeasure,
  type ReleaseMeasured,
  type ReleaseOffer,
  type ReleaseState,
} from './release-frames.ts';
import { DEVICE_ANSWERS, DEVICE_REQUEST, type DeviceAnswer, type DeviceRequest } from './devices/frames.ts';
import { SERVICES, type ServicesReport } from './services/frames.ts';
import { TASK_CANCEL, TASK_HANDLERS, TASK_REPORTS, TASK_REPORTS_RECORDED } from './tasks/frames.ts';
import type { TaskCancel, TaskHandlers, TaskReports, TaskReportsRecorded } from './tasks/frames.ts';

export const SUBPROTOCOL = 'queuegate.v1';
export const AGENT_PATH = '/agent';
export const ENROLL_PATH = '/enroll';
/** Defaults of the wss and the ws port (the numbers administrators know). */
export const SECURE_PORT = 9150;
export const PLAIN_PORT = 8787;

/** TLS exporter label and length of RFC 9266 ("tls-exporter"). */
export const BINDING_LABEL = 'EXPORTER-Channel-Binding';
export const BINDING_BYTES = 32;

/** What Central announces in its welcome, and both sides hold to. Defaults; Central's parameters change them. */
export const LIMITS = {
  /** One WebSocket frame; also `maxPayload` of ws. */
  maxFrameBytes: 1024 * 1024,
  /** One message as JSON text, and the most that a parameter may allow; it fits into the smallest frame that one may set. */
  maxMessageBytes: 256 * 1024,
  /** Messages sent and not yet acknowledged, per direction. */
  windowItems: 2_000,
  /** Their bytes; four full frames keep a long line busy. */
  windowBytes: 4 * 1024 * 1024,
} as const;

/** The least that `agents.maxFrameBytes` may be: any message of the protocol fits, so that none can block its log for ever. */
export const SMALLEST_MAX_FRAME_BYTES = 2 * LIMITS.maxMessageBytes;

/** Before the welcome only small frames are due; a stranger cannot make Central hold more. */
export const MAX_HELLO_BYTES = 16 * 1024;

/** Names, ids and the like, in UTF-16 units. */
export const MAX_ID_LENGTH = 255;
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;

const id = { type: 'string', minLength: 1, maxLength: MAX_ID_LENGTH } as const;
const nonce = { type: 'string', minLength: 22, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' } as const;
const base64 = { type: 'string', minLength: 4, maxLength: 1024, pattern: '^[A-Za-z0-9+/_-]+=*$' } as const;
const line = { type: 'string', maxLength: 1024 } as const;
const number = { type: 'integer', minimum: 0, maximum: MAX_NUMBER } as const;
const seconds = { type: 'integer', minimum: 0, maximum: 86_400 } as const;
const bytes = { type: 'integer', minimum: 1, maximum: 1024 * 1024 * 1024 } as const;

/** How far a receiver is in its peer's log: incarnation, number of the last item it has on disk, and the fingerprint of the log through it. */
const position = {
  type: 'object',
  required: ['incarnation', 'number', 'id'],
  properties: { incarnation: id, number: { type: 'integer', minimum: 1, maximum: MAX_NUMBER }, id },
} as const;
const positionOrNull = { anyOf: [{ type: 'null' }, position] } as const;

const digest = { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' } as const;
const digestOrNull = { anyOf: [{ type: 'null' }, digest] } as const;

const range = { type: 'object', required: ['from', 'through'], properties: { from: number, through: number } } as const;

export const CHALLENGE = {
  type: 'object',
  required: ['type', 'nonce', 'centralName', 'sentAt'],
  properties: {
    type: { const: 'challenge' },
    nonce,
    centralName: id,
    /** By Central's clock, RFC 3339. */
    sentAt: { type: 'string', minLength: 20, maxLength: 40 },
  },
} as const;

export const HELLO = {
  type: 'object',
  required: [
    'type',
    'id',
    'name',
    'key',
    'version',
    'bootId',
    'challenge',
    'nonce',
    'transport',
    'binding',
    'releases',
    'capabilities',
    'logs',
    'signature',
  ],
  properties: {
    type: { const: 'hello' },
    id,
    name: {
      type: 'string',
      minLength: 1,
      maxLength: 253,
      pattern: '^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$',
    },
    /** SubjectPublicKeyInfo, DER, base64. */
    key: base64,
    version: { type: 'string', minLength: 1, maxLength: 64 },
    /** Random per start of the daemon: two that alternate are clones. */
    bootId: nonce,
    /** The nonce of the challenge that this hello answers. */
    challenge: nonce,
    nonce,
    /** The connection as the agent sees it. */
    transport: { enum: ['ws', 'wss'] },
    /** RFC 9266 exporter value (base64url), null on ws and behind a proxy. */
    binding: { anyOf: [{ type: 'null' }, base64] },
    /** The digests of what it runs; null: not from a release. */
    releases: {
      type: 'object',
      required: ['profile', 'runtime', 'program'],
      properties: { profile: digestOrNull, runtime: digestOrNull, program: digestOrNull },
    },
    capabilities: { type: 'array', maxItems: 32, items: { type: 'string', minLength: 1, maxLength: 64 } },
    logs: { type: 'object', required: ['down'], properties: { down: positionOrNull } },
    signature: base64,
  },
} as const;

const WELCOME = {
  type: 'object',
  required: ['type', 'sessionId', 'epoch', 'time', 'heartbeatSeconds', 'limits', 'logs', 'signature'],
  properties: {
    type: { const: 'welcome' },
    sessionId: id,
    epoch: number,
    /** Central's clock, by which commands expire: milliseconds since 1970-01-01T00:00:00Z, up to the last time of ECMAScript. */
    time: { type: 'integer', minimum: 0, maximum: 8_640_000_000_000_000 },
    heartbeatSeconds: { type: 'integer', minimum: 1, maximum: 3600 },
    limits: {
      type: 'object',
      required: ['maxFrameBytes', 'maxMessageBytes', 'windowItems', 'windowBytes'],
      properties: {
        maxFrameBytes: bytes,
        maxMessageBytes: bytes,
        windowItems: { type: 'integer', minimum: 1, maximum: 1_000_000 },
        windowBytes: bytes,
        /** Of streams (shared/session/streams/frames.ts); an older Central has none of the three. */
        streamWindowBytes: bytes,
        connectionWindowBytes: bytes,
        maxStreamCount: { type: 'integer', minimum: 1, maximum: 10_000 },
      },
    },
    logs: { type: 'object', required: ['up'], properties: { up: positionOrNull } },
    signature: base64,
  },
} as const;

const REFUSE = {
  type: 'object',
  required: ['type', 'code', 'detail', 'hint', 'retryAfterSeconds'],
  properties: {
    type: { const: 'refuse' },
    code: { type: 'string', minLength: 1, maxLength: 64 },
    detail: line,
    hint: line,
    retryAfterSeconds: { anyOf: [{ type: 'null' }, seconds] },
  },
} as const;

export const BEGIN = {
  type: 'object',
  required: ['type', 'incarnation', 'next', 'missing'],
  properties: {
    type: { const: 'begin' },
    incarnation: id,
    /** Number of the next message on this connection. */
    next: { type: 'integer', minimum: 1, maximum: MAX_NUMBER },
    /** Null: nothing was lost. Else the range of the old incarnation on which the two sides do not agree (recovered: false). */
    missing: { anyOf: [{ type: 'null' }, range] },
  },
} as const;

/** Items are validated one by one (shared/delivery/message.ts): a bad one fails alone. */
export const MESSAGES = {
  type: 'object',
  required: ['type', 'first', 'items'],
  properties: {
    type: { const: 'messages' },
    first: { type: 'integer', minimum: 1, maximum: MAX_NUMBER },
    items: { type: 'array', maxItems: 1_000_000, items: {} },
  },
} as const;

const ACK = {
  type: 'object',
  required: ['type', 'through'],
  properties: { type: { const: 'ack' }, through: number },
} as const;
const DRAIN = {
  type: 'object',
  required: ['type', 'retryAfterSeconds', 'spreadSeconds'],
  properties: { type: { const: 'drain' }, retryAfterSeconds: seconds, spreadSeconds: seconds },
} as const;
const PAUSE = { type: 'object', required: ['type'], properties: { type: { const: 'pause' } } } as const;
const RESUME = { type: 'object', required: ['type'], properties: { type: { const: 'resume' } } } as const;

const thumbprint = digest;
const pem = { type: 'string', minLength: 64, maxLength: 65_536 } as const;
const code = { type: 'string', minLength: 1, maxLength: 64 } as const;

/** Requests a certificate that replaces the agent's current one. */
const RENEW = {
  type: 'object',
  required: ['type', 'csr', 'thumbprint', 'signature'],
  properties: {
    type: { const: 'renew' },
    /** PKCS#10, PEM, made by the next key, which may be the current one. */
    csr: { type: 'string', minLength: 64, maxLength: 8192 },
    /** SHA-256 of the certificate that is renewed. */
    thumbprint,
    /** By the current key, over `renewTranscript` (proof.ts). */
    signature: base64,
  },
} as const;

/** The certificate and the intermediates up to the root, PEM. */
export const RENEWED = {
  type: 'object',
  required: ['type', 'pem'],
  properties: { type: { const: 'renewed' }, pem },
} as const;
const RENEW_REFUSED = {
  type: 'object',
  required: ['type', 'code', 'detail', 'hint'],
  properties: { type: { const: 'renew-refused' }, code, detail: line, hint: line },
} as const;
/** The renewed certificate is on the agent's disk. */
const RENEW_INSTALLED = {
  type: 'object',
  required: ['type', 'thumbprint'],
  properties: { type: { const: 'renew-installed' }, thumbprint },
} as const;
const RENEW_NOW = {
  type: 'object',
  required: ['type', 'spreadSeconds'],
  properties: { type: { const: 'renew-now' }, spreadSeconds: seconds },
} as const;

/**
 * All certificates to trust Central by (PEM); those that Central added before and names no longer are removed. Signed with
 * Central's signing key over `trustTranscript` (proof.ts), on wss too: on ws anyone on the line could send it otherwise.
 */
export const TRUST = {
  type: 'object',
  required: ['type', 'pem', 'signature'],
  properties: { type: { const: 'trust' }, pem, signature: base64 },
} as const;
/** The thumbprints of these certificates that are in the agent's truststore now. */
const TRUSTED = {
  type: 'object',
  required: ['type', 'thumbprints'],
  properties: { type: { const: 'trusted' }, thumbprints: { type: 'array', maxItems: 64, items: thumbprint } },
} as const;
/** The truststore is unchanged. */
const TRUST_REFUSED = {
  type: 'object',
  required: ['type', 'code', 'detail', 'hint'],
  properties: { type: { const: 'trust-refused' }, code, detail: line, hint: line },
} as const;

/**
 * The consumers of an agent's commands: which types each gets, and what it has not acknowledged yet. Of all commands
 * through `position.number` those of a consumer before its `waitingFrom` are acknowledged by it (or have expired).
 */
export const CONSUMERS = {
  type: 'object',
  required: ['type', 'position', 'inboxFull', 'consumers'],
  properties: {
    type: { const: 'consumers' },
    /** The last command that the agent has on disk, as in its hello. */
    position: positionOrNull,
    /** It accepts no further commands until some of these are acknowledged. */
    inboxFull: { type: 'boolean' },
    consumers: {
      type: 'array',
      maxItems: 33,
      items: {
        type: 'object',
        required: ['name', 'types', 'waitingFrom', 'waitingCount'],
        properties: {
          name: { type: 'string', minLength: 1, maxLength: 32 },
          types: { type: 'array', maxItems: 64, items: { type: 'string', minLength: 1, maxLength: 128 } },
          /** In the present incarnation of the commands; null: it has acknowledged all of it. */
          waitingFrom: { anyOf: [{ type: 'null' }, { type: 'integer', minimum: 1, maximum: MAX_NUMBER }] },
          waitingCount: number,
        },
      },
    },
  },
} as const;
/** The largest such frame: what agent.conf may say of consumers fits. */
export const MAX_CONSUMERS_BYTES = 32 * 1024;

/**
 * Commands that the agent had acknowledged and that expired before their consumers acknowledged them, oldest first. The
 * agent repeats them in later sessions until Central has recorded them.
 */
export const EXPIRED_COMMANDS = {
  type: 'object',
  required: ['type', 'through', 'items'],
  properties: {
    type: { const: 'expired' },
    /** The agent's own count of them; Central repeats it in its answer. */
    through: number,
    items: {
      type: 'array',
      maxItems: 100,
      items: {
        type: 'object',
        required: ['number', 'throughNumber', 'count', 'id', 'source', 'consumer'],
        properties: {
          /** In the commands' log; 0: of an incarnation that is over. */
          number,
          /** It counts for `count` commands from `number` through this one; the other members are those of the first. */
          throughNumber: number,
          count: { type: 'integer', minimum: 1, maximum: MAX_NUMBER },
          id,
          source: { type: 'string', minLength: 1, maxLength: 1024 },
          consumer: { type: 'string', minLength: 1, maxLength: 32 },
        },
      },
    },
  },
} as const;
/** The largest such frame. One item fits, whatever its characters take. */
export const MAX_EXPIRED_BYTES = 16 * 1024;

/** What was reported through this count is on Central's disk. */
const EXPIRED_RECORDED = {
  type: 'object',
  required: ['type', 'through'],
  properties: { type: { const: 'expired-recorded' }, through: number },
} as const;

/** What an agent may send, by type. */
export const FROM_AGENT = {
  hello: HELLO,
  begin: BEGIN,
  messages: MESSAGES,
  ack: ACK,
  pause: PAUSE,
  resume: RESUME,
  renew: RENEW,
  'renew-installed': RENEW_INSTALLED,
  trusted: TRUSTED,
  'trust-refused': TRUST_REFUSED,
  consumers: CONSUMERS,
  expired: EXPIRED_COMMANDS,
  'release-state': RELEASE_STATE,
  'release-measured': RELEASE_MEASURED,
  services: SERVICES,
  'task-handlers': TASK_HANDLERS,
  'task-states': TASK_REPORTS,
  'device-request': DEVICE_REQUEST,
} as const satisfies Record<string, JsonSchema>;
/** What Central may send, by type. */
export const FROM_CENTRAL = {
  challenge: CHALLENGE,
  welcome: WELCOME,
  refuse: REFUSE,
  begin: BEGIN,
  messages: MESSAGES,
  ack: ACK,
  drain: DRAIN,
  pause: PAUSE,
  resume: RESUME,
  renewed: RENEWED,
  'renew-refused': RENEW_REFUSED,
  'renew-now': RENEW_NOW,
  trust: TRUST,
  'expired-recorded': EXPIRED_RECORDED,
  'release-offer': RELEASE_OFFER,
  'release-cancel': RELEASE_CANCEL,
  'release-measure': RELEASE_MEASURE,
  'task-states-recorded': TASK_REPORTS_RECORDED,
  'task-cancel': TASK_CANCEL,
  ...DEVICE_ANSWERS,
} as const satisfies Record<string, JsonSchema>;

export type Position = Static<typeof position>;
export type Range = Static<typeof range>;
export type Challenge = Static<typeof CHALLENGE>;
export type Hello = Static<typeof HELLO>;
export type Welcome = Static<typeof WELCOME>;
export type Begin = Static<typeof BEGIN>;
/** Items stay the text that came; their spans are known. */
export type Messages = Omit<Static<typeof MESSAGES>, 'items'> & { readonly items: readonly JsonNode[] };
export type SessionLimits = Welcome['limits'];

export type Renew = Static<typeof RENEW>;
export type Renewed = Static<typeof RENEWED>;
export type RenewRefused = Static<typeof RENEW_REFUSED>;
export type RenewInstalled = Static<typeof RENEW_INSTALLED>;
export type RenewNow = Static<typeof RENEW_NOW>;
export type Trust = Static<typeof TRUST>;
export type Trusted = Static<typeof TRUSTED>;
export type TrustRefused = Static<typeof TRUST_REFUSED>;
export type Consumers = Static<typeof CONSUMERS>;
export type ExpiredCommands = Static<typeof EXPIRED_COMMANDS>;
export type ExpiredRecorded = Static<typeof EXPIRED_RECORDED>;

/**
 * Frames beside the messages: the agent's certificate, what it trusts, its consumers, commands that expired, releases,
 * services, and tasks.
 */
export type AgentControl =
  | Renew
  | RenewInstalled
  | Trusted
  | TrustRefused
  | Consumers
  | ExpiredCommands
  | ReleaseState
  | ReleaseMeasured
  | ServicesReport
  | TaskHandlers
  | TaskReports
  | DeviceRequest;
export type CentralControl =
  | Renewed
  | RenewRefused
  | RenewNow
  | Trust
  | ExpiredRecorded
  | ReleaseOffer
  | ReleaseCancel
  | ReleaseMeasure
  | TaskReportsRecorded
  | TaskCancel
  | DeviceAnswer;

type Both = Begin | Messages | Static<typeof ACK> | Static<typeof PAUSE> | Static<typeof RESUME>;
export type AgentFrame = Hello | Both | AgentControl;
export type CentralFrame = Challenge | Welcome | Static<typeof REFUSE> | Static<typeof DRAIN> | Both | CentralControl;
