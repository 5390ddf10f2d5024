// The errors of work that another node has to do, because it holds the session of the agent.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const FORWARDING_ERRORS = {
  node_unreachable: {
    status: 503,
    text: 'The node {node}, which holds the session of the agent, does not answer at {address}: {found}.',
    hint: 'Try again. If it persists, check with "queuegate nodes list" that the node runs, and that this host reaches the host and port of node.address in its central.conf.',
  },
  node_address_missing: {
    status: 503,
    text: 'The agent has its session at the node {node}, which has no address for other nodes.',
    hint: 'Set node.address=https://HOST:PORT in central.conf of that node, and start it again.',
  },
  agent_moved: {
    status: 503,
    text: 'The agent is moving from one node to another: {node} does not have its session any more.',
    hint: 'Try again in a second.',
  },
  node_caller_refused: {
    status: 403,
    text: 'Only the nodes of this Central may call this port: {found}.',
    hint: 'Callers use the administration (https.port) or the ports of services. If a node is refused, compare the clocks of both hosts: "queuegate nodes list" shows those of nodes.',
  },
} as const satisfies ErrorTable;

export const forwardingFault = defineErrors(FORWARDING_ERRORS);
