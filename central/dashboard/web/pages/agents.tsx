// Agents: which of them need me? Filters in the address, groups of states with counts, and a table whose rows stay where
// they are while their content changes.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { fleet, readFleet, startFleet } from '../client/fleet.ts';
import { isUnscoped, may } from '../client/session.ts';
import { useStore } from '../client/store.ts';
import type { Agent } from '../client/types.ts';
import { number, visible } from '../format.ts';
import { Button, Select } from '../parts/controls.tsx';
import { openDialog } from '../parts/dialog.tsx';
import { Icon } from '../parts/icon.tsx';
import { Empty, Failed, Head, SkeletonRows } from '../parts/layout.tsx';
import { AgentState, Ago, ForeignLine, Mark, None } from '../parts/text.tsx';
import { announce } from '../parts/toast.tsx';
import { address, agentHref, go, setQuery } from '../router.ts';
import type { PageEntry } from '../shell/pages.ts';
import { Shell } from '../shell/shell.tsx';
import { GROUPS, lookOf, STATE_ORDER } from '../states.ts';
import { T } from '../strings.ts';
import { FILTERS, fits, fitsState, labelsOf, ordered, placeOf, releaseName, sortOf, type Sort } from './agent-list.ts';
import { Ends, Release, Transport } from './agent-cells.tsx';
import { AgentPage } from './agent.tsx';
import type { BulkAct, BulkOutcome } from './bulk/acts.ts';
import { BulkBar } from './bulk/bar.tsx';
import { BulkDialog } from './bulk/dialog.tsx';
import { SelectAll, SelectAllOnPhone } from './bulk/select-all.tsx';
import { EnrollDialog } from './enrollment/line.tsx';
import { isAboutPending, PendingMachines, usePending } from './enrollment/pending.tsx';
import { useWindow } from './window.ts';

function AgentsPage(): JSX.Element {
  const { parts } = useStore(address);
  useEffect(startFleet, []);
  const [, agent] = parts;
  return agent === undefined ? <ListPage /> : <AgentPage key={agent} name={agent} />;
}

function ListPage(): JSX.Element {
  const { agents, isWhole, problem } = useStore(fleet);
  const canEnroll = may('administrator') && isUnscoped();
  const { query } = useStore(address);
  const pending = usePending();
  const state = query.get('state') ?? '';
  const enroll = (): void => openDialog((close) => <EnrollDialog close={close} />);
  return (
    <Shell crumbs={[[T.agents]]}>
      <Head title={T.agents}>
        {pending.newer > 0 && <Button onClick={pending.show}>{T.enrollment.show(pending.newer)}</Button>}
        {canEnroll && (
          <Button kind="primary" icon="plus" onClick={enroll}>
            {T.enroll}
          </Button>
        )}
      </Head>
      {isAboutPending(state) && pending.rows.length > 0 && (
        <PendingMachines rows={pending.rows} again={pending.again} />
      )}
      <section class="card">
        {problem !== null && agents.size === 0 ? (
          <Failed problem={problem} again={readFleet} />
        ) : isWhole && agents.size === 0 ? (
          <Empty icon="agents" title={T.noAgents}>
            <p>{T.noAgentsText}</p>
          </Empty>
        ) : (
          <List agents={agents} isWhole={isWhole} />
        )}
      </section>
    </Shell>
  );
}

interface Placed {
  readonly ids: readonly string[];
  readonly places: ReadonlyMap<string, string>;
}

function List({ agents, isWhole }: { readonly agents: ReadonlyMap<string, Agent>; isWhole: boolean }): JSX.Element {
  const { query } = useStore(address);
  const [turn, update] = useState(0);
  const sort = sortOf(query);
  // Until all are read the rows come as they are; then each stays where it is.
  const size = isWhole ? -1 : agents.size;
  const { ids, places } = useMemo<Placed>(() => {
    const rows = ordered(agents.values(), query);
    return { ids: rows.map(({ id }) => id), places: new Map(rows.map((agent) => [agent.id, placeOf(agent, sort)])) };
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [query.toString(), turn, size]);
  const { selected, failed, choose, open } = useSelection(agents);
  const has = fits(query);
  const hasState = fitsState(query);
  const base = [...agents.values()].filter(has);
  const changed = isWhole
    ? [...agents.values()].filter((agent) => {
        const place = places.get(agent.id);
        const isIn = has(agent) && hasState(agent);
        return place === undefined ? isIn : !isIn || place !== placeOf(agent, sort);
      }).length + ids.filter((id) => !agents.has(id)).length
    : 0;
  return (
    <>
      <Filters agents={agents} />
      <div class="chips" role="group" aria-label={T.groups}>
        <Chip value="" count={base.length} />
        {GROUPS.map((group) => (
          <Chip key={group.id} value={group.id} count={base.filter(({ state }) => group.has(state)).length} />
        ))}
        {changed > 0 && (
          <span class="stale">
            {T.agentsChanged(changed)}{' '}
            <button
              class="link"
              type="button"
              onClick={() => {
                update(turn + 1);
                announce(T.updateOrder);
              }}
            >
              {T.updateOrder}
            </button>
          </span>
        )}
      </div>
      {ids.length === 0 && isWhole ? (
        <Empty icon="search" title={T.noMatch}>
          <p>{T.registered(agents.size)}</p>
          <Button onClick={() => go('/agents')}>{T.clearFilters}</Button>
        </Empty>
      ) : (
        <Table
          ids={ids}
          agents={agents}
          fitsNow={(agent) => has(agent) && hasState(agent)}
          isBusy={!isWhole}
          selected={may('operator') ? selected : null}
          failed={failed}
          choose={choose}
        />
      )}
      <div class="tfoot">
        {T.shown(ids.length, agents.size)}
        {!isWhole && `, ${T.loading}`}
        <span class="grow" />
        {sort === 'action' ? (
          T.sortedByAction
        ) : (
          <button class="link" type="button" onClick={() => setQuery({ sort: null, dir: null })}>
            {T.sortByAction}
          </button>
        )}
      </div>
      {selected.size > 0 && <BulkBar count={selected.size} open={open} clear={() => choose([...selected], false)} />}
    </>
  );
}

interface Selection {
  readonly selected: ReadonlySet<string>;
  /** Why the last act was refused, for those that stay selected. */
  readonly failed: ReadonlyMap<string, string>;
  readonly choose: (ids: readonly string[], isChosen: boolean) => void;
  readonly open: (act: BulkAct) => void;
}

function useSelection(agents: ReadonlyMap<string, Agent>): Selection {
  const [selected, select] = useState<ReadonlySet<string>>(new Set());
  const [failed, setFailed] = useState<ReadonlyMap<string, string>>(new Map());
  const choose = (ids: readonly string[], isChosen: boolean): void => {
    setFailed(new Map([...failed].filter(([id]) => isChosen || !ids.includes(id))));
    select(isChosen ? new Set([...selected, ...ids]) : new Set([...selected].filter((id) => !ids.includes(id))));
  };
  const whenDone = (refused: readonly BulkOutcome[]): void => {
    select(new Set(refused.map(({ id }) => id)));
    setFailed(new Map(refused.map(({ id, problem }) => [id, problem?.detail ?? ''])));
  };
  const open = (act: BulkAct): void => {
    // As they are now: what comes to fit the filter later is not in the act.
    const frozen = [...selected].flatMap((id) => agents.get(id) ?? []);
    openDialog((close) => <BulkDialog act={act} agents={frozen} close={close} whenDone={whenDone} />);
  };
  return { selected, failed, choose, open };
}

/** Values in a filter. */
const MOST_OPTIONS = 100;

function Filters({ agents }: { readonly agents: ReadonlyMap<string, Agent> }): JSX.Element {
  const { query } = useStore(address);
  const rows = [...agents.values()];
  const releases = releasesOf(rows);
  const among = (values: Iterable<string>, label: string): [string, string][] => [
    ['', T.any(label)],
    ...[...new Set(values)]
      .toSorted()
      .slice(0, MOST_OPTIONS)
      .map((value): [string, string] => [value, visible(value).slice(0, 80)]),
  ];
  const select = (name: string, label: string, options: readonly (readonly [string, string])[]): JSX.Element => (
    <Select
      label={label}
      isLabelShown={false}
      value={query.get(name) ?? ''}
      options={options}
      onChange={(value) => setQuery({ [name]: value })}
    />
  );
  const state = query.get('state') ?? '';
  const isFiltered = state !== '' || FILTERS.some((name) => query.has(name));
  return (
    <div class="filters">
      <input
        type="search"
        aria-label={T.filterAgents}
        placeholder={T.filterPlaceholder}
        value={query.get('q') ?? ''}
        maxLength={253}
        onChange={({ currentTarget }) => setQuery({ q: currentTarget.value.trim() })}
      />
      {select('state', T.state, [
        ['', T.any(T.state)],
        ...GROUPS.filter(({ id }) => id === state).map(({ id, label }) => [id, label] as const),
        ...STATE_ORDER.map((one) => [one, lookOf(one).word] as const),
      ])}
      {select('label', T.label, among(rows.flatMap(labelsOf), T.label))}
      {select('transport', T.transport, among(['ws', 'wss'], T.transport))}
      {select(
        'version',
        T.version,
        among(
          rows.flatMap(({ session }) => (session === null ? [] : [session.version])),
          T.version,
        ),
      )}
      {(releases.length > 0 || query.has('release')) &&
        select('release', T.release, [['', T.any(T.release)], ...releases])}
      {isFiltered && (
        <Button kind="plain" icon="x" onClick={() => go('/agents')}>
          {T.clear}
        </Button>
      )}
    </div>
  );
}

/** The releases that agents report: the digest, and the name that people read. */
function releasesOf(agents: readonly Agent[]): (readonly [string, string])[] {
  const found = new Map(
    agents.flatMap(({ releases }) => releases.map((one) => [one.digest, releaseName(one)] as const)),
  );
  return [...found].toSorted(([, one], [, other]) => (one < other ? -1 : 1)).slice(0, MOST_OPTIONS);
}

function Chip({ value, count }: { readonly value: string; readonly count: number }): JSX.Element {
  const { query } = useStore(address);
  const now = query.get('state') ?? '';
  const group = GROUPS.find(({ id }) => id === value);
  return (
    <button
      class="chip"
      type="button"
      aria-pressed={now === value}
      onClick={() => setQuery({ state: now === value ? null : value })}
    >
      {group !== undefined && <Icon name={group.icon} className={group.meaning} />}
      {group?.label ?? T.all}
      <span class="n">{number(count)}</span>
    </button>
  );
}

const COLUMNS: readonly (readonly [sort: Sort | null, label: string, className: string])[] = [
  ['name', T.agent, 'c-name'],
  ['state', T.state, 'c-state'],
  [null, T.reason, ''],
  [null, T.transport, 'c-tr'],
  ['release', T.release, 'c-rel'],
  ['waiting', T.waiting, 'c-wait num'],
  ['cert', T.certEnds, 'c-cert num'],
  ['seen', T.lastSeen, 'c-seen num'],
];

interface TableProps {
  readonly ids: readonly string[];
  readonly agents: ReadonlyMap<string, Agent>;
  readonly fitsNow: (agent: Agent) => boolean;
  readonly isBusy: boolean;
  /** Null: this role may do nothing with them. */
  readonly selected: ReadonlySet<string> | null;
  readonly failed: ReadonlyMap<string, string>;
  readonly choose: (ids: readonly string[], isChosen: boolean) => void;
}

function Table({ ids, agents, fitsNow, isBusy, selected, failed, choose }: TableProps): JSX.Element {
  const body = useRef<HTMLTableSectionElement>(null);
  const { first, last, before, after } = useWindow(body, ids.length);
  return (
    <div class="tw sticky">
      {selected !== null && <SelectAllOnPhone ids={ids} selected={selected} choose={choose} />}
      <table class="fixed cards" aria-busy={isBusy} aria-rowcount={ids.length + 1}>
        <caption class="sr">{T.agents}</caption>
        <colgroup>
          {selected !== null && <col class="c-chk" />}
          {COLUMNS.map(([, label, className]) => (
            <col key={label} class={className.split(' ')[0]} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {selected !== null && (
              <th scope="col">
                <SelectAll ids={ids} selected={selected} choose={choose} />
              </th>
            )}
            {COLUMNS.map(([sort, label, className]) => (
              <Heading key={label} sort={sort} label={label} className={className} />
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {isBusy && ids.length === 0 && <SkeletonRows columns={COLUMNS.length} />}
          {before > 0 && <Spacer height={before} />}
          {ids.slice(first, last).map((id, i) => {
            const agent = agents.get(id);
            return agent === undefined ? null : (
              <Row
                key={id}
                agent={agent}
                index={first + i + 2}
                isIn={fitsNow(agent)}
                isSelected={selected?.has(id)}
                failure={failed.get(id)}
                choose={choose}
              />
            );
          })}
          {after > 0 && <Spacer height={after} />}
        </tbody>
      </table>
    </div>
  );
}

/** The place of rows that are not drawn: a height by attribute, since the page has no inline style. */
function Spacer({ height }: { readonly height: number }): JSX.Element {
  return (
    <tr class="spacer" aria-hidden="true">
      <td colSpan={COLUMNS.length}>
        <svg width={1} height={height} />
      </td>
    </tr>
  );
}

/** The cells of columns that a narrow window does not have (styles/narrow.css). */
const DROPPED = [
  ['c-cert', 'k-cert'],
  ['c-rel', 'k-release'],
] as const;

interface HeadingProps {
  readonly sort: Sort | null;
  readonly label: string;
  readonly className: string;
}

function Heading({ sort, label, className }: HeadingProps): JSX.Element {
  const { query } = useStore(address);
  const isDown = query.get('dir') === 'desc';
  const isSorted = sort !== null && sortOf(query) === sort;
  const num = className.includes('num') ? 'num' : '';
  const part = DROPPED.find(([column]) => className.includes(column))?.[1] ?? '';
  if (sort === null)
    return (
      <th scope="col" class={num}>
        {label}
      </th>
    );
  return (
    <th scope="col" class={`${num} ${part}`} aria-sort={isSorted ? (isDown ? 'descending' : 'ascending') : undefined}>
      <button type="button" onClick={() => setQuery({ sort, dir: isSorted && !isDown ? 'desc' : null })}>
        {label}
        {isSorted && <Icon name={isDown ? 'down' : 'up'} />}
      </button>
    </th>
  );
}

interface RowProps {
  readonly agent: Agent;
  readonly index: number;
  readonly isIn: boolean;
  /** Undefined: it cannot be. */
  readonly isSelected: boolean | undefined;
  readonly failure: string | undefined;
  readonly choose: TableProps['choose'];
}

function Row({ agent, index, isIn, isSelected, failure, choose }: RowProps): JSX.Element {
  const { name, state, stateReason, session, logs, lastSeenAt, labels } = agent;
  const isLive = session !== null && session.endedAt === null;
  const [label] = Object.values(labels);
  const open = (event: MouseEvent): void => {
    if (event.target instanceof Element && event.target.closest('a, button, input') === null) go(agentHref(agent.id));
  };
  return (
    <tr class={`go ${isIn ? '' : 'dim'} ${isSelected === true ? 'chosen' : ''}`} aria-rowindex={index} onClick={open}>
      {isSelected !== undefined && (
        <td class="x pick">
          <input
            type="checkbox"
            aria-label={T.bulk.select(visible(name).slice(0, 100))}
            checked={isSelected}
            onChange={({ currentTarget }) => choose([agent.id], currentTarget.checked)}
          />
        </td>
      )}
      <td>
        <span class="cut">
          <a class="name" href={agentHref(agent.id)}>
            <ForeignLine text={name} />
          </a>{' '}
          {label !== undefined && (
            <span class="muted">
              <ForeignLine text={label} />
            </span>
          )}
        </span>
      </td>
      <td class="right">
        <AgentState state={state} />
      </td>
      <td class="wide">
        <span class="cut t2" title={visible(stateReason.detail).slice(0, 1_000)}>
          {failure !== undefined ? (
            <Mark meaning="bad" icon="bad">
              <ForeignLine text={T.bulk.notDone(failure)} />
            </Mark>
          ) : (
            state !== 'online' && <ForeignLine text={stateReason.detail} />
          )}
        </span>
      </td>
      <td class="x">{isLive ? <Transport transport={session.transport} /> : <None />}</td>
      <td class="x k-release">
        <Release agent={agent} />
      </td>
      <td class="num meta" data-l={T.waiting}>
        {logs.down.messageCount === 0 ? <span class="muted">0</span> : number(logs.down.messageCount)}
      </td>
      <td class="num x k-cert">
        <Ends agent={agent} />
      </td>
      <td class="num meta" data-l={T.seen}>
        {isLive ? (
          <span class="muted">{T.now}</span>
        ) : lastSeenAt === null ? (
          <span class="muted">{T.never}</span>
        ) : (
          <Ago at={lastSeenAt} />
        )}
      </td>
    </tr>
  );
}

export const AGENTS: PageEntry = {
  id: 'agents',
  title: T.agents,
  shortTitle: T.agents,
  icon: 'agents',
  key: 'a',
  page: AgentsPage,
};
