// Changes what administrators decide about one agent: its name, labels and notes, and whether it is disabled. Each is
// one act: the registry with its audit entry, then the session.
import { auditEntry, type Actor } from '../../audit.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import type { AgentChange, AgentRecord, AgentStore } from '../../store/agent-store.ts';
import { stateReason } from '../../store/agents/state-reasons.ts';
import { storeFault } from '../../store/errors.ts';

interface AgentChangesOptions {
  readonly agents: Pick<AgentStore, 'change' | 'disable' | 'enable' | 'get' | 'replace'>;
  readonly sessions: Pick<Sessions, 'disable' | 'notify' | 'remove' | 'rename'>;
  readonly now: () => number;
}

export interface AgentChanges {
  /** `version`: that of the record that the change was made for; null: any. Errors: those of AgentStore.change. */
  change(id: string, change: AgentChange, version: number | null, actor: Actor): Promise<AgentRecord>;
  /**
   * The new agent takes name, labels, notes, history and waiting commands of the old one, which is deleted. Errors:
   * those of AgentStore.replace.
   */
  replace(old: AgentRecord, next: AgentRecord, actor: Actor): Promise<AgentRecord>;
  /** Changes nothing. Errors: those of `replace`. */
  rehearseReplace(old: AgentRecord, next: AgentRecord): void;
  /** When this resolves, no message of its session is accepted any more. Errors: agent_unknown, agent_revoked. */
  disable(id: string, actor: Actor): Promise<AgentRecord>;
  /** The agent may connect from now on; it tries again by itself. Errors: agent_unknown, agent_revoked. */
  enable(id: string, actor: Actor): Promise<AgentRecord>;
}

export function createAgentChanges({ agents, sessions, now }: AgentChangesOptions): AgentChanges {
  const reasonOf = (code: 'disabled_by_administrator' | 'enabled_by_administrator', { who, comment }: Actor): string =>
    stateReason(code, { who: `${who}${comment === undefined ? '' : `: ${comment}`}` });
  const found = async (id: string): Promise<AgentRecord> => {
    const agent = await agents.get(id);
    if (agent === undefined) throw storeFault('agent_unknown', { id });
    return agent;
  };
  return {
    async change(id, change, version, actor) {
      const terms = { version, by: actor.who, now: now() };
      const audit = auditEntry(actor, 'agents.set', { id, ...change }, now());
      const changed = await agents.change(id, change, terms, audit);
      sessions.rename(id, changed.name);
      return changed;
    },
    async replace(old, next, actor) {
      const detail = { id: old.id, name: old.name, by: next.id, before: old.keyThumbprint };
      const act = { by: actor.who, now: now() };
      const replaced = await agents.replace(old.id, next.id, act, auditEntry(actor, 'agents.replace', detail, now()));
      sessions.remove(old.id);
      sessions.rename(next.id, replaced.name);
      sessions.notify(next.id);
      return replaced;
    },
    rehearseReplace({ id }, next) {
      if (id === next.id) throw storeFault('agent_replaces_itself', { id });
      if (next.state === 'revoked') throw storeFault('agent_revoked', { id: next.id });
    },
    async disable(id, actor) {
      const text = reasonOf('disabled_by_administrator', actor);
      const audit = auditEntry(actor, 'agents.disable', { id }, now());
      const epoch = await agents.disable(id, { now: now(), text }, audit);
      sessions.disable(id, epoch);
      return await found(id);
    },
    async enable(id, actor) {
      const text = reasonOf('enabled_by_administrator', actor);
      await agents.enable(id, { now: now(), text }, auditEntry(actor, 'agents.enable', { id }, now()));
      return await found(id);
    },
  };
}
