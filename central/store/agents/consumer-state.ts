// The state of an agent that follows from what it reports of its consumers.
import type { ConsumerReport } from '../agent-store.ts';
import { stateReason } from './state-reasons.ts';

interface ConsumerState {
  readonly state: 'online' | 'degraded';
  /** Only an agent in this state gets it. */
  readonly before: 'online' | 'degraded';
  readonly reason: string;
}

/** Undefined: none follows. */
export function consumerState({ inboxFull, consumers }: ConsumerReport): ConsumerState | undefined {
  if (!inboxFull) return { state: 'online', before: 'degraded', reason: stateReason('inbox_of_agent_has_room', {}) };
  const [slowest] = consumers.toSorted((one, other) => other.waitingCount - one.waitingCount);
  if (slowest === undefined) return undefined;
  const { name: consumer, waitingCount: count } = slowest;
  return { state: 'degraded', before: 'online', reason: stateReason('inbox_of_agent_full', { consumer, count }) };
}
