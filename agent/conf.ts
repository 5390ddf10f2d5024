// Reads the configuration of the agent: agent.conf as it is in the field, agent.local.conf beside it, then
// environment and flags. Read once per start or dial. Does not open the truststore (agent/trust/truststore.ts).
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { AGENT_PREFIX, AGENT_SCHEMA } from '../shared/settings/agent-settings.ts';
import { inProfile, profileTruststore } from '../shared/settings/profile-truststore.ts';
import { readPropertiesFile } from '../shared/settings/properties.ts';
import { hostNameFrom, type HostPort } from '../shared/settings/format.ts';
import {
  loadSettings,
  type SettingsFile,
  type SettingValues,
  type UnknownSetting,
} from '../shared/settings/settings.ts';
import { agentFault } from './errors.ts';
import { findRelease, profileReleaseFolder, runningRelease, type ReleaseFolder } from './release-record.ts';
import { proxySettings, type ProxySettings } from './dial/proxy-settings.ts';
import { isConsumerKey, readConsumers, type ConsumerSettings } from './consumer-settings.ts';
import { isServiceKey, readServices, type ServiceSettings } from './services/service-settings.ts';
import { isTaskKey, readTaskHandlers, type TaskHandler } from './tasks/settings.ts';

/** Variables that commands read by themselves. */
const OTHER_VARIABLES = [
  'QUEUE_AGENT_PROFILE',
  'QUEUE_AGENT_TOKEN',
  'QUEUE_AGENT_TRUSTSTORE_NEW_PASSWORD',
  // Of the launcher (deploy/queue-agent/launch).
  'QUEUE_AGENT_SOFTWARE_FOLDER',
  'QUEUE_AGENT_SLOT',
  'QUEUE_AGENT_BUILD_KEY',
];

type AgentSettingName = (typeof AGENT_SCHEMA)[number]['name'];
/** What is fixed for the life of the process. Everything else is read again at each dial, and `LIVE_SETTINGS` at SIGHUP. */
export const FIXED_SETTINGS: ReadonlySet<string> = new Set<AgentSettingName>([
  'data.folder',
  'localApi.port',
  'localApi.socket',
  'localApi.group',
  'localApi.consumers.folder',
  'runner.socket',
  'outbox.maxMessages',
  'outbox.maxBytes',
  'inbox.maxMessages',
  'inbox.maxBytes',
]);

export const LIVE_SETTINGS: ReadonlySet<string> = new Set<AgentSettingName>([
  'agent.queues',
  'log.level',
  'localApi.tls.port',
  'localApi.tls.address',
  'localApi.tls.names',
  'localApi.tls.clientCa',
]);

type LogLevel = SettingValues<typeof AGENT_SCHEMA>['log.level'];

export interface AgentConf {
  readonly profile: {
    readonly name: string;
    /** With conf/agent.conf: that of the release, or the base. */
    readonly folder: string;
    /** The profile of the command line, with conf/agent.local.conf. */
    readonly base: string;
    /** Digest of the release that it is of; null: placed by hand. */
    readonly release: string | null;
  };
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
  /** Absolute paths of the public keys of those who may build the software of this agent. */
  readonly softwareSigners: readonly string[];
  readonly localApi: {
    readonly port: number;
    /** Absolute path of the Unix socket. */
    readonly socket: string;
    /** Undefined: the socket is for the account of the agent alone. */
    readonly group: string | undefined;
    /** Of the token files of the consumers but \`default\`. */
    readonly consumersFolder: string;
    /** The port for devices; 0: off. */
    readonly tlsPort: number;
    readonly tlsAddress: string;
    readonly tlsNames: readonly string[];
    /** Absolute path of the authorities of devices; undefined: no client certificates. */
    readonly tlsClientCa: string | undefined;
  };
  /** As the files name them; \`default\` only when it is named. */
  readonly consumers: readonly ConsumerSettings[];
  /** Of this host, which Central may reach. */
  readonly services: readonly ServiceSettings[];
  /** Of the runner; undefined: tasks run under the account of the agent. */
  readonly runnerSocket: string | undefined;
  /** The programs that Central may start on this host. */
  readonly taskHandlers: readonly TaskHandler[];
  /** Whose tasks this agent takes. */
  readonly queues: readonly string[];
  readonly logLevel: LogLevel;
  readonly outbox: { readonly maxMessages: number; readonly maxBytes: number };
  readonly inbox: { readonly maxMessages: number; readonly maxBytes: number };
  readonly origins: Readonly<Record<AgentSettingName, string>>;
  /** By their names in the file, to find what a reload changed. */
  readonly settings: SettingValues<typeof AGENT_SCHEMA>;
  /** Settings that agent.conf names, and that agent.local.conf, the environment or a flag sets on this host. */
  readonly overridden: readonly string[];
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
  /** With this release instead of the one that the agent runs with: to try it. */
  readonly release?: string;
}

/** Where a configuration is read from. */
interface ProfileSource {
  readonly base: string;
  /** Undefined: the base alone. */
  readonly release: ReleaseFolder | undefined;
}

/** Reads the configuration. Throws file, properties and settings faults, release_missing. */
export async function loadAgentConf(request: AgentConfRequest): Promise<AgentConf> {
  const base = resolve(request.workingFolder ?? process.cwd(), request.profileFolder);
  const placed = await readConf(request, { base, release: undefined });
  const { dataFolder, softwareSigners } = placed;
  const { found, warnings } =
    request.release === undefined
      ? await runningRelease(dataFolder)
      : { found: namedRelease(dataFolder, request.release), warnings: [] };
  // The key and the logs stay where they are, and who may build software is decided here, whatever a release says.
  const own = { dataFolder, softwareSigners };
  const conf = found === undefined ? placed : { ...(await readConf(request, { base, release: found })), ...own };
  return deepFreeze({ ...conf, warnings: [...warnings, ...conf.warnings] });
}

function namedRelease(dataFolder: string, release: string): ReleaseFolder {
  const found = findRelease(dataFolder, release);
  if (found !== undefined) return found;
  const folder = profileReleaseFolder(dataFolder, release);
  throw agentFault('release_missing', { release, folder, instead: 'the previous release' });
}

async function readConf(request: AgentConfRequest, source: ProfileSource): Promise<AgentConf> {
  const { environment, flags, workingFolder = process.cwd() } = request;
  const { base, release } = source;
  const [name, files] = [basename(base), await readFiles(source)];
  const properties = files.map((file) => file.properties);
  const [consumers, services] = [readConsumers(properties), readServices(properties)];
  const taskHandlers = readTaskHandlers(properties);
  const { values, origins, unknown, warnings, slashed } = loadSettings({
    schema: AGENT_SCHEMA,
    prefix: AGENT_PREFIX,
    otherVariables: OTHER_VARIABLES,
    files: files.map(withoutNamed),
    environment,
    flags,
  });
  const secure = values['central.websocket.secure'];
  const centralPort = secure ? values['central.websocket.secure.port'] : values['central.websocket.port'];
  const absolute = (
    setting: 'central.proxy.passwordFile' | 'enrollment.file' | 'localApi.tls.clientCa',
  ): string | undefined =>
    values[setting] === ''
      ? undefined
      : preferred(source, origins[setting], (folder) => inProfile(folder, values[setting]));
  const { warnings: proxyWarnings, ...proxies } = proxySettings({
    configured: values['central.proxy'],
    passwordFile: absolute('central.proxy.passwordFile'),
    jvmArgs: values['jetty.jvm.args'],
    environment,
  });
  const dataFolder = resolve(workingFolder, values['data.folder'] || join('data', name === 'default' ? 'agent' : name));
  return {
    profile: { name, folder: release?.folder ?? base, base, release: release?.release ?? null },
    central: {
      secure,
      proxied: values['central.websocket.proxied'],
      endpoints: endpointsOf(values['central.hosts'], centralPort),
      port: centralPort,
      proxies,
    },
    truststore: truststoreFrom(values, origins, source, slashed),
    enrollmentFile: absolute('enrollment.file'),
    name: values['agent.name'] || hostNameFrom(request.hostName ?? hostname(), 'agent'),
    id: values['agent.id'] || undefined,
    renewWithFreshKey: values['agent.renewal.freshKey'],
    dataFolder,
    softwareSigners: signersOf(values['software.signers'], environment['QUEUE_AGENT_BUILD_KEY'], base),
    localApi: localApiFrom(values, workingFolder, dataFolder, absolute('localApi.tls.clientCa')),
    consumers,
    services,
    runnerSocket: values['runner.socket'] === '' ? undefined : resolve(workingFolder, values['runner.socket']),
    taskHandlers,
    queues: values['agent.queues'],
    logLevel: values['log.level'],
    outbox: { maxMessages: values['outbox.maxMessages'], maxBytes: values['outbox.maxBytes'] },
    inbox: { maxMessages: values['inbox.maxMessages'], maxBytes: values['inbox.maxBytes'] },
    origins,
    settings: values,
    overridden: overriddenIn(files, origins),
    unknownKeys: unknown,
    warnings: [
      ...warnings,
      ...proxyWarnings,
      ...unknown.flatMap(({ name: key, where, meant }) =>
        meant === undefined ? [] : [`${key} (${where}) means nothing; did you mean ${meant}?`],
      ),
    ],
  };
}

function localApiFrom(
  values: SettingValues<typeof AGENT_SCHEMA>,
  workingFolder: string,
  dataFolder: string,
  tlsClientCa: string | undefined,
): AgentConf['localApi'] {
  const inWorkingFolder = (setting: 'localApi.consumers.folder' | 'localApi.socket', otherwise: string): string =>
    values[setting] === '' ? join(dataFolder, otherwise) : resolve(workingFolder, values[setting]);
  return {
    port: values['localApi.port'],
    socket: inWorkingFolder('localApi.socket', 'local-api.sock'),
    group: values['localApi.group'] || undefined,
    consumersFolder: inWorkingFolder('localApi.consumers.folder', 'consumers'),
    tlsPort: values['localApi.tls.port'],
    tlsAddress: values['localApi.tls.address'],
    tlsNames: values['localApi.tls.names'],
    tlsClientCa,
  };
}

/**
 * A relative path belongs to where it is named. What a release names and does not hold, such as the file of a password,
 * is of the base.
 */
function preferred({ base, release }: ProfileSource, origin: string, pathIn: (folder: string) => string): string {
  if (release === undefined || (origin !== 'default' && !origin.startsWith(confFile(release.folder))))
    return pathIn(base);
  const inRelease = pathIn(release.folder);
  return existsSync(inRelease) ? inRelease : pathIn(base);
}

/** The launcher names the key of its package. */
function signersOf(named: string, packaged: string | undefined, base: string): string[] {
  const files = named.split(',').flatMap((file) => file.trim() || []);
  if (files.length > 0) return files.map((file) => inProfile(base, file));
  return packaged ? [packaged] : [];
}

/** What the first file names, and another layer decides. */
function overriddenIn([field]: readonly SettingsFile[], origins: Readonly<Record<AgentSettingName, string>>): string[] {
  if (field?.foreign !== true) return [];
  const own = `${field.properties.file} line `;
  const named = new Set(field.properties.entries.map(({ key }) => key));
  return AGENT_SCHEMA.filter((setting) => named.has(setting.name) || ('alias' in setting && named.has(setting.alias)))
    .map(({ name }) => name)
    .filter((name) => !origins[name].startsWith(own));
}

function confFile(folder: string): string {
  return join(folder, 'conf', 'agent.conf');
}

/** agent.conf belongs to the field's product too and is kept as it is; agent.local.conf is ours alone. */
async function readFiles({ base, release }: ProfileSource): Promise<SettingsFile[]> {
  const field = await readPropertiesFile(
    confFile(release?.folder ?? base),
    'refuse',
    'Name a profile that has a conf/agent.conf (profiles/default is one), with --profile.',
  );
  const local = await readPropertiesFile(
    join(base, 'conf', 'agent.local.conf'),
    'ignore',
    'Remove it, or make it a file.',
  );
  return [
    ...(field === undefined ? [] : [{ properties: field, foreign: true }]),
    ...(local === undefined ? [] : [{ properties: local }]),
  ];
}

/** Consumers, services and handlers of tasks have names of their own; no schema knows their keys. */
function withoutNamed({ properties, ...file }: SettingsFile): SettingsFile {
  return {
    ...file,
    properties: {
      ...properties,
      entries: properties.entries.filter(({ key }) => !isConsumerKey(key) && !isServiceKey(key) && !isTaskKey(key)),
    },
  };
}

function endpointsOf(hosts: readonly HostPort[], defaultPort: number): Array<{ host: string; port: number }> {
  return hosts.map(({ host, port: own }) => ({ host, port: own ?? defaultPort }));
}

function truststoreFrom(
  values: SettingValues<typeof AGENT_SCHEMA>,
  origins: Readonly<Record<AgentSettingName, string>>,
  source: ProfileSource,
  slashed: ReadonlyMap<string, string>,
): AgentConf['truststore'] {
  const settings = {
    truststore: values.truststore,
    password: values['truststore.password'],
    jvmArgs: values['jetty.jvm.args'],
  };
  const { from, ...found } = profileTruststore({ folder: source.base, ...settings });
  // Lost backslashes explain whatever else is odd about the path.
  const lost = from === 'default' ? undefined : slashed.get(from);
  const origin = from === 'default' ? 'default' : origins[from];
  return {
    ...found,
    path: preferred(source, origin, (folder) => profileTruststore({ folder, ...settings }).path),
    hints: lost === undefined ? found.hints : [lost],
    origin,
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const member of Object.values(value)) deepFreeze(member);
    Object.freeze(value);
  }
  return value;
}
