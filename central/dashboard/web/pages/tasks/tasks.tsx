// Tasks: what runs where, what waits, and what went wrong; the newest first.
import type { JSX } from 'preact';
import { useTick } from '../../client/clock.ts';
import { may } from '../../client/session.ts';
import { useStore } from '../../client/store.ts';
import { Chips } from '../../parts/chips.tsx';
import { Button, Select } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Empty, Failed, Fault, Head } from '../../parts/layout.tsx';
import { address, go, setQuery } from '../../router.ts';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { useTasks, type Tasks } from './kept.ts';
import { filterOf, FILTERS, TASK_GROUPS, TASK_STATES } from './shapes.ts';
import { StartDialog } from './start.tsx';
import { TaskTable } from './table.tsx';
import { TaskPage } from './task.tsx';

const { tasks: K } = T;

function TasksPage(): JSX.Element {
  const { parts } = useStore(address);
  const [, id] = parts;
  return id === undefined ? <ListPage /> : <TaskPage key={id} id={id} />;
}

function ListPage(): JSX.Element {
  useTick(5);
  const { query } = useStore(address);
  const filter = filterOf(query);
  const tasks = useTasks(filter);
  const start = (): void =>
    openDialog((close) => <StartDialog close={close} first={{ agent: filter.agent, queue: filter.queue }} />);
  return (
    <Shell crumbs={[[K.title]]}>
      <Head title={K.title}>
        {may('operator') && (
          <Button kind="primary" icon="plus" onClick={start}>
            {T.ellipsis(K.start)}
          </Button>
        )}
      </Head>
      <section class="card">
        <Filters query={query} />
        <Chips
          label={K.groupsLabel}
          value={query.get('state') ?? ''}
          chips={Object.entries(K.groups).map(([value, text]) => ({ value, text }))}
          onChange={(state) => setQuery({ state })}
          newText={changesOf(tasks)}
          onUpdate={tasks.update}
        />
        <List tasks={tasks} isFiltered={FILTERS.some((name) => query.has(name))} />
      </section>
    </Shell>
  );
}

function changesOf({ newCount }: Tasks): string | undefined {
  return newCount > 0 ? K.newTasks(newCount) : undefined;
}

function Filters({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const state = query.get('state') ?? '';
  return (
    <div class="filters">
      {(['agent', 'queue', 'handler'] as const).map((name) => (
        <input
          key={name}
          type="search"
          aria-label={K.filters[name]}
          placeholder={K.filters[name]}
          value={query.get(name) ?? ''}
          maxLength={255}
          autocomplete="off"
          onChange={({ currentTarget }) => setQuery({ [name]: currentTarget.value.trim() })}
        />
      ))}
      <Select
        label={K.columns.state}
        isLabelShown={false}
        value={state in TASK_GROUPS ? '' : state}
        options={[['', T.any(K.columns.state)], ...TASK_STATES.map((one) => [one, K.states[one] ?? one] as const)]}
        onChange={(value) => setQuery({ state: value })}
      />
      {FILTERS.some((name) => query.has(name)) && (
        <Button kind="plain" icon="x" onClick={() => go('/tasks')}>
          {T.clear}
        </Button>
      )}
    </div>
  );
}

interface ListProps {
  readonly tasks: Tasks;
  readonly isFiltered: boolean;
}

function List({ tasks, isFiltered }: ListProps): JSX.Element {
  const { items, problem, isBusy, older, update } = tasks;
  if (items === undefined && problem !== null) return <Failed problem={problem} again={update} />;
  if (items?.length === 0)
    return isFiltered ? (
      <Empty icon="search" title={K.noMatch}>
        <Button onClick={() => go('/tasks')}>{T.clearFilters}</Button>
      </Empty>
    ) : (
      <Empty icon="task" title={K.none}>
        <p>{K.noneText}</p>
      </Empty>
    );
  return (
    <>
      <TaskTable tasks={tasks} />
      {problem !== null && (
        <div class="tfoot">
          <Fault problem={problem} />
        </div>
      )}
      <div class="tfoot">
        {items !== undefined && K.shown(items.length)}
        <span class="grow" />
        {older !== null && (
          <Button isSmall why={isBusy ? K.reading : undefined} onClick={older}>
            {K.older}
          </Button>
        )}
      </div>
    </>
  );
}

export const TASKS: PageEntry = {
  id: 'tasks',
  title: K.title,
  shortTitle: K.title,
  icon: 'task',
  key: 'k',
  page: TasksPage,
};
