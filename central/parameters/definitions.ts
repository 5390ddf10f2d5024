// The one table of parameters: settings of the whole installation, kept in the store, changed through REST, applied
// live. REST, command line and docs/PARAMETERS.md are generated from it. Checking values is in values.ts, changing them
// in service.ts.
import { LIMITS, PLAIN_PORT, SECURE_PORT, SMALLEST_MAX_FRAME_BYTES } from '../../shared/wire/messages.ts';
import { ACCESS_DEFINITIONS, ACCESS_GROUP } from './address-access.ts';
import type { ParameterDefinition } from './parameter-definition.ts';
import { deadLetterDefinitions } from './groups/dead-letters.ts';
import { serviceDefinitions } from './groups/services.ts';
import { subscriptionDefinitions } from './groups/subscriptions.ts';
import { taskDefinitions } from './groups/tasks.ts';

/** The names that administrators know from their installations. */
export const GROUPS = {
  websocket: 'Central WebSocket Server Settings',
  https: 'HTTPS server settings',
  certificate: 'Certificate and key store settings',
  agents: 'Queue Agent settings',
  messages: 'Message settings',
  tasks: 'Task settings',
  services: 'Service settings',
  store: 'Store settings',
  access: ACCESS_GROUP,
} as const;

const MIB = 1024 * 1024;
const port = { type: 'integer', unit: 'port', minimum: 1, maximum: 65_535 } as const;
const days = { type: 'integer', unit: 'days' } as const;
const NEXT_SESSION = 'Applies to sessions that begin after the change; open sessions keep the values of their welcome.';
const AT_ONCE = 'At once.';
const bytesPerSecond = {
  type: 'integer',
  unit: 'bytes per second',
  minimum: 0,
  maximum: 10 ** 10,
  applying: AT_ONCE,
} as const;

export const DEFINITIONS = {
  'websocket.enabled': {
    group: GROUPS.websocket,
    type: 'boolean',
    default: false,
    description:
      'Unencrypted WebSocket (ws) for agents on other hosts. When it is off, the port is not closed: Central then listens on the same port of the loopback addresses only (127.0.0.1, and ::1 if the host has IPv6), because the Central agent on this host uses it.',
    reason:
      'The messages of agents cross networks of third parties: sending them unencrypted must be a deliberate choice.',
    applying:
      'The ws listener moves between all addresses and loopback. When it is switched off, the sessions of remote agents on ws are closed with the reason; those on loopback stay.',
  },
  'websocket.port': {
    ...port,
    group: GROUPS.websocket,
    default: PLAIN_PORT,
    description: 'Port of the unencrypted WebSocket.',
    reason: 'The port in existing firewall rules and agent.conf files.',
    applying: 'The listener moves. Open sessions stay; agents that reconnect must know the new port (agent.conf).',
  },
  'websocket.secure.enabled': {
    group: GROUPS.websocket,
    type: 'boolean',
    default: true,
    description: 'Encrypted WebSocket (wss) for agents. Enrollment uses the same port.',
    reason: 'Agents can enroll and connect over it from the first start, because Central creates its own certificate.',
    applying: 'The wss listener opens or closes. When it is switched off, its sessions are closed with the reason.',
  },
  'websocket.secure.port': {
    ...port,
    group: GROUPS.websocket,
    default: SECURE_PORT,
    description: 'Port of the encrypted WebSocket; the only one that a firewall must allow.',
    reason: 'The port in existing firewall rules and agent.conf files.',
    applying: 'The listener moves. Open sessions stay; agents that reconnect must know the new port (agent.conf).',
  },
  'websocket.secure.clientAuth': {
    group: GROUPS.websocket,
    type: 'enum',
    allowed: ['none', 'optional', 'required'],
    default: 'none',
    description:
      'Client certificates on the encrypted WebSocket. none: not requested. optional: validated if the agent sends one. required: every agent must send one. The certificate must be issued by this Central for the key that the agent signs with. It never replaces the signature. Enrollment always works without a client certificate.',
    reason:
      'Each agent proves its key by a signature in any case. Every enrolled agent has a certificate, so that you can require it if policies demand mutual TLS.',
    applying:
      "Applies to new connections. Proxies that terminate TLS in front of Central cannot present an agent's certificate: with such proxies, use none or optional.",
  },
  'websocket.trustedProxies': {
    group: GROUPS.websocket,
    type: 'list',
    of: 'cidr',
    maxItems: 64,
    default: [],
    description:
      'Addresses of proxies and balancers in front of Central, as CIDR (10.0.0.0/8) or single addresses. Central determines the origin of a connection from X-Forwarded-For, X-Forwarded-Proto and PROXY protocol headers of version 2 (on the two agent ports, before TLS) only if they come from these addresses. On wss, it accepts a session without channel binding only from these addresses. X-Forwarded-For must end with a bare address. Without one, Central treats the origin as remote, and as unencrypted unless X-Forwarded-Proto says https; it shares its limits with all other connections of that proxy. After a PROXY protocol header, Central uses the forwarding headers only if the address in it is that of a trusted proxy, too.',
    reason: 'A proxy must be named, because a listed address can declare any origin of a connection.',
    applying: 'Applies to new connections.',
  },

  'https.port': {
    ...port,
    group: GROUPS.https,
    default: 8443,
    description: 'Port of the administration (REST) over HTTPS.',
    reason: 'The port that administrators are used to.',
    applying:
      'The admin listener moves; requests in progress are finished. With commit-confirm, the confirmation must come over the new port.',
  },
  'http.port': {
    ...port,
    group: GROUPS.https,
    default: 8080,
    description:
      'Port of the administration (REST) over plain HTTP, on the loopback addresses of this host only, for curl and scripts. The command line uses the socket in the data folder instead.',
    reason: 'The port that administrators are used to; loopback only, so no token crosses a network unencrypted.',
    applying: 'The admin listener moves; requests in progress are finished. Scripts must use the new port.',
  },

  'certificate.distinguishedName': {
    group: GROUPS.certificate,
    type: 'string',
    form: 'distinguished-name',
    maxLength: 512,
    default: '',
    description:
      "Subject of Central's server certificate, such as CN=central.bank.example, O=Bank, C=CH. Empty: CN is the first advertised name.",
    reason: 'Clients check the alternative names; the subject is for people.',
    applying:
      'A new certificate is created, checked and swapped in without closing a session; the previous one is kept, and a rollback restores it.',
  },
  'certificate.subjectAlternativeNames': {
    group: GROUPS.certificate,
    type: 'list',
    of: 'host',
    maxItems: 100,
    default: [],
    description:
      "Host names and addresses under which agents and administrators reach Central, in addition to those that are always in its certificate: this host's name, the advertised names of the configuration, localhost, 127.0.0.1 and ::1.",
    reason: 'The configured names are enough for one Central without a balancer.',
    applying:
      'A new certificate is created, checked and swapped in without closing a session; the previous one is kept, and a rollback restores it.',
  },
  'certificate.lifetimeDays': {
    ...days,
    group: GROUPS.certificate,
    minimum: 1,
    maximum: 825,
    default: 365,
    description:
      "Lifetime of the certificates that Central's authority issues for Central itself: the server certificate, and that of the signing key. Both are renewed when a third of their lifetime is left.",
    reason: 'A year leaves four months for the renewal; some TLS clients refuse more than 825 days.',
    applying: 'Applies to new certificates.',
  },
  'authority.lifetimeDays': {
    ...days,
    group: GROUPS.certificate,
    minimum: 30,
    maximum: 36_500,
    default: 7300,
    description: 'Lifetime of the roots that Central creates for its authority. No certificate outlives its root.',
    reason:
      'Twenty years: every agent trusts the root, and no agent can connect after it has expired. The root is replaced long before that.',
    applying: 'Applies to new roots.',
  },

  'agents.enrollment': {
    group: GROUPS.agents,
    type: 'enum',
    allowed: ['token', 'approve', 'closed'],
    default: 'token',
    description:
      "How machines become agents. token: with an enrollment token that an administrator created. approve: also without a token; an administrator then compares the thumbprint of the machine's key and accepts the request. closed: not at all; recovery codes of existing agents still work.",
    reason: 'Without a token no machine can enroll or send a request; closed is for installations that are complete.',
    applying: AT_ONCE,
  },
  'agents.authentication': {
    group: GROUPS.agents,
    type: 'enum',
    allowed: ['certificate-or-key', 'certificate'],
    default: 'certificate-or-key',
    description:
      'What an agent needs in addition to the key with which it signs each hello. certificate: a certificate that this Central issued to it, and that is valid (or expired within agents.certificate.graceDays) and not revoked. certificate-or-key: an agent without a known certificate is accepted, too. An agent with a known certificate is always checked by it, never by its key alone.',
    reason:
      'Enrollment gives every agent a certificate. Agents that enrolled before Central recorded certificates connect once with their key, and receive a certificate immediately. When no such agents are left, certificate is the stricter choice.',
    applying:
      'Applies to new connections. Agents that are online and would be refused are named in the report. A refused agent retries automatically.',
  },
  'agents.certificate.graceDays': {
    ...days,
    group: GROUPS.agents,
    minimum: 0,
    maximum: 3650,
    default: 30,
    description:
      'How long an agent may still connect after its certificate has expired. It then renews the certificate immediately. After this time it needs a recovery code.',
    reason:
      'A branch that was closed for the holidays reconnects automatically; one that was offline for longer needs an administrator.',
    applying: 'Applies to new connections.',
  },
  'agents.certificate.lifetimeDays': {
    ...days,
    group: GROUPS.agents,
    minimum: 1,
    maximum: 3650,
    default: 365,
    description: "How long an agent's certificate is valid. Agents renew it automatically after half of its lifetime.",
    reason: 'A machine that was in storage for half a year reconnects with a certificate that is still valid.',
    applying: 'Applies to new certificates.',
  },
  'agents.max': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'agents',
    minimum: 1,
    maximum: 100_000,
    default: 10_000,
    description:
      'How many agents this installation is intended for. It determines how many connections are admitted at once and per second; the rest are asked to retry later.',
    reason: 'Ten thousand idle sessions fit into the memory of a small server.',
    applying: 'Applies to new connections; no session ends.',
  },
  'agents.heartbeatSeconds': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'seconds',
    minimum: 1,
    maximum: 3600,
    default: 15,
    description:
      'How often Central and agent ping each other. A side that hears nothing for two and a half periods ends the connection.',
    reason:
      'Below the 30 to 60 seconds after which firewalls and balancers drop an idle line; a dead line is noticed within 38 seconds.',
    applying: NEXT_SESSION,
  },
  'agents.welcomeTimeoutSeconds': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'seconds',
    minimum: 1,
    maximum: 120,
    default: 10,
    description: 'How long a connection may take from its first byte to the welcome, TLS included.',
    reason:
      'Long enough for a slow line with three lost packets, short enough that half-open connections do not accumulate.',
    applying: 'Applies to new connections.',
  },
  'agents.windowItems': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'items',
    minimum: 1,
    maximum: 100_000,
    default: LIMITS.windowItems,
    description: 'How many messages may be sent and not yet acknowledged, for each agent and direction.',
    reason: 'Several commits of a slow disk fit into it.',
    applying: NEXT_SESSION,
  },
  'agents.windowBytes': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'bytes',
    minimum: 64 * 1024,
    maximum: 256 * MIB,
    default: LIMITS.windowBytes,
    description:
      'How many bytes may be sent and not yet acknowledged, for each agent and direction. At least one frame.',
    reason: 'Four full frames keep a long line busy.',
    applying: NEXT_SESSION,
  },
  'agents.maxFrameBytes': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'bytes',
    minimum: SMALLEST_MAX_FRAME_BYTES,
    maximum: 16 * MIB,
    default: LIMITS.maxFrameBytes,
    description: 'Largest WebSocket frame that either side accepts. At least twice the largest message.',
    reason: 'Limits how much memory one peer can use on the other side.',
    applying: NEXT_SESSION,
  },
  'agents.maxMessageBytes': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'bytes',
    minimum: 1024,
    maximum: LIMITS.maxMessageBytes,
    default: LIMITS.maxMessageBytes,
    description:
      'Largest message that producers may send, as JSON text in UTF-8: at the REST API, and at the local API of agents. Messages that were accepted before the limit was lowered are still delivered.',
    reason: 'Messages are short, not files; one frame has the size of four of the largest.',
    applying: `${AT_ONCE} ${NEXT_SESSION}`,
  },
  'agents.slowPeerSeconds': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'seconds',
    minimum: 5,
    maximum: 3600,
    default: 60,
    description:
      'How long an agent may leave data unread before its connection is closed. Its messages are kept for it.',
    reason:
      'An agent on a slow line gets a full minute; a frozen machine does not occupy memory of Central for longer than that.',
    applying: NEXT_SESSION,
  },
  'agents.outbox.maxMessages': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'items',
    minimum: 1,
    maximum: 10_000_000,
    default: 10_000,
    description:
      'How many messages may wait for one agent. Above this limit, new ones are refused (503 outbox_full); nothing is dropped.',
    reason: 'One message every eight seconds for a day.',
    applying: 'At once; what already waits stays.',
  },
  'agents.outbox.maxBytes': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'bytes',
    minimum: 64 * 1024,
    maximum: 4096 * MIB,
    default: 16 * MIB,
    description: 'How many bytes of messages may wait for one agent. At least the size of the largest message.',
    reason: 'A thousand agents that are all offline use 16 GiB at most.',
    applying: 'At once; what already waits stays.',
  },
  'agents.eventsPerDay': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'items',
    minimum: 0,
    maximum: 1_000_000_000,
    default: 0,
    description:
      'Events that Central accepts from one agent within a day (UTC), duplicates and rejected ones included; 0: no limit. Above this limit, Central asks the agent to pause: its events wait on its own disk, in its outbox, and nothing is lost. The incident events_per_day names the agent.',
    reason:
      'The disk reserve protects Central even if the number of events is unknown. Set a limit for sites whose volume you know.',
    applying: 'At once; a paused agent continues within a minute.',
  },
  'agents.downloads.bytesPerSecond': {
    ...bytesPerSecond,
    group: GROUPS.agents,
    default: 5 * MIB,
    description: 'How fast one agent downloads a release; 0: no limit. A rollout may be slower (--rate).',
    reason: 'A profile of 20 MiB is there after four seconds, and an update of 200 MiB after 40 seconds.',
  },
  'agents.downloads.bytesPerSecondInAll': {
    ...bytesPerSecond,
    group: GROUPS.agents,
    default: 25 * MIB,
    description: 'How fast all agents together download releases; 0: no limit. Messages go first.',
    reason: 'A fifth of a line of 1 Gbit/s; a hundred agents have a profile of 20 MiB after 80 seconds.',
  },
  'agents.drain.spreadSeconds': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'seconds',
    minimum: 0,
    maximum: 3600,
    default: 30,
    description:
      'The time over which agents spread their reconnects when Central closes their sessions, for example before a restart.',
    reason: 'Ten thousand agents in 30 seconds are 330 handshakes a second, which a small server can handle.',
    applying: AT_ONCE,
  },
  'agents.disabledRetrySeconds': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'seconds',
    minimum: 5,
    maximum: 3600,
    default: 60,
    description:
      'How long a disabled agent waits before it tries to connect again, at least. After it is enabled, an agent is back within one and a half times this time, or within 5 minutes if that is longer.',
    reason: 'A thousand disabled agents try to connect 17 times a second at most.',
    applying: 'With the next attempt of each agent.',
  },

  'messages.deduplicationDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 90,
    default: 7,
    description:
      'How long Central remembers source and id of each message; a duplicate within this time is accepted, but not stored again.',
    reason: 'A branch that was cut off over a long weekend can still resend without duplicates.',
    applying: 'At the next pruning. Deleted entries are not restored.',
  },
  'commands.stateRetentionDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 90,
    default: 7,
    description:
      'How long Central knows what became of a command, down to the acknowledgement of the program that got it. At least as long as messages.deduplicationDays.',
    reason: 'As long as repeats of a command are recognized, so that nothing is kept longer for it.',
    applying: 'At the next pruning. Deleted entries are not restored.',
  },
  'events.retentionDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 3650,
    default: 30,
    description:
      'How long events stay readable through the events API. At least as long as messages.deduplicationDays.',
    reason: 'A consumer that was out of service for a month still finds everything.',
    applying: 'At the next pruning. Deleted entries are not restored.',
  },
  ...subscriptionDefinitions(GROUPS.messages),
  ...taskDefinitions(GROUPS.tasks),
  ...serviceDefinitions(GROUPS.services),
  ...deadLetterDefinitions(GROUPS.messages),

  'store.reserveBytes': {
    group: GROUPS.store,
    type: 'integer',
    unit: 'bytes',
    minimum: 0,
    maximum: 1024 * 1024 * MIB,
    default: 512 * MIB,
    description:
      'Free disk space on the file system of the data folder that new messages and enrollments never use. The reserve is at most a quarter of the file system. When less is free, agents keep their messages on their own disks, REST refuses commands and enrollments with 503 store_reserve, and all actions of administrators still work. At twice this size, the status, the log and the metrics warn. 0: no reserve; if the disk is full, Central then shuts down in order.',
    reason:
      'The log of SQLite can grow to 128 MiB and is then copied into the database, which needs half of the reserve. The other half is for administrators, certificates and pruning.',
    applying: 'Within two seconds.',
  },

  ...ACCESS_DEFINITIONS,
} as const satisfies Readonly<Record<string, ParameterDefinition>>;

export type ParameterName = keyof typeof DEFINITIONS;
export const PARAMETER_NAMES = Object.keys(DEFINITIONS) as ParameterName[];

type ValueOf<D extends ParameterDefinition> = D extends { type: 'boolean' }
  ? boolean
  : D extends { type: 'integer' }
    ? number
    : D extends { type: 'enum'; allowed: readonly (infer A)[] }
      ? A
      : D extends { type: 'list' }
        ? readonly string[]
        : string;

/**
 * All parameters with their values: `values['websocket.port']` is a number, `values['agents.enrollment']` one of its
 * words.
 */
export type ParameterValues = { readonly [N in ParameterName]: ValueOf<(typeof DEFINITIONS)[N]> };
export type ParameterValue = ParameterValues[ParameterName];

/** The definition without the narrow types of the table, for code that treats all of them alike. */
export function definitionOf(name: ParameterName): ParameterDefinition {
  return DEFINITIONS[name];
}

export function isParameterName(name: string): name is ParameterName {
  return Object.hasOwn(DEFINITIONS, name);
}

export function defaultValues(): ParameterValues {
  // Each entry comes from the definition of the same name.
  return Object.fromEntries(
    PARAMETER_NAMES.map((name) => [name, DEFINITIONS[name].default]),
  ) as unknown as ParameterValues;
}
