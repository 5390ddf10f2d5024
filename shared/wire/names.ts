// Writes and reads an agent's id and the names of Central and its nodes in certificates and requests: as a URI among the alternative
// names, with any characters. Uses node:crypto only, so that an agent can load it.
import type { X509Certificate } from 'node:crypto';

const AGENT = 'urn:queuegate:agent:';
const CENTRAL = 'urn:queuegate:central:';
const NODE = 'urn:queuegate:node:';

export function agentUri(id: string): string {
  return `${AGENT}${encodeURIComponent(id)}`;
}

/** The id in an agent's URI; undefined when it is none. */
export function readAgentUri(uri: string): string | undefined {
  return partBehind(AGENT, uri);
}

export function centralUri(name: string): string {
  return `${CENTRAL}${encodeURIComponent(name)}`;
}

/** A Central process (node) in its certificate. */
export interface NodeIdentity {
  readonly name: string;
  /** Of the process: it grows with each start of this name. */
  readonly generation: number;
}

export function nodeUri({ name, generation }: NodeIdentity): string {
  return `${NODE}${generation}:${encodeURIComponent(name)}`;
}

/** The node that a certificate belongs to; undefined: it is not that of a node. */
export function nodeIn(certificate: X509Certificate): NodeIdentity | undefined {
  const [, generation = '', name = ''] = /^(\d{1,15}):(.+)$/.exec(named(certificate, NODE) ?? '') ?? [];
  return name === '' ? undefined : { name, generation: Number(generation) };
}

/** The id of the agent that a certificate belongs to. */
export function agentIn(certificate: X509Certificate): string | undefined {
  return named(certificate, AGENT);
}

/** Central's name, in the certificate of its signing key. */
export function centralIn(certificate: X509Certificate): string | undefined {
  return named(certificate, CENTRAL);
}

function named({ subjectAltName = '' }: X509Certificate, prefix: string): string | undefined {
  for (const { type, value } of alternativeNamesIn(subjectAltName)) {
    const found = type === 'URI' ? partBehind(prefix, value) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The names in Node's `subjectAltName`: TYPE:value, joined by ", ". Node puts a value into quotes, as JSON, when its
 * characters could be taken for those between names: a URI inside another name's quotes is none. What cannot be read
 * ends the list.
 */
export function* alternativeNamesIn(text: string): Generator<{ readonly type: string; readonly value: string }> {
  for (let offset = 0; offset < text.length;) {
    const colon = text.indexOf(':', offset);
    if (colon === -1) return;
    const begin = colon + 1;
    const end = text[begin] === '"' ? endOfQuoted(text, begin) : text.indexOf(', ', begin);
    const raw = text.slice(begin, end === -1 ? undefined : end);
    const value = raw.startsWith('"') ? unquoted(raw) : raw;
    if (value === undefined) return;
    yield { type: text.slice(offset, colon), value };
    if (end === -1 || !text.startsWith(', ', end)) return;
    offset = end + 2;
  }
}

/** Behind the quotation mark that closes the one at `begin`; -1 when none does. */
function endOfQuoted(text: string, begin: number): number {
  for (let offset = begin + 1; offset < text.length; offset += 1) {
    if (text[offset] === '\\') offset += 1;
    else if (text[offset] === '"') return offset + 1;
  }
  return -1;
}

function unquoted(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined; // not closed, or no JSON
  }
}

function partBehind(prefix: string, uri: string): string | undefined {
  if (!uri.startsWith(prefix)) return undefined;
  try {
    return decodeURIComponent(uri.slice(prefix.length)) || undefined;
  } catch {
    // Invalid percent encoding: not ours.
    return undefined;
  }
}
