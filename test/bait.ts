// Bait for parsers that backtrack: texts of any length, values that carry them into every string member of a schema,
// and what handling them costs in CPU time. The schemas are plain data (of the wire and of TypeBox alike), so that a
// new member is covered from its first day on.

/** Each makes a text of exactly `length` UTF-16 units. */
export const BAITS: Readonly<Record<string, (length: number) => string>> = {
  'header lines': repeated(' a: b\n'),
  'escaped quotes': repeated('\\"'),
  'quotes and backslashes': repeated('"\\\\"'),
  quotes: repeated('"'),
  backslashes: repeated('\\'),
  'nested quantifiers': (length) => `${'a'.repeat(Math.max(0, length - 1))}!`.slice(0, length),
  'base64 that ends badly': (length) => `${'A'.repeat(Math.max(0, length - 1))}!`.slice(0, length),
  parentheses: repeated('('),
  'labels of a host name': (length) => `${repeated('a.')(Math.max(0, length - 1))}!`.slice(0, length),
  'dashes in a host name': (length) => `${repeated('a-')(Math.max(0, length - 1))}!`.slice(0, length),
  'numbers and dots': repeated('0.'),
  'names of a subject': repeated(',CN='),
  'blanks in a subject': (length) => `${repeated('CN=  x,')(Math.max(0, length - 1))}!`.slice(0, length),
  'alternative names': repeated('URI:"'),
  blanks: (length) => `${' '.repeat(Math.max(0, length - 1))}!`.slice(0, length),
  'blank lines': repeated('\t\r\n'),
  dashes: repeated('--'),
  'blocks without an end': repeated('-----BEGIN X-----\n'),
  'keys without an end': repeated('-----BEGIN PRIVATE KEY-----\n'),
  'certificates without an end': repeated('-----BEGIN CERTIFICATE-----\n'),
  'empty certificates': repeated('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
  'a request with header lines': enclosed('CERTIFICATE REQUEST', ' a: b\n'),
  'a certificate with header lines': enclosed('CERTIFICATE', ' a: b\n'),
  'a key with header lines': enclosed('RSA PRIVATE KEY', 'Proc-Type: 4,ENCRYPTED\n'),
  'a request of base64 lines': enclosed('CERTIFICATE REQUEST', `${'A'.repeat(64)}\n`),
  'a certificate of nested DER': enclosedDer('CERTIFICATE'),
  'a request of nested DER': enclosedDer('CERTIFICATE REQUEST'),
  'percent signs': repeated('%'),
  colons: repeated(':'),
  commas: repeated(','),
  'equals signs': repeated('='),
  'control characters': repeated('\u0000'),
  umlauts: repeated('é'),
  'surrogate pairs': repeated('\u{1f600}'),
  'opened objects': repeated('{"a":'),
};

function repeated(seed: string): (length: number) => string {
  return (length) => seed.repeat(Math.ceil(length / seed.length)).slice(0, length);
}

function enclosed(label: string, line: string): (length: number) => string {
  return (length) => {
    const [begin, end] = [`-----BEGIN ${label}-----\n`, `-----END ${label}-----\n`];
    return (
      begin +
      line.repeat(Math.max(0, Math.floor((length - begin.length - end.length) / line.length))) +
      end
    ).slice(0, length);
  };
}

function enclosedDer(label: string): (length: number) => string {
  return (length) => {
    const bytes = Math.max(0, Math.floor(((length - 2 * label.length - 40) * 3) / 4.2));
    return `-----BEGIN ${label}-----\n${(
      nestedDer(bytes)
        .toString('base64')
        .match(/.{1,64}/g) ?? []
    ).join('\n')}\n-----END ${label}-----\n`.slice(0, length);
  };
}

/** SEQUENCEs inside SEQUENCEs, about as many bytes as asked for. */
export function nestedDer(bytes: number): Buffer {
  const heads: Buffer[] = [];
  let length = 0;
  while (length < bytes - 5) {
    const head =
      length < 0x80
        ? Buffer.from([0x30, length])
        : length < 0x1_0000
          ? Buffer.from([0x30, 0x82, length >> 8, length & 0xff])
          : Buffer.from([0x30, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]);
    heads.push(head);
    length += head.length;
  }
  return Buffer.concat(heads.toReversed());
}

/** The part of JSON Schema that schemas here are written in. */
export interface AnySchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly AnySchema[];
  readonly properties?: Readonly<Record<string, AnySchema>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, AnySchema>>;
  readonly items?: AnySchema;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly default?: unknown;
}

export interface BaitedPlace {
  /** JSON Pointer. */
  readonly place: string;
  /** The length that the schema allows, or `unbounded` where it names none. */
  readonly maxLength: number;
  /** A value that fits, but for the text at this place. */
  readonly with: (text: string) => unknown;
}

/** Every place of a schema that holds a string, the rest of the value being one that fits. */
export function stringPlaces(schema: AnySchema, unbounded = 100_000, place = ''): BaitedPlace[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap((option) => stringPlaces(option, unbounded, place));
  if (schema.const !== undefined || schema.enum !== undefined) return [];
  if (schema.type === 'string') return [{ place, maxLength: schema.maxLength ?? unbounded, with: (text) => text }];
  if (schema.type === 'array')
    return stringPlaces(schema.items ?? {}, unbounded, `${place}/0`).map((inner) => ({
      ...inner,
      with: (text) => [inner.with(text)],
    }));
  if (schema.type === 'object') {
    const whole = sampleOf(schema) as Record<string, unknown>;
    const named = Object.entries(schema.properties ?? {}).flatMap(([name, member]) =>
      stringPlaces(member, unbounded, `${place}/${name}`).map((inner) => ({
        ...inner,
        with: (text: string) => ({ ...whole, [name]: inner.with(text) }),
      })),
    );
    // The names of a record are text from outside too, and so are its values.
    const free =
      schema.patternProperties === undefined
        ? []
        : [{ place: `${place}/(a name)`, maxLength: unbounded, with: (text: string) => ({ [text]: text }) }];
    return [...named, ...free];
  }
  // Anything at all: a text is one of it.
  return Object.keys(schema).length === 0 || schema.type === undefined
    ? [{ place, maxLength: unbounded, with: (text) => text }]
    : [];
}

/** A value that fits; optional members are left out. */
export function sampleOf(schema: AnySchema): unknown {
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.anyOf !== undefined) return sampleOf(schema.anyOf.at(-1) ?? {});
  switch (schema.type) {
    case 'string':
      return sampleText(schema);
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return false;
    case 'array':
      return [];
    case 'object':
      return Object.fromEntries(
        (schema.required ?? []).map((name) => [name, sampleOf(schema.properties?.[name] ?? {})]),
      );
    default:
      return null;
  }
}

function sampleText({ pattern, minLength = 1, maxLength = 64 }: AnySchema): string {
  const length = Math.min(Math.max(minLength, 1), maxLength);
  const fits = new RegExp(pattern ?? '', 'u');
  return ['A', 'a', '0'].map((letter) => letter.repeat(length)).find((text) => fits.test(text)) ?? 'a'.repeat(length);
}

/** CPU time of this process, all its threads, in ms. */
export async function cpuMs(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** The least of several runs: what else the process did meanwhile, and the compiling of code, are not the work's. */
export async function leastCpuMs(work: () => unknown, runs: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run += 1) least = Math.min(least, await cpuMs(work));
  return least;
}

/** What one text may cost. */
export const MAX_CPU_MS = 100;

/** Does the work at most three times, until it costs no more than allowed; names what costs more. */
export class CostCheck {
  readonly tooMuch: string[] = [];
  checked = 0;

  /**
   * `work` has its text, and its request, ready: making a megabyte of bait costs more than what is measured, and several
   * times as much on a machine that is busy.
   */
  async check(what: string, work: () => unknown, allowedMs = MAX_CPU_MS): Promise<void> {
    this.checked += 1;
    let least = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 3 && least > allowedMs; run += 1) least = Math.min(least, await cpuMs(work));
    if (least > allowedMs) this.tooMuch.push(`${what}: ${Math.round(least)} ms`);
  }

  /** What cost too much; a check that checked too little is a fault too. */
  faults(atLeast: number): string[] {
    return this.checked < atLeast ? [...this.tooMuch, `only ${this.checked} texts were checked`] : this.tooMuch;
  }
}

/** Runs the work, whatever it throws: what is measured is what the text costs, not what becomes of it. */
export async function whateverComesOfIt(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch {
    // A refusal is what is expected.
  }
}
