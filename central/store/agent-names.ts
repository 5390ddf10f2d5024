// Names that no agent may take, and which of two words for an agent counts first. Ids and names share one namespace: an id never
// equals another agent's name, in whatever case; the engine holds to it in the transaction that writes either.

/** The agent on Central's own host has this name, and no other one: its record can be told by it. */
export const CENTRAL_AGENT_NAME = 'central-agent';
/** Stands for every agent where several can be meant. */
const ALL_AGENTS = 'all';
/** Of an id: what somebody types in place of the whole. */
export const MIN_ID_PREFIX = 8;
const HEX_ID = /^[0-9a-f.:_-]+$/i;
/** Plain printable ASCII without blanks. */
const PLAIN_ID = /^[!-~]{1,255}$/;

/** May an agent that is registered now have this id? `.` and `..` would vanish from a URL's path (WHATWG URL, section 4.4). */
export function isPlainId(id: string): boolean {
  return PLAIN_ID.test(id) && id !== '.' && id !== '..';
}

/** Why a word is reserved, for the sentence of `agent_name_reserved`; undefined when it is not. `ofCentral`: its own name and host names, lower case. */
export function reservation(word: string, ofCentral: ReadonlySet<string>): string | undefined {
  const lower = word.toLowerCase();
  if (lower === CENTRAL_AGENT_NAME) return "it is kept for the agent on Central's own host";
  if (lower === ALL_AGENTS) return 'it stands for all agents';
  return ofCentral.has(lower) ? 'it is a name of Central or of its host' : undefined;
}

/**
 * A name or id that could be taken for the beginning of another id: hexadecimal digits, as in the thumbprint that most ids are, in a UUID
 * or in a hardware address. Ids that are names in a row (branch-1, branch-10) are usual.
 */
export function looksLikeIdPrefix(word: string): boolean {
  return word.length >= MIN_ID_PREFIX && HEX_ID.test(word);
}

/** The beginnings of an id that look like one, the whole id apart. */
export function idPrefixes(id: string): string[] {
  const [hex = ''] = /^[0-9a-f.:_-]*/i.exec(id) ?? [];
  return Array.from({ length: Math.max(0, Math.min(hex.length, id.length - 1) - MIN_ID_PREFIX + 1) }, (_, i) =>
    id.slice(0, MIN_ID_PREFIX + i),
  );
}
