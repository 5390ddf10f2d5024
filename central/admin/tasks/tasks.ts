// /tasks: programs that agents run on request, how far each is, and cancel; and what an agent can run.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import {
  MAX_ARGUMENT_LENGTH,
  MAX_ARGUMENTS,
  MAX_ARGUMENTS_BYTES,
  TASK_STATES,
  type TaskOutput,
} from '../../../shared/wire/tasks/frames.ts';
import { timestampMs } from '../../../shared/delivery/attribute-types.ts';
import { mayHaveMore } from '../../../shared/text-page.ts';
import type { AgentDirectory } from '../../agents/directory.ts';
import { isVisible, type Scope } from '../../agents/scope.ts';
import { storeFault } from '../../store/errors.ts';
import type { Cause } from '../../store/rollouts/rollout-store.ts';
import { taskText, type TaskHandlersReport, type TaskRecord } from '../../store/tasks/task-store.ts';
import { taskId } from '../../store/tasks/task-steps.ts';
import { OPERATOR, VIEWER, reads, type Access } from '../access.ts';
import { readWait, sendOnceChanged } from '../changes/waiting.ts';
import { bodyOf, oneOf, queryOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import { pageJson, pageMembers, pageOf, positionOf, readWithin, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { outputRoute } from './output.ts';

const strict = { additionalProperties: false } as const;
const name = Type.String({ minLength: 1, maxLength: 64, pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' });
const readTask = bodyOf(
  Type.Object(
    {
      agent: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
      queue: Type.Optional(name),
      handler: name,
      arguments: Type.Optional(
        Type.Array(Type.String({ maxLength: MAX_ARGUMENT_LENGTH }), { maxItems: MAX_ARGUMENTS }),
      ),
      deadlineAt: Type.Optional(Type.String({ maxLength: 64 })),
    },
    strict,
  ),
);
const readList = queryOf(
  Type.Object(
    {
      ...pageMembers,
      state: Type.Optional(Type.Array(oneOf(TASK_STATES), { maxItems: 20 })),
      agent: Type.Optional(Type.String({ maxLength: 255 })),
      handler: Type.Optional(name),
      queue: Type.Optional(name),
    },
    strict,
  ),
);
const readHandlers = queryOf(Type.Object(pageMembers, strict));

type OfTask = { Params: { task: string } };
type OfAgent = { Params: { agent: string } };

export function taskRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { tasks } = services;
  /** Errors: task_unknown, also of one whose agent the scope of the token does not contain. */
  const visible = async (request: FastifyRequest<OfTask>): Promise<TaskRecord> => {
    const task = await tasks.find(request.params.task);
    const [found] = await visibleTasks(access.agentsOf(request), access.scopeOf(request), [task]);
    if (found === undefined) throw storeFault('task_unknown', { id: taskId(task) });
    return found;
  };

  app.get('/tasks', reads(VIEWER, { query: readList }), async (request, reply) => {
    const query = readList(request.query);
    const agents = access.agentsOf(request);
    const after = positionOf(request, query);
    const filter = {
      ...(query.state === undefined ? {} : { states: query.state }),
      ...(query.agent === undefined ? {} : { agentId: await agents.findId(query.agent) }),
      ...(query.handler === undefined ? {} : { handler: query.handler }),
      ...(query.queue === undefined ? {} : { queue: query.queue }),
    };
    const { items, next } = await readWithin({
      limit: query.limit,
      after: after === undefined ? undefined : Number(after),
      read: (before, limit) => tasks.list({ ...filter, limit, ...(before === undefined ? {} : { before }) }),
      fitting: (rows) => visibleTasks(agents, access.scopeOf(request), rows),
      placeOf: ({ number }) => number,
      isLast: (rows, limit) => !mayHaveMore(rows, limit, taskText),
    });
    return pageJson(request, reply, items.map(taskJson), next === null ? null : String(next));
  });

  app.post('/tasks', reads(OPERATOR, { body: readTask }), async (request, reply) => {
    const { agent: reference, queue, arguments: words = [], deadlineAt, handler } = readTask(request.body);
    assertArguments(words);
    const order = { handler, arguments: words, deadlineAt: deadlineIn(deadlineAt) };
    const actor = access.actorOf(request);
    const runFor = async (): Promise<TaskRecord> => {
      if ((reference === undefined) === (queue === undefined)) throw addresseeInvalid(reference, queue);
      if (queue !== undefined)
        return await tasks.runInQueue({ ...order, queue, scope: access.scopeOf(request) }, actor);
      const agent = await access.agentsOf(request).find(reference ?? '');
      return await tasks.run({ ...order, agent: { id: agent.id, name: agent.name } }, actor);
    };
    const task = await runFor();
    return await reply
      .code(202)
      .header('location', `/api/v1/tasks/${taskId(task)}`)
      .send(taskJson(task));
  });

  app.get<OfTask>('/tasks/:task', reads(VIEWER, { query: readWait }), async (request, reply) =>
    sendOnceChanged(request, reply, async () => taskJson(await visible(request))),
  );

  outputRoute(app, services, access, visible);

  app.post<OfTask>('/tasks/:task/cancel', OPERATOR, async (request, reply) => {
    const task = await visible(request);
    return await reply.code(202).send(taskJson(await tasks.cancel(taskId(task), access.actorOf(request))));
  });

  app.get<OfAgent>('/agents/:agent/task-handlers', reads(VIEWER, { query: readHandlers }), async (request, reply) => {
    const { id } = await access.agentsOf(request).find(request.params.agent);
    const report = await tasks.handlersOf(id);
    const rows = report?.handlers.map((one) => ({ ...one, report })) ?? [];
    return pageOf(request, reply, readHandlers(request.query), rows, {
      position: ({ name }) => name,
      json: handlerJson,
    });
  });
}

/**
 * Those that a token with this scope sees: of its agents; and of those that wait in a queue, or ended there, what a token
 * with such a scope has requested.
 */
export async function visibleTasks(
  agents: AgentDirectory,
  scope: Scope | null,
  tasks: readonly TaskRecord[],
): Promise<readonly TaskRecord[]> {
  if (scope === null) return tasks;
  const ofAgents = new Set(await agents.fitting(tasks, ({ agent }) => agent?.id ?? null));
  return tasks.filter((task) => (task.agent === null ? isVisible(scope, task) : ofAgents.has(task)));
}

function addresseeInvalid(agent: string | undefined, queue: string | undefined): Error {
  const found = agent === undefined && queue === undefined ? 'none of them' : 'both';
  const detail = `The body has to name either agent or queue; found: ${found}.`;
  return requestInvalid([{ pointer: queue === undefined ? '#/agent' : '#/queue', detail, allowed: null, found: null }]);
}

/** Errors: request_invalid. */
function deadlineIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const at = timestampMs(text);
  if (at !== undefined) return at;
  const detail = 'deadlineAt is not a time; allowed: RFC 3339, such as 2026-11-27T08:00:00Z.';
  throw requestInvalid([{ pointer: '#/deadlineAt', detail, allowed: null, found: text.slice(0, 64) }]);
}

/** Errors: request_invalid. */
function assertArguments(words: readonly string[]): void {
  const bytes = words.reduce((sum, word) => sum + Buffer.byteLength(word), 0);
  const fault = words.some((word) => word.includes('\0'))
    ? 'An argument has a null character, which no program can be given.'
    : bytes > MAX_ARGUMENTS_BYTES
      ? `The arguments have ${bytes} bytes; allowed: ${MAX_ARGUMENTS_BYTES}.`
      : undefined;
  if (fault !== undefined)
    throw requestInvalid([{ pointer: '#/arguments', detail: fault, allowed: null, found: null }]);
}

/** Member by member: what is answered is what is documented. */
export function taskJson(task: TaskRecord) {
  const { state, lateResult } = task;
  return {
    id: taskId(task),
    agent: task.agent,
    queue: task.queue,
    handler: task.handler,
    arguments: task.arguments,
    state,
    stateChangedAt: timeOf(task.stateChangedAt),
    stateReason: causeJson(task.stateReason),
    stateDeadlineAt: timeOf(task.stateDeadlineAt),
    deadlineAt: timeOf(task.deadlineAt),
    createdAt: timeOf(task.createdAt),
    createdBy: task.createdBy,
    comment: task.comment,
    ticket: task.ticket,
    startedAt: timeOf(task.startedAt),
    endedAt: timeOf(task.endedAt),
    exitCode: task.exitCode,
    stdout: outputJson(task.stdout),
    stderr: outputJson(task.stderr),
    lateResult:
      lateResult === null
        ? null
        : { state: lateResult.state, receivedAt: timeOf(lateResult.receivedAt), exitCode: lateResult.exitCode },
  };
}

function outputJson(output: TaskOutput | null) {
  return output === null
    ? null
    : { keptBytes: output.keptBytes, sha256: output.sha256, truncated: output.truncated, tail: output.tail };
}

function causeJson({ code, detail, hint }: Cause) {
  return code === '' ? null : { code, detail, hint };
}

function handlerJson({
  report,
  ...one
}: TaskHandlersReport['handlers'][number] & { readonly report: TaskHandlersReport }) {
  return {
    name: one.name,
    arguments: one.arguments,
    argumentPattern: one.argumentPattern,
    timeoutSeconds: one.timeoutSeconds,
    graceSeconds: one.graceSeconds,
    concurrencyCount: one.concurrencyCount,
    rerun: one.rerun,
    accounts: report.accounts,
    containment: report.containment,
    queues: report.queues ?? [],
    reportedAt: timeOf(report.reportedAt),
  };
}
