// The errors of binding and of what arrives on the ports.
import { defineErrors } from '../../shared/errors.ts';

export const LISTENER_ERRORS = {
  port_taken: {
    status: 409,
    text: 'Port {port} on {address} cannot be bound for {listener}: it is in use by another process.',
    hint: 'Choose another port, or stop the process that holds it ("ss -ltnp" shows which); nothing was changed.',
  },
  port_refused: {
    status: 409,
    text: 'Port {port} on {address} cannot be bound for {listener}: {found}.',
    hint: 'Ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); an address must be one of this host; nothing was changed.',
  },
} as const;

export const listenerFault = defineErrors(LISTENER_ERRORS);
