// The errors of nodes by name, of any store.
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';

export const NODE_ERRORS = {
  node_unknown: {
    status: 404,
    text: 'No node is named {name}.',
    hint: 'Check the name with "queuegate nodes list".',
  },
  node_alive: {
    status: 409,
    text: 'The node {name} works: it cannot be deleted.',
    hint: 'Stop it first; it can be deleted once it is stopped or dead.',
  },
  node_alone: {
    status: 409,
    text: 'The node {name} cannot be drained: no other node admits agents.',
    hint: 'Start another node first, or end the drain of one ("queuegate nodes list" shows them). To send all agents away, use "queuegate maintenance enable".',
  },
} as const satisfies ErrorTable;

export const nodeFault = defineErrors(NODE_ERRORS);
