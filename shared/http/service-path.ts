// Checks the request target of a call to a service, and the methods and header fields that pass. Central checks first,
// the agent again: at the branch the agent has the last word. A target that two programs could read in two ways is
// refused, not repaired.

/** RFC 9112 section 3.2.1 (origin-form) in visible ASCII, without a fragment. */
const TARGET = /^\/[!-"$-~]*$/;
const MAX_TARGET_LENGTH = 8_192;
/** UTF-8 of characters in more bytes than they need (RFC 3629 section 3): some decoders read a dot or a slash there. */
const OVERLONG = /\xc0[\x80-\xbf]|\xc1[\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]/;
/** After one decoding: encoded again. */
const ENCODED_TWICE = /%(?:2e|2f|5c|25|0\d|1[0-9a-f]|7f)/i;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f]/;
/** A segment that means a folder above; what follows `;` is a parameter to some servers. */
const DOTS = /(?:^|\/)\.{1,2}(?:;[^/]*)?(?:\/|$)/;

/** Why a request target is refused; undefined: it is not. In linear time. */
export function targetFault(target: string): string | undefined {
  if (target.length > MAX_TARGET_LENGTH) return `a target of ${target.length} characters`;
  if (!TARGET.test(target)) return 'a target that does not begin with /, or has characters that must be encoded';
  const path = pathOf(target);
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'an incomplete percent-encoding in the path';
  const decoded = path.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCodePoint(Number.parseInt(hex, 16)),
  );
  if (CONTROL.test(decoded)) return 'a control character in the path';
  if (decoded.includes('\\')) return 'a backslash in the path';
  if (decoded.includes('//')) return 'two slashes in a row in the path';
  if (DOTS.test(decoded)) return 'a dot segment in the path';
  if (OVERLONG.test(decoded)) return 'overlong UTF-8 in the path';
  return ENCODED_TWICE.test(decoded) ? 'a path that is encoded twice' : undefined;
}

/** The path of a target, without its query. */
export function pathOf(target: string): string {
  return target.split('?', 1)[0] ?? '';
}

/** True where the path is one of these, or below one that ends with `/`. Compared as it was sent, encoding included. */
export function isBelow(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`));
}

/** What only reads, and what else may be allowed. OPTIONS, TRACE and CONNECT never are. */
export const READING_METHODS = ['GET', 'HEAD'] as const;
export const SERVICE_METHODS = [...READING_METHODS, 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** Of one connection (RFC 9110 section 7.6.1), and what describes how the message is framed on it. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
]);

export type HeaderFields = readonly (readonly [string, string])[];

/** Without what is of the connection alone, and without all that `Connection` names (RFC 9110 section 7.6.1). */
export function endToEnd(fields: HeaderFields): HeaderFields {
  const named = new Set(HOP_BY_HOP);
  for (const [name, value] of fields)
    if (name.toLowerCase() === 'connection')
      for (const option of value.split(',')) named.add(option.trim().toLowerCase());
  return fields.filter(([name]) => !named.has(name.toLowerCase()));
}

/** Names and values in turn, as Node has them, as pairs. */
export function fieldsOf(raw: readonly string[]): HeaderFields {
  const fields: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) fields.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return fields;
}

/** RFC 9110 sections 5.1 and 5.5: a token, and a value without line breaks and NUL. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;
// eslint-disable-next-line no-control-regex
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const MAX_FIELDS = 256;

/** Header fields that came from the other side of a stream; undefined: they are malformed. */
export function readFields(value: unknown): HeaderFields | undefined {
  if (!Array.isArray(value) || value.length > MAX_FIELDS) return undefined;
  const isField = (field: unknown): field is readonly [string, string] =>
    Array.isArray(field) &&
    field.length === 2 &&
    typeof field[0] === 'string' &&
    typeof field[1] === 'string' &&
    NAME.test(field[0]) &&
    VALUE.test(field[1]);
  return value.every(isField) ? value : undefined;
}
