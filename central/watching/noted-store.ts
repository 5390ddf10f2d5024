// The store, with each change of an agent, a parameter, a rollout or a task noted once it is committed
// (resource-changes.ts). What is deleted with an agent, such as its tasks, is noted with it. What agents send and report
// all the time, such as messages and the progress of their consumers, is not noted.
import { isDeepStrictEqual } from 'node:util';
import type { ChangedAgent } from '../store/agent-store.ts';
import type { Labels } from '../store/agents/labels.ts';
import type { Store } from '../store/store.ts';
import { taskId } from '../store/tasks/task-steps.ts';
import type { ResourceChanges } from './resource-changes.ts';

/** What to note after a call, by its name: of what it answered and its arguments. */
type Notes<T> = {
  readonly [N in keyof T]?: T[N] extends (...args: infer A) => Promise<infer R>
    ? (result: R, ...args: A) => void
    : never;
};

function withNotes<T extends object>(part: T, notes: Notes<T>): T {
  const calls = part as Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>;
  const noted = Object.entries(notes as Readonly<Record<string, (...args: unknown[]) => void>>).map(
    ([name, note]) =>
      [
        name,
        async (...args: unknown[]): Promise<unknown> => {
          const result = await calls[name]?.(...args);
          note(result, ...args);
          return result;
        },
      ] as const,
  );
  return { ...part, ...Object.fromEntries(noted) };
}

/** The same store. */
export function noteStoreChanges(store: Store, changes: Pick<ResourceChanges, 'note'>): Store {
  const agent = (id: string): void => changes.note('agents', id);
  const labeled = (id: string, { labels, labelsBefore }: ChangedAgent): void =>
    changes.note('agents', id, isDeepStrictEqual(labels, labelsBefore) ? {} : { labelsBefore });
  const deleted = (id: string, labelsBefore: Labels): void =>
    changes.note('agents', id, { isDeleted: true, labelsBefore });
  const rollout = (number: number): void => changes.note('rollouts', `r-${number}`);
  const task = (number: number): void => changes.note('tasks', taskId({ number }));
  return {
    ...store,
    agents: withNotes(store.agents, {
      register: ({ id }) => agent(id),
      change: (changed, id) => labeled(id, changed),
      disable: (_, id) => agent(id),
      enable: (_, id) => agent(id),
      revoke: (_, id) => agent(id),
      quarantine: (_, id) => agent(id),
      remove: (labels, id) => deleted(id, labels),
      replace(replaced, oldId, newId) {
        // It took the labels of the old one.
        deleted(oldId, replaced.labels);
        labeled(newId, replaced);
      },
      claimSession: (_, { agentId }) => agent(agentId),
      logIn({ kind }, { agentId }) {
        if (kind === 'claimed') agent(agentId);
      },
      endSession: (_, { agentId }) => agent(agentId),
      recordConsumers: (ids) => ids.forEach(agent),
      recordRefusal: (_, { agentId }) => agent(agentId),
    }),
    certificates: withNotes(store.certificates, {
      recordIssued: (_, { agentId }) => agent(agentId),
      recordRenewal: (_, { certificate }) => agent(certificate.agentId),
      recordInstalled: (_, agentId) => agent(agentId),
    }),
    enrollments: withNotes(store.enrollments, {
      accept: ({ id }) => agent(id),
      replace: ({ id }) => agent(id),
      admit: ({ id }) => agent(id),
      recover: ({ id }) => agent(id),
    }),
    parameters: withNotes(store.parameters, {
      save: (_, { rows }) => rows.forEach(({ name }) => changes.note('parameters', name)),
    }),
    rollouts: withNotes(store.rollouts, {
      create: ({ number }) => rollout(number),
      save: (_, { number }) => rollout(number),
      recordReported: (_, agentId) => agent(agentId),
    }),
    tasks: withNotes(store.tasks, {
      create: (created) => task(created.task.number),
      enqueue: ({ number }) => task(number),
      assign: ({ tasks }) => tasks.forEach(({ number }) => task(number)),
      cancel: ({ number }) => task(number),
      recordStates: (changed) => changed.forEach(({ number }) => task(number)),
      endOverdue: (changed) => changed.forEach(({ number }) => task(number)),
    }),
  };
}
