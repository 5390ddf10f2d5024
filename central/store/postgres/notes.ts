// What other nodes must hear of: each call that changes something they keep in memory leaves a note in its transaction
// (node-store.ts, SharedChange). Who reads the notes reads the rows again.
import type { SqlDatabase } from '../../../shared/sqlite/sql.ts';
import type { Labels } from '../agents/labels.ts';
import type { SharedSubject } from '../nodes/node-store.ts';
import type { Writes } from '../sql/writes.ts';
import type { loginWrites } from './logins.ts';
import { taskId } from '../tasks/task-steps.ts';

interface Note {
  readonly subject: SharedSubject;
  readonly id: string;
  readonly isDeleted?: boolean;
  readonly labelsBefore?: Labels | null;
}

type NoteOf = {
  readonly [K in keyof Writes]?: (result: ReturnType<Writes[K]>, ...call: Parameters<Writes[K]>) => readonly Note[];
};

const agent = (id: string): Note[] => [{ subject: 'agents', id }];
const task = (number: number): Note => ({ subject: 'tasks', id: taskId({ number }) });
const one = (subject: SharedSubject, id: string): Note[] => [{ subject, id }];

const NOTES: NoteOf = {
  registerAgent: ({ id }) => agent(id),
  changeAgent: ({ labelsBefore }, _audit, id) => [{ subject: 'agents', id, labelsBefore }],
  disableAgent: (_, _audit, id) => agent(id),
  enableAgent: (_, _audit, id) => agent(id),
  revokeAgent: (_, _audit, id) => agent(id),
  quarantineAgent: (_, id) => agent(id),
  removeAgent: (labels, _audit, id) => [{ subject: 'agents', id, isDeleted: true, labelsBefore: labels }],
  replaceAgent: ({ labels, labelsBefore }, _audit, oldId, newId) => [
    { subject: 'agents', id: oldId, isDeleted: true, labelsBefore: labels },
    { subject: 'agents', id: newId, labelsBefore },
  ],
  claimSession: (_, { agentId }) => agent(agentId),
  logIn: ({ kind }, { agentId }) => (kind === 'claimed' ? agent(agentId) : []),
  endSession: (_, agentId) => agent(agentId),
  recordConsumers: (ids) => ids.flatMap(agent),
  recordRefusedHello: (_, { agentId }) => agent(agentId),
  recordIssued: (_, _audit, { agentId }) => agent(agentId),
  recordRenewal: (_, { certificate }) => agent(certificate.agentId),
  recordInstalled: (_, agentId) => agent(agentId),
  acceptEnrollment: ({ id }) => [...agent(id), { subject: 'enrollments', id: '' }],
  replaceByRequest: ({ id }) => [...agent(id), { subject: 'enrollments', id: '' }],
  admitAgent: ({ id }) => agent(id),
  recoverAgent: ({ id }) => agent(id),
  submitEnrollmentRequest: ({ keyThumbprint }) => one('enrollments', keyThumbprint),
  rejectEnrollment: (_, _audit, keyThumbprint) => one('enrollments', keyThumbprint),
  recordReported: (_, agentId) => agent(agentId),
  appendCommands: (_, agentId) => one('commands', agentId),
  withdrawCommand: (_, _audit, commandId) => one('commands', commandId),
  saveParameters: (_, { rows }) => [
    { subject: 'parameters', id: '' },
    ...rows.flatMap(({ name }) => one('parameters', name)),
  ],
  putKeyMaterial: (_, changes) => changes.flatMap(({ subject }) => one('keys', subject)),
  addApiToken: (_, _audit, { id }) => one('tokens', id),
  changeApiToken: (_, _audit, id) => one('tokens', id),
  removeApiToken: (_, _audit, id) => [{ subject: 'tokens', id, isDeleted: true }],
  saveMaintenance: () => one('maintenance', ''),
  createRollout: ({ number }) => one('rollouts', `r-${number}`),
  saveRollout: (_, { number }) => one('rollouts', `r-${number}`),
  enqueueTask: ({ number }) => [task(number)],
  createTask: (created, _audit, { agentId }) => [task(created.task.number), { subject: 'commands', id: agentId }],
  assignTasks: ({ tasks }) => tasks.flatMap(({ number, agentId }) => [task(number), ...one('commands', agentId)]),
  cancelTask: ({ number }) => [task(number)],
  recordTaskStates: (changed) => changed.map(({ number }) => task(number)),
  endOverdueTasks: (changed) => changed.map(({ number }) => task(number)),
  createSubscription: ({ id }) => one('subscriptions', id),
  changeSubscription: ({ id }) => one('subscriptions', id),
  removeSubscription: (_, _audit, id) => [{ subject: 'subscriptions', id, isDeleted: true }],
  createExposure: ({ id }) => one('exposures', id),
  changeExposure: ({ id }) => one('exposures', id),
  removeExposure: (_, _audit, id) => [{ subject: 'exposures', id, isDeleted: true }],
  addRelease: (_, _audit, { digest }) => one('releases', digest),
  signRelease: (_, _audit, digest) => one('releases', digest),
  removeRelease: (_, _audit, digest) => [{ subject: 'releases', id: digest, isDeleted: true }],
  changeDraft: ({ name }) => one('releases', name),
  removeProfile: (_, _audit, name) => [{ subject: 'releases', id: name, isDeleted: true }],
};

export class ChangeNotes {
  readonly #node: string;
  #notes: Note[] = [];

  constructor(node: string) {
    this.#node = node;
  }

  get count(): number {
    return this.#notes.length;
  }

  begin(): void {
    this.#notes = [];
  }

  /** Forgets those behind the first so many: their call was undone. */
  cut(count: number): void {
    this.#notes.length = count;
  }

  /** Of a call for many agents. */
  readonly noteAgent = (id: string): void => {
    this.#notes.push(...agent(id));
  };

  /** The same methods, of which those that others must hear of leave notes. */
  of<M extends Writes>(writes: M): M {
    const noted = Object.entries(NOTES as Readonly<Record<string, (...of: unknown[]) => readonly Note[]>>).map(
      ([name, notesOf]) => {
        const call = (writes as unknown as Readonly<Record<string, (...call: unknown[]) => unknown>>)[name];
        return [
          name,
          (...args: unknown[]): unknown => {
            const result = call?.(...args);
            this.#notes.push(...notesOf(result, ...args));
            return result;
          },
        ] as const;
      },
    );
    return { ...writes, ...Object.fromEntries(noted) };
  }

  /** The same for a group of logins. */
  ofLogins(logins: ReturnType<typeof loginWrites>): ReturnType<typeof loginWrites>['logInMany'] {
    return (requests) => {
      const outcomes = logins.logInMany(requests);
      for (const [index, outcome] of outcomes.entries())
        if (outcome !== 'alone' && outcome.kind === 'claimed')
          this.#notes.push(...agent(requests[index]?.claim.agentId ?? ''));
      return outcomes;
    };
  }

  write(database: SqlDatabase): void {
    if (this.#notes.length === 0) return;
    // Each once, in the order of the last ones.
    const each = new Map<string, Note>();
    for (const note of this.#notes) {
      const key = `${note.subject} ${note.id} ${JSON.stringify(note.labelsBefore ?? null)}`;
      each.delete(key);
      each.set(key, note);
    }
    database.prepare('SELECT note_changes(?, ?)').run(
      this.#node,
      JSON.stringify(
        Array.from(each.values(), ({ subject, id, isDeleted = false, labelsBefore = null }) => ({
          subject,
          id,
          is_deleted: Number(isDeleted),
          labels_before: labelsBefore === null ? null : JSON.stringify(labelsBefore),
        })),
      ),
    );
  }
}
