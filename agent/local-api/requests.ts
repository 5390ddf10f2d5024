// Reads what a request says: query parameters by their schemas, the body within its bounds, content type and Accept.
import type { IncomingMessage } from 'node:http';
import { DetailedError, type CodedError, type ProblemEntry } from '../../shared/errors.ts';
import { readBoundedStream } from '../../shared/files/bounded-stream.ts';
import { bodyText } from '../../shared/delivery/body-text.ts';
import { preferredType } from '../../shared/http/accept.ts';
import { foundAt, pointerTo } from '../../shared/http/problem.ts';
import { validate, type JsonSchema, type Static } from '../../shared/wire/json-schema.ts';
import { JsonSyntaxError, scanValue } from '../../shared/wire/json-text.ts';
import { agentFault } from '../errors.ts';
import { MAX_BODY_BYTES } from './routes/schemas.ts';

export type Parameters = Readonly<Record<string, JsonSchema>>;

/** The value of each parameter: a number, a text, or undefined where it is not there. */
type Values<P extends Parameters> = {
  readonly [N in keyof P]: P[N] extends { readonly type: 'integer' } ? number | undefined : string | undefined;
};

/** Errors: local_parameter_unknown, local_query_bad. */
export function readParameters<P extends Parameters>(query: URLSearchParams, schemas: P): Values<P> {
  const values: Record<string, number | string> = {};
  for (const [name, text] of query) {
    const schema = Object.hasOwn(schemas, name) ? schemas[name] : undefined;
    if (schema === undefined) {
      const allowed = Object.keys(schemas);
      const fault = agentFault('local_parameter_unknown', {
        found: name.slice(0, 64),
        allowed: allowed.length === 0 ? 'none' : allowed.join(', '),
      });
      throw detailed(fault, { parameter: name.slice(0, 64), allowed, found: null });
    }
    const value = 'type' in schema && schema.type === 'integer' ? integerIn(text) : text;
    const isRepeated = Object.hasOwn(values, name);
    if (isRepeated || validate(schema, value) !== undefined) {
      const fault = agentFault('local_query_bad', {
        name,
        found: isRepeated ? `${text.slice(0, 64)} (a second time)` : text.slice(0, 64),
        allowed: allowedBy(schema),
      });
      throw detailed(fault, { parameter: name, allowed: null, found: foundAt(name, text) });
    }
    values[name] = value;
  }
  // Each value fits its schema: that is what makes it of this type.
  return values as unknown as Values<P>;
}

function integerIn(text: string): number {
  return /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
}

function allowedBy(schema: JsonSchema): string {
  if ('type' in schema && schema.type === 'integer') return `${schema.minimum} to ${schema.maximum}`;
  if ('type' in schema && schema.type === 'string') return `${schema.minLength ?? 0} to ${schema.maxLength} characters`;
  return 'another value';
}

/** Errors: local_body_too_large, body_not_utf8. */
export async function readBody(request: IncomingMessage): Promise<string> {
  return bodyText(
    await readBoundedStream(request, MAX_BODY_BYTES, () =>
      agentFault('local_body_too_large', { maxBytes: MAX_BODY_BYTES }),
    ),
  );
}

/** A body of a few members. Errors: local_body_bad, body_not_utf8. */
export function readMembers<const S extends JsonSchema>(text: string, schema: S): Static<S> {
  const { fault } = scanned(() => scanValue(text));
  if (fault !== undefined) throw bodyFault(fault.pointer, `${fault.pointer || 'the body'} ${fault.found}`);
  const value: unknown = JSON.parse(text);
  const found = validate(schema, value);
  if (found !== undefined) throw bodyFault('', found);
  return value as Static<S>;
}

/** `pointer` is a JSON pointer; `found` says what is wrong there. */
export function bodyFault(pointer: string, found: string): CodedError {
  return detailed(agentFault('local_body_bad', { found }), { pointer: pointerTo(pointer), allowed: null, found: null });
}

/** Runs a scan of JSON text. Errors: local_body_bad. */
export function scanned<T>(scan: () => T): T {
  try {
    return scan();
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw agentFault('local_body_bad', { found: `not JSON: ${error.message}` }, error);
  }
}

/** A body without a content type counts as what the route takes. Errors: local_content_type. */
export function checkContentType({ headers }: IncomingMessage, allowed: readonly string[]): void {
  const header = headers['content-type'];
  const type = header?.split(';', 1)[0]?.trim().toLowerCase();
  // CloudEvents in binary mode have their attributes in headers, which would be lost in silence.
  const binary = headers['ce-specversion'] !== undefined;
  if (!binary && (type === undefined || allowed.includes(type))) return;
  const found = binary ? `${header ?? 'none'}, with attributes in headers` : (header ?? '');
  const fault = agentFault('local_content_type', { found: found.slice(0, 64), allowed: allowed.join(', ') });
  throw detailed(fault, { header: 'content-type', allowed, found: found.slice(0, 64) });
}

/** The type that the client prefers, of those that the route has. Errors: local_not_acceptable. */
export function acceptedType({ headers }: IncomingMessage, allowed: readonly [string, ...string[]]): string {
  const accept = headers.accept ?? '';
  const type = preferredType(accept, allowed);
  if (type !== undefined) return type;
  const fault = agentFault('local_not_acceptable', { found: accept.slice(0, 64), allowed: allowed.join(', ') });
  throw detailed(fault, { header: 'accept', allowed, found: accept.slice(0, 64) });
}

type Place = { readonly pointer: string } | { readonly parameter: string } | { readonly header: string };

function detailed(
  fault: CodedError,
  entry: Place & { readonly allowed: readonly string[] | null; readonly found: string | null },
): CodedError {
  const complete: ProblemEntry = { ...entry, detail: fault.message };
  return new DetailedError(fault, { entries: [complete] });
}
