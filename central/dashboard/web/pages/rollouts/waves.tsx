// The waves of a rollout: a bar of each, with its counts in words.
import type { JSX } from 'preact';
import { centralNow } from '../../client/api.ts';
import { clock, duration, number } from '../../format.ts';
import { Icon } from '../../parts/icon.tsx';
import { Bar, Card, type BarPart } from '../../parts/layout.tsx';
import { Mark } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import {
  AGENT_STATES,
  isEnded,
  isSuccess,
  lookOfAgent,
  type Look,
  type Rollout,
  type RolloutAgent,
  type Wave,
} from './shapes.ts';

const { rollouts: R } = T;

/** "95%", as an administrator wrote it. */
function shareText(share: number): string {
  return `${Math.round(share * 1_000) / 10}%`;
}

interface WavesProps {
  readonly rollout: Rollout;
  readonly agents: readonly RolloutAgent[] | undefined;
}

export function Waves({ rollout, agents }: WavesProps): JSX.Element {
  const { waves, successShare, errorShare, soakSeconds } = rollout;
  const soak = soakSeconds === 0 ? R.noSoak : duration(soakSeconds * 1000);
  return (
    <Card
      title={R.waves}
      right={<span class="muted nowrap">{R.plan(shareText(successShare), shareText(errorShare), soak)}</span>}
    >
      <div>
        {waves.map((wave, i) => (
          <Row
            key={i}
            rollout={rollout}
            place={i + 1}
            wave={wave}
            size={(wave.agentCount ?? 0) - (waves[i - 1]?.agentCount ?? 0)}
            members={agents?.filter((agent) => agent.wave === i + 1) ?? []}
          />
        ))}
      </div>
    </Card>
  );
}

interface RowProps {
  readonly rollout: Rollout;
  readonly place: number;
  readonly wave: Wave;
  /** How many agents it may take. */
  readonly size: number;
  readonly members: readonly RolloutAgent[];
}

function Row({ rollout, place, wave, size, members }: RowProps): JSX.Element {
  const counts = Map.groupBy(members, ({ state }) => state);
  const rest = isEnded(rollout) ? 0 : Math.max(0, size - members.length);
  const found = AGENT_STATES.flatMap((state) => {
    const count = counts.get(state)?.length ?? 0;
    return count === 0 ? [] : [{ state, count, ...lookIn(rollout, state) }];
  }).toSorted((one, other) => ORDER.indexOf(one.meaning) - ORDER.indexOf(other.meaning));
  const parts: BarPart[] = [
    ...found.map(({ state, count, meaning }) => ({ meaning, count, label: R.agentStates[state] ?? state })),
    { meaning: 'none', count: rest, label: R.notTaken },
  ];
  const share = wave.share === null ? '' : shareText(wave.share);
  return (
    <div class="wave">
      <div>
        <h3>{R.wave(place)}</h3>
        <span class="muted">{R.upTo(share, size)}</span>
      </div>
      <div>
        <Bar parts={parts} />
        <div class="keys">
          {found.map(({ state, count, meaning, icon }) => (
            <span key={state} class={meaning}>
              <Icon name={icon} />
              {number(count)} {(R.agentStates[state] ?? state).toLowerCase()}
            </span>
          ))}
          {rest > 0 && (
            <span class="quiet">
              <Icon name="clock" />
              {number(rest)} {R.notTaken}
            </span>
          )}
        </div>
      </div>
      <WaveMark rollout={rollout} wave={wave} />
    </div>
  );
}

const ORDER = ['ok', 'bad', 'warn', 'info', 'quiet'];

function lookIn(rollout: Rollout, state: string): Look {
  return isSuccess(state, rollout) ? { meaning: 'ok', icon: 'good' } : lookOfAgent(state);
}

function WaveMark({ rollout, wave }: { readonly rollout: Rollout; readonly wave: Wave }): JSX.Element {
  const { state, soakUntilAt } = rollout;
  const isNow = wave.state === 'running' || wave.state === 'soaking';
  if (wave.state === 'completed')
    return (
      <Mark meaning="ok" icon="good">
        {R.waveStates['completed']}
      </Mark>
    );
  if (isEnded(rollout))
    return (
      <Mark meaning="quiet" icon="disabled">
        {R.waveStates['stopped']}
      </Mark>
    );
  if (!isNow)
    return (
      <Mark meaning="quiet" icon="todo">
        {R.waveStates['waiting']}
      </Mark>
    );
  if (state === 'halted' || state === 'paused')
    return (
      <Mark meaning={state === 'halted' ? 'bad' : 'warn'} icon="throttled">
        {R.waveStates[state]}
      </Mark>
    );
  return (
    <Mark meaning="info" icon={wave.state === 'soaking' ? 'clock' : 'connecting'}>
      {wave.state === 'soaking' && soakUntilAt !== null
        ? R.soakUntil(clock(soakUntilAt, centralNow()))
        : R.waveStates['running']}
    </Mark>
  );
}
