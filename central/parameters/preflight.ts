// Determines what a change of parameters would do, and to which agents, before anything moves.
import type { Actor } from '../audit.ts';
import { agentsText, namesOf, type OnlineAgent } from '../change/agents.ts';
import { notice, type CutOffAgent, type Notice } from '../change/report.ts';
import { AddressAccess, normalAddress } from './address-access.ts';
import type { ParameterName, ParameterValues } from './definitions.ts';
import { sameValue } from './values.ts';

export interface Preflight {
  /** Agents that would lose Central. */
  readonly cutOff: readonly CutOffAgent[];
  /** Effects that cut no agent off. */
  readonly notices: readonly Notice[];
}

/** What the step from `now` to `next` would do to the agents that are online. */
export function preflight(next: ParameterValues, now: ParameterValues, online: readonly OnlineAgent[]): Preflight {
  const plainOff = now['websocket.enabled'] && !next['websocket.enabled'];
  const secureOff = now['websocket.secure.enabled'] && !next['websocket.secure.enabled'];
  const keyOff = now['agents.authentication'] !== 'certificate' && next['agents.authentication'] === 'certificate';
  const access = new AddressAccess(() => next);
  const cutOff: CutOffAgent[] = [];
  for (const agent of online) {
    if (plainOff && agent.transport === 'ws' && !agent.loopback) {
      cutOff.push({
        ...named(agent),
        reason: 'unencrypted',
        detail: `It speaks unencrypted ws from ${agent.address}, another host; it reconnects only when its agent.conf says central.websocket.secure=true and its truststore holds the root of Central.`,
        hint: 'Set central.websocket.secure=true in its agent.conf; its truststore must hold the root of Central.',
      });
    }
    if (keyOff && agent.byKeyAlone === true) {
      cutOff.push({
        ...named(agent),
        reason: 'certificate-missing',
        detail:
          'Central knows no certificate of it; it reconnects only after it has renewed its own (which it was asked to), or is enrolled again.',
        hint: 'Wait until it has renewed its certificate, or enroll it again.',
      });
    }
    if (!agent.loopback && !access.admits(agent.listener, agent.address)) {
      cutOff.push({
        ...named(agent),
        reason: 'address-denied',
        detail: `It connects from ${agent.address}, which access.${agent.listener} would not allow; it reconnects only from another address, or when the rule allows it.`,
        hint: `Add its address to access.${agent.listener}.`,
      });
    }
    if (secureOff && agent.transport === 'wss') {
      cutOff.push({
        ...named(agent),
        reason: 'encrypted',
        detail: `It speaks wss from ${agent.address}; it reconnects only when its agent.conf says central.websocket.secure=false and websocket.enabled is on, or it is on this host.`,
        hint: 'Set central.websocket.secure=false in its agent.conf, and websocket.enabled to on.',
      });
    }
  }
  return { cutOff, notices: noticesOf(next, now, online) };
}

/** The rule by which the administrator who makes the change could not make another one; undefined: none. */
export function callerCutOff(
  next: ParameterValues,
  { from, via }: Actor,
): { readonly address: string; readonly rule: string } | undefined {
  if (via === undefined || via.listener === 'local') return undefined;
  const access = new AddressAccess(() => next);
  const subjects = via.listener === 'https' ? (['https', 'administrator'] as const) : (['administrator'] as const);
  const refusing = subjects.find((subject) => !access.admits(subject, from));
  return refusing === undefined ? undefined : { address: normalAddress(from), rule: `access.${refusing}` };
}

function named({ agentId: id, name, address }: OnlineAgent): Pick<CutOffAgent, 'address' | 'id' | 'name'> {
  return { id, name, address };
}

function noticesOf(next: ParameterValues, now: ParameterValues, online: readonly OnlineAgent[]): Notice[] {
  const notices: Notice[] = [];
  for (const [port, transport, key] of [
    ['websocket.port', 'ws', 'central.websocket.port'],
    ['websocket.secure.port', 'wss', 'central.websocket.secure.port'],
  ] as const satisfies readonly (readonly [ParameterName, string, string])[]) {
    const followers = online.filter((agent) => agent.transport === transport);
    if (next[port] === now[port] || followers.length === 0) continue;
    const count = agentsText(followers.length);
    notices.push(
      notice('agents_need_new_port', { count, transport, key, port: next[port], names: namesOf(followers) }),
    );
  }
  const gone = now['certificate.subjectAlternativeNames'].filter(
    (name) => !next['certificate.subjectAlternativeNames'].includes(name),
  );
  if (gone.length > 0) notices.push(notice('certificate_names_removed', { names: gone.join(', ') }));
  if (next['agents.max'] < online.length && !sameValue(next['agents.max'], now['agents.max']))
    notices.push(notice('agents_above_maximum', { count: agentsText(online.length) }));
  return notices;
}
