// The rules of the names of both daemons, as functions that say what is wrong with one: keys of the configuration,
// frames of the wire with their members, commands and flags. test/api-names.test.ts applies them to all that there is.
import { isAmerican, CAMEL, enumFaults, KEBAB } from './api-rules.ts';

/**
 * The groups of keys. A dot groups, and words of one name are camelCase: `outbox.maxBytes`, since there is nothing else
 * in a group `outbox.max`. A new group is a decision: it is added here.
 */
const AGENT_GROUPS = new Set([
  '',
  'agent',
  'agent.renewal',
  'central',
  'central.proxy',
  'central.websocket',
  'central.websocket.secure',
  'consumer.NAME',
  'data',
  'enrollment',
  'inbox',
  // Of the field.
  'jetty.jvm',
  'localApi',
  'localApi.consumers',
  'localApi.tls',
  'log',
  'outbox',
  'runner',
  'software',
  'truststore',
]);
const CENTRAL_GROUPS = new Set([
  '',
  'admin.bind',
  'advertised',
  'bind',
  'central',
  'data',
  'http',
  'https',
  'keyEncryption',
  'oidc',
  'log',
  'node',
  'profiles',
  'store',
  'websocket',
  'websocket.secure',
]);
export const GROUPS = { agent: AGENT_GROUPS, central: CENTRAL_GROUPS } as const;

const KEY = /^[a-z][a-zA-Z0-9]*(?:\.[a-zA-Z][a-zA-Z0-9]*)*$/;
/** How the name of a number ends: its unit, or what it counts. */
const NUMBER = /(?:Bytes|Count|Days|Messages|Seconds)$|(?:^|\.)port$/;

/** What is wrong with a key. `format` is the name of its format (shared/settings/format.ts). */
export function settingFaults(name: string, format: string, groups: ReadonlySet<string>): string[] {
  const faults: string[] = [];
  if (!KEY.test(name) || !isAmerican(name))
    faults.push(`${name}: camelCase words with dots between groups, American spelling`);
  const group = name.slice(0, Math.max(0, name.lastIndexOf('.')));
  if (!groups.has(group)) faults.push(`${name}: there is no group ${group}`);
  if (/^(?:whole number|port)/.test(format) && !NUMBER.test(name)) faults.push(`${name}: a number without its unit`);
  if (format.startsWith('one of ')) faults.push(...enumFaults(name, format.slice('one of '.length).split(' ')));
  return faults;
}

/**
 * The environment variable and the flag of a key follow from it: `a.maxBytes` is PREFIX_A_MAX_BYTES and --a-max-bytes.
 */
export function layerFaults(name: string, prefix: string, variable: string, flag: string | undefined): string[] {
  const words = name.split(/[.]|(?=[A-Z])/).map((word) => word.toLowerCase());
  return [
    ...(variable === prefix + words.join('_').toUpperCase() ? [] : [`${name}: its variable is ${variable}`]),
    ...(flag === undefined || flag === `--${words.join('-')}` ? [] : [`${name}: its flag is ${flag}`]),
  ];
}

/** Numbers of the wire that need no unit, each with the reason. */
const POSITIONS = new Map([
  ['number', 'position in a log'],
  ['next', 'position in a log'],
  ['first', 'position in a log'],
  ['from', 'position in a log'],
  ['through', 'position in a log'],
  ['waitingFrom', 'position in a log'],
  ['throughNumber', 'position in a log'],
  ['count', 'of what the object is about'],
  ['generation', 'counts the instructions to an agent'],
  ['exitCode', 'the status of a program, as a shell has it'],
  ['epoch', 'counts the sessions of an agent'],
  ['time', "Central's clock, in milliseconds: its transcript needs a form that is written in one way only"],
]);
const WIRE_UNIT = /(?:Seconds|Bytes|Items|Count)$|^listenPort$/;
const TIME_WORD = /^(?:time|date|since|until|expires|created)$|(?:Time|Date|Since|Until)$/;
/** Words that have another name everywhere (problem documents, states). */
const OTHER_WORDS = new Map([
  ['text', 'detail'],
  ['message', 'detail'],
  ['reason', 'code'],
  ['status', 'state'],
  ['scheme', 'transport'],
  ['mac', 'proof'],
]);

/** Families that are named by their subject; a frame called `release` alone would say nothing. */
const SUBJECTS = new Set(['release', 'task', 'device']);

/** Added after the frame: peers of older software do not send them. */
const ADDED = new Set(['services/devicePort', 'task-handlers/queues']);

type Member = Readonly<Record<string, unknown>>;

/** What is wrong with a frame: its type, and its members on every level. `types` are all frames of both directions. */
export function frameFaults(type: string, schema: Member, types: readonly string[]): string[] {
  const faults: string[] = [];
  if (!KEBAB.test(type) || !isAmerican(type)) faults.push(`${type}: kebab-case, American spelling`);
  // A family shares its stem: `renew`, `renew-refused`.
  const [stem = ''] = type.split('-', 1);
  if (!SUBJECTS.has(stem) && !types.includes(stem)) faults.push(`${type}: there is no frame ${stem}`);
  const properties = propertiesOf(schema);
  if (properties['type']?.['const'] !== type) faults.push(`${type}: its member type says something else`);
  const required = schema['required'] as readonly string[];
  for (const name of Object.keys(properties))
    if (!required.includes(name) && !ADDED.has(`${type}/${name}`))
      faults.push(`${type}/${name}: omitted where it is absent, instead of null`);
  return [...faults, ...wireFaults(type, schema)];
}

/** What is wrong with the members of a schema of the wire. */
export function wireFaults(place: string, schema: Member): string[] {
  return Object.entries(propertiesOf(schema)).flatMap(([name, member]) => {
    const at = `${place}/${name}`;
    const kinds = alternativesOf(member);
    const is = (type: string): boolean => kinds.some((kind) => kind['type'] === type);
    const faults: string[] = [];
    if (!CAMEL.test(name) || !isAmerican(name)) faults.push(`${at}: camelCase, American spelling`);
    if (is('integer') && !WIRE_UNIT.test(name) && !POSITIONS.has(name)) faults.push(`${at}: a number without its unit`);
    if (is('array') && !name.endsWith('s')) faults.push(`${at}: a list in the singular`);
    if (is('string') && /[a-rt-z]s$/.test(name)) faults.push(`${at}: a text in the plural`);
    if (is('object') && name.endsWith('Id')) faults.push(`${at}: an object that is called an id`);
    if (is('string') && TIME_WORD.test(name)) faults.push(`${at}: a time whose name does not end in At`);
    const other = OTHER_WORDS.get(name);
    if (other !== undefined) faults.push(`${at}: ${other} everywhere else`);
    return [
      ...faults,
      ...kinds.flatMap((kind) => [
        ...enumFaults(at, (kind['enum'] ?? []) as readonly unknown[]),
        ...wireFaults(at, kind),
        ...(kind['type'] === 'array' ? wireFaults(at, kind['items'] as Member) : []),
      ]),
    ];
  });
}

function propertiesOf(schema: Member): Readonly<Record<string, Member>> {
  return (schema['properties'] ?? {}) as Readonly<Record<string, Member>>;
}

function alternativesOf(member: Member): readonly Member[] {
  return (member['anyOf'] as readonly Member[] | undefined) ?? [member];
}

/** The commands of the programs beside `queuegate`: verbs, and nouns with a verb. */
export const PROGRAMS = {
  'queue-agent': new Set([
    'start',
    'enroll',
    'recover',
    'runner',
    'certificate request',
    'certificate install',
    'status',
    'doctor',
    'consumers list',
    'consumers rotate-token',
    'completion',
    'truststore',
    'version',
    'help',
  ]),
  'queuegate-central': new Set(['start', 'create-administrator-token', 'migrate-store', 'version', 'help']),
  truststore: new Set(['list', 'import', 'delete', 'convert', 'create', 'change-password']),
} as const;
/** What another word says in every command line. */
const OTHER_FLAGS = new Map([
  ['again', 'replace-identity'],
  ['enrol', 'enroll'],
  ['output-file', 'out'],
  ['remove', 'delete'],
  ['yes-really', 'force'],
]);

export function programFaults(program: keyof typeof PROGRAMS, name: string, flags: readonly string[]): string[] {
  return [
    ...((PROGRAMS[program] as ReadonlySet<string>).has(name) ? [] : [`${program} ${name}: not one of its commands`]),
    ...flags.flatMap((flag) => {
      const other = OTHER_FLAGS.get(flag);
      if (other !== undefined) return [`${program} ${name} --${flag}: --${other} everywhere else`];
      return KEBAB.test(flag) && isAmerican(flag)
        ? []
        : [`${program} ${name} --${flag}: kebab-case, American spelling`];
    }),
  ];
}
