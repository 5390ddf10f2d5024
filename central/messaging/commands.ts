// Queues commands for agents in the store, and wakes the agent's session.
import type { Keyed, NewestFirstPage } from '../store/agent-store.ts';
import type { Appended } from '../../shared/delivery/log-interfaces.ts';
import type { Message } from '../../shared/delivery/message.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { DeadLetter, InboxStore, OutboxStore } from '../store/message-store.ts';

interface CommandsNeeds {
  readonly store: { readonly outbox: Pick<OutboxStore, 'append'>; readonly inbox: Pick<InboxStore, 'deadLetters'> };
  readonly parameters: Pick<ParameterState, 'values'>;
  /** Hints that commands for an agent were appended (central/sessions/sessions.ts). */
  readonly sessions: { notify(agentId: string): void };
  readonly now: () => number;
}

export class Commands {
  readonly #needs: CommandsNeeds;

  constructor(needs: CommandsNeeds) {
    this.#needs = needs;
  }

  /** On disk when it resolves. Errors: agent_unknown, agent_revoked, outbox_full. */
  async append(agentId: string, messages: readonly Message[]): Promise<Appended[]> {
    const { store, parameters, sessions, now } = this.#needs;
    const { 'agents.outbox.maxMessages': maxMessages, 'agents.outbox.maxBytes': maxBytes } = parameters.values();
    const appended = await store.outbox.append(agentId, messages, { maxMessages, maxBytes }, now());
    sessions.notify(agentId);
    return appended;
  }

  /** Messages that could not be delivered, newest first. */
  deadLetters(page: NewestFirstPage): Promise<Keyed<DeadLetter>[]> {
    return this.#needs.store.inbox.deadLetters(page);
  }
}
