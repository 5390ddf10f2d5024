// The one table of parameters: settings of the whole installation, kept in the store, changed through REST, applied live.
// REST, command line and docs/PARAMETERS.md are generated from it. Checking values is in values.ts, changing them in service.ts.
import { LIMITS, PLAIN_PORT, SECURE_PORT, SMALLEST_MAX_FRAME_BYTES } from '../../shared/wire/messages.ts';

type Unit = 'bytes' | 'seconds' | 'days' | 'items' | 'agents' | 'port';

interface Common {
  readonly group: string;
  /** For an administrator: what it is and what it does. */
  readonly description: string;
  /** Why the default is what it is. */
  readonly reason: string;
  /** What happens when it is changed. */
  readonly applying: string;
}

export type ParameterDefinition =
  | (Common & { readonly type: 'boolean'; readonly default: boolean })
  | (Common & {
      readonly type: 'integer';
      readonly unit: Unit;
      readonly minimum: number;
      readonly maximum: number;
      readonly default: number;
    })
  | (Common & { readonly type: 'enum'; readonly allowed: readonly string[]; readonly default: string })
  | (Common & {
      readonly type: 'string';
      readonly form: 'distinguished-name';
      readonly maxLength: number;
      readonly default: string;
    })
  | (Common & {
      readonly type: 'list';
      readonly of: 'host' | 'cidr';
      readonly maxItems: number;
      readonly default: readonly string[];
    });

/** The names that administrators know from their installations. */
export const GROUPS = {
  websocket: 'Central WebSocket Server Settings',
  https: 'HTTPS server settings',
  certificate: 'Certificate and key store settings',
  agents: 'Queue Agent settings',
  messages: 'Message settings',
  store: 'Store settings',
} as const;

const MIB = 1024 * 1024;
const port = { type: 'integer', unit: 'port', minimum: 1, maximum: 65_535 } as const;
const days = { type: 'integer', unit: 'days' } as const;
const NEXT_SESSION =
  'Holds for sessions that begin from now on; those that are open keep what they were welcomed with.';
const AT_ONCE = 'At once.';

export const DEFINITIONS = {
  'websocket.enabled': {
    group: GROUPS.websocket,
    type: 'boolean',
    default: false,
    description:
      'Unencrypted WebSocket (ws) for agents on other hosts. Off does not close the port: it then listens on the loopback addresses only (127.0.0.1, and ::1 where the host has IPv6), same port, never gone, because the Central agent on this host uses it.',
    reason: 'The messages of agents cross networks of third parties: unencrypted must be a deliberate choice.',
    applying:
      'The ws listener moves between all addresses and loopback. When it is switched off, the sessions of remote agents on ws are closed with the reason; those on loopback stay.',
  },
  'websocket.port': {
    ...port,
    group: GROUPS.websocket,
    default: PLAIN_PORT,
    description: 'Port of the unencrypted WebSocket.',
    reason: 'The number that firewalls and agent.conf files in the field have.',
    applying: 'The listener moves. Open sessions stay; agents that reconnect must know the new port (agent.conf).',
  },
  'websocket.secure.enabled': {
    group: GROUPS.websocket,
    type: 'boolean',
    default: true,
    description: 'Encrypted WebSocket (wss) for agents. Enrollment uses the same port.',
    reason: 'Agents enroll and connect over it from the first minute: Central creates its own certificate.',
    applying: 'The wss listener opens or closes. When it is switched off, its sessions are closed with the reason.',
  },
  'websocket.secure.port': {
    ...port,
    group: GROUPS.websocket,
    default: SECURE_PORT,
    description: 'Port of the encrypted WebSocket; the only one that a firewall must allow.',
    reason: 'The number that firewalls and agent.conf files in the field have.',
    applying: 'The listener moves. Open sessions stay; agents that reconnect must know the new port (agent.conf).',
  },
  'websocket.secure.clientAuth': {
    group: GROUPS.websocket,
    type: 'enum',
    allowed: ['none', 'optional', 'required'],
    default: 'none',
    description:
      'Client certificates on the encrypted WebSocket: not requested, validated when there is one, or required of every agent. The certificate must be issued by this Central for the key that the agent signs with; it never replaces the signature. Enrollment keeps working without one.',
    reason:
      'Each agent proves its key by a signature anyway. Every enrolled agent has a certificate, so that it can be required where policies demand mutual TLS.',
    applying:
      "Applies to new connections. Proxies that end TLS in front of Central cannot show an agent's certificate: behind them leave it at none or optional.",
  },
  'websocket.trustedProxies': {
    group: GROUPS.websocket,
    type: 'list',
    of: 'cidr',
    maxItems: 64,
    default: [],
    description:
      'Addresses of proxies and balancers in front of Central, as CIDR (10.0.0.0/8) or single addresses. Only from these are X-Forwarded-For, X-Forwarded-Proto and PROXY protocol headers of version 2 (on the two agent ports, before TLS) taken for the origin of a connection, and a session without channel binding accepted. X-Forwarded-For must end with a bare address: without one the origin counts as remote, as unencrypted unless X-Forwarded-Proto says https, and shares its limits with all others of that proxy. After a PROXY protocol header the forwarding headers count only if the address that it names is a trusted proxy, too.',
    reason: 'A proxy is named, never guessed: a listed address may declare the origin of a connection.',
    applying: 'Applies to new connections.',
  },

  'https.port': {
    ...port,
    group: GROUPS.https,
    default: 8443,
    description: 'Port of the administration (REST) over HTTPS.',
    reason: 'The number that administrators are used to.',
    applying:
      'The admin listener moves; requests in progress are finished. With commit-confirm, the confirmation must come over the new port.',
  },
  'http.port': {
    ...port,
    group: GROUPS.https,
    default: 8080,
    description:
      'Port of the administration (REST) over plain HTTP, on the loopback addresses of this host only. The command line uses it.',
    reason: 'The number that administrators are used to; loopback only, so no token crosses a network unencrypted.',
    applying: 'The admin listener moves; requests in progress are finished. Set it for the command line with --url.',
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
      "Lifetime of the certificates that Central's authority issues for Central itself: the server certificate, and that of the signing key. Both are renewed when a third of it is left.",
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
    reason: 'Twenty years: every agent trusts it, and all are cut off when it expires. It is replaced long before.',
    applying: 'Applies to new roots.',
  },

  'agents.enrollment': {
    group: GROUPS.agents,
    type: 'enum',
    allowed: ['token', 'approve', 'closed'],
    default: 'token',
    description:
      'How machines become agents. token: with an enrollment token that an administrator created. approve: also without one; then an administrator compares the thumbprint of its key and accepts it. closed: not at all; recovery codes of existing agents still work.',
    reason: 'Without a token no machine can enroll or send a request; closed is for installations that are complete.',
    applying: AT_ONCE,
  },
  'agents.authentication': {
    group: GROUPS.agents,
    type: 'enum',
    allowed: ['certificate-or-key', 'certificate'],
    default: 'certificate-or-key',
    description:
      'What an agent needs in addition to its key, with which it signs each hello. certificate: a certificate that this Central issued to it, which is valid (or expired within agents.certificate.graceDays) and not revoked. certificate-or-key: an agent without a known certificate is accepted, too. An agent that has one is always checked by its certificate, never by its key alone.',
    reason:
      'Enrollment gives every agent a certificate. Those that enrolled before Central recorded certificates connect by their key once, and receive one immediately; when none are left, certificate is the stricter choice.',
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
      'How long after the expiry of its certificate an agent may still connect to renew it, which it does immediately. Later it needs a recovery code.',
    reason:
      'A branch that was closed for the holidays reconnects automatically; one that was away for longer needs an administrator.',
    applying: 'Applies to new connections.',
  },
  'agents.certificate.lifetimeDays': {
    ...days,
    group: GROUPS.agents,
    minimum: 1,
    maximum: 3650,
    default: 365,
    description: "How long an agent's certificate is valid. Agents renew theirs automatically when half of it is over.",
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
      'How many agents this installation is meant for. It determines how many connections are admitted at once and per second; the rest are asked to retry later.',
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
    reason: 'Long enough for a slow line with three losses, short enough that half-open connections do not accumulate.',
    applying: 'Applies to new connections.',
  },
  'agents.windowItems': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'items',
    minimum: 1,
    maximum: 100_000,
    default: LIMITS.windowItems,
    description: 'Messages of one direction of one agent that may be sent and not yet acknowledged.',
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
    description: 'Bytes of one direction of one agent that may be sent and not yet acknowledged. At least one frame.',
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
    description: 'Largest WebSocket frame that either side takes. At least twice the largest message.',
    reason: 'Bounds what one peer can make the other hold in memory.',
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
      'Largest message that producers may send, as JSON text in UTF-8: at the REST API, and at the local API of agents. What was accepted before it was lowered is still delivered.',
    reason: 'Messages are notes, not files; four of them share a frame.',
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
      'A line that is only slow gets a full minute; a frozen machine holds memory of Central no longer than that.',
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
      'Messages that may wait for one agent. Beyond it, new ones are refused (503 outbox_full); nothing is dropped.',
    reason: 'A day of a message every eight seconds.',
    applying: 'At once; what already waits stays.',
  },
  'agents.outbox.maxBytes': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'bytes',
    minimum: 64 * 1024,
    maximum: 4096 * MIB,
    default: 16 * MIB,
    description: 'Bytes of messages that may wait for one agent. At least one of the largest messages.',
    reason: 'A thousand agents that are all offline take 16 GiB at most.',
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
      'Events that Central accepts from one agent within a day (UTC), duplicates and rejected ones included; 0: no limit. Beyond it the agent is asked to pause: its events wait on its own disk, in its outbox, and nothing is lost. The incident events_per_day names the agent.',
    reason:
      'The disk reserve protects Central without guessing how many events a site has; a limit is for sites whose volume is known.',
    applying: 'At once; a paused agent continues within a minute.',
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

  'messages.deduplicationDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 90,
    default: 7,
    description:
      'How long Central remembers source and id of each message; a duplicate within this time is accepted and not stored twice.',
    reason: 'A branch that was cut off over a long weekend can still resend without duplicates.',
    applying: 'At the next pruning; what was forgotten is not restored.',
  },
  'events.retentionDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 3650,
    default: 30,
    description:
      'How long events stay readable through the events API. At least as long as messages.deduplicationDays.',
    reason: 'A consumer that was broken for a month finds everything.',
    applying: 'At the next pruning; what was deleted is not restored.',
  },
  'deadLetters.retentionDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 3650,
    default: 30,
    description: 'How long expired and rejected messages stay readable, with the reason.',
    reason: 'Long enough to find out where a message went.',
    applying: 'At the next pruning; what was deleted is not restored.',
  },
  'deadLetters.maxPerAgent': {
    group: GROUPS.messages,
    type: 'integer',
    unit: 'items',
    minimum: 100,
    maximum: 1_000_000,
    default: 10_000,
    description:
      'Dead letters that are kept of one agent in each direction. The oldest of that agent are replaced by newer ones; how many is counted in the incident dead_letters_dropped and in the metrics.',
    reason: 'As many as the default outbox of an agent: when all of it expires at once, each message stays readable.',
    applying: 'At the next dead letter of an agent, or the next pruning.',
  },
  'deadLetters.maxBytesPerAgent': {
    group: GROUPS.messages,
    type: 'integer',
    unit: 'bytes',
    minimum: MIB,
    maximum: 4096 * MIB,
    default: 16 * MIB,
    description:
      'Bytes of dead letters that are kept of one agent in each direction. The oldest of that agent are replaced, as with deadLetters.maxPerAgent.',
    reason:
      'As many as the default outbox of an agent holds; an agent that sends nothing but invalid messages takes no more of the disk.',
    applying: 'At the next dead letter of an agent, or the next pruning.',
  },

  'store.reserveBytes': {
    group: GROUPS.store,
    type: 'integer',
    unit: 'bytes',
    minimum: 0,
    maximum: 1024 * 1024 * MIB,
    default: 512 * MIB,
    description:
      'Free disk space that new messages and enrollments never use, on the file system of the data folder; at most a quarter of it counts. Below it agents keep their messages on their own disks, REST refuses commands and enrollments with 503 store_reserve, and everything that an administrator does still works. At twice this size the status, the log and the metrics warn. 0: no reserve; then a full disk ends Central in order.',
    reason:
      "SQLite's log may grow to 128 MiB and is then copied into the database; the other half is for administrators, certificates and the pruning itself.",
    applying: 'Within two seconds.',
  },
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

/** All parameters with their values: `values['websocket.port']` is a number, `values['agents.enrollment']` one of its words. */
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
