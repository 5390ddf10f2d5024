// Why a rollout halted, and why agents failed: one cause for each code, with what to do.
import type { JSX } from 'preact';
import { Callout } from '../../parts/layout.tsx';
import { Foreign, Hint } from '../../parts/text.tsx';
import { setQuery } from '../../router.ts';
import { T } from '../../strings.ts';
import { isFailure, type Rollout, type RolloutAgent } from './shapes.ts';

const { rollouts: R } = T;

const NAMED = 3;

interface CausesProps {
  readonly rollout: Rollout;
  readonly agents: readonly RolloutAgent[];
}

export function Causes({ rollout, agents }: CausesProps): JSX.Element | null {
  const { state, stateReason } = rollout;
  const failed = agents.filter((agent) => agent.stateReason !== null && isWrong(agent));
  const groups = [...Map.groupBy(failed, (agent) => agent.stateReason?.code ?? '')].toSorted(
    ([, one], [, other]) => other.length - one.length,
  );
  const isHalted = state === 'halted' && stateReason !== null;
  if (!isHalted && (groups.length === 0 || state === 'rolled-back')) return null;
  return (
    <div class="stack" role="group" aria-label={R.causes}>
      {isHalted && (
        <Callout meaning="bad" title={<Foreign text={stateReason.detail} />}>
          <p>{R.stay}</p>
          {stateReason.hint !== null && (
            <p>
              <b>{T.whatToDo}</b> <Hint text={stateReason.hint} />
            </p>
          )}
        </Callout>
      )}
      {groups.map(([code, members]) => (
        <Cause key={code} code={code} members={members} isHalted={isHalted} />
      ))}
    </div>
  );
}

/** Skipped ones hold no wave, and are named with their cause all the same. */
function isWrong({ state }: RolloutAgent): boolean {
  return isFailure(state) || state === 'skipped';
}

interface CauseProps {
  readonly code: string;
  readonly members: readonly RolloutAgent[];
  readonly isHalted: boolean;
}

function Cause({ code, members, isHalted }: CauseProps): JSX.Element | null {
  const [first] = members;
  const reason = first?.stateReason;
  if (first === undefined || reason === null || reason === undefined) return null;
  const words = new Set(members.map(({ state }) => (R.agentStates[state] ?? state).toLowerCase()));
  const names = members
    .slice(0, NAMED)
    .map(({ agent }) => agent.name.slice(0, 60))
    .join(', ');
  return (
    <Callout
      meaning={isHalted ? 'bad' : 'warn'}
      title={R.causeTitle(members.length, [...words].join(', '))}
      act={
        <button class="link" type="button" onClick={() => setQuery({ state: first.state, code })}>
          {R.showThem}
        </button>
      }
    >
      <p>
        <Foreign text={reason.detail} /> (<code>{code}</code>)
      </p>
      <p>
        <Foreign text={R.like(names, members.length - NAMED)} />
      </p>
      {reason.hint !== null && (
        <p>
          <b>{T.whatToDo}</b> <Hint text={reason.hint} />
        </p>
      )}
    </Callout>
  );
}
