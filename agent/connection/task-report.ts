// Reports to Central what the agent can run, and how far its tasks are.
import type { TaskCancel, TaskHandlers, TaskReportsRecorded } from '../../shared/wire/tasks/frames.ts';
import type { AgentStore } from '../store/store.ts';
import type { TaskRecords } from '../store/tasks.ts';
import type { SendControl } from './control.ts';
import { RecordedReport } from './recorded-report.ts';

interface TaskReportNeeds {
  readonly records: Pick<TaskRecords, 'batch' | 'recorded'>;
  handlers(): Omit<TaskHandlers, 'type'>;
  /** Must not reject. */
  cancel(tasks: TaskCancel['tasks']): Promise<void>;
  readonly log: { debug(facts: object, text: string): void };
  readonly after: (ms: number, run: () => void) => () => void;
}

/** For each frame, and for each KiB of it: half of what Central takes. */
const FRAME_MS = 100;
const KIB = 1024;

export class TaskReport {
  readonly #needs: TaskReportNeeds;
  readonly #states: RecordedReport;
  #send: SendControl | undefined;

  constructor(needs: TaskReportNeeds) {
    const { records, log, after } = needs;
    this.#needs = needs;
    this.#states = new RecordedReport({
      subject: 'tasks',
      async read() {
        const batch = await records.batch();
        return batch && { type: 'task-states', ...batch };
      },
      recorded: (through) => records.recorded(through),
      intervalMs: (frame) => FRAME_MS * (1 + JSON.stringify(frame).length / KIB),
      log,
      after,
    });
  }

  /** Reports what changes in the store from now on; `onAccepted`: tasks have come. */
  follow({ inbox, tasks }: Pick<AgentStore, 'inbox' | 'tasks'>, onAccepted: () => void): void {
    let accepted = 0;
    inbox.onChanged(() => {
      if (tasks.acceptedCount === accepted) return;
      accepted = tasks.acceptedCount;
      onAccepted();
      this.#states.changed();
    });
    tasks.onChanged(() => this.#states.changed());
  }

  onOnline(send: SendControl): void {
    this.#send = send;
    this.handlersChanged();
    this.#states.onOnline(send);
  }

  onOffline(): void {
    this.#send = undefined;
    this.#states.onOffline();
  }

  handlersChanged(): void {
    this.#send?.({ type: 'task-handlers', ...this.#needs.handlers() });
  }

  onFrame(frame: TaskCancel | TaskReportsRecorded): void {
    if (frame.type === 'task-cancel') void this.#needs.cancel(frame.tasks);
    else this.#states.onFrame(frame);
  }
}
