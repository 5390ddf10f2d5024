// Owns telling what a change would do, and to whom, before anything moves. Decides nothing: service.ts refuses or goes on.
import type { ParameterName, ParameterValues } from './definitions.ts';
import { sameValue } from './values.ts';

/** An agent with a session at this moment. */
export interface OnlineAgent {
  readonly agentId: string;
  readonly name: string;
  readonly transport: 'ws' | 'wss';
  readonly address: string;
  readonly loopback: boolean;
  /** Central knew no certificate of it when it came. */
  readonly byKeyAlone?: boolean;
  /** Milliseconds since 1970. */
  readonly since: number;
}

export interface OnlineAgents {
  online(): readonly OnlineAgent[];
}

export interface CutOff extends OnlineAgent {
  /** Why its session would end, and why it could not come back by itself. */
  readonly reason: string;
}

export interface Preflight {
  /** Agents that would lose Central. */
  readonly cutOff: readonly CutOff[];
  /** What else an administrator should know; nobody is cut off by it. */
  readonly notices: readonly string[];
}

/** What going from `now` to `next` would do to the agents that are online. */
export function preflight(next: ParameterValues, now: ParameterValues, agents: OnlineAgents): Preflight {
  const online = agents.online();
  const plainOff = now['websocket.enabled'] && !next['websocket.enabled'];
  const secureOff = now['websocket.secure.enabled'] && !next['websocket.secure.enabled'];
  const keyOff = now['agents.authentication'] !== 'certificate' && next['agents.authentication'] === 'certificate';
  const cutOff: CutOff[] = [];
  for (const agent of online) {
    if (plainOff && agent.transport === 'ws' && !agent.loopback) {
      cutOff.push({
        ...agent,
        reason:
          'It speaks unencrypted ws from another host; it comes back only when its agent.conf says central.websocket.secure=true and its truststore holds the root of Central.',
      });
    }
    if (keyOff && agent.byKeyAlone === true) {
      cutOff.push({
        ...agent,
        reason:
          'Central knows no certificate of it; it comes back once it has renewed its own (which it was asked to), or is enrolled again.',
      });
    }
    if (secureOff && agent.transport === 'wss') {
      cutOff.push({
        ...agent,
        reason:
          'It speaks wss; it comes back only when its agent.conf says central.websocket.secure=false and websocket.enabled is on, or it is on this host.',
      });
    }
  }
  return { cutOff, notices: noticesOf(next, now, online) };
}

function noticesOf(next: ParameterValues, now: ParameterValues, online: readonly OnlineAgent[]): string[] {
  const notices: string[] = [];
  for (const [port, transport, key] of [
    ['websocket.port', 'ws', 'central.websocket.port'],
    ['websocket.secure.port', 'wss', 'central.websocket.secure.port'],
  ] as const satisfies readonly (readonly [ParameterName, string, string])[]) {
    const followers = online.filter((agent) => agent.transport === transport);
    if (next[port] === now[port] || followers.length === 0) continue;
    notices.push(
      `${agentsText(followers.length)} on ${transport} stay connected, but must find the new port when they come back (${key}=${next[port]} in agent.conf): ${namesOf(followers)}.`,
    );
  }
  const gone = now['certificate.subjectAlternativeNames'].filter(
    (name) => !next['certificate.subjectAlternativeNames'].includes(name),
  );
  if (gone.length > 0)
    notices.push(
      `The certificate will no longer stand for ${gone.join(', ')}: agents that dial Central by that name refuse it at their next connection.`,
    );
  if (next['agents.max'] < online.length && !sameValue(next['agents.max'], now['agents.max'])) {
    notices.push(
      `${agentsText(online.length)} are online, more than agents.max would be; nobody is sent away, but they come back more slowly.`,
    );
  }
  return notices;
}

/** Names for a sentence; a long list is cut, the rest counted. */
export function namesOf(agents: readonly { readonly name: string }[], most = 10): string {
  const names = agents.slice(0, most).map(({ name }) => name);
  return agents.length > most ? `${names.join(', ')} and ${agents.length - most} more` : names.join(', ');
}

export function agentsText(count: number): string {
  return count === 1 ? '1 agent' : `${count} agents`;
}
