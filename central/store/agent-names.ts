// Names that no agent may take, and what counts as the beginning of an id. Ids and names share one namespace: an id
// never equals another agent's name, compared case-insensitively; the engine enforces that in the transaction that
// writes either.

/** The name of the agent on Central's own host; no other agent may have it. */
export const CENTRAL_AGENT_NAME = 'central-agent';
/** Selects every agent where several can be named. */
const ALL_AGENTS = 'all';
/** The shortest prefix that is accepted in place of a whole id. */
export const MIN_ID_PREFIX = 8;
const HEX_ID = /^[0-9a-f.:_-]+$/i;
/** Plain printable ASCII without blanks. */
const PLAIN_ID = /^[!-~]{1,255}$/;

/** True when a new agent may have this id: `.` and `..` would vanish from a URL's path (WHATWG URL, section 4.4). */
export function isPlainId(id: string): boolean {
  return PLAIN_ID.test(id) && id !== '.' && id !== '..';
}

/**
 * Why a word is reserved, for the text of `agent_name_reserved`; undefined when it is not. `ofCentral`: Central's own
 * name and host names, lower case.
 */
export function reservation(word: string, ofCentral: ReadonlySet<string>): string | undefined {
  const lower = word.toLowerCase();
  if (lower === CENTRAL_AGENT_NAME) return "it is kept for the agent on Central's own host";
  if (lower === ALL_AGENTS) return 'it means all agents';
  return ofCentral.has(lower) ? 'it is a name of Central or of its host' : undefined;
}

/**
 * True for a name or id that could be mistaken for the beginning of another id: hexadecimal digits, as in a key
 * thumbprint (which most ids are), a UUID or a hardware address. Ids that are numbered names (branch-1, branch-10) are
 * usual.
 */
export function looksLikeIdPrefix(word: string): boolean {
  return word.length >= MIN_ID_PREFIX && HEX_ID.test(word);
}

/** The proper prefixes of an id that look like an id. */
export function idPrefixes(id: string): string[] {
  const [hex = ''] = /^[0-9a-f.:_-]*/i.exec(id) ?? [];
  return Array.from({ length: Math.max(0, Math.min(hex.length, id.length - 1) - MIN_ID_PREFIX + 1) }, (_, i) =>
    id.slice(0, MIN_ID_PREFIX + i),
  );
}
