// The commands on exposed services: which port of Central leads to which service of an agent, and who may call it.
import type { Command, CommandCall } from '../../command.ts';
import { authoritiesFile } from '../../files.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { changed, IF_MATCH, REASON, termsOf, YES } from '../../terms.ts';

const ONE = { least: 1, most: 1 } as const;
const ROLES = new Set(['viewer', 'operator']);
const BY_CERTIFICATE = 'certificate:';
const HELP =
  'A rule is an address or a CIDR block and a role: 10.1.0.0/16:viewer. A viewer may read (GET, HEAD), an operator may also write; without\na role it is a viewer. The smallest block that contains the address counts. With --client-ca callers must show a certificate of that\nauthority, and certificate:NAME:operator gives a role to those with this host name in it, from any address (certificate:*: to all).';
const ALLOW = {
  allow: {
    type: 'string',
    isList: true,
    value: 'RULE',
    doc: 'who may call: CIDR:ROLE or certificate:NAME:ROLE; may be repeated',
  },
} as const;
const CLIENT_CA = {
  'client-ca': {
    type: 'string',
    value: 'FILE',
    doc: 'PEM file of the authorities of callers, who must show a certificate then',
  },
} as const;

export const serviceCommands: readonly Command[] = [
  {
    name: 'services list',
    usage: '',
    summary: 'services of agents that are exposed on ports of Central',
    options: LIST,
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/service-exposures');
      call.answer(answer, () =>
        call.table(
          ['port', 'agent', 'service', 'state', 'allowed', 'certificates', 'id'],
          rowsOf(answer, 'items').map((row) => [
            row['listenPort'],
            recordOf(row['agent'])['name'],
            row['service'],
            row['state'],
            rulesText(row),
            row['clientCa'] === null ? 'no' : 'required',
            row['id'],
          ]),
          'No exposed services. "queuegate services expose --help" explains how to expose one.',
        ),
      );
    },
  },
  {
    name: 'services show',
    usage: 'EXPOSURE',
    summary: 'one exposed service, by the id of its exposure',
    options: {},
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('GET', pathOf(call)));
      call.answer(row, () => exposureText(row));
    },
  },
  {
    name: 'services expose',
    usage: 'AGENT SERVICE --listen PORT --allow RULE [--client-ca FILE]',
    summary: 'let others reach a service of an agent over https, on a port of Central of its own',
    help: HELP,
    options: {
      listen: { type: 'string', value: 'PORT', doc: 'the port of Central; no other listener may have it' },
      ...ALLOW,
      ...CLIENT_CA,
      ...REASON,
    },
    words: { least: 2, most: 2 },
    async run(call) {
      const [agent, service] = call.words;
      const [listenPort, allow] = [call.number('listen'), rulesOf(call)];
      if (listenPort === undefined) throw call.complain('--listen is missing');
      if (allow === undefined) throw call.complain('--allow is missing: without it, nothing may call the service');
      const clientCa = await authoritiesFile(call, 'client-ca');
      const row = recordOf(
        await call.client.request('POST', '/service-exposures', {
          query: termsOf(call),
          body: { agent, service, listenPort, allow, ...(clientCa === undefined ? {} : { clientCa }) },
        }),
      );
      call.answer(row, () => exposureText(row));
      await noteUnreported(call, shown(agent), shown(service));
    },
  },
  {
    name: 'services set',
    usage: 'EXPOSURE [--allow RULE] [--client-ca FILE]',
    summary: 'set who may call an exposed service; its open connections end',
    help: `${HELP}\nThe rules that are set replace all rules before.`,
    options: {
      ...ALLOW,
      ...CLIENT_CA,
      'without-client-ca': { type: 'boolean', doc: 'request no certificate of callers any more' },
      ...IF_MATCH,
      ...REASON,
    },
    words: ONE,
    async run(call) {
      const allow = rulesOf(call);
      const clientCa = call.flag('without-client-ca') ? null : await authoritiesFile(call, 'client-ca');
      const body = {
        ...(allow === undefined ? {} : { allow }),
        ...(clientCa === undefined ? {} : { clientCa }),
      };
      const row = await changed(call, pathOf(call), body);
      call.answer(row, () => `Set.\n\n${exposureText(row)}`);
    },
  },
  {
    name: 'services unexpose',
    usage: 'EXPOSURE',
    summary: 'close the port of an exposed service',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: ONE,
    async run(call) {
      const id = call.words[0] ?? '';
      await call.confirm({ act: `Unexpose the service of the exposure ${id}`, effect: 'Its open connections end.' });
      await call.client.request('DELETE', pathOf(call), { query: termsOf(call) });
      call.answer({}, () => 'Unexposed.');
    },
  },
  {
    name: 'agents services',
    namedBy: 'name',
    usage: 'AGENT',
    summary: 'the services of an agent that can be exposed, as it reported them last',
    options: LIST,
    words: ONE,
    async run(call) {
      const answer = await readList(call, `/agents/${encodeURIComponent(call.words[0] ?? '')}/services`);
      call.answer(answer, () =>
        call.table(
          ['name', 'methods', 'websockets', 'paths', 'reported'],
          rowsOf(answer, 'items').map((row) => [
            row['name'],
            shown(row['methods']),
            row['upgrade'] === null ? 'not reported' : `${shown(row['upgrade'])}s`,
            row['paths'] === null ? 'too many to be reported' : shown(row['paths']),
            row['reportedAt'],
          ]),
          'The agent has no services. service.NAME.url in its profile makes one (docs/SERVICES.md).',
        ),
      );
    },
  },
];

/** A service may be exposed before the profile that names it is at the branch. */
async function noteUnreported(call: CommandCall, agent: string, service: string): Promise<void> {
  const reported = recordOf(
    await call.client.request('GET', `/agents/${encodeURIComponent(agent)}/services?limit=200`),
  );
  const names = rowsOf(reported, 'items').map(({ name }) => shown(name));
  if (!names.includes(service))
    call.notice(
      `The agent has not reported a service ${service} yet${names.length === 0 ? '' : `; it has: ${names.join(', ')}`}. ` +
        `Callers get 404 until its profile has service.${service}.url.`,
    );
}

function pathOf(call: CommandCall): string {
  return `/service-exposures/${encodeURIComponent(call.words[0] ?? '')}`;
}

/** Undefined: none was typed. */
function rulesOf(call: CommandCall): Readonly<Record<string, string>>[] | undefined {
  return call.list('allow')?.map((rule) => {
    const colon = rule.lastIndexOf(':');
    // Without a role, what follows the last colon is part of an IPv6 address, or of a name.
    const hasRole = colon > 0 && ROLES.has(rule.slice(colon + 1));
    const [who, role] = hasRole ? [rule.slice(0, colon), rule.slice(colon + 1)] : [rule, 'viewer'];
    return who.startsWith(BY_CERTIFICATE)
      ? { certificate: who.slice(BY_CERTIFICATE.length), role }
      : { address: who, role };
  });
}

function rulesText(row: Readonly<Record<string, unknown>>): string {
  return rowsOf(row, 'allow')
    .map(
      ({ address, certificate, role }) =>
        `${shown(address ?? `${BY_CERTIFICATE}${shown(certificate)}`)}:${shown(role)}`,
    )
    .join(', ');
}

function exposureText(row: Readonly<Record<string, unknown>>): string {
  const [agent, reason] = [recordOf(row['agent']), recordOf(row['stateReason'])];
  return facts([
    ['id', row['id']],
    ['agent', agent['name'] ?? agent['id']],
    ['service', row['service']],
    ['port', row['listenPort']],
    ['allowed', rulesText(row)],
    ['certificates', row['clientCa'] === null ? 'none requested' : 'required, of authorities of its own'],
    ['state', row['state']],
    ...(row['stateReason'] === null
      ? []
      : ([['reason', `${shown(reason['detail'])} ${shown(reason['hint'])}`]] as const)),
  ]);
}
