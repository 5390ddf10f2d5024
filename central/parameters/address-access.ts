// The parameters access.*: from which addresses a listener may be used, and from which a role counts. Their
// definitions, and what follows from their values.
import { BlockList, isIP } from 'node:net';
import type { ParameterDefinition } from './parameter-definition.ts';

export const ACCESS_GROUP = 'Access settings';

const MAPPED_V4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** An address as people write it: IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) as IPv4, no zone. */
export function normalAddress(address: string | undefined): string {
  const bare = (address ?? '').split('%', 1)[0] ?? '';
  return MAPPED_V4.exec(bare)?.[1] ?? bare;
}

/** A set of addresses made of CIDR blocks (RFC 4632) and single addresses. */
export class AddressSet {
  readonly #list = new BlockList();

  /** `blocks` have been checked already (the parameter's type). */
  constructor(blocks: readonly string[]) {
    for (const block of blocks) {
      const [address = '', prefix] = block.split('/', 2);
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      this.#list.addSubnet(address, prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix), family);
    }
  }

  has(address: string): boolean {
    const normal = normalAddress(address);
    const family = isIP(normal);
    return family !== 0 && this.#list.check(normal, family === 6 ? 'ipv6' : 'ipv4');
  }
}

const cidrs = { group: ACCESS_GROUP, type: 'list', of: 'cidr', maxItems: 64, default: [] } as const;

function allow<const W extends string>(who: W) {
  return {
    ...cidrs,
    description: `Addresses from which ${who}, as CIDR (10.0.0.0/8) or single addresses. Empty: from all. What is in the list "deny" as well is refused.`,
    reason: 'Firewalls are the usual place for such rules; here they apply to the address behind a trusted proxy, too.',
  } as const;
}

function deny<const W extends string>(who: W) {
  return {
    ...cidrs,
    description: `Addresses that are refused, as CIDR (10.0.0.0/8) or single addresses, even if the list "allow" contains them. From all others ${who}.`,
    reason: 'No address is refused unless you say so.',
  } as const;
}

const OF_AGENTS = {
  applying:
    'At once. Sessions from addresses that are no longer allowed end; the report names them first. Connections of this host, such as the Central agent, are always allowed. Agents behind a trusted proxy that does not forward a readable address are refused while there is a rule.',
} as const;
const OF_REQUESTS = {
  applying:
    'With the next request. The socket in the data folder, which "queuegate" uses on the host of Central, is always allowed. A change that would refuse the address from which it is made needs force.',
} as const;

const WS = 'agents may use the ws listener';
const WSS = 'agents may use the wss listener';
const HTTPS = 'the administration may be used over HTTPS, health and metrics included';
const roleOf = <const R extends string>(role: R) => `tokens with the role ${role} are accepted` as const;

export const ACCESS_DEFINITIONS = {
  'access.ws.allow': { ...allow(WS), ...OF_AGENTS },
  'access.ws.deny': { ...deny(WS), ...OF_AGENTS },
  'access.wss.allow': { ...allow(WSS), ...OF_AGENTS },
  'access.wss.deny': { ...deny(WSS), ...OF_AGENTS },
  'access.https.allow': { ...allow(HTTPS), ...OF_REQUESTS },
  'access.https.deny': { ...deny(HTTPS), ...OF_REQUESTS },
  'access.viewer.allow': { ...allow(roleOf('viewer')), ...OF_REQUESTS },
  'access.viewer.deny': { ...deny(roleOf('viewer')), ...OF_REQUESTS },
  'access.operator.allow': { ...allow(roleOf('operator')), ...OF_REQUESTS },
  'access.operator.deny': { ...deny(roleOf('operator')), ...OF_REQUESTS },
  'access.administrator.allow': { ...allow(roleOf('administrator')), ...OF_REQUESTS },
  'access.administrator.deny': { ...deny(roleOf('administrator')), ...OF_REQUESTS },
} as const satisfies Readonly<Record<string, ParameterDefinition>>;

type AccessName = keyof typeof ACCESS_DEFINITIONS;
type AccessValues = Readonly<Record<AccessName, readonly string[]>>;

/** What has rules of its own: a listener, or a role. */
export type AccessSubject = 'ws' | 'wss' | 'https' | 'viewer' | 'operator' | 'administrator';

/** The rules of the present values. */
export class AddressAccess {
  readonly #values: () => AccessValues;
  /** By name, with the list that it was made of: a change replaces the list. */
  readonly #sets = new Map<AccessName, { readonly blocks: readonly string[]; readonly set: AddressSet }>();

  constructor(values: () => AccessValues) {
    this.#values = values;
  }

  /** An address that is unknown fits no rule: it is refused where there is one. */
  admits(subject: AccessSubject, address: string): boolean {
    const [allowed, denied] = [this.#set(`access.${subject}.allow`), this.#set(`access.${subject}.deny`)];
    if (allowed === undefined && denied === undefined) return true;
    if (isIP(normalAddress(address)) === 0 || denied?.has(address) === true) return false;
    return allowed?.has(address) ?? true;
  }

  /** Undefined: the list is empty. */
  #set(name: AccessName): AddressSet | undefined {
    const blocks = this.#values()[name];
    if (blocks.length === 0) return undefined;
    const known = this.#sets.get(name);
    if (known?.blocks === blocks) return known.set;
    const set = new AddressSet(blocks);
    this.#sets.set(name, { blocks, set });
    return set;
  }
}
