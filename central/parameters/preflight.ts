// Determines what a change of parameters would do, and to which agents, before anything moves.
import { agentsText, namesOf, type OnlineAgent } from '../change/agents.ts';
import type { ParameterName, ParameterValues } from './definitions.ts';
import { sameValue } from './values.ts';

interface CutOff extends OnlineAgent {
  /** Why its session would end, and why it could not reconnect. */
  readonly reason: string;
}

export interface Preflight {
  /** Agents that would lose Central. */
  readonly cutOff: readonly CutOff[];
  /** Effects that cut no agent off. */
  readonly notices: readonly string[];
}

/** What the step from `now` to `next` would do to the agents that are online. */
export function preflight(next: ParameterValues, now: ParameterValues, online: readonly OnlineAgent[]): Preflight {
  const plainOff = now['websocket.enabled'] && !next['websocket.enabled'];
  const secureOff = now['websocket.secure.enabled'] && !next['websocket.secure.enabled'];
  const keyOff = now['agents.authentication'] !== 'certificate' && next['agents.authentication'] === 'certificate';
  const cutOff: CutOff[] = [];
  for (const agent of online) {
    if (plainOff && agent.transport === 'ws' && !agent.loopback) {
      cutOff.push({
        ...agent,
        reason:
          'It speaks unencrypted ws from another host; it reconnects only when its agent.conf says central.websocket.secure=true and its truststore holds the root of Central.',
      });
    }
    if (keyOff && agent.byKeyAlone === true) {
      cutOff.push({
        ...agent,
        reason:
          'Central knows no certificate of it; it reconnects only after it has renewed its own (which it was asked to), or is enrolled again.',
      });
    }
    if (secureOff && agent.transport === 'wss') {
      cutOff.push({
        ...agent,
        reason:
          'It speaks wss; it reconnects only when its agent.conf says central.websocket.secure=false and websocket.enabled is on, or it is on this host.',
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
      `${agentsText(followers.length)} on ${transport} stay connected, but need the new port to reconnect (${key}=${next[port]} in agent.conf): ${namesOf(followers)}.`,
    );
  }
  const gone = now['certificate.subjectAlternativeNames'].filter(
    (name) => !next['certificate.subjectAlternativeNames'].includes(name),
  );
  if (gone.length > 0)
    notices.push(
      `The certificate will no longer contain ${gone.join(', ')}: agents that dial Central by that name refuse it at their next connection.`,
    );
  if (next['agents.max'] < online.length && !sameValue(next['agents.max'], now['agents.max'])) {
    notices.push(
      `${agentsText(online.length)} are online, more than agents.max would be; no session ends, but they reconnect more slowly.`,
    );
  }
  return notices;
}
