// Reads the configuration of Central's process once: central.conf, environment and flags. Settings of the whole
// installation are parameters (central/parameters) in the store; a node may override a port here.
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defineErrors, type ErrorTable } from '../shared/errors.ts';
import { wrongDash } from '../shared/terminal/dashes.ts';
import { readPropertiesFile } from '../shared/settings/properties.ts';
import { hostName, hostNameFrom, oneOf, text, yesOrNo, type SettingFormat } from '../shared/settings/format.ts';
import { callbackUrl, groupRoles, issuerUrl, oidcScopes, type OidcSettings } from '../shared/settings/oidc-settings.ts';
import { flagOptions, loadSettings, type Schema, type SettingValues } from '../shared/settings/settings.ts';

export const CENTRAL_PREFIX = 'QUEUEGATE_';
/** Variables that other code reads: the command line (central/cli.ts), and the choice of the file. */
const OTHER_VARIABLES = [
  'QUEUEGATE_CONFIG',
  'QUEUEGATE_URL',
  'QUEUEGATE_TOKEN',
  'QUEUEGATE_TOKEN_FILE',
  'QUEUEGATE_CA_FILE',
  'QUEUEGATE_BACKUP_PASSWORD',
  'QUEUEGATE_KEYSTORE_PASSWORD',
  'QUEUEGATE_KEY_PASSWORD',
  'QUEUEGATE_KEY_ENCRYPTION_KEY',
  'QUEUEGATE_TRUSTSTORE_PASSWORD',
  'QUEUEGATE_TRUSTSTORE_NEW_PASSWORD',
];
const DEFAULT_FILE = 'central.conf';
/** In the data folder, 0600: the first administrator's token. `queuegate` on the same host finds it there. */
export const ADMINISTRATOR_TOKEN_FILE = 'administrator-token';
/** In the data folder, 0600: the first enrollment token, where the first start did not show it on a terminal. */
export const FIRST_ENROLLMENT_FILE = 'first-enrollment-token';
export const DEFAULT_DATA_FOLDER = 'data/central';

export const CONFIG_ERRORS = {
  flag_unknown: {
    text: 'Unknown flag, or a flag without its value: {found}.',
    hint: 'docs/CONFIGURATION.md lists the flags; each but --central-agent takes a value (--log-level debug).',
  },
  data_folder_empty: {
    text: '{folder} does not hold the store of a Central.',
    hint: 'Name the data folder of Central as at its start: --data-folder FOLDER, QUEUEGATE_DATA_FOLDER or data.folder in central.conf.',
  },
  administrator_token_refused: {
    text: 'The Central that runs could not create the token: {found}',
    hint: '{action}',
  },
  administrator_token_unanswered: {
    text: 'The process {pid} uses {folder}, but did not create the token within {seconds} seconds.',
    hint: 'If Central is starting, run this again when it is ready. Otherwise stop it, run this again, and start it.',
  },
  central_agent_missing: {
    text: 'The Central agent (--central-agent) needs the program of the agent, which is not part of this installation: {path} does not exist.',
    hint: 'Start Central without --central-agent. For an agent on this host, install the package queue-agent and enroll it (docs/INSTALL.md).',
  },
  override_ports_equal: {
    text: '{one} ({oneOrigin}) and {other} ({otherOrigin}) are both {port}.',
    hint: 'Set a different port for each listener of this node; 0 takes any free one.',
  },
  oidc_setting_missing: {
    text: '{name} is missing, which sign-in with an OpenID provider needs beside {given}.',
    hint: 'Set all of {needed} in central.conf (docs/DASHBOARD.md), or none of them.',
  },
} as const satisfies ErrorTable;

export const configFault = defineErrors(CONFIG_ERRORS);

/** A port of this node in place of the parameter; null: the parameter applies. */
const portOverride: SettingFormat<number | null> = {
  name: 'port override',
  allowed: 'a whole number from 0 to 65535; 0 takes any free port',
  parse: (found) => (/^\d{1,5}$/.test(found.trim()) && Number(found) <= 65_535 ? Number(found) : undefined),
};

const address: SettingFormat<string> = {
  name: 'address',
  allowed: 'an IPv4 or IPv6 address of this host, or empty',
  parse: (found) => (found.trim() === '' || isIP(found.trim()) !== 0 ? found.trim() : undefined),
};

const hostNames: SettingFormat<readonly string[]> = {
  name: 'host names or addresses',
  allowed: 'host names or addresses separated by commas, without ports; at most 64',
  parse(found) {
    const items = found
      .split(',')
      .map((item) => item.trim().toLowerCase())
      .filter((item) => item !== '');
    return items.length <= 64 &&
      items.every((item) => isIP(item) !== 0 || (hostName.parse(item) !== undefined && !/^[\d.]+$/.test(item)))
      ? items
      : undefined;
  },
};

const nodeAddress: SettingFormat<string> = {
  name: 'address of a node',
  allowed: 'https://HOST:PORT without a path, or empty',
  parse(found) {
    const text = found.trim();
    if (text === '') return text;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url?.protocol === 'https:' && url.href === `${url.origin}/` && text.length <= 300 ? url.origin : undefined;
  },
};

export const CENTRAL_SCHEMA = [
  {
    name: 'data.folder',
    format: text(1, 4096),
    default: DEFAULT_DATA_FOLDER,
    doc: "Folder of the store and of the first administrator's token; relative to the working folder. It contains private keys: no other account may read it.",
  },
  {
    name: 'store.url',
    format: text(0, 4096),
    default: '',
    secret: true,
    hasFlag: false,
    doc: 'PostgreSQL for several Centrals: postgres://USER:PASSWORD@HOST:5432/DATABASE; several hosts are separated by commas, and the primary is taken. To other hosts the connection is encrypted and the certificate is verified, unless sslmode=disable; sslrootcert=FILE names the authority. Empty: the store is in data.folder.',
  },
  {
    name: 'bind.address',
    format: address,
    default: '',
    doc: "Address on which the agents' listeners accept connections. Empty: all addresses. While websocket.enabled is off, the ws listener stays on loopback in any case.",
  },
  {
    name: 'admin.bind.address',
    format: address,
    default: '',
    doc: 'Address on which the administration accepts HTTPS. Empty: the address of bind.address, because administrators work from other machines, and every request needs a token. HTTP always stays on loopback.',
  },
  {
    name: 'advertised.names',
    format: hostNames,
    default: [],
    doc: 'Host names or addresses under which agents reach Central; the first is in the enrollment line, all are in the certificate. Default: the name of the host.',
  },
  {
    name: 'central.name',
    format: hostName,
    default: '',
    doc: 'Name of this Central, which agents sign in their hello. Default: the name of the host. Agents learn it at enrollment.',
  },
  {
    name: 'node.name',
    format: hostName,
    default: '',
    doc: 'Name of this process in the records of sessions and of pending changes. You can change it: at the start, Central ends sessions that are recorded as open under another name. Default: central.name.',
  },
  {
    name: 'node.address',
    format: nodeAddress,
    default: '',
    doc: 'Where other Centrals on the same store reach this one: https://HOST:PORT. It listens on that port, with a certificate of its authority, and admits only other Centrals with such a certificate. Empty: services and the output of tasks of agents that have their session here are reached at this Central only. Without effect on an embedded store.',
  },
  {
    name: 'central.agent',
    format: yesOrNo,
    default: false,
    doc: 'Starts a Central agent on this host together with Central. The flag needs no value.',
  },
  {
    name: 'profiles.folder',
    format: text(0, 4096),
    default: 'profiles',
    doc: 'Folder of the profiles on this host; relative to the working folder. If a truststore in one of them contains a root of this Central, it is updated during a rotation of the authority. Empty: none.',
  },
  {
    name: 'keyEncryption.file',
    format: text(0, 4096),
    default: '',
    doc: 'File with the key that encrypts the private keys in the store: 32 bytes, raw or as base64 or hex (openssl rand -base64 32); relative to the working folder. Empty: QUEUEGATE_KEY_ENCRYPTION_KEY, else the systemd credential queuegate-key, else key-encryption-key in the data folder, which is created if missing.',
  },
  {
    name: 'keyEncryption.previousFile',
    format: text(0, 4096),
    default: '',
    doc: 'File with the previous key, set only for the start that changes the key: Central encrypts again with the new key what is encrypted with the previous one.',
  },
  {
    name: 'oidc.issuer',
    format: issuerUrl,
    default: '',
    doc: 'The OpenID provider with which people sign in to the dashboard, as it calls itself. Empty: they sign in with API tokens only.',
  },
  {
    name: 'oidc.clientId',
    format: text(0, 256),
    default: '',
    doc: 'The id of Central as a client of the provider.',
  },
  {
    name: 'oidc.clientSecretFile',
    format: text(0, 4096),
    default: '',
    doc: 'File with the secret of that client; relative to the working folder. No other account may read it.',
  },
  {
    name: 'oidc.redirectUri',
    format: callbackUrl,
    default: '',
    doc: 'Where the provider sends browsers back to, as it knows it: the address of the administration with the path /oidc/callback.',
  },
  {
    name: 'oidc.roles',
    format: groupRoles,
    default: [],
    doc: 'The roles of groups; the first entry whose group a person has counts. Who has none of the groups may not sign in.',
  },
  {
    name: 'oidc.groupsClaim',
    format: text(1, 128),
    default: 'groups',
    doc: 'The claim with the groups, in the ID token or in the userinfo of the provider.',
  },
  {
    name: 'oidc.scopes',
    format: oidcScopes,
    default: 'openid profile',
    doc: 'The scopes that Central asks for. Some providers need one more for the groups.',
  },
  {
    name: 'oidc.caFile',
    format: text(0, 4096),
    default: '',
    doc: "File with the root of the provider's certificate (PEM); relative to the working folder. Empty: the authorities that the system trusts.",
  },
  {
    name: 'log.level',
    format: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
    default: 'info',
    doc: 'The lowest level that is logged.',
  },
  {
    name: 'websocket.port',
    format: portOverride,
    default: null,
    doc: 'Overrides the parameter websocket.port on this node; 0 takes any free port.',
  },
  {
    name: 'websocket.secure.port',
    format: portOverride,
    default: null,
    doc: 'Overrides the parameter websocket.secure.port on this node; 0 takes any free port.',
  },
  {
    name: 'https.port',
    format: portOverride,
    default: null,
    doc: 'Overrides the parameter https.port on this node; 0 takes any free port.',
  },
  {
    name: 'http.port',
    format: portOverride,
    default: null,
    doc: 'Overrides the parameter http.port on this node; 0 takes any free port.',
  },
] as const satisfies Schema;

type Values = SettingValues<typeof CENTRAL_SCHEMA>;
const PORTS = [
  'websocket.port',
  'websocket.secure.port',
  'https.port',
  'http.port',
] as const satisfies readonly (keyof Values)[];

export interface CentralConfig {
  /** Absolute. */
  readonly dataFolder: string;
  /** Undefined: all addresses. */
  readonly bindAddress: string | undefined;
  readonly adminBindAddress: string | undefined;
  /** At least one. */
  readonly advertisedNames: readonly [string, ...string[]];
  /** The host's own name, for the certificate. */
  readonly hostName: string;
  readonly centralName: string;
  /** This process, in the records of sessions and of pending changes. */
  readonly nodeName: string;
  /** Where other nodes reach it; undefined: they do not. */
  readonly nodeAddress: string | undefined;
  /** PostgreSQL; undefined: the store is in the data folder. It may hold a password. */
  readonly storeUrl: string | undefined;
  readonly centralAgent: boolean;
  /** Absolute; undefined: none. */
  readonly profilesFolder: string | undefined;
  /**
   * Where the key comes from that encrypts private keys (central/pki/keys/key-encryption-key.ts); file names are
   * absolute.
   */
  readonly keySources: {
    readonly file: string | undefined;
    readonly previousFile: string | undefined;
    readonly environment: string | undefined;
    readonly credentialsFolder: string | undefined;
  };
  /** Undefined: people cannot sign in with an OpenID provider. */
  readonly oidc: OidcSettings | undefined;
  readonly logLevel: Values['log.level'];
  /** For ParameterService: parameters that this node overrides. */
  readonly overrides: readonly {
    readonly name: (typeof PORTS)[number];
    readonly value: number;
    readonly origin: string;
  }[];
  /** Where each setting was set. */
  readonly origins: Readonly<Record<keyof Values, string>>;
  /** By their names in the file, to find what a reload changed. */
  readonly settings: Values;
  readonly warnings: readonly string[];
}

interface CentralConfigRequest {
  /** Arguments behind the program's name. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder?: string;
  readonly hostName?: string;
}

/**
 * Reads the configuration. Errors: flag_unknown, oidc_setting_missing, override_ports_equal, settings_refused, and those
 * of files and properties.
 */
export async function loadCentralConfig(request: CentralConfigRequest): Promise<CentralConfig> {
  const { environment, workingFolder = process.cwd() } = request;
  const { file, flags } = readFlags(request.argv);
  const named = file ?? (environment['QUEUEGATE_CONFIG'] || undefined);
  const path = resolve(workingFolder, named ?? DEFAULT_FILE);
  // A named file must exist; the default one is optional.
  const properties = await readPropertiesFile(
    path,
    named === undefined ? 'ignore' : 'refuse',
    'Name another one with --config, or leave that out.',
  );
  const { values, origins, warnings } = loadSettings({
    schema: CENTRAL_SCHEMA,
    prefix: CENTRAL_PREFIX,
    otherVariables: OTHER_VARIABLES,
    files: properties === undefined ? [] : [{ properties }],
    environment,
    flags,
  });

  const host = hostNameFrom(request.hostName ?? hostname(), 'localhost');
  const [first = host, ...more] = values['advertised.names'];
  return {
    dataFolder: resolve(workingFolder, values['data.folder']),
    bindAddress: values['bind.address'] || undefined,
    adminBindAddress: values['admin.bind.address'] || values['bind.address'] || undefined,
    advertisedNames: [first, ...more],
    hostName: host,
    centralName: values['central.name'] || host,
    nodeName: values['node.name'] || values['central.name'] || host,
    nodeAddress: values['node.address'] || undefined,
    storeUrl: values['store.url'] || undefined,
    centralAgent: values['central.agent'],
    profilesFolder: values['profiles.folder'] === '' ? undefined : resolve(workingFolder, values['profiles.folder']),
    keySources: {
      file: values['keyEncryption.file'] === '' ? undefined : resolve(workingFolder, values['keyEncryption.file']),
      previousFile:
        values['keyEncryption.previousFile'] === ''
          ? undefined
          : resolve(workingFolder, values['keyEncryption.previousFile']),
      environment: environment['QUEUEGATE_KEY_ENCRYPTION_KEY'] || undefined,
      credentialsFolder: environment['CREDENTIALS_DIRECTORY'] || undefined,
    },
    oidc: oidcOf(values, (file) => resolve(workingFolder, file)),
    logLevel: values['log.level'],
    overrides: overridesOf(values, origins),
    origins,
    settings: values,
    warnings,
  };
}

/** The flags as `loadSettings` takes them, and the file that --config names. */
function readFlags(argv: readonly string[]): {
  readonly file: string | undefined;
  readonly flags: Readonly<Record<string, unknown>>;
} {
  const options = {
    ...flagOptions(CENTRAL_SCHEMA),
    'central-agent': { type: 'boolean' },
    config: { type: 'string' },
  } as const;
  const { values, tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const known = new Set(Object.keys(options));
  const unknown = tokens.flatMap((token) => {
    if (token.kind === 'positional') return [token.value];
    if (token.kind !== 'option') return [];
    // A flag without its value is reported like an unknown one.
    const valueless = known.has(token.name) && token.name !== 'central-agent' && token.value === undefined;
    return !known.has(token.name) || valueless ? [token.rawName] : [];
  });
  if (unknown.length > 0) throw configFault('flag_unknown', { found: wrongDash(unknown) ?? unknown.join(', ') });
  const agent = values['central-agent'];
  return {
    file: typeof values['config'] === 'string' ? values['config'] : undefined,
    flags: { ...values, ...(agent === undefined ? {} : { 'central-agent': String(agent) }) },
  };
}

function overridesOf(values: Values, origins: Readonly<Record<keyof Values, string>>): CentralConfig['overrides'] {
  const overrides: { name: (typeof PORTS)[number]; value: number; origin: string }[] = [];
  for (const name of PORTS) {
    const value = values[name];
    if (value === null) continue;
    const same = overrides.find((other) => other.value === value && value !== 0);
    if (same !== undefined)
      throw configFault('override_ports_equal', {
        one: same.name,
        oneOrigin: same.origin,
        other: name,
        otherOrigin: origins[name],
        port: value,
      });
    overrides.push({ name, value, origin: origins[name] });
  }
  return overrides;
}

const OIDC_NEEDS = [
  'oidc.issuer',
  'oidc.clientId',
  'oidc.clientSecretFile',
  'oidc.redirectUri',
  'oidc.roles',
] as const satisfies readonly (keyof Values)[];

/** All of the provider, or nothing. Errors: oidc_setting_missing. */
function oidcOf(values: Values, absolute: (file: string) => string): OidcSettings | undefined {
  const given = OIDC_NEEDS.filter((name) => values[name].length > 0);
  const missing = OIDC_NEEDS.find((name) => !given.includes(name));
  if (given[0] === undefined) return undefined;
  if (missing !== undefined)
    throw configFault('oidc_setting_missing', { name: missing, given: given[0], needed: OIDC_NEEDS.join(', ') });
  return {
    issuer: values['oidc.issuer'],
    clientId: values['oidc.clientId'],
    clientSecretFile: absolute(values['oidc.clientSecretFile']),
    redirectUri: values['oidc.redirectUri'],
    scopes: values['oidc.scopes'],
    groupsClaim: values['oidc.groupsClaim'],
    roles: values['oidc.roles'],
    caFile: values['oidc.caFile'] === '' ? undefined : absolute(values['oidc.caFile']),
  };
}
