// Why an agent has its state: a code with its text, kept as one text (`code: detail`), so that a version that does not
// know the code shows it as it is. The hint is not kept, it follows from the code.
import { defineErrors, type CodedError, type ErrorTable, type ParametersOf } from '../../../shared/errors.ts';
import { REFUSALS } from '../../../shared/wire/refusals.ts';
import type { AgentState } from '../agent-store.ts';

/** Codes of the `stateReason` of an agent, beside those with which a session is ended (REFUSALS). */
export const STATE_CAUSES = {
  not_yet_connected: {
    text: 'It is enrolled and has not connected yet.',
    hint: 'Start the daemon on its host. "queue-agent doctor" there says why it does not connect.',
  },
  session_opened: {
    text: 'Connected over {transport} from {address}.',
    hint: 'No action needed.',
  },
  session_cut: {
    text: 'The connection was cut without a close frame.',
    hint: 'Check the network and the host of the agent. The agent reconnects automatically as soon as it can.',
  },
  session_closed: {
    text: 'The agent closed the connection: {found}.',
    hint: 'If its daemon is not to be stopped, see its log on the host.',
  },
  session_unwelcomed: {
    text: 'The connection ended before the welcome.',
    hint: 'Check the network. The agent reconnects automatically.',
  },
  inbox_of_agent_full: {
    text: 'Its inbox is full, so that it accepts no commands: {count} commands wait for the consumer "{consumer}".',
    hint: 'Start the program of that consumer on the host of the agent: it has to acknowledge its commands.',
  },
  inbox_of_agent_has_room: {
    text: 'Its inbox has room for commands again.',
    hint: 'No action needed.',
  },
  session_drained: {
    text: 'A drain ended its session, and asked it to connect again after {seconds} seconds.',
    hint: 'No action needed: the agent reconnects automatically. "queuegate drains list" shows the drain.',
  },
  central_ended: {
    text: 'Central ended without closing the session.',
    hint: 'No action needed: the agent reconnects automatically. The log of Central before its last start says why it ended.',
  },
  disabled_by_administrator: {
    text: 'Disabled by {who}.',
    hint: 'Enable it with "queuegate agents enable".',
  },
  enabled_by_administrator: {
    text: 'Enabled by {who}.',
    hint: 'No action needed: the agent reconnects automatically within minutes.',
  },
  revoked_by_administrator: {
    text: 'Revoked by {who}: {reason}.',
    hint: 'To use it again, give it a new key with "queuegate agents recovery-code create".',
  },
  key_recovered: {
    text: 'It has another key, by a recovery code that was entered at {address}.',
    hint: 'No action needed: the agent connects with the new key.',
  },
  key_replaced: {
    text: 'It has the key of another machine, by {who}.',
    hint: 'Start the daemon on the new machine. The old one can be switched off.',
  },
} as const satisfies ErrorTable;

const cause = defineErrors(STATE_CAUSES);
const MAX_DETAIL = 1024;

/** A reason as it is kept. Its source: an act of an administrator, an end of a session, or a refusal. */
export function stateReason<C extends keyof typeof STATE_CAUSES>(
  code: C,
  parameters: ParametersOf<(typeof STATE_CAUSES)[C]>,
): string {
  return keptReason(cause(code, parameters));
}

/** An error as the reason of a state: one of STATE_CAUSES or REFUSALS. */
export function keptReason({ code, message }: Pick<CodedError, 'code' | 'message'>): string {
  return `${code}: ${message.slice(0, MAX_DETAIL)}`;
}

/** For the end of a session for which its peer sent no reason, or its own. */
export const endCause = cause;

/** The code of a kept reason; '': it has none. */
export function codeOf(kept: string): string {
  const code = kept.slice(0, Math.max(kept.indexOf(': '), 0));
  return HINTS.has(code) ? code : '';
}

/** Ends of a session that neither side meant. */
const LOST: ReadonlySet<string> = new Set(['session_cut', 'session_unwelcomed', 'heartbeat_lost', 'slow_peer']);

/** The state of an agent whose session ended for this reason. */
export function stateAfter(kept: string): AgentState {
  const code = codeOf(kept);
  if (code === 'session_drained') return 'draining';
  return LOST.has(code) ? 'dropped' : 'disconnected';
}

/** The states of agents whose hello is refused, by the code; of other refusals the state stays. */
const REFUSED: ReadonlyMap<string, AgentState> = new Map<keyof typeof REFUSALS, AgentState>([
  ['authentication_kind', 'unauthenticated'],
  ['certificate_expired', 'unauthenticated'],
  ['certificate_foreign', 'unauthenticated'],
  ['certificate_required', 'unauthenticated'],
  ['agent_name_taken', 'misconfigured'],
  ['binding_mismatch', 'misconfigured'],
  ['binding_required', 'misconfigured'],
  ['wrong_transport', 'misconfigured'],
  ['agent_login_rate', 'throttled'],
]);

export function stateOfRefused(code: string): AgentState | undefined {
  return REFUSED.get(code);
}

/** As it is answered. A reason from before there were codes has none, and no hint. */
export function readReason(
  kept: string,
  agent: { readonly id: string; readonly name: string },
): { readonly code: string | null; readonly detail: string; readonly hint: string | null } {
  const code = codeOf(kept);
  const hint = HINTS.get(code);
  if (hint === undefined) return { code: null, detail: kept, hint: null };
  // Hints say {id} and {name} where a command needs them.
  return {
    code,
    detail: kept.slice(code.length + 2),
    hint: hint.replaceAll(/\{(?:id|name)\}/g, () => agent.name || agent.id),
  };
}

// Also of reasons that were kept.
const HINTS: ReadonlyMap<string, string> = new Map(
  Object.entries({ ...REFUSALS, ...STATE_CAUSES }).map(([code, { hint }]) => [code, hint]),
);
