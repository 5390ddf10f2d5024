// Opens the tasks that agents run.
import type { Logger } from 'pino';
import type { AgentStreams } from '../forwarding/agent-streams.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Store } from '../store/store.ts';
import { TaskOutputs } from './outputs.ts';
import { Tasks } from './tasks.ts';

interface TasksParts {
  readonly store: Pick<Store, 'tasks'>;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly sessions: Pick<Sessions, 'notify' | 'of'>;
  readonly agentStreams: Pick<AgentStreams, 'open'>;
  readonly nodes: { leads(): boolean };
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
}

export function openTasks({ store, parameters, sessions, agentStreams, nodes, metrics, log, now }: TasksParts): {
  readonly tasks: Tasks;
  readonly taskOutputs: TaskOutputs;
} {
  return {
    tasks: new Tasks({ store: store.tasks, parameters, sessions, leads: () => nodes.leads(), metrics, log, now }),
    taskOutputs: new TaskOutputs({ agentStreams }),
  };
}
