// Rollouts: which are under way, which halted, which ended; and the tabs beside them, Profiles and Software.
import type { JSX } from 'preact';
import { may } from '../../client/session.ts';
import { useSteady } from '../../client/steady.ts';
import { useStore } from '../../client/store.ts';
import type { ProblemDocument } from '../../client/types.ts';
import { Chips } from '../../parts/chips.tsx';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Bar, Empty, Failed, SkeletonRows } from '../../parts/layout.tsx';
import { Ago, ForeignLine, None } from '../../parts/text.tsx';
import { address, setQuery } from '../../router.ts';
import type { PageEntry } from '../../shell/pages.ts';
import { T } from '../../strings.ts';
import { kept, useRollouts } from './kept.ts';
import { Frame, RolloutMark } from './marks.tsx';
import { RolloutPage } from './rollout.tsx';
import { isEnded, releaseText, totalsOf, type Rollout } from './shapes.ts';
import { SoftwareTab } from './software.tsx';
import { StartDialog } from './start.tsx';

const { rollouts: R } = T;

function RolloutsPage(): JSX.Element {
  const { parts, query } = useStore(address);
  const [, id] = parts;
  if (id !== undefined) return <RolloutPage key={id} id={id} />;
  return query.get('tab') === 'software' ? <SoftwareTab /> : <ListTab />;
}

const GROUPS: readonly (readonly [id: '' | 'active' | 'halted' | 'ended', has: (rollout: Rollout) => boolean])[] = [
  ['', () => true],
  ['active', (rollout) => !isEnded(rollout) && rollout.state !== 'halted'],
  ['halted', ({ state }) => state === 'halted'],
  ['ended', isEnded],
];

function ListTab(): JSX.Element {
  const { rollouts, isWhole, problem } = useRollouts();
  return (
    <Frame
      tab="rollouts"
      acts={
        may('administrator') && (
          <Button kind="primary" icon="plus" onClick={() => openDialog((close) => <StartDialog close={close} />)}>
            {R.startNew}
          </Button>
        )
      }
    >
      <List rollouts={rollouts} isWhole={isWhole} problem={problem} />
    </Frame>
  );
}

interface ListProps {
  readonly rollouts: readonly Rollout[];
  readonly isWhole: boolean;
  readonly problem: ProblemDocument | null;
}

function List({ rollouts, isWhole, problem }: ListProps): JSX.Element {
  const { query } = useStore(address);
  const wanted = query.get('state') ?? '';
  const [group = '', has = () => true] = GROUPS.find(([id]) => id === wanted) ?? [];
  const steady = useSteady(
    rollouts.filter((rollout) => has(rollout)),
    ({ id }) => id,
    `${group} ${isWhole}`,
  );
  // One that no longer fits its filter stays where it is, as it is now.
  const now = new Map(rollouts.map((rollout) => [rollout.id, rollout]));
  if (problem !== null && rollouts.length === 0) return <Failed problem={problem} again={kept.read} />;
  if (isWhole && rollouts.length === 0)
    return (
      <Empty icon="rollout" title={R.none}>
        <p>{R.noneText}</p>
      </Empty>
    );
  return (
    <>
      <Chips
        label={R.columns.state}
        value={group}
        chips={GROUPS.map(([value, fits]) => ({
          value,
          text: R.groups[value === '' ? 'all' : value],
          count: rollouts.filter((rollout) => fits(rollout)).length,
        }))}
        onChange={(state) => setQuery({ state })}
        newText={steady.newCount > 0 ? R.newRollouts(steady.newCount) : undefined}
        onUpdate={steady.update}
      />
      {isWhole && steady.rows.length === 0 ? (
        <Empty icon="search" title={R.noMatch} />
      ) : (
        <Table
          isWhole={isWhole}
          rows={steady.rows.map(({ id, item, isGone }) => ({ rollout: now.get(id) ?? item, isGone }))}
        />
      )}
      {isWhole && <div class="tfoot">{R.shown(steady.rows.length)}</div>}
    </>
  );
}

interface TableProps {
  readonly isWhole: boolean;
  readonly rows: readonly { readonly rollout: Rollout; readonly isGone: boolean }[];
}

function Table({ isWhole, rows }: TableProps): JSX.Element {
  const { rollout, release, state, progress, agents, started, ticket } = R.columns;
  return (
    <div class="tw">
      <table class="fixed cards rollouts" aria-busy={!isWhole}>
        <caption class="sr">{R.title}</caption>
        <colgroup>
          {['r-id', '', 'r-state', 'r-bar', 'r-agents', 'r-start', 'r-ticket'].map((each) => (
            <col key={each} class={each} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {[rollout, release, state, progress, agents, started].map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
            <th scope="col" class="r-ticket">
              {ticket}
            </th>
          </tr>
        </thead>
        <tbody>
          {isWhole ? rows.map((row) => <Row key={row.rollout.id} {...row} />) : <SkeletonRows columns={7} rows={6} />}
        </tbody>
      </table>
    </div>
  );
}

function Row({ rollout, isGone }: { readonly rollout: Rollout; readonly isGone: boolean }): JSX.Element {
  const { id, state, stage, counts, createdAt, createdBy, ticket } = rollout;
  const { done, failed, busy, rest } = totalsOf(rollout);
  return (
    <tr class={isGone ? 'dim' : ''}>
      <td>
        <a class="name" href={`/rollouts/${id}`}>
          {id}
        </a>
      </td>
      <td class="wide">
        <code class="cut">
          <ForeignLine text={releaseText(rollout)} />
        </code>
        <span class="d2">{R.stages[stage] ?? stage}</span>
      </td>
      <td class="right">
        <RolloutMark state={state} />
      </td>
      <td class="wide">
        <Bar
          parts={[
            { meaning: 'ok', count: done, label: R.agentStates['succeeded'] ?? '' },
            { meaning: 'bad', count: failed, label: R.agentStates['failed'] ?? '' },
            { meaning: 'info', count: busy, label: R.states['running'] ?? '' },
            { meaning: 'none', count: rest, label: R.notTaken },
          ]}
        />
      </td>
      <td class="meta" data-l={R.columns.agents}>
        {R.progress(done, counts.total, failed)}
      </td>
      <td class="meta" data-l={R.columns.started}>
        <Ago at={createdAt} />
        <span class="d2 cut x">
          <ForeignLine text={createdBy} />
        </span>
      </td>
      <td class="x r-ticket">
        {ticket === null || ticket === '' ? (
          <None />
        ) : (
          <span class="cut">
            <ForeignLine text={ticket} />
          </span>
        )}
      </td>
    </tr>
  );
}

export const ROLLOUTS: PageEntry = {
  id: 'rollouts',
  title: R.title,
  shortTitle: R.title,
  icon: 'rollout',
  key: 'r',
  page: RolloutsPage,
};
