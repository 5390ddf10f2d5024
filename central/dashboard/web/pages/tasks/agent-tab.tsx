// The tab of an agent: what it can run, and the tasks that it had, the newest first.
import type { JSX } from 'preact';
import { all } from '../../client/api.ts';
import { useTick } from '../../client/clock.ts';
import { useLoaded } from '../../client/loaded.ts';
import { may } from '../../client/session.ts';
import type { Agent } from '../../client/types.ts';
import { duration, number } from '../../format.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Card, Empty, Failed, SkeletonCard } from '../../parts/layout.tsx';
import { Foreign, ForeignLine, Hint } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { useTasks } from './kept.ts';
import type { TaskHandler } from './shapes.ts';
import { StartDialog } from './start.tsx';
import { TaskTable } from './table.tsx';

const { tasks: K } = T;

export function AgentTasksTab({ agent }: { readonly agent: Agent }): JSX.Element {
  useTick(5);
  const path = `/agents/${agent.id}/task-handlers`;
  const handlers = useLoaded(path, async (signal) => await all<TaskHandler>(path, {}, signal), 30);
  const tasks = useTasks({ states: [], agent: agent.id, queue: '', handler: '' });
  const { items, newCount, problem, update } = tasks;
  const run = (handler?: string): void =>
    openDialog((close) => (
      <StartDialog close={close} first={{ agent: agent.name, ...(handler === undefined ? {} : { handler }) }} />
    ));
  return (
    <div class="stack">
      <Card title={K.offered}>
        {handlers.data === undefined ? (
          handlers.problem === undefined ? (
            <SkeletonCard lines={3} />
          ) : (
            <Failed problem={handlers.problem} again={handlers.again} />
          )
        ) : handlers.data.length === 0 ? (
          <Empty icon="task" title={K.noHandlers(agent.name)}>
            <p>
              <Hint text={K.noHandlersText} />
            </p>
          </Empty>
        ) : (
          <Handlers handlers={handlers.data} run={run} />
        )}
      </Card>
      <Card title={K.title} right={<a href={`/tasks?agent=${agent.id}`}>{K.filterThem}</a>}>
        {newCount > 0 && (
          <div class="newrows">
            <span>
              {K.newTasks(newCount)}{' '}
              <button class="link" type="button" onClick={update}>
                {T.updateOrder}
              </button>
            </span>
          </div>
        )}
        {items === undefined && problem !== null ? (
          <Failed problem={problem} again={update} />
        ) : items?.length === 0 ? (
          <Empty icon="task" title={K.none} />
        ) : (
          <TaskTable tasks={tasks} />
        )}
      </Card>
    </div>
  );
}

interface HandlersProps {
  readonly handlers: readonly TaskHandler[];
  readonly run: (handler: string) => void;
}

function Handlers({ handlers, run }: HandlersProps): JSX.Element {
  const [{ accounts, containment, queues } = { accounts: '', containment: '', queues: [] }] = handlers;
  const { name, words, longest, together, rerun } = K.handlerColumns;
  return (
    <>
      <div class="tw">
        <table class="cards handlers">
          <caption class="sr">{K.offered}</caption>
          <thead>
            <tr>
              {[name, words, rerun].map((label) => (
                <th key={label} scope="col">
                  {label}
                </th>
              ))}
              <th scope="col" class="num">
                {longest}
              </th>
              <th scope="col" class="num">
                {together}
              </th>
              {may('operator') && (
                <th scope="col">
                  <span class="sr">{K.start}</span>
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {handlers.map((one) => (
              <tr key={one.name}>
                <td>
                  <code>
                    <ForeignLine text={one.name} />
                  </code>
                </td>
                <td class="wide meta" data-l={words}>
                  {K.argumentModes[one.arguments]}
                  {one.argumentPattern !== null && (
                    <span class="d2">
                      <Foreign text={K.argumentsMatch(one.argumentPattern)} />
                    </span>
                  )}
                </td>
                <td class="wide meta" data-l={rerun}>
                  {one.rerun ? K.reruns : K.runsOnce}
                </td>
                <td class="num meta" data-l={longest}>
                  {duration(one.timeoutSeconds * 1000)}
                </td>
                <td class="num meta" data-l={together}>
                  {number(one.concurrencyCount)}
                </td>
                {may('operator') && (
                  <td class="num right">
                    <Button isSmall label={`${T.ellipsis(K.run)} ${one.name}`} onClick={() => run(one.name)}>
                      {T.ellipsis(K.run)}
                    </Button>
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="tfoot">
        <span class="grow">
          <Foreign text={K.under(K.accounts[accounts] ?? accounts, K.containment[containment] ?? containment)} />{' '}
          <Foreign text={queues.length === 0 ? K.noQueues : K.queuesOf(queues.join(', '))} />
        </span>
      </div>
    </>
  );
}
