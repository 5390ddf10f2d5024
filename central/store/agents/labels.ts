// Labels of agents: what a key and a value may be, how a change is merged, and which agents a match selects. The
// grammar in which people write a match is central/agents/selectors.ts's.

/** Set by administrators, to select agents by. Keys and values are plain text without a meaning of their own. */
export type Labels = Readonly<Record<string, string>>;

/** Of one agent. More would be a table of data; they are read with each list and each selection. */
export const MAX_LABELS = 32;
/** As in Kubernetes: 1 to 63 characters, of which the first and the last are letters or digits. */
export const LABEL_KEY = '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$';
/** The same, or nothing. */
export const LABEL_VALUE = '^([A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?)?$';
/** What an administrator wrote about an agent. */
export const MAX_NOTES_LENGTH = 1024;

export interface LabelTerm {
  readonly key: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** Agents that an act or a list is about. */
export type AgentMatch =
  | { readonly kind: 'all' }
  /** All terms hold. `!=` also holds for an agent without the label, as in Kubernetes. */
  | { readonly kind: 'labels'; readonly terms: readonly LabelTerm[] }
  /** A name, case-insensitive, in which `*` means any characters. */
  | { readonly kind: 'name'; readonly pattern: string };

/** Null deletes a key. The members stay in order of their keys. */
export function mergedLabels(labels: Labels, change: Readonly<Record<string, string | null>>): Labels {
  const merged = new Map<string, string | null>([...Object.entries(labels), ...Object.entries(change)]);
  const kept = [...merged].filter((entry): entry is [string, string] => entry[1] !== null);
  return Object.fromEntries(kept.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

/** The text that administrators gave an agent: by it the pages of a list are bounded. */
export function textOfAgent({ labels, notes }: { readonly labels: Labels; readonly notes: string }): string {
  return notes + Object.entries(labels).flat().join('');
}

export function matchesAgent(match: AgentMatch, agent: { readonly name: string; readonly labels: Labels }): boolean {
  if (match.kind === 'all') return true;
  if (match.kind === 'name') return matchesPattern(agent.name, match.pattern);
  return match.terms.every(({ key, operator, value }) => {
    // What an object inherits is never a text.
    const found = agent.labels[key];
    return operator === '=' ? found === value : found !== value;
  });
}

/** In linear time: each part between two stars is looked for behind the part before it. */
function matchesPattern(name: string, pattern: string): boolean {
  const text = name.toLowerCase();
  const [first = '', ...parts] = pattern.toLowerCase().split('*');
  const last = parts.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let offset = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, offset);
    if (found === -1) return false;
    offset = found + part.length;
  }
  return text.length - last.length >= offset && text.endsWith(last);
}
