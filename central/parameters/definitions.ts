// The one table of parameters: settings of the whole installation, kept in the store, changed through REST, applied live.
// REST, command line and docs/PARAMETERS.md are made from it. Checking values is in values.ts, changing them in service.ts.
import { LIMITS, PLAIN_PORT, SECURE_PORT, SMALLEST_MAX_FRAME_BYTES } from '../../shared/wire/messages.ts';

export type Unit = 'bytes' | 'seconds' | 'days' | 'items' | 'agents' | 'port';

interface Common {
  readonly group: string;
  /** For an administrator: what it is and what it is good for. */
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

/** The names that administrators know from the field. */
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
    reason: 'What agents say crosses networks that others own; unencrypted is a choice to be made, not found.',
    applying:
      'The plain listener moves between all addresses and loopback. When it is switched off, remote agents on ws are told why and closed; those on loopback live on.',
  },
  'websocket.port': {
    ...port,
    group: GROUPS.websocket,
    default: PLAIN_PORT,
    description: 'Port of the unencrypted WebSocket.',
    reason: 'The number that firewalls and agent.conf files in the field have.',
    applying: 'The listener moves. Open sessions stay; agents that come back must know the new port (agent.conf).',
  },
  'websocket.secure.enabled': {
    group: GROUPS.websocket,
    type: 'boolean',
    default: true,
    description: 'Encrypted WebSocket (wss) for agents. Enrollment uses the same port.',
    reason: 'Agents enroll and connect over it from the first minute: Central makes its certificate by itself.',
    applying: 'The secure listener opens or closes. When it is switched off, its agents are told why and closed.',
  },
  'websocket.secure.port': {
    ...port,
    group: GROUPS.websocket,
    default: SECURE_PORT,
    description: 'Port of the encrypted WebSocket; the only one that a firewall has to let pass.',
    reason: 'The number that firewalls and agent.conf files in the field have.',
    applying: 'The listener moves. Open sessions stay; agents that come back must know the new port (agent.conf).',
  },
  'websocket.secure.clientAuth': {
    group: GROUPS.websocket,
    type: 'enum',
    allowed: ['none', 'optional', 'required'],
    default: 'none',
    description:
      'Client certificates on the encrypted WebSocket: not asked for, judged when there is one, or required of every agent. The certificate must be issued by this Central to the very key that the agent signs with; it never replaces the signature. Enrollment keeps working without one.',
    reason:
      'Each agent proves its key by a signature anyway. Every enrolled agent has a certificate, so that it may be required where rules ask for mutual TLS.',
    applying:
      "Holds for connections that begin from now on. Proxies that end TLS in front of Central cannot show an agent's certificate: behind them leave it at none or optional.",
  },
  'websocket.trustedProxies': {
    group: GROUPS.websocket,
    type: 'list',
    of: 'cidr',
    maxItems: 64,
    default: [],
    description:
      'Addresses of proxies and balancers in front of Central, as CIDR (10.0.0.0/8) or single addresses. Only from these are X-Forwarded-For, X-Forwarded-Proto and PROXY protocol headers of version 2 (on the two agent ports, before TLS) taken for the origin of a connection, and a session without channel binding accepted. X-Forwarded-For must end with a bare address: without one the origin counts as remote, as unencrypted unless X-Forwarded-Proto says https, and shares its limits with all others of that proxy. After a PROXY protocol header the forwarding headers count only if the address that it names is a trusted proxy, too.',
    reason: 'A proxy is named, never guessed: whoever is listed here may say where a connection comes from.',
    applying: 'Holds for connections that begin from now on.',
  },

  'https.port': {
    ...port,
    group: GROUPS.https,
    default: 8443,
    description: 'Port of the administration (REST) over HTTPS.',
    reason: 'The number administrators know for it.',
    applying:
      'The admin listener moves; requests under way are finished. With commit-confirm, the confirmation must come over the new port.',
  },
  'http.port': {
    ...port,
    group: GROUPS.https,
    default: 8080,
    description:
      'Port of the administration (REST) over plain HTTP, on the loopback addresses of this host only. The command line uses it.',
    reason: 'The number administrators know for it; loopback only, so no token crosses a network unencrypted.',
    applying: 'The admin listener moves; requests under way are finished. Tell the command line with --url.',
  },

  'certificate.distinguishedName': {
    group: GROUPS.certificate,
    type: 'string',
    form: 'distinguished-name',
    maxLength: 512,
    default: '',
    description:
      "Subject of Central's server certificate, such as CN=central.bank.example, O=Bank, C=CH. Empty: CN is the first advertised name.",
    reason: 'Clients look at the alternative names; the subject is for people.',
    applying:
      'A new certificate is made, checked and swapped in without closing a session; the one before is kept and comes back when the change is undone.',
  },
  'certificate.subjectAlternativeNames': {
    group: GROUPS.certificate,
    type: 'list',
    of: 'host',
    maxItems: 100,
    default: [],
    description:
      "Host names and addresses under which agents and administrators reach Central, beside those that are always in its certificate: this host's name, the advertised names of the configuration, localhost, 127.0.0.1 and ::1.",
    reason: 'The configured names are enough for one Central without a balancer.',
    applying:
      'A new certificate is made, checked and swapped in without closing a session; the one before is kept and comes back when the change is undone.',
  },
  'certificate.lifetimeDays': {
    ...days,
    group: GROUPS.certificate,
    minimum: 1,
    maximum: 825,
    default: 365,
    description:
      "How long a certificate is valid that Central's authority makes for Central itself: the server's, and that of the signing key. Both are made anew when a third of it is left.",
    reason: 'A year leaves four months in which a new one is made; more than 825 days some TLS clients refuse.',
    applying: 'Holds for certificates that are made from now on.',
  },
  'authority.lifetimeDays': {
    ...days,
    group: GROUPS.certificate,
    minimum: 30,
    maximum: 36_500,
    default: 7300,
    description:
      'How long a root is valid that Central makes for its authority. No certificate outlives the root that vouches for it.',
    reason:
      'Twenty years: every agent trusts by it, and when it ends all of them are cut off. It is replaced long before.',
    applying: 'Holds for roots that are made from now on.',
  },

  'agents.enrollment': {
    group: GROUPS.agents,
    type: 'enum',
    allowed: ['token', 'approve', 'closed'],
    default: 'token',
    description:
      'How machines become agents. token: with an enrollment token that an administrator made. approve: also without one; then an administrator compares the thumbprint of its key and accepts it. closed: not at all; a recovery code for an agent that is there counts all the same.',
    reason: 'Without a token nobody gets in, and no stranger can ask; closed is for installations that are complete.',
    applying: AT_ONCE,
  },
  'agents.authentication': {
    group: GROUPS.agents,
    type: 'enum',
    allowed: ['certificate-or-key', 'certificate'],
    default: 'certificate-or-key',
    description:
      'What an agent must have beside its key, with which it signs each hello. certificate: a certificate that this Central gave it, which is in date (or expired within agents.certificate.graceDays) and not revoked. certificate-or-key: also an agent of which Central knows no certificate. One that has a certificate is judged by it in either case, and never falls through to its key.',
    reason:
      'Enrollment gives every agent a certificate. Those that enrolled before Central kept a record of certificates come by their key once, and get one at once; when there are none left, certificate is the stricter choice.',
    applying:
      'Holds for connections that begin from now on. Agents that are online and would be refused are named before. An agent that is refused dials again by itself.',
  },
  'agents.certificate.graceDays': {
    ...days,
    group: GROUPS.agents,
    minimum: 0,
    maximum: 3650,
    default: 30,
    description:
      'How long after the end of its certificate an agent may still come and renew it, which it does at once. Later it needs a recovery code.',
    reason:
      'A branch that was closed for the holidays reconnects automatically; one that was away for longer needs an administrator.',
    applying: 'Holds for connections that begin from now on.',
  },
  'agents.certificate.lifetimeDays': {
    ...days,
    group: GROUPS.agents,
    minimum: 1,
    maximum: 3650,
    default: 365,
    description: "How long an agent's certificate is valid. Agents renew theirs by themselves when half of it is over.",
    reason: 'A machine that stood in a cupboard for half a year comes back with a certificate that is still good.',
    applying: 'Holds for certificates that are made from now on.',
  },
  'agents.max': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'agents',
    minimum: 1,
    maximum: 100_000,
    default: 10_000,
    description:
      'How many agents this installation is made for. From it follows how many connections are admitted at once and per second; the rest are told when to come back.',
    reason: 'Ten thousand idle sessions fit into the memory of a small server.',
    applying: 'Holds for connections that begin from now on; nobody is sent away.',
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
    reason: 'Long enough for a slow line with three losses, short enough that half-open connections do not gather.',
    applying: 'Holds for connections that begin from now on.',
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
      'How long an agent may leave unread what it was sent before its connection is ended. Its messages wait for it.',
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
      'Messages for one agent that may wait for it. When there are more, whoever sends is refused (503 outbox_full); nothing is dropped.',
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
    description: 'Bytes of messages for one agent that may wait for it. At least one of the largest messages.',
    reason: 'A thousand agents that are all away take 16 GiB at most.',
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
      'Events that Central takes of one agent within a day (UTC), duplicates and rejected ones included; 0: as many as come. Beyond it the agent is asked to pause: its events wait on its own disk, in its outbox, and nothing is lost. The incident events_per_day names the agent.',
    reason:
      'The disk reserve protects Central without guessing how many events a site has; a limit is for those who know.',
    applying: 'At once; an agent that waits goes on within a minute.',
  },
  'agents.drainSpreadSeconds': {
    group: GROUPS.agents,
    type: 'integer',
    unit: 'seconds',
    minimum: 0,
    maximum: 3600,
    default: 30,
    description:
      'Over which time agents spread their return when Central asks them to leave, for instance before a restart.',
    reason: 'Ten thousand agents in 30 seconds are 330 handshakes a second, which a small server makes.',
    applying: AT_ONCE,
  },

  'messages.deduplicationDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 90,
    default: 7,
    description:
      'How long Central remembers source and id of each message; the same again within this time is accepted and not stored twice.',
    reason: 'A branch that was cut off over a long weekend still repeats itself without harm.',
    applying: 'At the next cleaning; what was forgotten does not come back.',
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
    applying: 'At the next cleaning; what was deleted does not come back.',
  },
  'deadLetters.retentionDays': {
    ...days,
    group: GROUPS.messages,
    minimum: 1,
    maximum: 3650,
    default: 30,
    description: 'How long expired and rejected messages stay readable, with the reason.',
    reason: 'Long enough for somebody to ask where a message went.',
    applying: 'At the next cleaning; what was deleted does not come back.',
  },
  'deadLetters.maxPerAgent': {
    group: GROUPS.messages,
    type: 'integer',
    unit: 'items',
    minimum: 100,
    maximum: 1_000_000,
    default: 10_000,
    description:
      'Dead letters that are kept of one agent in each direction. The oldest of that agent give way to newer ones; how many is counted in the incident dead_letters_dropped and in the metrics.',
    reason: 'As many as the default outbox of an agent: when all of it expires at once, each message stays readable.',
    applying: 'At the next dead letter of an agent, or the next cleaning.',
  },
  'deadLetters.maxBytesPerAgent': {
    group: GROUPS.messages,
    type: 'integer',
    unit: 'bytes',
    minimum: MIB,
    maximum: 4096 * MIB,
    default: 16 * MIB,
    description:
      'Bytes of dead letters that are kept of one agent in each direction. The oldest of that agent give way, as with deadLetters.maxPerAgent.',
    reason:
      'As many as the default outbox of an agent holds; an agent that sends nothing but invalid messages takes no more of the disk.',
    applying: 'At the next dead letter of an agent, or the next cleaning.',
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
      "SQLite's log may grow to 128 MiB and is then copied into the database; the other half is for administrators, certificates and the cleaning itself.",
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
