// The rules of every name that users see, as functions that say what is wrong with one: routes, schemas, enums, codes,
// commands, parameters, metrics. test/api-names.test.ts applies them to all that there is.

/** Collections of the REST API: plural, kebab-case; and the name of a path parameter behind each. */
export const COLLECTIONS: Readonly<Record<string, string>> = {
  'agent-actions': '',
  agents: 'agent',
  'api-tokens': 'token',
  certificates: '',
  changes: 'change',
  commands: 'command',
  'dead-letters': '',
  drains: 'drain',
  'enrollment-requests': 'request',
  'enrollment-tokens': 'token',
  events: '',
  // A generation has no other name.
  generations: 'thumbprint',
  'handshake-failures': '',
  incidents: '',
  nodes: 'node',
  parameters: 'parameter',
  // The rest of the path.
  files: '*',
  profiles: 'profile',
  releases: 'release',
  'software-releases': 'release',
  settings: '',
  rollouts: 'rollout',
  'service-exposures': 'exposure',
  subscriptions: 'subscription',
  'task-handlers': '',
  services: '',
  tasks: 'task',
  deliveries: '',
};
/** A truststore is one thing, and has entries; so has the output of a task. */
const ENTRIES: Readonly<Record<string, string>> = { truststore: 'alias', output: 'channel' };
/** One for each installation, or for each resource above it. */
export const SINGLETONS = new Set([
  'ca',
  'health',
  'history',
  'live',
  'login',
  'maintenance',
  'output',
  'profile',
  'ready',
  'recovery-code',
  'request',
  'rotation',
  'server-certificate',
  'staged',
  'watch',
  'audit',
  'diff',
  'status',
  'store',
  'trust-bundle.pem',
  'truststore',
]);
/** Acts that are not create, read, change or delete: POST .../{verb}. */
export const VERBS = new Set([
  'accept-clock',
  'accept',
  'activate',
  'backup',
  'cancel',
  'confirm',
  'disable',
  'drain',
  'enable',
  'replace',
  'export',
  'import',
  'verify',
  'install',
  'issue',
  'measure',
  'pause',
  'prepare',
  'publish',
  'reject',
  'repair',
  'restore',
  'resume',
  'retire',
  'retry',
  'revoke',
  'rollback',
  'switch',
  'replay',
  'rotate-secret',
]);
/** Outside /api/v1: others fix these paths (RFC 5280 distribution points, Prometheus, tools of OpenAPI). */
export const ROOT_PATHS = new Set(['/metrics', '/crl.der', '/crl.pem', '/openapi.json', '/docs']);
const PREFIX = '/api/v1';

export const KEBAB = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
export const CAMEL = /^[a-z][a-zA-Z0-9]*$/;
const SNAKE = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/;
const BRITISH = /enrol(?!l)|cancelled|authoris|synchronis|behaviour/i;

export function isAmerican(name: string): boolean {
  return !BRITISH.test(name);
}

export function routeFaults(method: string, url: string): string[] {
  if (ROOT_PATHS.has(url)) return method === 'GET' ? [] : [`${method} ${url}: outside ${PREFIX}`];
  if (!url.startsWith(`${PREFIX}/`)) return [`${url}: not below ${PREFIX}`];
  const parts = url.slice(PREFIX.length + 1).split('/');
  const faults: string[] = BRITISH.test(url) ? [`${url}: American spelling`] : [];
  let nouns = 0;
  for (const [i, part] of parts.entries()) {
    const before = parts[i - 1] ?? '';
    if (part.startsWith(':') || part === '*') {
      if ((COLLECTIONS[before] ?? ENTRIES[before]) !== part.replace(/^:/, ''))
        faults.push(`${url}: ${part} does not name a member of ${before}`);
    } else if (VERBS.has(part)) {
      if (method !== 'POST' || i === 0 || i < parts.length - 1) faults.push(`${url}: ${part} is a verb, ${method}`);
    } else if (part in COLLECTIONS || SINGLETONS.has(part)) {
      // A part of a singleton is one thing with it, as `ca/rotation`.
      if (!(SINGLETONS.has(part) && SINGLETONS.has(before))) nouns += 1;
      if (part in COLLECTIONS && !(KEBAB.test(part) && part.endsWith('s'))) faults.push(`${part}: plural, kebab-case`);
    } else faults.push(`${url}: ${part} is neither a collection, a singleton nor a verb`);
  }
  if (nouns > 2) faults.push(`${url}: more than two levels`);
  return faults;
}

/** Values of a standard, which keeps its spelling: RFC 5280 section 5.3.1. */
const STANDARD_VALUES = new Set(['keyCompromise', 'affiliationChanged', 'cessationOfOperation', 'privilegeWithdrawn']);
/** Numbers that need no unit in their names, each with the reason. */
const WITHOUT_UNIT = new Map([
  ['limit', 'entries of a page'],
  ['listenPort', 'a port'],
  ['maxUses', 'uses of a token, counted by its name'],
  ['exitCode', 'of a program, as its system has it'],
]);
const UNITS = /(?:Seconds|Bytes|[bB]ytesPerSecond|Days|Count|Share)$/;

/** What is wrong with the members and enums of a schema of a request. */
export function schemaFaults(place: string, schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const faults: string[] = [];
  const { properties, additionalProperties, type } = schema as Record<string, unknown>;
  const isRecord = 'patternProperties' in schema;
  if (type === 'object' && additionalProperties !== false && !isRecord) faults.push(`${place}: takes unknown members`);
  for (const [name, member] of Object.entries((properties ?? {}) as Record<string, Record<string, unknown>>)) {
    const at = `${place}/${name}`;
    if (!CAMEL.test(name) || BRITISH.test(name)) faults.push(`${at}: camelCase, American spelling`);
    const isNumber = member['type'] === 'integer' || member['type'] === 'number';
    if (isNumber && !UNITS.test(name) && !WITHOUT_UNIT.has(name)) faults.push(`${at}: a number without its unit`);
    const values = (member['enum'] ?? []) as unknown[];
    // `sort` names members of the answer.
    faults.push(...(name === 'sort' ? sortFaults(at, values) : enumFaults(at, values)), ...schemaFaults(at, member));
  }
  return faults;
}

function sortFaults(place: string, values: readonly unknown[]): string[] {
  const isMember = (value: unknown): boolean => CAMEL.test(String(value).replace(/^-/, ''));
  return values.filter((value) => !isMember(value)).map((value) => `${place}: ${String(value)} is not a member`);
}

export function enumFaults(place: string, values: readonly unknown[]): string[] {
  return values
    .filter((value) => typeof value === 'string' && !KEBAB.test(value) && !STANDARD_VALUES.has(value))
    .map((value) => `${place}: ${String(value)} is not kebab-case`);
}

/** Members whose values are somebody else's names: of events, of details by code, of parameters. */
const FOREIGN = new Set(['bounds', 'detail', 'event', 'data']);
const TIME = /^\d{4}-\d\d-\d\dT[\d:]+(?:\.\d+)?(?:Z|[+-])/;
/** X.509's names of times; `from` and `to` are values of anything. */
const TIME_NAMES = new Set(['notBefore', 'notAfter', 'from', 'to']);

/** What is wrong with an answer, as documented by an example. */
export function answerFaults(place: string, value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => answerFaults(place, item));
  if (typeof value !== 'object' || value === null) return [];
  const faults: string[] = [];
  // What is not a GET says in `items` what became of each item; what has a count is a part of an answer.
  const isList = 'items' in value && !('count' in value) && !/^`?(?:DELETE|PATCH|POST)/.test(place);
  if (isList && !('next' in value)) faults.push(`${place}: a list without next`);
  for (const [name, member] of Object.entries(value)) {
    const at = `${place}/${name}`;
    if (!CAMEL.test(name)) faults.push(`${at}: camelCase`);
    if (typeof member === 'string' && TIME.test(member)) {
      if (!name.endsWith('At') && !TIME_NAMES.has(name)) faults.push(`${at}: a time whose name does not end in At`);
      if (!/\.\d{3}Z$/.test(member)) faults.push(`${at}: RFC 3339 in UTC with three decimals`);
    }
    if (!FOREIGN.has(name)) faults.push(...answerFaults(at, member));
  }
  return faults;
}

export function codeFaults(code: string): string[] {
  return SNAKE.test(code) && !BRITISH.test(code) ? [] : [`${code}: snake_case, American spelling`];
}

/** Nouns of the command line with their verbs; a sub-noun may stand between them. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  agents: [
    'list',
    'handlers',
    'services',
    'show',
    'create',
    'set',
    'delete',
    'disable',
    'enable',
    'revoke',
    'recovery-code create',
    'profile show',
    'profile measure',
    'profile repair',
    'history',
    'replace',
    'recovery-code show',
    'recovery-code delete',
  ],
  'api-tokens': ['list', 'show', 'create', 'set', 'delete'],
  ca: [
    'show',
    'trust-bundle',
    'export',
    'import',
    'delete-key',
    'rotation show',
    'rotation prepare',
    'rotation publish',
    'rotation switch',
    'rotation retire',
    'rotation rollback',
  ],
  certificates: ['list'],
  changes: ['list', 'show', 'confirm', 'rollback'],
  commands: ['send', 'list', 'show', 'withdraw'],
  contexts: ['list', 'show', 'use', 'set', 'delete'],
  'dead-letters': ['list', 'show'],
  'enrollment-requests': ['list', 'show', 'accept', 'reject'],
  'enrollment-tokens': ['list', 'show', 'create', 'delete'],
  drains: ['list', 'show', 'create', 'cancel'],
  events: ['list'],
  'handshake-failures': ['list'],
  incidents: ['list', 'show'],
  parameters: ['list', 'show', 'set', 'reset'],
  profiles: [
    'list',
    'show',
    'import',
    'set',
    'diff',
    'prepare',
    'releases',
    'delete',
    'files list',
    'files get',
    'files put',
    'files delete',
    'truststore list',
    'truststore import',
    'truststore delete',
    'synchronize',
    'upgrade',
  ],
  software: ['list', 'show', 'import', 'synchronize', 'upgrade', 'delete'],
  tasks: ['run', 'list', 'show', 'cancel', 'output'],
  subscriptions: [
    'list',
    'show',
    'create',
    'set',
    'delete',
    'pause',
    'resume',
    'replay',
    'rotate-secret',
    'deliveries',
  ],
  services: ['list', 'show', 'expose', 'set', 'unexpose'],
  rollouts: ['list', 'show', 'pause', 'resume', 'cancel', 'retry', 'rollback'],
  'server-certificate': [
    'show',
    'request create',
    'request delete',
    'install',
    'import',
    'issue',
    'activate',
    'discard',
  ],
  maintenance: ['show', 'enable', 'disable', 'accept-clock'],
  nodes: ['list', 'show', 'drain', 'delete'],
  store: ['show', 'backup', 'restore'],
  audit: ['list', 'show', 'verify', 'export'],
};
const WITHOUT_NOUN = new Set(['status', 'login', 'logout', 'completion', 'version']);

export function commandFaults(name: string, flags: readonly string[]): string[] {
  const [noun = '', ...verb] = name.split(' ');
  const isKnown = verb.length === 0 ? WITHOUT_NOUN.has(noun) : COMMANDS[noun]?.includes(verb.join(' ')) === true;
  return [
    ...(isKnown ? [] : [`${name}: neither a noun with one of its verbs nor a command without a noun`]),
    ...flags.filter((flag) => !KEBAB.test(flag) || BRITISH.test(flag)).map((flag) => `${name} --${flag}: kebab-case`),
  ];
}

const DOTTED = /^[a-z][a-zA-Z0-9]*(?:\.[a-z][a-zA-Z0-9]*)+$/;
/** A parameter's unit, and how its name ends. Others are counts of what the name says. */
const SUFFIXES: Readonly<Record<string, RegExp>> = {
  seconds: /Seconds$/,
  days: /Days$/,
  bytes: /Bytes(?:PerAgent)?$/,
  port: /\.port$/,
};

export function parameterFaults(name: string, unit: string | undefined): string[] {
  const suffix = unit === undefined ? undefined : SUFFIXES[unit];
  return [
    ...(DOTTED.test(name) && !BRITISH.test(name) ? [] : [`${name}: camelCase words with dots between them`]),
    ...(suffix === undefined || suffix.test(name) ? [] : [`${name}: does not end in its unit, ${unit}`]),
  ];
}

export function metricFaults(name: string, kind: string): string[] {
  const faults: string[] = [];
  if (!name.startsWith('queuegate_') || !SNAKE.test(name)) faults.push(`${name}: queuegate_ and snake_case`);
  if ((kind === 'counter') !== name.endsWith('_total'))
    faults.push(`${name}: _total is for counters, and only for them`);
  // https://prometheus.io/docs/practices/naming: base units.
  if (/_(?:ms|milliseconds?|minutes?|hours?|days?|kib|kb|mb|percent)(?:_|$)/.test(name))
    faults.push(`${name}: base units only (seconds, bytes, ratio)`);
  return faults;
}
