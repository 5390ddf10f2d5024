// The selectors of agents, the one grammar in which an act names them: `all`, `label:region=north,tier!=test`,
// `name:branch-*`, or an agent by its id, name or the beginning of its id. A list of selectors means their union.
import {
  CodedError,
  defineErrors,
  DetailedError,
  isCoded,
  type ErrorDefinition,
  type ProblemEntry,
} from '../../shared/errors.ts';
import { foundAt, pointerTo } from '../../shared/http/problem.ts';
import type { AgentRecord, AgentStore, SelectedAgent } from '../store/agent-store.ts';
import { LABEL_KEY, LABEL_VALUE, type AgentMatch, type LabelTerm } from '../store/agents/labels.ts';
import { STORE_ERRORS } from '../store/errors.ts';
import { AgentAmbiguous, findAgent } from './lookup.ts';

export const SELECTOR_ERRORS = {
  selector_invalid: {
    status: 400,
    text: 'The selector {selector} is invalid: {found}; allowed: {allowed}.',
    hint: 'Write all, label:region=north,tier!=test (all terms hold), name:branch-*, or the id or name of an agent. Several selectors mean their union.',
  },
  selector_empty: {
    status: 422,
    text: 'No agent matches {selectors}.',
    hint: 'Check labels and names with "queuegate agents list".',
  },
} as const satisfies Record<string, ErrorDefinition>;
const selectorFault = defineErrors(SELECTOR_ERRORS);

/** Of one act. */
export const MAX_SELECTORS = 1_000;
/** Room for all labels of an agent in one selector. */
export const MAX_SELECTOR_LENGTH = 4_096;
/** Of one act; each is compared with each agent. */
const MAX_MATCHES = 100;
const MAX_TERMS = 32;
const MAX_SHOWN = 64;
const LABELS_FORM = 'label:KEY=VALUE,KEY!=VALUE';
const FORMS = ['all', LABELS_FORM, 'name:PATTERN', 'AGENT'] as const;
const TERMS = ['KEY=VALUE', 'KEY!=VALUE'] as const;
const KEYS = ['1 to 63 letters, digits and . _ / -, of which the first and the last are letters or digits'] as const;
const VALUES = ['up to 63 letters, digits and . _ / -, of which the first and the last are letters or digits'] as const;

type Selector = AgentMatch | { readonly kind: 'agent'; readonly reference: string };

/** Where a selector was found: a member of a body, or a query parameter. */
type SelectorPlace = { readonly pointer: string } | { readonly parameter: string };
type PlaceOf = (index: number) => SelectorPlace;

/** The places of the member `agents` of a body. */
const inAgents: PlaceOf = (index) => ({ pointer: pointerTo(`/agents/${index}`) });

interface SelectorFault {
  readonly found: string;
  readonly allowed: readonly string[];
}

/** Errors: selector_invalid with the place of each. */
export function parseSelectors(texts: readonly string[], placeOf: PlaceOf = inAgents): Selector[] {
  let matches = 0;
  return valid(texts, placeOf, (text) => {
    const selector = selectorOf(text);
    if ('kind' in selector && (selector.kind === 'labels' || selector.kind === 'name')) matches += 1;
    return matches > MAX_MATCHES
      ? { found: 'there are too many labels and patterns', allowed: [`${MAX_MATCHES} of them`] }
      : selector;
  });
}

/** The terms of a label filter, such as `region=north,tier!=test`. Errors: selector_invalid with the place of each. */
export function parseLabelFilters(texts: readonly string[], placeOf: PlaceOf): LabelTerm[][] {
  return valid(texts, placeOf, termsOf);
}

/** The terms of a selector of labels, such as `label:region=north,tier!=test`. Errors: selector_invalid. */
export function parseLabelSelector(text: string, place: SelectorPlace): LabelTerm[] {
  const read = (one: string): LabelTerm[] | SelectorFault =>
    one.startsWith('label:')
      ? termsOf(one.slice('label:'.length))
      : { found: 'it is not a selector of labels', allowed: [LABELS_FORM] };
  return valid([text], () => place, read)[0] ?? [];
}

/**
 * The agents that the selectors mean now, each once, in order of name.
 * Errors: selector_empty; agent_unknown (422) and agent_ambiguous with the place of the reference.
 */
export async function resolveSelectors(
  agents: Pick<AgentStore, 'findByReference' | 'select'>,
  selectors: readonly Selector[],
  placeOf: PlaceOf = inAgents,
): Promise<SelectedAgent[]> {
  const matches = selectors.filter((selector): selector is AgentMatch => selector.kind !== 'agent');
  const found = new Map((matches.length === 0 ? [] : await agents.select(matches)).map((agent) => [agent.id, agent]));
  const hasReferences = matches.length < selectors.length;
  for (const [index, selector] of selectors.entries()) {
    if (selector.kind !== 'agent') continue;
    const agent = await findAt(agents, selector.reference, placeOf(index));
    found.set(agent.id, selectedAgent(agent));
  }
  if (found.size === 0)
    throw selectorFault('selector_empty', { selectors: selectors.map(selectorText).join(', ').slice(0, 256) || 'it' });
  const selected = [...found.values()];
  return hasReferences ? selected.toSorted((one, other) => (orderOf(one) < orderOf(other) ? -1 : 1)) : selected;
}

/** As it is written. */
function selectorText(selector: Selector): string {
  switch (selector.kind) {
    case 'all':
      return 'all';
    case 'agent':
      return selector.reference;
    case 'name':
      return `name:${selector.pattern}`;
    case 'labels':
      return `label:${selector.terms.map(({ key, operator, value }) => `${key}${operator}${value}`).join()}`;
  }
}

const orderOf = ({ name }: SelectedAgent): string => name.toLowerCase();

function selectedAgent({ id, name, state, session }: AgentRecord): SelectedAgent {
  return { id, name, state, offlineSince: session?.endedAt ?? null };
}

async function findAt(
  agents: Pick<AgentStore, 'findByReference'>,
  reference: string,
  place: SelectorPlace,
): Promise<AgentRecord> {
  try {
    return await findAgent(agents, reference);
  } catch (error) {
    if (!isCoded(error, 'agent_unknown', 'agent_ambiguous')) throw error;
    const entries = [{ ...place, detail: error.message, allowed: null, found: reference.slice(0, MAX_SHOWN) }];
    if (error instanceof AgentAmbiguous)
      throw new DetailedError(error, { entries, members: { candidates: error.candidates } });
    // The place of an agent in a body: the request fits the schema, and cannot be carried out.
    const unknown = new CodedError('agent_unknown', { ...STORE_ERRORS.agent_unknown, status: 422 }, { id: reference });
    throw new DetailedError(unknown, { entries });
  }
}

/** What `read` makes of each text, or one error with each place that it refuses. */
function valid<T extends object>(
  texts: readonly string[],
  placeOf: PlaceOf,
  read: (text: string) => T | SelectorFault,
): T[] {
  const results: T[] = [];
  const entries: ProblemEntry[] = [];
  let first: { readonly text: string; readonly fault: SelectorFault } | undefined;
  for (const [index, text] of texts.entries()) {
    const result = read(text);
    if (!('allowed' in result)) {
      results.push(result);
      continue;
    }
    first ??= { text, fault: result };
    entries.push({
      ...placeOf(index),
      detail: `${result.found}; allowed: ${result.allowed.join(', ')}.`,
      allowed: result.allowed,
      found: foundAt('', text),
    });
  }
  if (first === undefined) return results;
  const { found, allowed } = first.fault;
  const selector = JSON.stringify(first.text.slice(0, MAX_SHOWN));
  throw new DetailedError(selectorFault('selector_invalid', { selector, found, allowed: allowed.join(', ') }), {
    entries,
  });
}

function selectorOf(text: string): Selector | SelectorFault {
  if (text.length === 0) return { found: 'it is empty', allowed: FORMS };
  if (text.length > MAX_SELECTOR_LENGTH)
    return { found: `it has ${text.length} characters`, allowed: [`${MAX_SELECTOR_LENGTH} characters`] };
  if (text.toLowerCase() === 'all') return { kind: 'all' };
  if (text.startsWith('name:')) return patternOf(text.slice('name:'.length));
  if (!text.startsWith('label:')) return { kind: 'agent', reference: text };
  const terms = termsOf(text.slice('label:'.length));
  return 'allowed' in terms ? terms : { kind: 'labels', terms };
}

function patternOf(pattern: string): Selector | SelectorFault {
  if (/^[A-Za-z0-9.*-]{1,253}$/.test(pattern)) return { kind: 'name', pattern };
  return { found: 'behind name: is not a pattern of names', allowed: ['letters, digits and . - *, such as branch-*'] };
}

function termsOf(text: string): LabelTerm[] | SelectorFault {
  const parts = text.split(',', MAX_TERMS + 1);
  if (parts.length > MAX_TERMS) return { found: 'it has too many terms', allowed: [`${MAX_TERMS} terms`] };
  const terms: LabelTerm[] = [];
  for (const part of parts) {
    const [, key, operator, value] = /^([^=!]*)(!?=)(.*)$/s.exec(part) ?? [];
    if (key === undefined || value === undefined) return { found: `${shown(part)} is not a term`, allowed: TERMS };
    if (!KEY.test(key)) return { found: `${shown(key)} is not a key of a label`, allowed: KEYS };
    if (!VALUE.test(value)) return { found: `${shown(value)} is not a value of a label`, allowed: VALUES };
    terms.push({ key, operator: operator === '=' ? '=' : '!=', value });
  }
  return terms;
}

const KEY = new RegExp(LABEL_KEY);
const VALUE = new RegExp(LABEL_VALUE);
const shown = (text: string): string => JSON.stringify(text.slice(0, MAX_SHOWN));
