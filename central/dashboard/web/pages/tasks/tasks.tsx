// Tasks: what runs where, what waits, and what went wrong; the newest first.
import type { JSX } from 'preact';
import { centralNow } from '../../client/api.ts';
import { useTick } from '../../client/clock.ts';
import { may } from '../../client/session.ts';
import { useStore } from '../../client/store.ts';
import { duration, number } from '../../format.ts';
import { Chips } from '../../parts/chips.tsx';
import { Button, Select } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Empty, Failed, Head, SkeletonRows } from '../../parts/layout.tsx';
import { Ago, ForeignLine, None } from '../../parts/text.tsx';
import { address, agentHref, go, setQuery } from '../../router.ts';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { useTasks, type Tasks } from './kept.ts';
import { TaskMark } from './marks.tsx';
import { filterOf, FILTERS, TASK_GROUPS, TASK_STATES, type Task } from './shapes.ts';
import { StartDialog } from './start.tsx';
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
      <Table tasks={tasks} />
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

function Table({ tasks: { items, gone, isBusy } }: { readonly tasks: Tasks }): JSX.Element {
  const { task, handler, agent, state, exit, requested, ended } = K.columns;
  return (
    <div class="tw">
      <table class="fixed cards tasks" aria-busy={items === undefined && isBusy}>
        <caption class="sr">{K.title}</caption>
        <colgroup>
          {['k-id', '', 'k-agent', 'k-state', 'k-exit', 'k-took', 'k-asked'].map((each) => (
            <col key={each} class={each} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {[task, handler, agent, state].map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
            <th scope="col" class="num k-exit">
              {exit}
            </th>
            <th scope="col" class="num k-took">
              {ended}
            </th>
            <th scope="col">{requested}</th>
          </tr>
        </thead>
        <tbody>
          {items === undefined ? (
            <SkeletonRows columns={7} />
          ) : (
            items.map((one) => <Row key={one.id} task={one} isGone={gone.has(one.id)} />)
          )}
        </tbody>
      </table>
    </div>
  );
}

function Row({ task, isGone }: { readonly task: Task; readonly isGone: boolean }): JSX.Element {
  const { id, handler, arguments: words, exitCode, createdAt, createdBy } = task;
  const open = (event: MouseEvent): void => {
    if (event.target instanceof Element && event.target.closest('a, button') === null) go(`/tasks/${id}`);
  };
  return (
    <tr class={`go ${isGone ? 'dim' : ''}`} onClick={open}>
      <td>
        <a class="name" href={`/tasks/${id}`}>
          {id}
        </a>
      </td>
      <td class="wide">
        <code class="cut">
          <ForeignLine text={handler} />
        </code>
        {words.length > 0 && (
          <span class="d2 cut">
            <ForeignLine text={words.join(' ').slice(0, 1_000)} />
          </span>
        )}
      </td>
      <td class="wide">
        <span class="cut">
          <Place task={task} />
        </span>
      </td>
      <td class="right">
        <TaskMark state={task.state} />
      </td>
      <td class="num x k-exit">{exitCode === null ? <None /> : number(exitCode)}</td>
      <td class="num meta nowrap k-took" data-l={K.columns.ended}>
        <Took task={task} />
      </td>
      <td class="meta" data-l="">
        <Ago at={createdAt} />
        <span class="d2 cut x">
          <ForeignLine text={createdBy} />
        </span>
      </td>
    </tr>
  );
}

/** The agent, and the queue that gave it the task; the queue alone where it has none yet. */
function Place({ task: { agent, queue } }: { readonly task: Task }): JSX.Element {
  if (agent === null) return <ForeignLine text={K.ofQueue(queue ?? '')} />;
  return (
    <>
      <a href={agentHref(agent.id)}>
        <ForeignLine text={agent.name} />
      </a>
      {queue !== null && (
        <span class="d2 cut">
          <ForeignLine text={K.ofQueue(queue)} />
        </span>
      )}
    </>
  );
}

/** For how long its program ran, or runs. */
function Took({ task: { startedAt, endedAt } }: { readonly task: Task }): JSX.Element {
  if (startedAt === null) return <None />;
  const until = endedAt === null ? centralNow() : Date.parse(endedAt);
  const ms = until - Date.parse(startedAt);
  return <>{ms < 1000 ? K.atOnceShort : duration(ms)}</>;
}

export const TASKS: PageEntry = {
  id: 'tasks',
  title: K.title,
  shortTitle: K.title,
  icon: 'task',
  key: 'k',
  page: TasksPage,
};
