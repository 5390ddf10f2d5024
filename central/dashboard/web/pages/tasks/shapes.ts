// What the page Tasks uses of the answers of REST, the shapes of states, and which tasks fit the filters of an address.
import type { Reason } from '../../client/types.ts';
import type { IconName } from '../../parts/icon.tsx';
import type { Meaning } from '../../states.ts';

export const CHANNELS = ['stdout', 'stderr'] as const;
export type Channel = (typeof CHANNELS)[number];

export interface TaskOutput {
  readonly keptBytes: number;
  readonly sha256: string;
  readonly truncated: boolean;
  /** In base64. */
  readonly tail: string;
}

export interface Task {
  readonly id: string;
  /** Null: it waits in its queue, or ended there. */
  readonly agent: { readonly id: string; readonly name: string } | null;
  readonly queue: string | null;
  readonly handler: string;
  readonly arguments: readonly string[];
  readonly state: string;
  readonly stateChangedAt: string;
  readonly stateReason: Reason | null;
  readonly stateDeadlineAt: string | null;
  readonly deadlineAt: string;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly comment: string | null;
  readonly ticket: string | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly exitCode: number | null;
  readonly stdout: TaskOutput | null;
  readonly stderr: TaskOutput | null;
  readonly lateResult: { readonly state: string; readonly receivedAt: string; readonly exitCode: number | null } | null;
}

export interface TaskHandler {
  readonly name: string;
  readonly arguments: 'none' | 'fixed' | 'list';
  readonly argumentPattern: string | null;
  readonly timeoutSeconds: number;
  readonly concurrencyCount: number;
  readonly rerun: boolean;
  readonly accounts: string;
  readonly containment: string;
  readonly queues: readonly string[];
}

interface Look {
  readonly meaning: Meaning;
  readonly icon: IconName;
}

const LOOKS: Readonly<Record<string, Look>> = {
  queued: { meaning: 'quiet', icon: 'disconnected' },
  sent: { meaning: 'info', icon: 'arrow' },
  accepted: { meaning: 'info', icon: 'draining' },
  running: { meaning: 'info', icon: 'connecting' },
  canceling: { meaning: 'warn', icon: 'disabled' },
  succeeded: { meaning: 'ok', icon: 'good' },
  failed: { meaning: 'bad', icon: 'bad' },
  canceled: { meaning: 'quiet', icon: 'revoked' },
  'timed-out': { meaning: 'bad', icon: 'clock' },
  expired: { meaning: 'warn', icon: 'dropped' },
  lost: { meaning: 'bad', icon: 'warn' },
};

export const TASK_STATES: readonly string[] = Object.keys(LOOKS);

export function lookOfTask(state: string): Look {
  return LOOKS[state] ?? { meaning: 'quiet', icon: 'todo' };
}

const OPEN = ['queued', 'sent', 'accepted', 'running', 'canceling'] as const;

export function hasEnded(state: string): boolean {
  return !OPEN.some((one) => one === state);
}

/** The groups of the chips, and the states of each; "": all. */
export const TASK_GROUPS = {
  '': [],
  open: OPEN,
  wrong: ['failed', 'timed-out', 'expired', 'lost'],
  succeeded: ['succeeded'],
  canceled: ['canceled'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** The filters of the list, as its address has them. */
export interface TaskFilter {
  /** None: all. */
  readonly states: readonly string[];
  readonly agent: string;
  readonly queue: string;
  readonly handler: string;
}

export const FILTERS = ['state', 'agent', 'queue', 'handler'] as const;

export function filterOf(query: URLSearchParams): TaskFilter {
  const [state, agent, queue, handler] = FILTERS.map((name) => (query.get(name) ?? '').slice(0, 255));
  const group = Object.entries(TASK_GROUPS).find(([name]) => name === state)?.[1];
  const states = group ?? TASK_STATES.filter((one) => one === state);
  return { states, agent: agent ?? '', queue: queue ?? '', handler: handler ?? '' };
}

/** Whether the list of REST would have it. `agent` may be an id, its beginning, or a name. */
export function fits(task: Task, { states, agent, queue, handler }: TaskFilter): boolean {
  const wantedAgent = agent.toLowerCase();
  const isAgent =
    agent === '' || task.agent?.name.toLowerCase() === wantedAgent || task.agent?.id.startsWith(wantedAgent) === true;
  const isOther = (wanted: string, found: string | null): boolean => wanted !== '' && wanted !== found;
  return (
    isAgent &&
    (states.length === 0 || states.includes(task.state)) &&
    !isOther(queue, task.queue) &&
    !isOther(handler, task.handler)
  );
}

export function numberOf({ id }: Pick<Task, 'id'>): number {
  return Number(id.slice('t-'.length));
}
