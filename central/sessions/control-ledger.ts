// Checks whether an agent may send a control frame now: each answer needs a request before it, so that an agent cannot
// make Central write more often than Central requests.
import {
  MAX_CONSUMERS_BYTES,
  MAX_EXPIRED_BYTES,
  type AgentControl,
  type CentralControl,
} from '../../shared/wire/messages.ts';
import { DEVICES_CAPABILITY } from '../../shared/wire/devices/frames.ts';
import { STREAMS_CAPABILITY } from '../../shared/session/streams/frames.ts';
import { MAX_SERVICES_BYTES } from '../../shared/wire/services/frames.ts';
import { MAX_TASK_HANDLERS_BYTES, MAX_TASK_REPORTS_BYTES, TASKS_CAPABILITY } from '../../shared/wire/tasks/frames.ts';

/** The open requests of one session. */
export class ControlLedger {
  /**
   * `trust` frames without an answer. An agent that gets another one before it has answered may answer both, or only
   * the last one.
   */
  #trust = 0;
  /** `renewed` frames whose certificate the agent has not confirmed. */
  #renewed = 0;
  #renewing = false;
  #recording = false;
  #recordingTasks = false;
  #issuingDevice = false;
  readonly #hasDevices: boolean;
  readonly #runsTasks: boolean;
  readonly #takesReleases: boolean;
  readonly #measuresReleases: boolean;
  readonly #hasStreams: boolean;

  /** Of the agent. */
  constructor(capabilities: readonly string[]) {
    this.#takesReleases = capabilities.includes('releases.1');
    this.#runsTasks = capabilities.includes(TASKS_CAPABILITY);
    this.#hasDevices = capabilities.includes(DEVICES_CAPABILITY);
    this.#hasStreams = capabilities.includes(STREAMS_CAPABILITY);
    this.#measuresReleases = capabilities.includes('releases.measure');
  }

  /** Central sends this frame now. */
  sent({ type }: CentralControl): void {
    if (type === 'trust') this.#trust += 1;
    if (type === 'renewed') this.#renewed += 1;
    if (type === 'renewed' || type === 'renew-refused') this.#renewing = false;
    if (type === 'expired-recorded') this.#recording = false;
    if (type === 'device-issued' || type === 'device-refused') this.#issuingDevice = false;
    if (type === 'task-states-recorded') this.#recordingTasks = false;
  }

  /** Records a frame of the agent; returns the fault when it is not allowed now. */
  received(frame: AgentControl): string | undefined {
    const { type } = frame;
    switch (type) {
      case 'consumers':
        // Nothing asks for it: it is bounded by its size, and by the rate of all control frames.
        return JSON.stringify(frame).length > MAX_CONSUMERS_BYTES
          ? `consumers of more than ${MAX_CONSUMERS_BYTES} bytes`
          : undefined;
      case 'expired':
        if (this.#recording) return 'expired before the expired frame before it was answered';
        this.#recording = true;
        return JSON.stringify(frame).length > MAX_EXPIRED_BYTES
          ? `expired of more than ${MAX_EXPIRED_BYTES} bytes`
          : undefined;
      case 'trusted':
      case 'trust-refused':
        if (this.#trust === 0) return `${type} without a trust frame before it`;
        this.#trust -= 1;
        return undefined;
      case 'renew-installed':
        if (this.#renewed === 0) return 'renew-installed without a renewed frame before it';
        this.#renewed -= 1;
        return undefined;
      case 'renew':
        if (this.#renewing) return 'renew before the renew frame before it was answered';
        this.#renewing = true;
        return undefined;
      case 'device-request':
        if (!this.#hasDevices) return `${type} without the capability ${DEVICES_CAPABILITY}`;
        if (this.#issuingDevice) return 'device-request before the device-request frame before it was answered';
        this.#issuingDevice = true;
        return undefined;
      case 'services':
        if (!this.#hasStreams) return `${type} without the capability ${STREAMS_CAPABILITY}`;
        return JSON.stringify(frame).length > MAX_SERVICES_BYTES
          ? `services of more than ${MAX_SERVICES_BYTES} bytes`
          : undefined;
      case 'task-handlers':
        if (!this.#runsTasks) return `${type} without the capability ${TASKS_CAPABILITY}`;
        return JSON.stringify(frame).length > MAX_TASK_HANDLERS_BYTES
          ? `task-handlers of more than ${MAX_TASK_HANDLERS_BYTES} bytes`
          : undefined;
      case 'task-states':
        if (!this.#runsTasks) return `${type} without the capability ${TASKS_CAPABILITY}`;
        if (this.#recordingTasks) return 'task-states before the task-states frame before it was answered';
        this.#recordingTasks = true;
        return JSON.stringify(frame).length > MAX_TASK_REPORTS_BYTES
          ? `task-states of more than ${MAX_TASK_REPORTS_BYTES} bytes`
          : undefined;
      case 'release-state':
        // An instruction outlives the session that brought it, so that nothing in this one has to ask for its state. It
        // is bounded by the rate of all control frames; what does not change a state of a rollout is not written
        // (central/rollouts/).
        return this.#takesReleases ? undefined : 'release-state without the capability releases.1';
      case 'release-measured':
        // It measures by itself, too. Bounded as above; nothing of it is written.
        return this.#measuresReleases ? undefined : 'release-measured without the capability releases.measure';
    }
  }
}
