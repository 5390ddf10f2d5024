// Owns how an agent's id and Central's name stand in certificates and requests: as a URI among the alternative names, whole
// whatever characters they have. Read with node:crypto only, so that an agent can.
import type { X509Certificate } from 'node:crypto';

const AGENT = 'urn:queuegate:agent:';
const CENTRAL = 'urn:queuegate:central:';

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

/** The agent's id that a certificate stands for. */
export function agentIn(certificate: X509Certificate): string | undefined {
  return named(certificate, AGENT);
}

/** Central's name, in the certificate of its signing key. */
export function centralIn(certificate: X509Certificate): string | undefined {
  return named(certificate, CENTRAL);
}

function named({ subjectAltName = '' }: X509Certificate, prefix: string): string | undefined {
  // Node puts a name into quotes, as JSON, when its characters could be taken for those between names.
  for (const [, quoted, plain] of subjectAltName.matchAll(/URI:(?:("(?:[^"\\]|\\.)*")|([^,]*))/g)) {
    const found = partBehind(prefix, quoted === undefined ? (plain ?? '') : (JSON.parse(quoted) as string));
    if (found !== undefined) return found;
  }
  return undefined;
}

function partBehind(prefix: string, uri: string): string | undefined {
  if (!uri.startsWith(prefix)) return undefined;
  try {
    return decodeURIComponent(uri.slice(prefix.length)) || undefined;
  } catch {
    // Percent signs that stand for nothing: not ours.
    return undefined;
  }
}
