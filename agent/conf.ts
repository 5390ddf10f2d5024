// Reads the configuration of the agent: agent.conf as it is in the field, agent.local.conf beside it, then
// environment and flags. Read once per start or dial. Does not open the truststore (agent/trust/truststore.ts).
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { splitJvmArgs } from '../shared/settings/jvm-args.ts';
import { inProfile, profileTruststore } from '../shared/settings/profile-truststore.ts';
import { readPropertiesFile } from '../shared/settings/properties.ts';
import {
  hostName,
  hostNameFrom,
  hostPorts,
  oneOf,
  text,
  wholeNumber,
  yesOrNo,
  type HostPort,
  type SettingFormat,
} from '../shared/settings/format.ts';
import {
  loadSettings,
  type Schema,
  type SettingsFile,
  type SettingValues,
  type UnknownSetting,
} from '../shared/settings/settings.ts';
import { proxySettings, proxyUrl, type ProxySettings } from './dial/proxy-settings.ts';
import { isConsumerKey, readConsumers, type ConsumerSettings } from './consumer-settings.ts';

export const AGENT_PREFIX = 'QUEUE_AGENT_';
/** Variables that commands read by themselves. */
const OTHER_VARIABLES = [
  'QUEUE_AGENT_PROFILE',
  'QUEUE_AGENT_TOKEN',
  'QUEUE_AGENT_TRUSTSTORE_NEW_PASSWORD',
  // Of the launcher (deploy/queue-agent/launch).
  'QUEUE_AGENT_SOFTWARE_FOLDER',
  'QUEUE_AGENT_SLOT',
];

const jvmArgs: SettingFormat<readonly string[]> = {
  name: 'JVM arguments',
  allowed: 'arguments as on the command line of a JVM',
  parse: splitJvmArgs,
};
const port = wholeNumber(1, 65_535);
const messages = wholeNumber(1, 10_000_000);
/** From one largest message (256 KiB) to what a branch PC's disk can spare. */
const logBytes = wholeNumber(256 * 1024, 64 * 1024 ** 3);

export const AGENT_SCHEMA = [
  {
    name: 'central.websocket.secure',
    format: yesOrNo,
    default: true,
    doc: 'Connect over wss (TLS, verified with the truststore) instead of ws.',
  },
  { name: 'central.websocket.secure.port', format: port, default: 9150, doc: 'Port of Central for wss.' },
  { name: 'central.websocket.port', format: port, default: 8787, doc: 'Port of Central for ws.' },
  {
    name: 'central.websocket.proxied',
    format: yesOrNo,
    default: false,
    doc: 'A proxy in front of Central terminates TLS. The session then cannot be bound to the TLS connection, so the proxy must be trusted.',
  },
  {
    name: 'central.hosts',
    alias: 'central.host',
    format: hostPorts,
    default: [],
    doc: 'Hosts of Central, in the order in which they are tried. The default port is that of central.websocket.secure.port or central.websocket.port.',
  },
  {
    name: 'central.proxy',
    format: proxyUrl,
    default: '',
    secret: true,
    doc: 'HTTP proxy (CONNECT) through which the agent connects to Central; "none": a direct connection. If not set: -Dhttps.proxyHost of jetty.jvm.args, otherwise HTTPS_PROXY.',
  },
  {
    name: 'central.proxy.passwordFile',
    format: text(0, 4096),
    default: '',
    doc: 'File with the password for the user in central.proxy; relative to the profile. Read at each connection.',
  },
  {
    name: 'jetty.jvm.args',
    format: jvmArgs,
    default: [],
    secret: true,
    doc: 'JVM arguments of existing installations. The agent uses -Djavax.net.ssl.trustStore, trustStorePassword and trustStoreType, and -Dhttps.proxyHost, https.proxyPort and http.nonProxyHosts; it ignores the rest. A relative trustStore is relative to the profile.',
  },
  {
    name: 'truststore',
    format: text(0, 4096),
    default: '',
    doc: 'Truststore (JKS, PKCS#12 or PEM) instead of the one in jetty.jvm.args; relative to the profile. Without either: conf/security/truststore.jks.',
  },
  {
    name: 'truststore.password',
    format: text(0, 1024),
    default: '',
    secret: true,
    doc: 'Password of the truststore. Default: "changeit".',
  },
  {
    name: 'enrollment.file',
    format: text(0, 4096),
    default: '',
    doc: 'File with a one-time enrollment, which is used at the first start; relative to the profile.',
  },
  { name: 'agent.name', format: hostName, default: '', doc: 'Name of this agent. Default: the name of the host.' },
  {
    name: 'agent.id',
    format: text(0, 255),
    default: '',
    doc: 'Identifier of this agent, fixed at enrollment. Default: the thumbprint of its first key.',
  },
  {
    name: 'agent.renewal.freshKey',
    format: yesOrNo,
    default: true,
    doc: 'Create a new key at each renewal of the certificate. The old key is deleted once Central has accepted the new one.',
  },
  {
    name: 'data.folder',
    format: text(0, 4096),
    default: '',
    doc: 'Folder for the key, the message logs and the state; relative to the working folder. Default: data/agent, or data/NAME for a profile other than "default".',
  },
  {
    name: 'localApi.port',
    format: wholeNumber(0, 65_535),
    default: 8888,
    doc: 'Port of the local API on loopback; 0 takes any free port.',
  },
  {
    name: 'localApi.socket',
    format: text(0, 4096),
    default: '',
    doc: 'Unix socket of the local API, at most 100 bytes; relative to the working folder. Default: local-api.sock in the data folder. Not on Windows.',
  },
  {
    name: 'localApi.group',
    format: text(0, 64),
    default: '',
    doc: 'Group of this host whose members may connect to the socket (mode 0660; they send the token); the socket must then be in a folder that they may enter. Default: only the account of the agent, without a token (mode 0600).',
  },
  {
    name: 'localApi.consumers.folder',
    format: text(0, 4096),
    default: '',
    doc: 'Folder of the token files of the consumers; relative to the working folder. Default: consumers in the data folder. For a consumer with a group, its members must be able to enter it.',
  },
  {
    name: 'log.level',
    format: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
    default: 'info',
    doc: 'The lowest level that is logged.',
  },
  {
    name: 'outbox.maxMessages',
    format: messages,
    default: 10_000,
    doc: 'Maximum number of events that wait for Central; above it, producers are refused. 10,000 are the events of a branch during one day without a connection.',
  },
  {
    name: 'outbox.maxBytes',
    format: logBytes,
    default: 16 * 1024 ** 2,
    doc: 'Maximum size of these events, in bytes.',
  },
  {
    name: 'inbox.maxMessages',
    format: messages,
    default: 10_000,
    doc: 'Maximum number of commands that wait for local programs; above it, the agent acknowledges no more commands to Central.',
  },
  {
    name: 'inbox.maxBytes',
    format: logBytes,
    default: 16 * 1024 ** 2,
    doc: 'Maximum size of these commands, in bytes.',
  },
] as const satisfies Schema;

type AgentSettingName = (typeof AGENT_SCHEMA)[number]['name'];
/** What is fixed for the life of the process. Everything else is read again at each dial, and log.level at SIGHUP. */
export const FIXED_SETTINGS: ReadonlySet<string> = new Set<AgentSettingName>([
  'data.folder',
  'localApi.port',
  'localApi.socket',
  'localApi.group',
  'localApi.consumers.folder',
  'outbox.maxMessages',
  'outbox.maxBytes',
  'inbox.maxMessages',
  'inbox.maxBytes',
]);

type LogLevel = SettingValues<typeof AGENT_SCHEMA>['log.level'];

export interface AgentConf {
  readonly profile: { readonly name: string; readonly folder: string };
  readonly central: {
    readonly secure: boolean;
    readonly proxied: boolean;
    /** In the order in which they are tried; empty when nothing names a host (enrollment may). */
    readonly endpoints: ReadonlyArray<{ readonly host: string; readonly port: number }>;
    /** The port where no endpoint names one. */
    readonly port: number;
    /** Through which HTTP proxy each transport is dialed. */
    readonly proxies: ProxySettings;
  };
  readonly truststore: {
    readonly path: string;
    readonly password: string | undefined;
    readonly declaredType: string | undefined;
    readonly origin: string;
    /** As ProfileTruststore has them. */
    readonly system?: string | undefined;
    readonly hints?: readonly string[];
    readonly passwordHint?: string;
  };
  /** Absolute path of the one-time enrollment, if one is named. */
  readonly enrollmentFile: string | undefined;
  readonly name: string;
  /** Undefined: the thumbprint of the first key. */
  readonly id: string | undefined;
  readonly renewWithFreshKey: boolean;
  readonly dataFolder: string;
  readonly localApi: {
    readonly port: number;
    /** Absolute path of the Unix socket. */
    readonly socket: string;
    /** Undefined: the socket is for the account of the agent alone. */
    readonly group: string | undefined;
    /** Of the token files of the consumers but \`default\`. */
    readonly consumersFolder: string;
  };
  /** As the files name them; \`default\` only when it is named. */
  readonly consumers: readonly ConsumerSettings[];
  readonly logLevel: LogLevel;
  readonly outbox: { readonly maxMessages: number; readonly maxBytes: number };
  readonly inbox: { readonly maxMessages: number; readonly maxBytes: number };
  readonly origins: Readonly<Record<AgentSettingName, string>>;
  /** By their names in the file, to find what a reload changed. */
  readonly settings: SettingValues<typeof AGENT_SCHEMA>;
  /** Keys of agent.conf that mean nothing to this agent; they stay in the file. */
  readonly unknownKeys: readonly UnknownSetting[];
  readonly warnings: readonly string[];
}

export interface AgentConfRequest {
  /** `profiles/<name>`; its last part is the profile's name. */
  readonly profileFolder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** As node:util parseArgs gives them with flagOptions(AGENT_SCHEMA). */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly workingFolder?: string;
  readonly hostName?: string;
}

/** Reads the configuration. Throws file, properties and settings faults. */
export async function loadAgentConf(request: AgentConfRequest): Promise<AgentConf> {
  const { environment, flags, workingFolder = process.cwd() } = request;
  const folder = resolve(workingFolder, request.profileFolder);
  const name = basename(folder);
  const files = await readFiles(folder);
  const consumers = readConsumers(files.map(({ properties }) => properties));
  const { values, origins, unknown, warnings, slashed } = loadSettings({
    schema: AGENT_SCHEMA,
    prefix: AGENT_PREFIX,
    otherVariables: OTHER_VARIABLES,
    files: files.map(withoutConsumers),
    environment,
    flags,
  });
  const secure = values['central.websocket.secure'];
  const centralPort = secure ? values['central.websocket.secure.port'] : values['central.websocket.port'];
  const { warnings: proxyWarnings, ...proxies } = proxySettings({
    configured: values['central.proxy'],
    passwordFile:
      values['central.proxy.passwordFile'] === '' ? undefined : inProfile(folder, values['central.proxy.passwordFile']),
    jvmArgs: values['jetty.jvm.args'],
    environment,
  });
  const dataFolder = resolve(workingFolder, values['data.folder'] || join('data', name === 'default' ? 'agent' : name));
  return deepFreeze({
    profile: { name, folder },
    central: {
      secure,
      proxied: values['central.websocket.proxied'],
      endpoints: endpointsOf(values['central.hosts'], centralPort),
      port: centralPort,
      proxies,
    },
    truststore: truststoreFrom(values, origins, folder, slashed),
    enrollmentFile: values['enrollment.file'] === '' ? undefined : inProfile(folder, values['enrollment.file']),
    name: values['agent.name'] || hostNameFrom(request.hostName ?? hostname(), 'agent'),
    id: values['agent.id'] || undefined,
    renewWithFreshKey: values['agent.renewal.freshKey'],
    dataFolder,
    localApi: {
      port: values['localApi.port'],
      socket:
        values['localApi.socket'] === ''
          ? join(dataFolder, 'local-api.sock')
          : resolve(workingFolder, values['localApi.socket']),
      group: values['localApi.group'] || undefined,
      consumersFolder:
        values['localApi.consumers.folder'] === ''
          ? join(dataFolder, 'consumers')
          : resolve(workingFolder, values['localApi.consumers.folder']),
    },
    consumers,
    logLevel: values['log.level'],
    outbox: { maxMessages: values['outbox.maxMessages'], maxBytes: values['outbox.maxBytes'] },
    inbox: { maxMessages: values['inbox.maxMessages'], maxBytes: values['inbox.maxBytes'] },
    origins,
    settings: values,
    unknownKeys: unknown,
    warnings: [
      ...warnings,
      ...proxyWarnings,
      ...unknown.flatMap(({ name: key, where, meant }) =>
        meant === undefined ? [] : [`${key} (${where}) means nothing; did you mean ${meant}?`],
      ),
    ],
  });
}

/** agent.conf belongs to the field's product too and is kept as it is; agent.local.conf is ours alone. */
async function readFiles(folder: string): Promise<SettingsFile[]> {
  const field = await readPropertiesFile(
    join(folder, 'conf', 'agent.conf'),
    'refuse',
    'Name a profile that has a conf/agent.conf (profiles/default is one), with --profile.',
  );
  const local = await readPropertiesFile(
    join(folder, 'conf', 'agent.local.conf'),
    'ignore',
    'Remove it, or make it a file.',
  );
  return [
    ...(field === undefined ? [] : [{ properties: field, foreign: true }]),
    ...(local === undefined ? [] : [{ properties: local }]),
  ];
}

/** Consumers have names of their own (consumer-settings.ts); no schema knows their keys. */
function withoutConsumers({ properties, ...file }: SettingsFile): SettingsFile {
  return {
    ...file,
    properties: { ...properties, entries: properties.entries.filter(({ key }) => !isConsumerKey(key)) },
  };
}

function endpointsOf(hosts: readonly HostPort[], defaultPort: number): Array<{ host: string; port: number }> {
  return hosts.map(({ host, port: own }) => ({ host, port: own ?? defaultPort }));
}

function truststoreFrom(
  values: SettingValues<typeof AGENT_SCHEMA>,
  origins: Readonly<Record<AgentSettingName, string>>,
  folder: string,
  slashed: ReadonlyMap<string, string>,
): AgentConf['truststore'] {
  const { from, ...found } = profileTruststore({
    folder,
    truststore: values.truststore,
    password: values['truststore.password'],
    jvmArgs: values['jetty.jvm.args'],
  });
  // Lost backslashes explain whatever else is odd about the path.
  const lost = from === 'default' ? undefined : slashed.get(from);
  return {
    ...found,
    hints: lost === undefined ? found.hints : [lost],
    origin: from === 'default' ? 'default' : origins[from],
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const member of Object.values(value)) deepFreeze(member);
    Object.freeze(value);
  }
  return value;
}
