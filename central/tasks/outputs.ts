// What programs of tasks wrote, as it is asked for: from the agent, by a stream of its session, since Central keeps
// sizes, digests and the end of each channel only. Few are read at once: each may make Central keep 256 KiB.
import { isFinalTaskState } from '../../shared/wire/tasks/frames.ts';
import { readTaskLogHead, TASK_LOG, type TaskChannel, type TaskLogHead } from '../../shared/wire/tasks/log-stream.ts';
import { StreamReset } from '../../shared/session/streams/stream.ts';
import type { AgentStream, AgentStreams } from '../forwarding/agent-streams.ts';
import type { StreamCaller } from '../forwarding/node-calls.ts';
import { rolloutFault } from '../rollouts/errors.ts';
import type { TaskRecord } from '../store/tasks/task-store.ts';
import { taskId } from '../store/tasks/task-steps.ts';
import { taskFault } from './errors.ts';

interface TaskOutputsNeeds {
  readonly agentStreams: Pick<AgentStreams, 'open'>;
  /** How long an agent may take to answer. */
  readonly answerMs?: number;
}

interface OutputWanted {
  readonly channel: TaskChannel;
  readonly offsetBytes: number;
  /** Until the task has ended. */
  readonly follow: boolean;
  /** The API token that reads it. */
  readonly tokenId: string;
  readonly caller: StreamCaller;
}

/** The stream ends where the output does, or with an error; it has to be read or destroyed. */
export interface OpenOutput extends TaskLogHead {
  readonly content: AgentStream;
}

/** As many as an agent sends (agent/tasks/task-logs.ts). */
export const MAX_OUTPUTS_OF_AGENT = 8;
export const MAX_OUTPUTS_OF_TOKEN = 16;
const MAX_OUTPUTS = 200;
const ANSWER_MS = 15_000;

export class TaskOutputs {
  readonly #needs: TaskOutputsNeeds;
  readonly #open = new Map<string, number>();

  constructor(needs: TaskOutputsNeeds) {
    this.#needs = needs;
  }

  /**
   * Errors: agent_offline, task_output_not_started, task_output_missing, task_output_gone, task_output_offset_invalid,
   * task_output_unsupported, task_outputs_full, task_output_failed, and those of AgentStreams.
   */
  async open(task: TaskRecord, wanted: OutputWanted): Promise<OpenOutput> {
    const { agent, startedAt, state } = task;
    const { channel } = wanted;
    if (startedAt === null || agent === null)
      throw isFinalTaskState(state)
        ? taskFault('task_output_missing', { task: taskId(task), channel })
        : taskFault('task_output_not_started', { task: taskId(task), state });
    const leave = this.#enter(agent.id, wanted.tokenId);
    const content = await this.#opened(task, agent, wanted).catch((error: unknown) => {
      leave();
      throw error;
    });
    content.once('close', leave);
    content.end();
    return { ...(await this.#headOf(content, task, wanted)), content };
  }

  /** Errors: agent_offline, task_output_unsupported, task_outputs_full, and those of AgentStreams. */
  async #opened(task: TaskRecord, agent: { id: string; name: string }, wanted: OutputWanted): Promise<AgentStream> {
    const { channel, offsetBytes, follow, caller } = wanted;
    const open = { kind: TASK_LOG, key: task.key, channel, offsetBytes, follow };
    const answer = await this.#needs.agentStreams.open(agent.id, open, caller);
    switch (answer.kind) {
      case 'opened':
        return answer.stream;
      case 'offline':
        throw rolloutFault('agent_offline', { agent: agent.name });
      case 'too-old':
        throw taskFault('task_output_unsupported', { agent: agent.name, task: taskId(task) });
      case 'full':
        throw taskFault('task_outputs_full', { allowed: '64', of: 'streams of an agent, with those of services' });
    }
  }

  /** Counts it; the result is called when it is over. Errors: task_outputs_full. */
  #enter(agentId: string, tokenId: string): () => void {
    const bounds: (readonly [string, number, string])[] = [
      [`agent ${agentId}`, MAX_OUTPUTS_OF_AGENT, 'of one agent'],
      [`token ${tokenId}`, MAX_OUTPUTS_OF_TOKEN, 'with one API token'],
      ['all', MAX_OUTPUTS, 'in all'],
    ];
    for (const [key, allowed, of] of bounds)
      if ((this.#open.get(key) ?? 0) >= allowed) throw taskFault('task_outputs_full', { allowed: String(allowed), of });
    for (const [key] of bounds) this.#open.set(key, (this.#open.get(key) ?? 0) + 1);
    return () => {
      for (const [key] of bounds) {
        const left = (this.#open.get(key) ?? 1) - 1;
        if (left === 0) this.#open.delete(key);
        else this.#open.set(key, left);
      }
    };
  }

  #headOf(content: AgentStream, task: TaskRecord, { channel, offsetBytes }: OutputWanted): Promise<TaskLogHead> {
    const [id, agent] = [taskId(task), task.agent?.name ?? ''];
    const failed = (found: string): Error => taskFault('task_output_failed', { agent, task: id, found });
    const faultOf = (error: Error): Error => {
      const code = error instanceof StreamReset ? error.reset : undefined;
      switch (code) {
        case 'task_log_unknown':
          return taskFault('task_output_gone', { agent, channel, task: id });
        case 'task_log_offset':
          return taskFault('task_output_offset_invalid', { task: id, offset: String(offsetBytes) });
        case 'task_log_busy':
          return taskFault('task_outputs_full', { allowed: String(MAX_OUTPUTS_OF_AGENT), of: 'of one agent' });
        case 'kind_unknown':
          return taskFault('task_output_unsupported', { agent, task: id });
        case 'session_ended':
          return failed('its session has ended');
        default:
          return failed('it cannot read it');
      }
    };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(failed('no answer came in time'));
        content.destroy();
      }, this.#needs.answerMs ?? ANSWER_MS);
      content.once('close', () => clearTimeout(timer));
      content.once('error', (error: Error) => reject(faultOf(error)));
      content.once('head', (value: unknown) => {
        clearTimeout(timer);
        const head = readTaskLogHead(value);
        if (head !== undefined && head.keptBytes >= offsetBytes) return resolve(head);
        reject(failed('its answer is malformed'));
        content.destroy();
      });
    });
  }
}
