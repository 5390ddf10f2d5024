// The parameters of services of agents (central/services): the port that leads to all of them.

const WITH_NEXT = 'At once. The open connections of callers on this port end.';

/** `group`: that of services. */
export function serviceDefinitions<const G extends string>(group: G) {
  return {
    'services.port': {
      group,
      type: 'integer',
      unit: 'port',
      minimum: 0,
      maximum: 65_535,
      default: 0,
      description:
        'Port on which callers reach all services of all agents over https, as /AGENT/SERVICE/ and the path of the service. 8446 is the usual one; 0: closed. One service on a port of its own is a service exposure instead.',
      reason: 'Closed: nothing at a branch is reachable before an administrator decides it.',
      applying: 'The listener opens, moves or closes. Calls that are open go on when it moves, and end when it closes.',
    },
    'services.allow': {
      group,
      type: 'list',
      of: 'caller-rule',
      maxItems: 64,
      default: [],
      description:
        'Who may call services on services.port, as ADDRESS:ROLE (10.1.0.0/16:viewer), or certificate:NAME:ROLE for a host name in the client certificate (certificate:*:viewer: all that services.clientCa accepts). A viewer may read (GET, HEAD), an operator may also write. The smallest block that contains the address counts. All others are refused with 403.',
      reason: 'Empty: no caller has a role until a rule gives it one.',
      applying: WITH_NEXT,
    },
    'services.clientCa': {
      group,
      type: 'string',
      form: 'authorities',
      maxLength: 16_384,
      default: '',
      description:
        'Authorities of callers on services.port, as PEM. Callers must then show a certificate that one of them has issued, or they are refused with 403, whatever their address. Empty: no certificate is requested.',
      reason: 'An address is enough where the network is trusted; an authority for callers is a decision of each site.',
      applying: WITH_NEXT,
    },
  } as const;
}
