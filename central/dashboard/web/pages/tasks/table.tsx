// The table of tasks: on their page, and on that of an agent.
import type { JSX } from 'preact';
import { centralNow } from '../../client/api.ts';
import { duration, number } from '../../format.ts';
import { SkeletonRows } from '../../parts/layout.tsx';
import { Ago, ForeignLine, None } from '../../parts/text.tsx';
import { agentHref, go } from '../../router.ts';
import { T } from '../../strings.ts';
import type { Tasks } from './kept.ts';
import { TaskMark } from './marks.tsx';
import type { Task } from './shapes.ts';

const { tasks: K } = T;

export function TaskTable({ tasks: { items, gone, isBusy } }: { readonly tasks: Tasks }): JSX.Element {
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
