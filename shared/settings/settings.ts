// Reads the settings of one process: lays files, environment and flags over the defaults of a schema, validates them
// with convict, and refuses all faults at once with name, value, what is allowed and where it was set. The schemas
// are in the programs (agent/conf.ts, Central's configuration); parameters of the installation are separate.
//
//   const schema = [{ name: 'log.level', doc: '...', format: oneOf('info', 'warn'), default: 'info' }] as const satisfies Schema;
//   const { values } = loadSettings({ schema, prefix: 'QUEUEGATE_', files: [{ properties }], environment, flags });
//   values['log.level'] // 'info' | 'warn'
import { isDeepStrictEqual } from 'node:util';
import convict from 'convict';
import { defineErrors, type ErrorTable } from '../errors.ts';
import type { Properties } from './properties.ts';
import type { SettingFormat } from './format.ts';

export const SETTINGS_ERRORS = {
  settings_refused: {
    text: '{count} refused:\n{list}',
    hint: 'Correct each where it was set. docs/CONFIGURATION.md lists all settings with what is allowed.',
  },
} as const satisfies ErrorTable;

const settingsFault = defineErrors(SETTINGS_ERRORS);

interface Setting<T = unknown> {
  /**
   * As in the files: words with dots. Environment variable and flag follow from it: `a.maxBytes` is PREFIX_A_MAX_BYTES
   * and --a-max-bytes.
   */
  readonly name: string;
  /** Another name of the same setting, in all layers. */
  readonly alias?: string;
  readonly doc: string;
  readonly format: SettingFormat<T>;
  readonly default: T;
  /** The value is never printed. */
  readonly secret?: boolean;
  /** False: only in a file or a variable; a secret that is long-lived must not be among the arguments of a process. */
  readonly hasFlag?: boolean;
}

export type Schema = readonly Setting[];

/** The values of a schema by name, with the types of its formats. */
export type SettingValues<S extends Schema> = {
  readonly [R in S[number] as R['name']]: R['format'] extends SettingFormat<infer T> ? T : never;
};

export interface SettingsFile {
  readonly properties: Properties;
  /**
   * A file that belongs to another product too: unknown keys are reported, and a bad value matters only where nothing
   * overrides it.
   */
  readonly foreign?: boolean;
}

interface SettingsRequest<S extends Schema> {
  readonly schema: S;
  /** Of environment variables, with the underscore: `QUEUE_AGENT_`. */
  readonly prefix: string;
  /** Variables with that prefix that belong to commands. */
  readonly otherVariables?: readonly string[];
  /** Lowest first. */
  readonly files: readonly SettingsFile[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By flag name, as node:util parseArgs gives them with `flagOptions`; names of other flags are ignored. */
  readonly flags: Readonly<Record<string, unknown>>;
}

export interface UnknownSetting {
  readonly name: string;
  readonly where: string;
  /** The known name that it resembles. */
  readonly meant: string | undefined;
}

interface Settings<S extends Schema> {
  readonly values: SettingValues<S>;
  /** Where each value comes from: "conf/agent.conf line 7", "environment variable X", "flag --x", "default". */
  readonly origins: Readonly<Record<S[number]['name'], string>>;
  /** Keys of foreign files that mean nothing here; they stay in the file. */
  readonly unknown: readonly UnknownSetting[];
  readonly warnings: readonly string[];
  /** Of settings whose text in the file has a lone backslash: the sentence that says what to do, by name. */
  readonly slashed: ReadonlyMap<string, string>;
}

/** One value as it was found. */
interface Finding {
  readonly name: string;
  readonly text: string;
  readonly where: string;
  readonly foreign: boolean;
  readonly loneBackslash: boolean;
}

/** Unknown names that are compared with the known ones; a foreign file may have thousands. */
const MAX_COMPARED = 200;

/** Java's rule for such files, which surprises on Windows. */
const LONE_BACKSLASH =
  'a single backslash disappears, or makes a control character with the letter behind it: write it twice (C:\\\\qsystem), or write / instead';

/** Reads all layers. Throws settings_refused with every fault there is. */
export function loadSettings<S extends Schema>(request: SettingsRequest<S>): Settings<S> {
  const { schema } = request;
  const byName = new Map(schema.flatMap((setting) => namesOf(setting).map((name) => [name, setting] as const)));
  const candidates = [...byName.keys(), ...[...byName.keys()].map((name) => variableOf(request.prefix, name))];
  const config = configOf(schema);
  const origins = new Map(schema.map(({ name }) => [name, 'default']));
  const faults: string[] = [];
  /** Faults in foreign files, which a higher layer may make irrelevant. */
  const pending = new Map<string, string>();
  const unknown: UnknownSetting[] = [];
  let strangers = 0;

  const slashed = new Map<string, string>();
  for (const { name, text, where, foreign, loneBackslash } of findings(request)) {
    const setting = byName.get(name);
    if (setting === undefined) {
      const meant = (strangers += 1) <= MAX_COMPARED ? resembling(name, candidates) : undefined;
      const stranger = { name, where, meant };
      if (foreign) unknown.push(stranger);
      else
        faults.push(
          `${name} is unknown${stranger.meant === undefined ? '' : `; did you mean ${stranger.meant}?`} (${where})`,
        );
      continue;
    }
    pending.delete(setting.name);
    slashed.delete(setting.name);
    if (loneBackslash) slashed.set(setting.name, `${name} (${where}): ${LONE_BACKSLASH}.`);
    const before: unknown = config.get(keyOf(setting));
    config.set(keyOf(setting), text);
    if (isValid(config)) {
      origins.set(setting.name, where);
      continue;
    }
    config.set(keyOf(setting), before);
    const fault = `${name}: found ${setting.secret === true ? 'a value that is not shown' : JSON.stringify(text)}; allowed: ${setting.format.allowed} (${where})${loneBackslash ? `; ${LONE_BACKSLASH}` : ''}`;
    if (foreign) pending.set(setting.name, fault);
    else faults.push(fault);
  }
  faults.push(...pending.values());
  if (faults.length > 0) {
    throw settingsFault('settings_refused', {
      count: faults.length === 1 ? '1 setting is' : `${faults.length} settings are`,
      list: faults.map((fault) => `  - ${fault}`).join('\n'),
    });
  }
  // Checked value by value above: that is what makes these names and types true.
  const values = Object.fromEntries(
    schema.map((setting): [string, unknown] => [setting.name, config.get(keyOf(setting))]),
  ) as SettingValues<S>;
  return {
    values,
    origins: Object.fromEntries(origins) as Settings<S>['origins'],
    unknown,
    warnings: [...warningsOf(request.files), ...slashed.values()],
    slashed,
  };
}

/** The names of the settings whose values differ. */
export function changedSettings(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): string[] {
  return Object.keys(after).filter((name) => !isDeepStrictEqual(before[name], after[name]));
}

/** What node:util parseArgs needs to know of the settings' flags: all take a value. */
export function flagOptions(schema: Schema): Record<string, { type: 'string' }> {
  return Object.fromEntries(
    schema.flatMap((setting) =>
      (setting.hasFlag === false ? [] : namesOf(setting)).map((name) => [flagOf(name), { type: 'string' }] as const),
    ),
  );
}

interface SettingRow {
  readonly name: string;
  readonly alias: string | undefined;
  readonly environment: string;
  /** Undefined: it has none. */
  readonly flag: string | undefined;
  readonly default: string;
  readonly allowed: string;
  readonly doc: string;
}

/** The rows of docs/CONFIGURATION.md. */
export function settingsTable(schema: Schema, prefix: string): SettingRow[] {
  return schema.map(({ name, alias, format, doc, default: value, hasFlag }) => ({
    name,
    alias,
    environment: variableOf(prefix, name),
    flag: hasFlag === false ? undefined : `--${flagOf(name)}`,
    default: Array.isArray(value) ? value.join(',') : String(value),
    allowed: format.allowed,
    doc,
  }));
}

/** Everything that was set, lowest layer first, so that the later one counts. */
function* findings({
  schema,
  prefix,
  otherVariables = [],
  files,
  environment,
  flags,
}: SettingsRequest<Schema>): Generator<Finding> {
  for (const { properties, foreign = false } of files) {
    for (const { key, value, line, loneBackslash = false } of properties.entries)
      yield { name: key, text: value, where: `${properties.file} line ${line}`, foreign, loneBackslash };
  }
  const byVariable = new Map(
    schema.flatMap((setting) => namesOf(setting).map((name) => [variableOf(prefix, name), name] as const)),
  );
  for (const [variable, text] of Object.entries(environment)) {
    // Compose files and units hand on a variable that is not set as an empty one.
    if (!variable.startsWith(prefix) || text === undefined || text === '' || otherVariables.includes(variable))
      continue;
    // Kubernetes gives every container such variables for a service that is named like the program.
    if (!byVariable.has(variable) && isOfKubernetes(variable, text)) continue;
    yield {
      name: byVariable.get(variable) ?? variable,
      text,
      where: `environment variable ${variable}`,
      foreign: false,
      loneBackslash: false,
    };
  }
  for (const name of schema.flatMap((setting) => namesOf(setting))) {
    const text = flags[flagOf(name)];
    if (typeof text === 'string')
      yield { name, text, where: `flag --${flagOf(name)}`, foreign: false, loneBackslash: false };
  }
}

/**
 * X_SERVICE_HOST, X_SERVICE_PORT, X_PORT_80_TCP and X_PORT=tcp://...; an X_PORT with a number is a setting that
 * somebody mistyped.
 */
function isOfKubernetes(variable: string, text: string): boolean {
  return (
    /_SERVICE_(HOST|PORT\w*)$|_PORT_\d+_(TCP|UDP|SCTP)\w*$/.test(variable) ||
    (variable.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(text))
  );
}

/** What convict's coercion returns for a text that the format does not take; its validation refuses it. */
const NOT_ALLOWED = Symbol('not allowed');

/** A convict configuration: one flat level, since `a.b` and `a.b.c` are both settings and convict's dots are paths. */
function configOf(schema: Schema): convict.Config<Record<string, unknown>> {
  const definition: Record<string, convict.SchemaObj> = {};
  for (const setting of schema) {
    const { format, doc, secret = false } = setting;
    convict.addFormat({
      name: format.name,
      validate: (value: unknown) => {
        if (value === NOT_ALLOWED) throw new Error(`allowed: ${format.allowed}`);
      },
      coerce: (text: string) => format.parse(text) ?? NOT_ALLOWED,
    });
    definition[keyOf(setting)] = { doc, format: format.name, default: setting.default, sensitive: secret };
  }
  // Environment and arguments are laid over by loadSettings, which knows where each value came from.
  return convict(definition, { env: {}, args: [] });
}

function isValid(config: convict.Config<Record<string, unknown>>): boolean {
  try {
    config.validate({ allowed: 'strict' });
    return true;
  } catch {
    return false; // convict's text is not used: it names neither place nor setting as the operator knows them
  }
}

function warningsOf(files: readonly SettingsFile[]): string[] {
  return files.flatMap(({ properties }) =>
    properties.duplicates.map(
      ({ key, lines }) =>
        `${key} is set ${lines.length} times in ${properties.file} (lines ${lines.join(', ')}); line ${lines.at(-1)} counts.`,
    ),
  );
}

function namesOf({ name, alias }: Setting): string[] {
  return alias === undefined ? [name] : [name, alias];
}

function keyOf({ name }: Setting): string {
  return name.replaceAll('.', '/');
}

function variableOf(prefix: string, name: string): string {
  return prefix + flagOf(name).toUpperCase().replaceAll('-', '_');
}

function flagOf(name: string): string {
  return name.replaceAll('.', '-').replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The known name with the fewest edits, if they are few for its length. */
function resembling(found: string, known: readonly string[]): string | undefined {
  const name = found.slice(0, 64).toLowerCase();
  const [best] = known
    .map((candidate) => ({ candidate, most: Math.max(1, Math.floor(candidate.length / 5)) }))
    // Each letter more or less is an edit: few are left to be compared.
    .filter(({ candidate, most }) => Math.abs(candidate.length - name.length) <= most)
    .map(({ candidate, most }) => ({ candidate, most, edits: editsBetween(name, candidate.toLowerCase()) }))
    .filter(({ edits, most }) => edits <= most)
    .toSorted((a, b) => a.edits - b.edits);
  return best?.candidate;
}

/** Levenshtein's distance. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1)
      next[j] = Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    row = next;
  }
  return row[b.length] ?? 0;
}
