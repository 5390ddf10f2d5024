// What acts that may cut agents off report beside their result: the agents, each with its reason, and notices.
import { defineErrors, type ErrorTable, type ParametersOf } from '../../shared/errors.ts';

/** Effects that cut no agent off, and what was done to a file. A code is explained as an error is. */
export const NOTICES = {
  parameter_overridden: {
    text: '{name} has no effect on this node: {origin} sets it.',
    hint: 'Remove that setting from the configuration of this node, or change it there.',
  },
  agents_need_new_port: {
    text: '{count} on {transport} stay connected, but need the new port to reconnect ({key}={port} in agent.conf): {names}.',
    hint: 'Change agent.conf on these agents before they have to reconnect.',
  },
  certificate_names_removed: {
    text: 'The certificate will no longer contain {names}: agents that dial Central by that name refuse it at their next connection.',
    hint: 'Keep the name, or let these agents dial another one first (central.host in agent.conf).',
  },
  administrator_cut_off: {
    text: 'Requests from {address}, from where this change is made, would be refused by {rule}.',
    hint: 'Add the address to that rule, or make the change on the host of Central.',
  },
  agents_above_maximum: {
    text: '{count} are online, more than agents.max would be; no session ends, but they reconnect more slowly.',
    hint: 'Choose a larger agents.max.',
  },
  chain_reordered: { text: 'The chain was put into order.', hint: 'No action needed.' },
  chain_completed: {
    text: '"{subject}" was missing from the file and was added from what Central has.',
    hint: 'No action needed.',
  },
  certificate_unused: {
    text: '"{subject}" does not belong to the chain and was left out.',
    hint: 'No action needed, unless you expected it in the chain: then look for the certificate that connects them.',
  },
  keystore_warning: { text: '{warning}', hint: 'Check where the file comes from.' },
  cross_certificate_missing: {
    text: 'The previous authority cannot cross-certify this one (this one is an intermediate, or the previous one may not sign authorities): agents that have not taken its root by the switch are cut off until it is imported there.',
    hint: 'Wait until "queuegate ca rotation show" lists no agent before you switch.',
  },
  commands_deleted: {
    text: '{count} commands that wait for the agent are deleted with it.',
    hint: 'Wait until the agent has received them, or send them to another agent.',
  },
  agents_refused: {
    text: '{count} of the selected agents are revoked and would be refused: {names}.',
    hint: 'Narrow the selection, or ignore it: the other agents are not affected.',
  },
} as const satisfies ErrorTable;

export interface Notice {
  readonly code: string;
  readonly detail: string;
}

const made = defineErrors(NOTICES);

export function notice<C extends keyof typeof NOTICES>(code: C, parameters: ParametersOf<(typeof NOTICES)[C]>): Notice {
  return { code, detail: made(code, parameters).message };
}

/**
 * Why an agent would lose Central. The first three are of sessions, the next of trust in an authority or a certificate.
 */
type CutOffReason =
  | 'unencrypted'
  | 'encrypted'
  | 'certificate-missing'
  | 'address-denied'
  | 'root-not-trusted'
  | 'offline'
  | 'refused'
  | 'awaiting-ack'
  | 'unsupported'
  | 'agent-revoked'
  | 'agent-deleted'
  | 'agent-disabled'
  | 'agent-replaced'
  | 'agent-drained'
  | 'maintenance';

export interface CutOffAgent {
  readonly id: string;
  readonly name: string;
  readonly reason: CutOffReason;
  /** A sentence: why, and what brings the agent back. */
  readonly detail: string;
  /** Of its session; absent: not known here. */
  readonly address?: string | undefined;
  /** What to do before the act, so that it is not cut off, or comes back; absent: `detail` says it. */
  readonly hint?: string;
}

/** As many as a page of a list; the count says how many there are. */
const MAX_NAMED = 1_000;

/** How REST shows them. */
export function cutOffJson(agents: readonly CutOffAgent[]) {
  const items = agents.slice(0, MAX_NAMED).map(({ id, name, reason, detail, address = null, hint = null }) => {
    return { agent: { id, name }, reason, detail, address, hint };
  });
  return { count: agents.length, items };
}
