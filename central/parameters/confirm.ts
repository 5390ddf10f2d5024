// Owns the terms of commit-confirm: what has to be true before a change may stay. The store keeps them as text with the
// pending change; service.ts holds the deadline.
import type { Actor } from '../audit.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import type { ParameterName } from './definitions.ts';
import { parameterFault } from './errors.ts';
import { agentsText, namesOf, type OnlineAgents } from './preflight.ts';

export interface ConfirmRequest {
  /** The change is undone unless it is confirmed within this time. */
  readonly withinSeconds: number;
  /** Share (0 to 1) of the non-loopback agents online before that must be back. */
  readonly share: number;
}

/** An hour: long enough for agents whose backoff has grown to five minutes, short enough to be stayed up for. */
export const MAX_CONFIRM_SECONDS = 3600;

export interface ConfirmTerms {
  readonly share: number;
  /** Non-loopback agents that were online just before. */
  readonly agents: readonly { readonly id: string; readonly name: string }[];
  /** The admin listener that the change touched, over which it must be confirmed; null: any connection will do. */
  readonly listener: 'http' | 'https' | null;
}

/** What touches the HTTPS admin listener: its port, and the certificate it shows. */
const TOUCHES_HTTPS: ReadonlySet<ParameterName> = new Set([
  'https.port',
  'certificate.distinguishedName',
  'certificate.subjectAlternativeNames',
]);

export function termsOf(request: ConfirmRequest, moved: readonly ParameterName[], agents: OnlineAgents): ConfirmTerms {
  return confirmTerms(
    request,
    moved.some((name) => TOUCHES_HTTPS.has(name)) ? 'https' : moved.includes('http.port') ? 'http' : null,
    agents,
  );
}

/** The terms of a change that touches this listener of the administration (null: none). */
export function confirmTerms(
  { share }: ConfirmRequest,
  listener: ConfirmTerms['listener'],
  agents: OnlineAgents,
): ConfirmTerms {
  const before = agents.online().filter((agent) => !agent.loopback);
  return { share, agents: before.map((agent) => ({ id: agent.agentId, name: agent.name })), listener };
}

/**
 * Throws unless the terms are met: share_not_met (not when forced), confirm_over_new_connection (always).
 * `appliedAt`: when the listeners had moved.
 */
export function assertConfirmable(
  terms: ConfirmTerms,
  appliedAt: number,
  agents: OnlineAgents,
  actor: Actor,
  force: boolean,
): void {
  const { listener } = terms;
  // HTTP serves this host only: whoever reaches Central by its socket there is not cut off either.
  const by = actor.via?.listener === 'local' ? 'http' : actor.via?.listener;
  if (listener !== null && (by !== listener || (actor.via?.connectedAt ?? 0) <= appliedAt)) {
    throw parameterFault('confirm_over_new_connection', { listener: listener.toUpperCase() });
  }
  const online = new Set(agents.online().map(({ agentId }) => agentId));
  const missing = terms.agents.filter(({ id }) => !online.has(id));
  const back = terms.agents.length - missing.length;
  // Rounded up: a share of 0.9 of three agents is all three. The little less keeps 0.7 * 10 from being 8.
  const needed = Math.ceil(terms.share * terms.agents.length - 1e-9);
  if (back < needed && !force) {
    throw parameterFault('share_not_met', {
      total: agentsText(terms.agents.length),
      back,
      needed,
      names: namesOf(missing),
    });
  }
}

/** Reads the terms that the store kept. What cannot be read asks for everything that can be asked for: the change then ends at its deadline. */
export function readTerms(text: string): ConfirmTerms {
  const terms: unknown = JSON.parse(text);
  if (!isRecord(terms) || !Array.isArray(terms['agents']) || typeof terms['share'] !== 'number')
    return { share: 1, agents: [], listener: 'https' };
  // Written by this module from a ConfirmTerms.
  return terms as unknown as ConfirmTerms;
}
