// The pieces of which the answers of the administration are described, and what describes an operation. The schemas are
// plain JSON Schema (2020-12): openapi.json is made from them, and the tests validate every answer against them. Loaded
// on demand.

export type Schema = Readonly<Record<string, unknown>>;

/** One answer: JSON of this schema, or other media types, or no content at all. */
export interface Answer {
  readonly description: string;
  readonly schema?: Schema;
  /** In place of JSON, or beside it: the media type and what it contains. */
  readonly types?: Readonly<Record<string, Schema>>;
}

export interface Operation {
  /** The operationId. */
  readonly id: string;
  /** One sentence: what it does. */
  readonly summary: string;
  /** Of a body that is not read as JSON of the route's schema: the media types and what they contain. */
  readonly body?: Readonly<Record<string, Schema>>;
  readonly answers: Readonly<Record<number, Answer>>;
  /** The codes of its own, beside those that follow from its parameters. */
  readonly errors?: readonly string[];
  /** A request that is answered with the first of `answers`, once what it names exists. */
  readonly example?: { readonly query?: Readonly<Record<string, string>>; readonly body?: unknown };
}

/** By method and path, as they are registered: `GET /agents/{agent}`. */
export type Operations = Readonly<Record<string, Operation>>;

export const text = { type: 'string' } as const;
export const textOrNull = { type: ['string', 'null'] } as const;
export const yes = { type: 'boolean' } as const;
export const time = { type: 'string', format: 'date-time', description: 'RFC 3339, UTC, three decimals' } as const;
export const timeOrNull = { ...time, type: ['string', 'null'] } as const;
export const count = { type: 'integer', minimum: 0 } as const;
export const countOrNull = { type: ['integer', 'null'], minimum: 0 } as const;
export const share = { type: 'number', minimum: 0, maximum: 1 } as const;
export const sha256 = { type: 'string', pattern: '^[0-9a-f]{64}$' } as const;
export const sha256OrNull = { type: ['string', 'null'], pattern: '^[0-9a-f]{64}$' } as const;
/** 16 hexadecimal digits. */
export const shortId = { type: 'string', pattern: '^[0-9a-f]{16}$' } as const;
export const anything = {} as const;
export const binary = { type: 'string', format: 'binary' } as const;
export const pem = { type: 'string', description: 'PEM' } as const;

/** A schema of which the document has one copy, under this name. */
export function named<S extends Schema>(title: string, schema: S): S & { readonly title: string } {
  return { title, ...schema };
}

export function words(values: readonly string[], description?: string): Schema {
  return { type: 'string', enum: [...values], ...(description === undefined ? {} : { description }) };
}

/** Every member is there: an absent value is null. */
export function object(properties: Readonly<Record<string, Schema>>, description?: string): Schema {
  return {
    type: 'object',
    ...(description === undefined ? {} : { description }),
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

export function orNull(schema: Schema): Schema {
  return { anyOf: [schema, { type: 'null' }] };
}

export function array(items: Schema, description?: string): Schema {
  return { type: 'array', items, ...(description === undefined ? {} : { description }) };
}

/** Names with a value each. */
export function record(values: Schema, description?: string): Schema {
  return { type: 'object', additionalProperties: values, ...(description === undefined ? {} : { description }) };
}

/** The envelope of a list. */
export function listOf(items: Schema, more: Readonly<Record<string, Schema>> = {}): Schema {
  return object({
    ...more,
    items: array(items),
    next: { ...textOrNull, description: 'The parameter after of the next page; null: there is none' },
  });
}

/** An agent as other resources name it. */
export const AGENT_REFERENCE = named('AgentReference', object({ id: text, name: text }));

/** What happened, and what to do about it. */
export const CAUSE = named(
  'Cause',
  object({ code: { ...textOrNull, description: 'as in ERRORS.md' }, detail: text, hint: textOrNull }),
);

export const CHANGE_REFERENCE = orNull(
  named(
    'ChangeReference',
    object({ id: text, state: words(['pending', 'confirmed', 'rolled-back']), expiresAt: time }),
  ),
);

const CUT_OFF = named(
  'CutOff',
  object(
    {
      count,
      items: array(
        object({
          agent: AGENT_REFERENCE,
          reason: text,
          detail: text,
          address: { ...textOrNull, description: 'of its session' },
          hint: { ...textOrNull, description: 'what to do first' },
        }),
        'the first of them',
      ),
    },
    'The agents that lose Central by the act.',
  ),
);
const NOTICE = named('Notice', object({ code: text, detail: text }));

/** The report of an act that can cut agents off, with and without a dry run. */
export function reportOf(result: Schema): Schema {
  return object({
    dryRun: yes,
    changed: array(object({ name: text, from: anything, to: anything })),
    cutOff: CUT_OFF,
    notices: array(NOTICE),
    needsForce: { ...yes, description: 'true: it is refused without force' },
    change: { ...CHANGE_REFERENCE, description: 'the change that waits for its confirmation' },
    result,
  });
}

const ENTRY = {
  type: 'object',
  description: 'One fault, with exactly one of pointer, parameter and header.',
  properties: {
    pointer: { ...text, description: 'JSON pointer as a URI fragment, such as #/role' },
    parameter: text,
    header: text,
    detail: text,
    allowed: { type: ['array', 'null'], items: text },
    found: { type: ['string', 'null'], maxLength: 64 },
  },
  required: ['detail', 'allowed', 'found'],
  additionalProperties: false,
} as const;

/** RFC 9457. */
export const PROBLEM = {
  title: 'Problem',
  type: 'object',
  description: 'A problem document (RFC 9457).',
  properties: {
    type: { ...text, pattern: '^urn:queuegate:error:[a-z0-9_]+$' },
    code: { ...text, pattern: '^[a-z0-9_]+$', description: 'as in ERRORS.md; compare codes, never texts' },
    title: text,
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: text,
    hint: text,
    instance: { ...text, pattern: '^urn:uuid:' },
    errors: { type: 'array', maxItems: 20, items: ENTRY },
    errorCount: count,
  },
  required: ['type', 'code', 'title', 'status', 'detail', 'hint', 'instance'],
} as const;

/** How an act on several agents ended for each of them. */
export const BULK = named(
  'BulkOutcome',
  object({
    items: array(object({ agent: AGENT_REFERENCE, outcome: words(['accepted', 'refused']), problem: orNull(PROBLEM) })),
    acceptedCount: count,
    refusedCount: count,
  }),
);

const done = (description: string): Answer => ({ description });
export const json = (description: string, schema: Schema): Answer => ({ description, schema });
/** To If-None-Match. */
export const UNCHANGED: Answer = done('Unchanged.');
/** Deleted, withdrawn or discarded. */
export const NO_CONTENT = { 204: done('Done.') } as const;
/** A report; 202 while the change waits for its confirmation. */
export function reported(result: Schema): Readonly<Record<number, Answer>> {
  const report = reportOf(result);
  return {
    200: json('Done, or what a dry run found.', report),
    202: json('Done, and rolled back unless it is confirmed. Location names the change.', report),
  };
}
