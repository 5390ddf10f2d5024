// Puts what was just committed in front of an engine of the store, so that those who are up to date are answered
// without a read: the newest cursor and the last events, the last commands of each session, the tokens that were used.
// Every answer is what the engine itself would give. An engine applies this to itself, as long as one process alone
// writes to its store. Several processes on one store need a version of each (tokens; an agent's commands) that they
// poll, and forget what is older: `KnownTokens.change`, `RecentCommands.forget`. Events of another process show by
// their cursors (`RecentEvents.committed`); the newest cursor is then the store's.
import type { CommittedEvents, InboxStore, OutboxStore } from '../message-store.ts';
import type { Store } from '../store.ts';
import type { TokenStore } from '../token-store.ts';
import { KnownTokens } from './known-tokens.ts';
import { RecentCommands } from './recent-commands.ts';
import { RecentEvents } from './recent-events.ts';

/** What an engine offers: the same, and what became of appended events. */
export interface EngineStore extends Omit<Store, 'inbox' | 'snapshot' | 'stop'> {
  readonly inbox: Omit<InboxStore, 'append'> & {
    append(...call: Parameters<InboxStore['append']>): Promise<CommittedEvents>;
  };
}

/** The engine as a store with this memory. Nothing else may write to the engine. */
export async function rememberCommitted(engine: EngineStore): Promise<Omit<Store, 'snapshot' | 'stop'>> {
  const events = new RecentEvents(await engine.inbox.lastCursor());
  const commands = new RecentCommands();
  const { agents } = engine;
  return {
    ...engine,
    inbox: inboxWith(engine.inbox, events),
    outbox: outboxWith(engine.outbox, commands),
    tasks: {
      ...engine.tasks,
      async create(task, terms, audit) {
        const created = await engine.tasks.create(task, terms, audit);
        commands.appended(task.agentId, [created.message], [created.appended]);
        return created;
      },
      async assign(assignment) {
        const assigned = await engine.tasks.assign(assignment);
        for (const { agentId, message, appended } of assigned.tasks) commands.appended(agentId, [message], [appended]);
        return assigned;
      },
    },
    tokens: tokensWith(engine.tokens, new KnownTokens()),
    agents: {
      ...agents,
      claimSession: (claim) =>
        commands.claim(
          claim.agentId,
          () => agents.claimSession(claim),
          (claimed) => claimed,
        ),
      logIn: (claim, terms) =>
        commands.claim(
          claim.agentId,
          () => agents.logIn(claim, terms),
          (login) => (login.kind === 'claimed' ? login.claimed : undefined),
        ),
      async endSession(end) {
        // After it: what the session began before is answered by then.
        await agents.endSession(end).finally(() => commands.close(end.agentId, end.epoch));
      },
      async replace(oldId, newId, act, audit) {
        // The commands of the old one are behind those of the new one.
        const forget = (): void => [oldId, newId].forEach((id) => commands.forget(id));
        forget();
        return await agents.replace(oldId, newId, act, audit).finally(forget);
      },
      async remove(id, audit) {
        commands.forget(id);
        return await agents.remove(id, audit).finally(() => commands.forget(id));
      },
    },
    async prune(limits) {
      events.prune(limits.eventsOlderThan);
      await engine.prune(limits);
    },
  };
}

function inboxWith(inbox: EngineStore['inbox'], events: RecentEvents): InboxStore {
  return {
    ...inbox,
    async append(agentId, epoch, next, frames, now) {
      const committed = await inbox.append(agentId, epoch, next, frames, now);
      events.committed({ agentId, now }, committed);
      return committed.through;
    },
    async read(after, filter, limit, gone) {
      const recent = events.read(after, filter, limit);
      if (recent !== undefined) return recent;
      const found = await inbox.read(after, filter, limit, gone);
      events.wasRead(found);
      return found;
    },
    prunedThrough: async (after) => (events.isWholeBehind(after) ? null : await inbox.prunedThrough(after)),
    lastCursor: async () => events.newest,
  };
}

function outboxWith(outbox: OutboxStore, commands: RecentCommands): OutboxStore {
  return {
    async append(agentId, messages, bounds, now) {
      const appended = await outbox.append(agentId, messages, bounds, now);
      commands.appended(agentId, messages, appended);
      return appended;
    },
    async read(agentId, after, maxItems, maxBytes) {
      const recent = commands.read(agentId, after, maxItems, maxBytes);
      if (recent !== undefined) return recent;
      const done = commands.reading(agentId, after);
      const entries = await outbox.read(agentId, after, maxItems, maxBytes);
      done(entries);
      return entries;
    },
    async acknowledge(agentId, epoch, through) {
      commands.acknowledged(agentId, through);
      await outbox.acknowledge(agentId, epoch, through);
    },
    async expire(now) {
      commands.expire(now);
      const expired = await outbox.expire(now);
      commands.expire(now);
      return expired;
    },
    waiting: (page) => outbox.waiting(page),
    backlog: (limit) => outbox.backlog(limit),
    statesOf: (message, page) => outbox.statesOf(message, page),
    list: (query) => outbox.list(query),
    find: (commandId) => outbox.find(commandId),
    rehearseWithdrawal: (commandId, now) => outbox.rehearseWithdrawal(commandId, now),
    // Of an agent without a session, of which nothing is remembered.
    withdraw: (commandId, now, audit) => outbox.withdraw(commandId, now, audit),
    recordExpired: (agentId, epoch, items, now) => outbox.recordExpired(agentId, epoch, items, now),
  };
}

function tokensWith(tokens: TokenStore, known: KnownTokens): TokenStore {
  return {
    ...tokens,
    getApiToken: (id) => known.get(id, () => tokens.getApiToken(id)),
    changeApiToken: (id, change, version, audit) =>
      known.change(id, () => tokens.changeApiToken(id, change, version, audit)),
    removeApiToken: (id, audit) => known.change(id, () => tokens.removeApiToken(id, audit)),
  };
}
