// Decides when a pending change may be confirmed: which share of the agents must be back, and over which connection the
// confirmation must come.
import { isRecord } from '../../shared/wire/json-schema.ts';
import type { Actor } from '../audit.ts';
import { agentsText, namesOf, type OnlineAgents } from './agents.ts';
import { changeFault } from './errors.ts';

export interface ConfirmRequest {
  /** The change is rolled back unless it is confirmed within this time. */
  readonly withinSeconds: number;
  /** Share (0 to 1) of the agents online before, those of this host not counted, that must be back. */
  readonly share: number;
}

/** An hour: long enough for agents whose backoff has grown to five minutes, short enough to wait for. */
export const MAX_CONFIRM_SECONDS = 3600;

export type AdminListener = 'http' | 'https';

interface ConfirmTerms {
  readonly share: number;
  /** Agents that were online just before, without those of this host. */
  readonly agents: readonly { readonly id: string; readonly name: string }[];
  /**
   * The administration's listener that the change touched, over which it must be confirmed; null: any connection will
   * do.
   */
  readonly listener: AdminListener | null;
}

/** The terms of a change that touches this listener of the administration (null: none). */
export async function confirmTerms(
  { share }: Pick<ConfirmRequest, 'share'>,
  listener: AdminListener | null,
  agents: OnlineAgents,
): Promise<ConfirmTerms> {
  const before = (await agents.online()).filter((agent) => !agent.loopback);
  return { share, agents: before.map((agent) => ({ id: agent.agentId, name: agent.name })), listener };
}

/** Reads terms from the store. Unreadable ones demand everything, so that the change ends at its deadline. */
export function readTerms(text: string): ConfirmTerms {
  const terms: unknown = JSON.parse(text);
  if (!isRecord(terms) || !Array.isArray(terms['agents']) || typeof terms['share'] !== 'number')
    return { share: 1, agents: [], listener: 'https' };
  // Written from a ConfirmTerms only.
  return terms as unknown as ConfirmTerms;
}

/** Splits the agents of the terms into those that are back and those that are missing. */
export async function returnedAgents(
  terms: ConfirmTerms,
  agents: OnlineAgents,
): Promise<{ readonly returnedCount: number; readonly missing: ConfirmTerms['agents'] }> {
  const online = new Set((await agents.online()).map(({ agentId }) => agentId));
  const missing = terms.agents.filter(({ id }) => !online.has(id));
  return { returnedCount: terms.agents.length - missing.length, missing };
}

/**
 * Throws unless the terms are met: share_not_met (not when forced), confirm_over_new_connection (always).
 * `appliedAt`: when the change had taken effect.
 */
export async function assertConfirmable(
  terms: ConfirmTerms,
  appliedAt: number,
  agents: OnlineAgents,
  actor: Actor,
  force: boolean,
): Promise<void> {
  const { listener } = terms;
  // HTTP serves this host only: the socket there proves the same access.
  const by = actor.via?.listener === 'local' ? 'http' : actor.via?.listener;
  if (listener !== null && (by !== listener || (actor.via?.connectedAt ?? 0) <= appliedAt))
    throw changeFault('confirm_over_new_connection', { listener: listener.toUpperCase() });
  const { returnedCount, missing } = await returnedAgents(terms, agents);
  const total = terms.agents.length;
  // Rounded up: a share of 0.9 of three agents is all three. The little less keeps 0.7 * 10 from being 8.
  const needed = Math.ceil(terms.share * total - 1e-9);
  if (returnedCount < needed && !force)
    throw changeFault('share_not_met', {
      total: agentsText(total),
      back: returnedCount,
      needed,
      names: namesOf(missing),
    });
}
