// The commands on tasks: run, list, show, cancel, and output (output.ts); and what an agent can run.
import type { Command, CommandCall } from '../../command.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { REASON, termsOf } from '../../terms.ts';
import { WAIT, waitForEnd, waitSeconds } from '../../watching/wait.ts';
import { WATCH } from '../../watching/watch.ts';
import { followTask, outputCommand } from './output.ts';
import { awaitedTask, pathOf, STATES, type Row } from './task-states.ts';

const ONE = { least: 1, most: 1 } as const;
const MOST_ARGUMENTS = 64;

export const taskCommands: readonly Command[] = [
  {
    name: 'tasks run',
    namedBy: 'id',
    usage: '(AGENT | --queue QUEUE) HANDLER [options] [-- ARGUMENT...]',
    summary: 'run a program that the configuration of an agent names, at most once',
    help: 'With --queue, one of the agents that serve the queue (agent.queues) runs it, as soon as one has room. An agent that is offline runs it when it is back, unless the deadline has passed. Arguments go to the program as they are, through no\nshell. With --wait and --follow the command exits with 1 unless the task succeeded. "queuegate agents handlers AGENT" shows what an agent can run.',
    options: {
      deadline: {
        type: 'string',
        value: 'TIME',
        doc: 'start it within this time, such as 2h, or not at all; 24h unless set, at most 6d',
      },
      queue: { type: 'string', value: 'QUEUE', doc: 'run it at an agent of this queue, instead of AGENT' },
      follow: { type: 'boolean', doc: 'show what the program writes, until the task has ended' },
      ...WAIT,
      ...REASON,
    },
    words: { least: 1, most: 2 + MOST_ARGUMENTS },
    async run(call) {
      const queue = call.text('queue');
      const [agent, handler, ...words] = queue === undefined ? call.words : [undefined, ...call.words];
      if (handler === undefined)
        throw call.complain('HANDLER is missing; "queuegate agents handlers AGENT" shows those of an agent');
      const seconds = call.seconds('deadline');
      if (call.flag('follow') && call.text('wait') !== undefined)
        throw call.complain('--follow and --wait exclude each other');
      const deadlineAt = seconds === undefined ? undefined : new Date(Date.now() + seconds * 1000).toISOString();
      const answer = await call.client.request('POST', '/tasks', {
        isCreating: true,
        query: termsOf(call),
        body: {
          ...(queue === undefined ? { agent } : { queue }),
          handler,
          arguments: words,
          ...(deadlineAt === undefined ? {} : { deadlineAt }),
        },
      });
      if (call.flag('follow')) return await follow(call, recordOf(answer));
      const task = await atEnd(call, recordOf(answer));
      call.answer(task, () => taskText(task));
    },
  },
  {
    name: 'tasks list',
    watches: 'tasks',
    namedBy: 'id',
    usage: '[--agent AGENT] [--queue QUEUE] [--handler HANDLER] [--state STATE,...]',
    summary: 'tasks, the newest first',
    options: {
      agent: { type: 'string', value: 'AGENT', doc: 'only those of this agent' },
      queue: { type: 'string', value: 'QUEUE', doc: 'only those that were requested for this queue' },
      handler: { type: 'string', value: 'HANDLER', doc: 'only those of this handler' },
      state: { type: 'string', value: 'STATE,...', doc: STATES },
      ...LIST,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/tasks', {
        agent: call.text('agent'),
        queue: call.text('queue'),
        handler: call.text('handler'),
        state: call.text('state')?.split(','),
      });
      call.answer(answer, () =>
        call.table(
          ['id', 'agent', 'queue', 'handler', 'state', 'since', 'exit', 'by'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            recordOf(row['agent'])['name'],
            row['queue'],
            row['handler'],
            row['state'],
            row['stateChangedAt'],
            row['exitCode'],
            row['createdBy'],
          ]),
          'No tasks.',
        ),
      );
    },
  },
  {
    name: 'tasks show',
    namedBy: 'id',
    usage: 'TASK [--wait]',
    summary: 'one task, with the end of what it wrote',
    options: { ...WAIT, ...WATCH },
    words: ONE,
    async run(call) {
      const row = await atEnd(call, recordOf(await call.current(pathOf(call.words[0]))));
      call.answer(row, () => taskText(row));
    },
  },
  outputCommand,
  {
    name: 'tasks cancel',
    namedBy: 'id',
    usage: 'TASK [--wait]',
    summary: 'cancel a task: one that runs gets SIGTERM, and SIGKILL after the grace of its handler',
    help: 'A task that has ended stays as it is. One of an agent that is offline is canceled when the agent is back.',
    options: { ...WAIT, ...REASON },
    words: ONE,
    async run(call) {
      const answer = recordOf(
        await call.client.request('POST', `${pathOf(call.words[0])}/cancel`, { query: termsOf(call) }),
      );
      const seconds = waitSeconds(call);
      const row = seconds === undefined ? answer : await waitForEnd(call, seconds, awaitedTask(answer));
      call.answer(row, () => taskText(row));
    },
  },
  {
    name: 'agents handlers',
    namedBy: 'name',
    usage: 'AGENT',
    summary: 'what an agent can run as tasks, as it reported last',
    options: LIST,
    words: ONE,
    async run(call) {
      const answer = await readList(call, `/agents/${encodeURIComponent(call.words[0] ?? '')}/task-handlers`);
      call.answer(answer, () =>
        call.table(
          ['name', 'arguments', 'pattern', 'timeout', 'at a time', 'queues', 'accounts', 'containment'],
          rowsOf(answer, 'items').map((row) => [
            row['name'],
            row['arguments'],
            row['argumentPattern'],
            `${shown(row['timeoutSeconds'])} s`,
            row['concurrencyCount'],
            row['queues'],
            row['accounts'],
            row['containment'],
          ]),
          'The agent runs no tasks.',
        ),
      );
    },
  },
];

/** The standard streams are those of the program; the command fails unless it succeeded. */
async function follow(call: CommandCall, { id }: Row): Promise<void> {
  call.notice(`The task is ${shown(id)}.`);
  const { state, exitCode } = await followTask(call, shown(id));
  call.notice(`The task ${shown(id)} is ${shown(state)}${exitCode === null ? '' : `, exit code ${shown(exitCode)}`}.`);
  if (state !== 'succeeded') call.fail();
}

/** With --wait the task in its final state; the command fails unless it succeeded. */
async function atEnd(call: CommandCall, task: Row): Promise<Row> {
  const seconds = waitSeconds(call);
  if (seconds === undefined) return task;
  const ended = await waitForEnd(call, seconds, awaitedTask(task));
  if (ended['state'] !== 'succeeded') call.fail();
  return ended;
}

function taskText(row: Row): string {
  const reason = recordOf(row['stateReason']);
  const late = recordOf(row['lateResult']);
  return [
    facts([
      ['id', row['id']],
      ['agent', recordOf(row['agent'])['name']],
      ['queue', row['queue']],
      ['handler', row['handler']],
      ['arguments', row['arguments']],
      ['state', `${shown(row['state'])} since ${shown(row['stateChangedAt'])}`],
      ...(row['stateReason'] === null
        ? []
        : [
            ['reason', `${shown(reason['detail'])} (${shown(reason['code'])})`] as const,
            ['hint', reason['hint']] as const,
          ]),
      ['by', `${shown(row['createdBy'])}, ${shown(row['createdAt'])}`],
      ['deadline', row['deadlineAt']],
      ['started', row['startedAt']],
      ['ended', row['endedAt']],
      ['exit code', row['exitCode']],
      ...(row['lateResult'] === null
        ? []
        : [
            [
              'late result',
              `${shown(late['state'])}, exit code ${shown(late['exitCode'])}, ${shown(late['receivedAt'])}`,
            ] as const,
          ]),
      ['stdout', outputText(row['stdout'])],
      ['stderr', outputText(row['stderr'])],
    ]),
    ...tailText('stdout', row['stdout']),
    ...tailText('stderr', row['stderr']),
  ].join('\n');
}

function outputText(output: unknown): string {
  if (output === null || output === undefined) return '-';
  const { keptBytes, truncated } = recordOf(output);
  return `${shown(keptBytes)} bytes${truncated === true ? ', and more that was not kept' : ''}`;
}

/** The last lines, each escaped: a program may write what acts on a terminal. */
function tailText(channel: string, output: unknown): string[] {
  const { tail, keptBytes } = recordOf(output);
  if (typeof tail !== 'string' || tail === '') return [];
  const bytes = Buffer.from(tail, 'base64');
  const isWhole = bytes.length === keptBytes;
  const lines = bytes
    .toString('utf8')
    .replace(/\r?\n$/, '')
    .split(/\r?\n/);
  return [
    '',
    isWhole ? `${channel}:` : `${channel} (the last ${bytes.length} bytes):`,
    ...lines.map((line) => (line === '' ? '' : shown(line))),
  ];
}
