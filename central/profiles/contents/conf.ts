// Reads agent.conf as the agent does: which keys it has, which of them the agent knows, what it would refuse, and where
// the truststore is.
import { isAbsolute, win32 } from 'node:path';
import { isCoded, type CodedError } from '../../../shared/errors.ts';
import { AGENT_PREFIX, AGENT_SCHEMA } from '../../../shared/settings/agent-settings.ts';
import { splitJvmArgs } from '../../../shared/settings/jvm-args.ts';
import { profileTruststore } from '../../../shared/settings/profile-truststore.ts';
import { parseProperties, type Properties } from '../../../shared/settings/properties.ts';
import { loadSettings, type SettingValues, type UnknownSetting } from '../../../shared/settings/settings.ts';

export const CONF_PATH = 'conf/agent.conf';
/** Of the machine, never of a profile. */
export const LOCAL_CONF_PATH = 'conf/agent.local.conf';

interface ConfSetting {
  readonly name: string;
  /** Null: a secret. */
  readonly value: string | null;
  /** It means something to the agent. */
  readonly isKnown: boolean;
  readonly isSecret: boolean;
  readonly line: number;
}

export interface Conf {
  readonly settings: readonly ConfSetting[];
  readonly unknown: readonly UnknownSetting[];
  readonly warnings: readonly string[];
  /** Undefined: the agent would refuse the file. */
  readonly values: SettingValues<typeof AGENT_SCHEMA> | undefined;
  /** Why. */
  readonly fault: CodedError | undefined;
  readonly truststore: {
    /** In the profile; undefined: it is elsewhere. */
    readonly path: string | undefined;
    /** As the file names it. */
    readonly named: string;
    readonly password: string | undefined;
  };
}

const known = new Map<string, (typeof AGENT_SCHEMA)[number]>(
  AGENT_SCHEMA.flatMap((setting) =>
    ['alias' in setting ? [setting.name, setting.alias] : [setting.name]]
      .flat()
      .map((name) => [name, setting] as const),
  ),
);

export function isKnownSetting(name: string): boolean {
  return known.has(name) || name.startsWith('consumer.') || name.startsWith('task.');
}

export function isSecretSetting(name: string): boolean {
  const setting = known.get(name);
  // What the agent does not know may be anything.
  return (setting !== undefined && 'secret' in setting) || /passw|secret|token|key$/i.test(name);
}

/** Errors: those of properties. */
export function readConf(bytes: Buffer): Conf {
  const properties = parseProperties(bytes, CONF_PATH);
  const value = (name: string): string => properties.entries.findLast(({ key }) => key === name)?.value ?? '';
  const { path, password } = profileTruststore({
    folder: '',
    truststore: value('truststore'),
    password: value('truststore.password'),
    jvmArgs: splitJvmArgs(value('jetty.jvm.args')),
  });
  const isOutside = isAbsolute(path) || win32.isAbsolute(path) || path.split(/[\\/]/).includes('..');
  return {
    settings: settingsOf(properties),
    truststore: { path: isOutside ? undefined : path.replaceAll('\\', '/'), named: path, password },
    ...loaded(properties),
  };
}

function settingsOf({ entries }: Properties): ConfSetting[] {
  // The last line of a key counts.
  const last = new Map(entries.map((entry) => [entry.key, entry]));
  return Array.from(last.values(), ({ key, value, line }) => {
    const isSecret = isSecretSetting(key);
    return { name: key, value: isSecret ? null : value, isKnown: isKnownSetting(key), isSecret, line };
  });
}

function loaded(properties: Properties): Pick<Conf, 'fault' | 'unknown' | 'values' | 'warnings'> {
  const entries = properties.entries.filter(({ key }) => !key.startsWith('consumer.') && !key.startsWith('task.'));
  try {
    const { values, unknown, warnings } = loadSettings({
      schema: AGENT_SCHEMA,
      prefix: AGENT_PREFIX,
      files: [{ properties: { ...properties, entries }, foreign: true }],
      environment: {},
      flags: {},
    });
    return { values, unknown, warnings, fault: undefined };
  } catch (error) {
    if (!isCoded(error)) throw error;
    return { values: undefined, unknown: [], warnings: [], fault: error };
  }
}
