// Says in the status of the agent that its inbox is full, and which consumer keeps it so.
import { agentFault } from '../errors.ts';
import { DEFAULT_CONSUMER } from '../store/routing.ts';
import type { AgentStore } from '../store/store.ts';
import type { Problem } from './types.ts';

export function inboxProblems(inbox: AgentStore['inbox']): Problem[] {
  const full = inbox.fullness();
  if (full === null) return [];
  const { since, messages, bytes, bounds, consumer, waiting } = full;
  const { code, message, hint } = agentFault('inbox_full', {
    messages,
    bytes,
    ...bounds,
    consumer,
    waiting,
    hint:
      consumer === DEFAULT_CONSUMER
        ? 'If it needs more room, raise inbox.maxMessages and inbox.maxBytes in agent.conf.'
        : `If it is not used any more, remove its keys "consumer.${consumer}.*" from agent.conf: its commands then go to the consumer "${DEFAULT_CONSUMER}", which has to acknowledge them.`,
  });
  return [{ code, detail: message, hint, startedAt: new Date(since).toISOString() }];
}
