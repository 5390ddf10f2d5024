// The problems of the overview: those of Central, rollouts that halted, and the agents that need action, the most urgent
// first.
import { useEffect } from 'preact/hooks';
import type { JSX } from 'preact';
import { useTick } from '../../client/clock.ts';
import { all, get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import type { Agent, Page, Status, StatusProblem } from '../../client/types.ts';
import { duration } from '../../format.ts';
import { LinkButton } from '../../parts/controls.tsx';
import { Card, ProblemItem } from '../../parts/layout.tsx';
import { ForeignLine, Mark, Since } from '../../parts/text.tsx';
import { agentHref } from '../../router.ts';
import { setBadge } from '../../shell/badges.ts';
import { GROUPS, lookOf, STATE_ORDER } from '../../states.ts';
import { T } from '../../strings.ts';
import type { Rollout } from '../rollouts/shapes.ts';
import { countOf } from './figures.tsx';

/** Problems that stop nothing. */
const ADVICE =
  /^(?:maintenance_enabled|log_lines_lost|agent_quotas_reached|agent_inboxes_full|agents_unencrypted|.*_certificates?_expired)$/;
const CERTIFICATE = /certificate|rotation|root|authority/;
const MOST_ROLLOUTS = 5;
/** Agents that are shown; the others are in the list of agents. */
const MOST_AGENTS = 5;
/** The most urgent first. */
const ACTION_STATES = STATE_ORDER.filter((state) => needsAction(state));

function needsAction(state: string): boolean {
  return GROUPS.find(({ id }) => id === 'action')?.has(state) === true;
}

/** The agents of the most urgent states, as many as are shown. */
async function readAgents(states: readonly string[], signal: AbortSignal): Promise<readonly Agent[]> {
  const found: Agent[] = [];
  for (const state of states) {
    const limit = MOST_AGENTS - found.length;
    if (limit === 0) break;
    found.push(...(await get<Page<Agent>>('/agents', { state, limit }, signal)).data.items);
  }
  return found;
}

interface ProblemsProps {
  readonly status: Status;
  readonly readAt: number;
}

export function Problems({ status, readAt }: ProblemsProps): JSX.Element {
  useTick();
  const { problems } = status;
  const states = ACTION_STATES.filter((state) => countOf(status, (one) => one === state) > 0);
  const agentCount = countOf(status, needsAction);
  const agents = useLoaded(
    `action ${states.map((state) => `${state} ${countOf(status, (one) => one === state)}`).join()}`,
    async (signal) => await readAgents(states, signal),
    15,
  );
  const shown = agents.data ?? [];
  const halted = useLoaded(
    'halted',
    async (signal) => await all<Rollout>('/rollouts', { state: 'halted' }, signal),
    15,
  );
  const rollouts = halted.data ?? [];
  const count = problems.length + rollouts.length + agentCount;
  useEffect(() => setBadge('overview', { count, level: '', word: T.problemsWord }), [count]);
  return (
    <Card title={T.problems(count)}>
      {count === 0 ? (
        <div class="body">
          <Mark meaning="ok" icon="good">
            {T.noProblems(duration(Date.now() - readAt))}
          </Mark>
        </div>
      ) : (
        <ol>
          {problems.map(({ code, detail, hint, startedAt, subject }) => (
            <ProblemItem
              key={`${code} ${detail}`}
              level={ADVICE.test(code) ? 'warn' : 'bad'}
              title={<ForeignLine text={detail} />}
              cause={<code>{code}</code>}
              hint={hint}
              act={<Open code={code} subject={subject} />}
              age={<Since at={startedAt} />}
            />
          ))}
          {rollouts.slice(0, MOST_ROLLOUTS).map((rollout) => (
            <RolloutProblem key={rollout.id} rollout={rollout} />
          ))}
          {shown.map((agent) => (
            <AgentProblem key={agent.id} agent={agent} />
          ))}
        </ol>
      )}
      {agentCount > shown.length && shown.length > 0 && (
        <div class="tfoot">
          <a href="/agents?state=action">{T.moreNeedAction(agentCount - shown.length)}</a>
        </div>
      )}
    </Card>
  );
}

/** The page where a problem of Central is to be seen to; none, where only its host is. */
function Open({ code, subject }: Pick<StatusProblem, 'code' | 'subject'>): JSX.Element | null {
  if (code === 'agents_unencrypted' && subject === null)
    return (
      <LinkButton href="/agents?transport=ws" isSmall>
        {T.openPages['unencrypted']}
      </LinkButton>
    );
  const kind = subject?.kind ?? (CERTIFICATE.test(code) ? 'certificate' : '');
  const text = T.openPages[kind];
  if (text === undefined) return null;
  const href =
    kind === 'agent' && subject !== null
      ? agentHref(subject.id)
      : kind === 'listener'
        ? '/parameters'
        : '/certificates';
  return (
    <LinkButton href={href} isSmall>
      {text}
    </LinkButton>
  );
}

interface RolloutProblemProps {
  readonly rollout: Rollout;
}

function RolloutProblem({ rollout: { id, name, stateChangedAt, stateReason } }: RolloutProblemProps): JSX.Element {
  return (
    <ProblemItem
      level="bad"
      title={
        <a href={`/rollouts/${id}`}>
          <ForeignLine text={T.rolloutHalted(id, name)} />
        </a>
      }
      cause={<ForeignLine text={stateReason?.detail ?? ''} />}
      hint={stateReason?.hint ?? null}
      act={
        <LinkButton href={`/rollouts/${id}`} isSmall>
          {T.openPages['rollout']}
        </LinkButton>
      }
      age={<Since at={stateChangedAt} />}
    />
  );
}

function AgentProblem({ agent }: { readonly agent: Agent }): JSX.Element {
  const { id, name, state, stateChangedAt, stateReason } = agent;
  const { word, meaning } = lookOf(state);
  return (
    <ProblemItem
      level={meaning === 'bad' ? 'bad' : 'warn'}
      title={
        <a href={agentHref(id)}>
          <ForeignLine text={T.agentIs(name, word)} />
        </a>
      }
      cause={<ForeignLine text={stateReason.detail} />}
      hint={stateReason.hint}
      act={
        <LinkButton href={agentHref(id)} isSmall>
          {T.openPages['agent']}
        </LinkButton>
      }
      age={<Since at={stateChangedAt} />}
    />
  );
}
