// Validates values against the table: type and bounds of one, and constraints between several. Knows neither store nor
// listeners.
import { isIP } from 'node:net';
import { readDistinguishedName } from '../../shared/x509/distinguished-name.ts';
import {
  definitionOf,
  PARAMETER_NAMES,
  type ParameterName,
  type ParameterValue,
  type ParameterValues,
} from './definitions.ts';
import type { ParameterDefinition } from './parameter-definition.ts';
import { authoritiesFault, callerRuleText, callersFault, parseCallerRule } from './caller-rule.ts';
import type { ParameterFault } from './errors.ts';

const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$/;
/** The value in its canonical form, or the fault. */
export function validateValue(
  name: ParameterName,
  value: unknown,
): { readonly value: ParameterValue } | { readonly fault: ParameterFault } {
  const definition = definitionOf(name);
  const canonical = canonicalValue(definition, value);
  if (canonical === undefined) {
    const fault = faultOf(name, value, allowedOf(definition));
    return { fault: definition.type === 'enum' ? { ...fault, values: definition.allowed } : fault };
  }
  return { value: canonical };
}

function canonicalValue(definition: ParameterDefinition, value: unknown): ParameterValue | undefined {
  switch (definition.type) {
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined;
    case 'integer':
      return typeof value === 'number' &&
        Number.isSafeInteger(value) &&
        value >= definition.minimum &&
        value <= definition.maximum
        ? value
        : undefined;
    case 'enum':
      return typeof value === 'string' && definition.allowed.includes(value) ? value : undefined;
    case 'string':
      return typeof value === 'string' &&
        value.length <= definition.maxLength &&
        (value === '' || FORMS[definition.form].fits(value))
        ? value.trim()
        : undefined;
    case 'list': {
      if (!Array.isArray(value) || value.length > definition.maxItems) return undefined;
      const { read } = ITEMS[definition.of];
      const items: string[] = [];
      for (const item of value as unknown[]) {
        const canonical = typeof item === 'string' ? read(item) : undefined;
        if (canonical === undefined) return undefined;
        if (!items.includes(canonical)) items.push(canonical);
      }
      return items;
    }
  }
}

/** What a definition allows, as the end of a sentence. */
export function allowedOf(definition: ParameterDefinition): string {
  switch (definition.type) {
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `a whole number from ${definition.minimum} to ${definition.maximum}${definition.unit === 'port' ? '' : ` (${definition.unit})`}`;
    case 'enum':
      return definition.allowed.join(' or ');
    case 'string':
      return `${FORMS[definition.form].allowed}, at most ${definition.maxLength} characters, or empty`;
    case 'list':
      return `a list of at most ${definition.maxItems} ${ITEMS[definition.of].allowed}`;
  }
}

function faultOf(name: string, value: unknown, allowed: string): ParameterFault {
  const found = textOfValue(value);
  return { parameter: name, found, allowed, text: `${name} is ${found}; allowed: ${allowed}.` };
}

/** A value as an administrator reads it, bounded. */
function textOfValue(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

export function sameValue(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** True when one of these parameters has another value. */
export function differs(values: ParameterValues, before: ParameterValues, ...names: readonly ParameterName[]): boolean {
  return names.some((name) => !sameValue(values[name], before[name]));
}

/** The attribute types are checked with the certificate (ParameterApplier.check). */
function isDistinguishedName(text: string): boolean {
  try {
    return readDistinguishedName(text).length > 0;
  } catch {
    return false;
  }
}

const FORMS = {
  'distinguished-name': {
    fits: isDistinguishedName,
    allowed: 'a distinguished name such as CN=central.bank.example, O=Bank',
  },
  authorities: {
    fits: (text: string) => authoritiesFault(text) === undefined,
    allowed: 'certificates of authorities as PEM',
  },
} as const;

const whole = (fits: (text: string) => boolean) => (text: string) => (fits(text) ? text : undefined);

/** The items of lists; `read` gives the canonical form. */
const ITEMS = {
  host: { read: whole(isHost), allowed: 'host names or addresses' },
  cidr: { read: whole(isCidr), allowed: 'addresses or CIDR ranges such as 10.0.0.0/8' },
  'caller-rule': {
    read: (text: string): string | undefined => {
      const rule = parseCallerRule(text);
      return rule === undefined ? undefined : callerRuleText(rule);
    },
    allowed:
      'rules such as 10.1.0.0/16:viewer and certificate:master.bank.example:operator, with the roles viewer and operator',
  },
} as const;

function isHost(text: string): boolean {
  return isIP(text) !== 0 || (HOST_NAME.test(text) && !/^[\d.]+$/.test(text));
}

function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

// --- several together
// ------------------------------------------------------------------------------------------------------

/** The listeners of one node; each needs a port of its own. */
const PORTS = [
  'websocket.port',
  'websocket.secure.port',
  'https.port',
  'http.port',
  'services.port',
] as const satisfies readonly ParameterName[];

/** `larger` must be at least `factor` times `smaller`. */
const AT_LEAST: readonly { readonly larger: IntegerName; readonly factor: number; readonly smaller: IntegerName }[] = [
  { larger: 'agents.maxFrameBytes', factor: 2, smaller: 'agents.maxMessageBytes' },
  { larger: 'agents.windowBytes', factor: 1, smaller: 'agents.maxFrameBytes' },
  { larger: 'agents.outbox.maxBytes', factor: 1, smaller: 'agents.maxMessageBytes' },
  { larger: 'events.retentionDays', factor: 1, smaller: 'messages.deduplicationDays' },
];

type IntegerName = { [N in ParameterName]: ParameterValues[N] extends number ? N : never }[ParameterName];

/** Conflicts between `values`. Each fault names a parameter in `changed`: the unchanged one is right. */
export function crossFaults(values: ParameterValues, changed: ReadonlySet<ParameterName>): ParameterFault[] {
  const faults: ParameterFault[] = [];
  for (const [i, one] of PORTS.entries()) {
    for (const other of PORTS.slice(i + 1)) {
      // Port 0 (a node's own configuration) is any free port, or none: two of them never meet.
      if (values[one] !== values[other] || values[one] === 0) continue;
      const [named, against] = changed.has(other) ? [other, one] : [one, other];
      if (changed.has(named)) faults.push(faultOf(named, values[named], `a port other than that of ${against}`));
    }
  }
  for (const { larger, factor, smaller } of AT_LEAST) {
    if (values[larger] >= factor * values[smaller]) continue;
    const times = factor === 1 ? '' : `${factor} times `;
    if (changed.has(larger))
      faults.push(faultOf(larger, values[larger], `at least ${times}${smaller}, which is ${values[smaller]}`));
    else if (changed.has(smaller))
      faults.push(
        faultOf(
          smaller,
          values[smaller],
          `at most ${factor === 1 ? '' : `1/${factor} of `}${larger}, which is ${values[larger]}`,
        ),
      );
  }
  for (const fault of callerFaults(values, changed)) faults.push(fault);
  return faults;
}

/** The rules of callers of services name each of them once, and certificates only where authorities are named. */
function callerFaults(values: ParameterValues, changed: ReadonlySet<ParameterName>): ParameterFault[] {
  const [rules, authorities] = ['services.allow', 'services.clientCa'] as const;
  const named = changed.has(rules) ? rules : authorities;
  if (!changed.has(named)) return [];
  const allow = values[rules].flatMap((text) => parseCallerRule(text) ?? []);
  const clientCa = values[authorities] === '' ? null : values[authorities];
  const fault = callersFault({ allow, clientCa });
  if (fault === undefined) return [];
  return [
    faultOf(
      named,
      named === rules ? values[rules] : values[authorities],
      `one rule for each address and certificate, and certificates only with ${authorities} (${fault.replaceAll('"', '')})`,
    ),
  ];
}

/** The known name that was probably meant; undefined when none is near. */
export function nearestName(name: string): ParameterName | undefined {
  const wanted = name.slice(0, 64).toLowerCase();
  let nearest: { readonly name: ParameterName; readonly distance: number } = {
    name: 'websocket.enabled',
    distance: Number.POSITIVE_INFINITY,
  };
  for (const candidate of PARAMETER_NAMES) {
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < nearest.distance) nearest = { name: candidate, distance };
  }
  // More than a third of it wrong: a guess would mislead.
  return nearest.distance <= Math.max(2, nearest.name.length / 3) ? nearest.name : undefined;
}

/** Levenshtein's distance; one row is enough. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 0; i < from.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j += 1) {
      const replaced = (row[j] ?? 0) + (from[i] === to[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
