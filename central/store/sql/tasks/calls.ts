// The interface of tasks as calls to the two database threads.
import type { Reader, Writer } from '../threads.ts';
import type { TaskStore } from '../../tasks/task-store.ts';

export function taskCalls(writer: Writer, reader: Reader): TaskStore {
  return {
    create: (task, terms, audit) => writer.call('createTask', [audit, task, terms]),
    enqueue: (task, bounds, audit) => writer.call('enqueueTask', [audit, task, bounds]),
    assign: (assignment) => writer.call('assignTasks', [assignment]),
    queuedKinds: () => reader.call('queuedTaskKinds', []),
    longestQueues: (limit) => reader.call('longestTaskQueues', [limit]),
    get: (number) => reader.call('getTask', [number]),
    list: ({ before, limit, states, agentId, handler, queue }) =>
      reader.call('listTasks', [
        before ?? Number.MAX_SAFE_INTEGER,
        limit,
        states ?? null,
        agentId ?? null,
        handler ?? null,
        queue ?? null,
      ]),
    canceling: () => reader.call('cancelingTasks', []),
    cancel: (number, times, audit) => writer.call('cancelTask', [audit, number, times]),
    recordStates: (agentId, epoch, items, times) => writer.call('recordTaskStates', [agentId, epoch, items, times]),
    recordHandlers: (agentId, epoch, report) =>
      writer.call('recordTaskHandlers', [agentId, epoch, report], { lazy: true }),
    handlersOf: (agentId) => reader.call('taskHandlersOf', [agentId]),
    endOverdue: (now, limit) => writer.call('endOverdueTasks', [now, limit]),
    countByState: () => reader.call('countTasks', []),
  };
}
