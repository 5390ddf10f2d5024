// The agents of a rollout by state, with why each is there; rows keep their places while it goes on.
import type { JSX } from 'preact';
import { centralNow } from '../../client/api.ts';
import { useSteady } from '../../client/steady.ts';
import { useStore } from '../../client/store.ts';
import { bytes, clock } from '../../format.ts';
import { Chips } from '../../parts/chips.tsx';
import { Card, Empty } from '../../parts/layout.tsx';
import { Foreign, ForeignLine, Mark, None, Since } from '../../parts/text.tsx';
import { address, agentHref, setQuery } from '../../router.ts';
import { T } from '../../strings.ts';
import { AGENT_STATES, isFailure, lookOfAgent, type Rollout, type RolloutAgent } from './shapes.ts';

const { rollouts: R } = T;

const FIRST = 50;
const CHUNK = 500;

interface AgentsProps {
  readonly rollout: Rollout;
  readonly agents: readonly RolloutAgent[];
}

export function RolloutAgents({ rollout, agents }: AgentsProps): JSX.Element {
  const { query } = useStore(address);
  const [state, code] = [query.get('state') ?? '', query.get('code') ?? ''];
  const count = Number(query.get('count') ?? FIRST) || FIRST;
  const counts = Map.groupBy(agents, (agent) => agent.state);
  const steady = useSteady(
    agents.filter(
      (agent) => (state === '' || agent.state === state) && (code === '' || agent.stateReason?.code === code),
    ),
    ({ agent }) => agent.id,
    `${rollout.id} ${state} ${code}`,
  );
  const now = new Map(agents.map((agent) => [agent.agent.id, agent]));
  const rest = steady.rows.length - count;
  return (
    <Card title={R.agents} right={<span class="muted">{R.eligible(rollout.counts.eligible)}</span>}>
      <Chips
        label={R.columns.state}
        value={state}
        chips={[
          { value: '', text: T.all, count: agents.length },
          ...AGENT_STATES.filter((one) => counts.has(one)).map((value) => ({
            value,
            text: R.agentStates[value] ?? value,
            count: counts.get(value)?.length ?? 0,
            ...lookOfAgent(value),
          })),
        ]}
        onChange={(value) => setQuery({ state: value, code: null, count: null })}
        newText={
          steady.newCount > 0
            ? R.moreAgents(steady.newCount + steady.rows.filter(({ isGone }) => isGone).length)
            : undefined
        }
        onUpdate={steady.update}
      />
      {steady.rows.length === 0 ? (
        <Empty icon="search" title={R.noAgents} />
      ) : (
        <>
          <div class="tw">
            <table class="cards">
              <caption class="sr">{R.agents}</caption>
              <thead>
                <tr>
                  {[T.agent, R.columns.state, R.why].map((label) => (
                    <th key={label} scope="col">
                      {label}
                    </th>
                  ))}
                  <th scope="col" class="num">
                    {R.since}
                  </th>
                </tr>
              </thead>
              <tbody>
                {steady.rows.slice(0, count).map(({ id, item, isGone }) => (
                  <Row key={id} agent={now.get(id) ?? item} isGone={isGone} />
                ))}
              </tbody>
            </table>
          </div>
          <div class="tfoot">
            {R.count(Math.min(count, steady.rows.length), rollout.counts.total)}
            {rest > 0 && (
              <button
                class="link"
                type="button"
                onClick={() => setQuery({ count: String(count + Math.min(rest, CHUNK)) })}
              >
                {R.showMore(Math.min(rest, CHUNK))}
              </button>
            )}
          </div>
        </>
      )}
    </Card>
  );
}

function Row({ agent, isGone }: { readonly agent: RolloutAgent; readonly isGone: boolean }): JSX.Element {
  const { meaning, icon } = lookOfAgent(agent.state);
  return (
    <tr class={isGone ? 'dim' : ''}>
      <td>
        <a class="name" href={agentHref(agent.agent.id)}>
          <ForeignLine text={agent.agent.name} />
        </a>
      </td>
      <td class="right">
        <Mark meaning={meaning} icon={icon}>
          {R.agentStates[agent.state] ?? agent.state}
        </Mark>
      </td>
      <td class="t2 wide">
        <Why agent={agent} />
      </td>
      <td class="num meta nowrap" data-l="">
        <Since at={agent.stateChangedAt} />
      </td>
    </tr>
  );
}

function Why({ agent }: { readonly agent: RolloutAgent }): JSX.Element {
  const { state, stateReason, stateDeadlineAt, offlineAt, receivedBytes, totalBytes } = agent;
  if (stateReason !== null)
    return (
      <>
        <Foreign text={stateReason.detail} />
        {isFailure(state) && (
          <>
            {' '}
            (<code>{stateReason.code}</code>)
          </>
        )}
      </>
    );
  if (state === 'synchronizing') return <>{R.bytes(bytes(receivedBytes), bytes(totalBytes))}</>;
  if (state === 'trying' && stateDeadlineAt !== null) return <>{R.tryingWhy(clock(stateDeadlineAt, centralNow()))}</>;
  if (state === 'succeeded') return <>{R.doneWhy}</>;
  if (state === 'waiting') return <>{offlineAt === null ? R.waitingWhy : R.awayWhy}</>;
  if (totalBytes > 0) return <>{R.bytes(bytes(receivedBytes), bytes(totalBytes))}</>;
  return <None />;
}
