// Queues commands for agents in the store, and wakes the agent's session.
import type { Keyed } from '../store/agent-store.ts';
import type { Appended } from '../../shared/delivery/log-interfaces.ts';
import type { Message } from '../../shared/delivery/message.ts';
import type { ParameterState } from '../parameters/state.ts';
import { auditEntry, type Actor } from '../audit.ts';
import type {
  CommandPage,
  CommandQuery,
  DeadLetterPage,
  DeadLetterQuery,
  InboxStore,
  OutboxStore,
  StoredCommand,
} from '../store/message-store.ts';

interface CommandsNeeds {
  readonly store: {
    readonly outbox: Pick<
      OutboxStore,
      'append' | 'find' | 'list' | 'rehearseWithdrawal' | 'statesOf' | 'waiting' | 'withdraw'
    >;
    readonly inbox: Pick<InboxStore, 'deadLetters'>;
  };
  readonly parameters: Pick<ParameterState, 'values'>;
  /** Hints that commands for an agent were appended (central/sessions/sessions.ts). */
  readonly sessions: { notify(agentId: string): void; keyOf(agentId: string): number | undefined };
  readonly now: () => number;
}

const DAY_MS = 24 * 3_600_000;

export class Commands {
  readonly #needs: CommandsNeeds;

  constructor(needs: CommandsNeeds) {
    this.#needs = needs;
  }

  /** The agent with exactly this id, when it has a session: what most commands are for needs no read of the store. */
  online(agentId: string): { readonly id: string; readonly key: number } | undefined {
    const key = this.#needs.sessions.keyOf(agentId);
    return key === undefined ? undefined : { id: agentId, key };
  }

  /** On disk when it resolves. Errors: agent_unknown, agent_revoked, outbox_full. */
  async append(agentId: string, messages: readonly Message[]): Promise<Appended[]> {
    const { store, parameters, sessions, now } = this.#needs;
    const values = parameters.values();
    const bounds = {
      maxMessages: values['agents.outbox.maxMessages'],
      maxBytes: values['agents.outbox.maxBytes'],
      deduplicationMs: values['messages.deduplicationDays'] * DAY_MS,
    };
    const appended = await store.outbox.append(agentId, messages, bounds, now());
    sessions.notify(agentId);
    return appended;
  }

  /** Those that wait for their agents. */
  waiting(page: Parameters<OutboxStore['waiting']>[0]): Promise<Keyed<StoredCommand>[]> {
    return this.#needs.store.outbox.waiting(page);
  }

  /** What became of a message, for each agent that it was sent to. */
  statesOf(...call: Parameters<OutboxStore['statesOf']>): Promise<StoredCommand[]> {
    return this.#needs.store.outbox.statesOf(...call);
  }

  /** In these states, in no order of time. */
  list(query: CommandQuery): Promise<CommandPage> {
    return this.#needs.store.outbox.list(query);
  }

  find(commandId: string): Promise<StoredCommand | undefined> {
    return this.#needs.store.outbox.find(commandId);
  }

  /** Errors: command_id_unknown, command_delivered. */
  async withdraw(commandId: string, actor: Actor): Promise<void> {
    const { store, now } = this.#needs;
    await store.outbox.withdraw(commandId, now(), auditEntry(actor, 'commands.withdraw', { commandId }, now()));
  }

  /** Changes nothing. Errors: those of `withdraw`. */
  rehearseWithdrawal(commandId: string): Promise<void> {
    return this.#needs.store.outbox.rehearseWithdrawal(commandId, this.#needs.now());
  }

  /** Messages that could not be delivered, newest first. */
  deadLetters(query: DeadLetterQuery): Promise<DeadLetterPage> {
    return this.#needs.store.inbox.deadLetters(query);
  }
}
