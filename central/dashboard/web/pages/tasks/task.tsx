// One task: how far it is and why, what it was requested for, and what its program wrote.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { all, centralNow, get } from '../../client/api.ts';
import { useTick } from '../../client/clock.ts';
import { useLoaded } from '../../client/loaded.ts';
import { onChange } from '../../client/watch.ts';
import { absolute, clock, duration, number } from '../../format.ts';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { Callout, Card, Failed, Head, SkeletonCard } from '../../parts/layout.tsx';
import { Facts, Foreign, Hint, Since } from '../../parts/text.tsx';
import { agentHref } from '../../router.ts';
import { Shell } from '../../shell/shell.tsx';
import type { Meaning } from '../../states.ts';
import { T } from '../../strings.ts';
import { TaskActs } from './acts.tsx';
import { TaskMark } from './marks.tsx';
import { OutputCard } from './output.tsx';
import { hasEnded, lookOfTask, type Task, type TaskHandler } from './shapes.ts';

const { tasks: K } = T;

export function TaskPage({ id }: { readonly id: string }): JSX.Element {
  const path = `/tasks/${encodeURIComponent(id)}`;
  const { data, problem, again } = useLoaded(path, async (signal) => (await get<Task>(path, {}, signal)).data, 30);
  useEffect(
    () =>
      onChange((event) => {
        if (event.noun === 'task' && event.id === id) again();
      }),
    [id, again],
  );
  const isUnknown = problem?.code === 'task_unknown';
  return (
    <Shell crumbs={[[K.title, '/tasks'], [data?.id ?? id]]}>
      {data === undefined || isUnknown ? (
        <section class="card">
          <h1 class="sr">
            <Foreign text={id} />
          </h1>
          {problem === undefined ? <SkeletonCard /> : <Failed problem={problem} again={again} />}
        </section>
      ) : (
        <Known task={data} />
      )}
    </Shell>
  );
}

function Known({ task }: { readonly task: Task }): JSX.Element {
  useTick(hasEnded(task.state) ? 30 : 1);
  return (
    <>
      <Head
        title={<Foreign text={K.heading(task.handler, task.id)} />}
        sub={
          <>
            <TaskMark state={task.state} />{' '}
            <span class="muted">
              <Since at={task.stateChangedAt} />
            </span>
          </>
        }
      >
        <TaskActs task={task} />
      </Head>
      <div class="cols">
        <div class="stack">
          <Why task={task} />
          <OutputCard task={task} />
        </div>
        <div class="stack">
          <Course task={task} />
          <TaskFacts task={task} />
        </div>
      </div>
    </>
  );
}

const CALLOUTS: Readonly<Record<Meaning, 'ok' | 'warn' | 'bad' | 'info'>> = {
  ok: 'ok',
  warn: 'warn',
  bad: 'bad',
  info: 'info',
  quiet: 'info',
};

function Why({ task }: { readonly task: Task }): JSX.Element {
  const { state, stateReason, stateDeadlineAt, exitCode, lateResult } = task;
  const text = state === 'failed' && exitCode !== null ? K.exited(exitCode) : (K.why[state] ?? state);
  return (
    <Callout
      meaning={CALLOUTS[lookOfTask(state).meaning]}
      title={stateReason === null ? text : <Foreign text={stateReason.detail} />}
    >
      {stateReason !== null && (
        <p>
          {text} (<code>{stateReason.code}</code>)
        </p>
      )}
      {stateReason !== null && stateReason.hint !== null && stateReason.hint !== '' && (
        <p>
          <b>{T.whatToDo}</b> <Hint text={stateReason.hint} />
        </p>
      )}
      {state === 'failed' && stateReason === null && (task.stderr?.keptBytes ?? 0) > 0 && <p>{K.readOutput}</p>}
      {stateDeadlineAt !== null && <p>{K.endsAt(absolute(stateDeadlineAt))}</p>}
      {lateResult !== null && (
        <p>{K.late(K.states[lateResult.state] ?? lateResult.state, absolute(lateResult.receivedAt))}</p>
      )}
    </Callout>
  );
}

interface Step {
  readonly at: string;
  readonly icon: IconName;
  readonly meaning: Meaning;
  readonly title: string;
  readonly note?: ComponentChildren;
}

/** Central has the times of these; those of the states between them it does not keep. */
function stepsOf({ state, stateChangedAt, createdAt, createdBy, startedAt, endedAt }: Task): Step[] {
  const look = lookOfTask(state);
  const ran = startedAt !== null && endedAt !== null ? Date.parse(endedAt) - Date.parse(startedAt) : null;
  const isShown = state !== 'running' || startedAt === null;
  return [
    {
      at: endedAt ?? stateChangedAt,
      ...look,
      title: K.states[state] ?? state,
      ...(ran === null ? {} : { note: K.took(ran < 1000 ? K.atOnce : duration(ran)) }),
    },
    ...(startedAt === null
      ? []
      : [{ at: startedAt, ...lookOfTask('running'), title: K.steps.started, note: K.byHost }]),
    {
      at: createdAt,
      icon: 'plus' as const,
      meaning: 'quiet' as const,
      title: K.steps.requested,
      note: <Foreign text={K.by(createdBy)} />,
    },
  ].slice(isShown ? 0 : 1);
}

function Course({ task }: { readonly task: Task }): JSX.Element {
  const now = centralNow();
  return (
    <Card title={K.course}>
      <div class="body">
        <ol class="tl">
          {stepsOf(task).map(({ at, icon, meaning, title, note }) => (
            <li key={title}>
              <time dateTime={at} title={absolute(at)}>
                {clock(at, now)}
              </time>
              <Icon name={icon} className={meaning} />
              <div>
                <b>{title}</b>
                {note !== undefined && <p class="t2">{note}</p>}
              </div>
            </li>
          ))}
        </ol>
      </div>
    </Card>
  );
}

/** What its agent reports of its handler now; undefined: nothing, or not yet. */
function useHandler({ agent, handler }: Task): TaskHandler | undefined {
  const path = agent === null ? null : `/agents/${agent.id}/task-handlers`;
  const { data } = useLoaded(`${path}`, async (signal) =>
    path === null ? [] : await all<TaskHandler>(path, {}, signal),
  );
  return data?.find(({ name }) => name === handler);
}

function TaskFacts({ task }: { readonly task: Task }): JSX.Element {
  const { handler, agent, queue, exitCode, deadlineAt, createdBy, comment, ticket, state } = task;
  const known = useHandler(task);
  const foreign = (text: string | null): ComponentChildren =>
    text === null || text === '' ? T.none : <Foreign text={text} />;
  const reported = (text: string | undefined): string => text ?? T.notReported;
  return (
    <Card title={K.facts} right={agent === null ? undefined : <a href={`/tasks?agent=${agent.id}`}>{K.othersOf}</a>}>
      <div class="body">
        <Facts
          rows={[
            [K.names.handler, <code>{foreign(handler)}</code>],
            [K.names.arguments, <Words words={task.arguments} />],
            [
              K.names.agent,
              agent === null ? (
                hasEnded(state) ? (
                  K.noAgentEver
                ) : (
                  K.noAgent
                )
              ) : (
                <a href={agentHref(agent.id)}>
                  <Foreign text={agent.name} />
                </a>
              ),
            ],
            [K.names.queue, foreign(queue)],
            ...(agent === null
              ? []
              : ([
                  [K.names.account, reported(known && K.accounts[known.accounts])],
                  [K.names.processes, reported(known && K.containment[known.containment])],
                ] as const)),
            [K.names.exit, exitCode === null ? T.none : number(exitCode)],
            [K.names.deadline, absolute(deadlineAt)],
            [K.names.by, foreign(createdBy)],
            [K.names.comment, foreign(comment)],
            [K.names.ticket, foreign(ticket)],
          ]}
        />
      </div>
    </Card>
  );
}

/** One on each line: where an argument ends is seen. */
function Words({ words }: { readonly words: readonly string[] }): JSX.Element {
  if (words.length === 0) return <>{T.none}</>;
  return (
    <span class="words">
      {words.map((word, i) => (
        <code key={i}>{word === '' ? T.emptyValue : <Foreign text={word} />}</code>
      ))}
    </span>
  );
}
