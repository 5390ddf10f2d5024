// The commands that administrators change agents with, one or several: set, disable, enable, revoke.
import type { Command, CommandCall } from '../../command.ts';
import { recordOf, rowsOf, shown } from '../../print.ts';
import { cutOffText, DRY_RUN, IF_MATCH, noticeText, REASON, termsOf, YES } from '../../terms.ts';
import { findAgent, idIn, labelsText, restrictionText } from './agents.ts';

const REVOCATION_REASONS = 'keyCompromise, affiliationChanged, cessationOfOperation, privilegeWithdrawn';
/** In place of one agent. */
export const AGENTS = {
  agents: {
    type: 'string',
    value: 'SELECTOR',
    isList: true,
    doc: 'all, label:region=north,tier!=test, name:branch-*, or an agent; repeated: all of them together',
  },
} as const;
const ONE_OR_SEVERAL = 'AGENT | --agents SELECTOR...';
const AT_MOST_ONE = { least: 0, most: 1 } as const;
const SEVERAL_HELP = 'With --agents it acts on each of the selected agents, and exits with 6 when one of them refused.';

export const agentActionCommands: readonly Command[] = [
  {
    name: 'agents set',
    usage: '(AGENT | --agents SELECTOR...) [name=NAME] [labels.KEY=VALUE...] [notes=TEXT]',
    summary: 'set the name, labels or notes of an agent, or labels of several agents',
    help: 'labels.KEY= deletes a label, notes= the notes; after name= the agent has the name of its configuration again.',
    options: {
      ...AGENTS,
      ...IF_MATCH,
      ...DRY_RUN,
      ...REASON,
    },
    words: { least: 1, most: 100 },
    async run(call) {
      const selectors = call.list('agents');
      const change = changeOf(call, selectors === undefined ? call.words.slice(1) : call.words);
      if (selectors !== undefined) return await setLabels(call, selectors, change);
      if (call.flag('dry-run')) throw call.complain('--dry-run needs --agents');
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const answer = await call.client.request('PATCH', `/agents/${idIn(agent)}`, {
        query: termsOf(call),
        body: change,
        ifMatch: call.text('if-match'),
      });
      const set = recordOf(answer);
      call.answer(
        answer,
        () => `Set ${shown(set['name'])}: labels ${shown(labelsText(set))}, notes ${shown(set['notes'])}.`,
      );
    },
  },
  {
    name: 'agents disable',
    usage: `(${ONE_OR_SEVERAL}) [--comment TEXT] [--ticket TEXT]`,
    summary: 'end the session of an agent at once, and refuse it until it is enabled',
    help: `The agent keeps its key, its messages and its place, and tries to connect from time to time. ${SEVERAL_HELP}`,
    options: { ...AGENTS, ...DRY_RUN, ...REASON },
    words: AT_MOST_ONE,
    run: (call) => act(call, { verb: 'disable', done: 'disabled' }),
  },
  {
    name: 'agents enable',
    usage: `(${ONE_OR_SEVERAL}) [--comment TEXT] [--ticket TEXT]`,
    summary: 'let a disabled agent connect again',
    help: `The agent connects by itself, within minutes (agents.disabledRetrySeconds). ${SEVERAL_HELP}`,
    options: { ...AGENTS, ...DRY_RUN, ...REASON },
    words: AT_MOST_ONE,
    run: (call) => act(call, { verb: 'enable', done: 'enabled' }),
  },
  {
    name: 'agents revoke',
    usage: `(${ONE_OR_SEVERAL}) [--reason REASON] [--comment TEXT] [--ticket TEXT]`,
    summary: 'end the session of an agent at once, revoke its certificates and refuse it from now on',
    help: `The agent stays registered. Give it a new key with "queuegate agents recovery-code create", or delete it. ${SEVERAL_HELP}`,
    options: {
      ...AGENTS,
      reason: { type: 'string', doc: `${REVOCATION_REASONS}; unspecified unless set` },
      ...DRY_RUN,
      ...YES,
      ...REASON,
    },
    asks: 'always',
    words: AT_MOST_ONE,
    async run(call) {
      const reason = call.text('reason');
      await act(call, {
        verb: 'revoke',
        done: 'revoked',
        body: reason === undefined ? {} : { reason },
        effect: 'Its session ends, and it is refused until it gets a new key.',
      });
    },
  },
];

interface Act {
  readonly verb: 'disable' | 'enable' | 'revoke';
  readonly done: string;
  readonly body?: Readonly<Record<string, unknown>>;
  /** Of each agent, in the question; absent: it does not ask. */
  readonly effect?: string;
}

/** One agent, or all that selectors mean. */
async function act(call: CommandCall, { verb, done, body, effect }: Act): Promise<void> {
  const selectors = call.list('agents');
  if ((selectors === undefined) === (call.words.length === 0))
    throw call.complain('either an agent or --agents is required');
  const title = `${verb.charAt(0).toUpperCase()}${verb.slice(1)}`;
  if (selectors !== undefined) {
    const question = effect === undefined ? undefined : { act: title, effect: `Of each: ${effect}` };
    return await actOnSeveral(call, { verb, agents: selectors, ...body }, done, question);
  }
  const agent = await findAgent(call.client, call.words[0] ?? '');
  if (effect !== undefined) await call.confirm({ act: `${title} the agent ${shown(agent['name'])}`, effect });
  const answer = await call.client.request('POST', `/agents/${idIn(agent)}/${verb}`, { query: termsOf(call), body });
  call.answer(answer, () =>
    call.flag('dry-run')
      ? restrictionText(answer, agent, done)
      : `${done.charAt(0).toUpperCase()}${done.slice(1)} ${shown(agent['name'])}.`,
  );
}

async function setLabels(
  call: CommandCall,
  agents: readonly string[],
  { name, notes, labels, ...rest }: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (name !== undefined || notes !== undefined || labels === undefined || Object.keys(rest).length > 0)
    throw call.complain('--agents sets labels only (labels.KEY=VALUE)');
  if (call.text('if-match') !== undefined) throw call.complain('--if-match has no effect with --agents');
  await actOnSeveral(call, { verb: 'labels', agents, labels }, 'set');
}

/** The question counts the agents, as a dry run finds them. */
async function actOnSeveral(
  call: CommandCall,
  body: Readonly<Record<string, unknown>>,
  done: string,
  question?: { readonly act: string; readonly effect: string },
): Promise<void> {
  const request = (terms: ReturnType<typeof termsOf>) =>
    call.client.request('POST', '/agent-actions', { query: terms, body });
  if (question !== undefined) {
    const { agentCount } = recordOf(recordOf(await request({ ...termsOf(call), dryRun: true }))['result']);
    await call.confirm({ ...question, act: `${question.act} ${shown(agentCount)} agents` });
  }
  const answer = await request(termsOf(call));
  call.answer(answer, () => (call.flag('dry-run') ? severalReport(answer) : severalText(answer, done)));
  const refusedCount = Number(recordOf(answer)['refusedCount'] ?? 0);
  if (refusedCount > 0) call.refused();
}

function severalReport(report: unknown): string {
  const { agentCount } = recordOf(recordOf(report)['result']);
  const changed = rowsOf(report, 'changed').map(
    ({ name, from, to }) => `  ${shown(name)}: ${shown(from)} -> ${shown(to)}`,
  );
  return [
    `${shown(agentCount)} agents are selected. Would change:${changed.length === 0 ? ' nothing' : ''}`,
    ...changed,
    ...cutOffText(report, 'Would cut off:'),
    ...noticeText(report),
  ].join('\n');
}

/** `done`: what the agents that did not refuse are or have. */
export function severalText(answer: unknown, done: string): string {
  const { acceptedCount, refusedCount } = recordOf(answer);
  const refused = rowsOf(answer, 'items')
    .filter(({ outcome }) => outcome === 'refused')
    .map(({ agent, problem }) => `  ${shown(recordOf(agent)['name'])}: ${shown(recordOf(problem)['detail'])}`);
  const title = `${shown(acceptedCount)} agents ${done}`;
  return refused.length === 0 ? `${title}.` : [`${title}, ${shown(refusedCount)} refused:`, ...refused].join('\n');
}

/** The members that the words set. Errors: usage. */
function changeOf(call: CommandCall, words: readonly string[]): Readonly<Record<string, unknown>> {
  const members: Record<string, unknown> = {};
  const labels = new Map<string, string | null>();
  for (const word of words) {
    const at = word.indexOf('=');
    const [name, value] = [word.slice(0, Math.max(at, 0)), at === -1 ? null : word.slice(at + 1) || null];
    const label = /^labels\.(.+)$/s.exec(name)?.[1];
    if (label !== undefined) labels.set(label, value);
    else if (name === 'name' || name === 'notes') members[name] = value;
    else throw call.complain(`"${word}" is not of the form name=NAME, labels.KEY=VALUE or notes=TEXT`);
  }
  if (words.length === 0) throw call.complain('what to set is missing');
  return labels.size === 0 ? members : { ...members, labels: Object.fromEntries(labels) };
}
