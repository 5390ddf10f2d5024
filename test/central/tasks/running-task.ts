// A task that an agent runs, as tests of its output need it.
import type { TaskRecord } from '../../../central/store/tasks/task-store.ts';

export const RUNNING_TASK = {
  number: 1,
  key: 'a'.repeat(32),
  agent: { id: 'a1', name: 'branch-1' },
  state: 'running',
  startedAt: 1,
} as unknown as TaskRecord;
