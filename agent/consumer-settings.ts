// Reads the consumers of the local API from the files of the configuration: consumer.NAME.types, consumer.NAME.group and
// consumer.NAME.certificates. They are not in the schema of conf.ts, since their names are the administrator's.
import { hostName } from '../shared/settings/format.ts';
import type { Properties } from '../shared/settings/properties.ts';
import { agentFault } from './errors.ts';
import { DEFAULT_CONSUMER, type ConsumerTypes } from './store/routing.ts';

export interface ConsumerSettings extends ConsumerTypes {
  /** Group whose members may read its token file; undefined: only the account of the agent. */
  readonly group: string | undefined;
  /** Host names in the client certificates of its devices, in small letters; ANY_CERTIFICATE: all others. */
  readonly certificates: readonly string[];
}

/** Beside `default`. Each has a token file and a row in the store, and costs every commit a few microseconds. */
export const MAX_CONSUMERS = 32;
export const MAX_TYPES = 64;
const MAX_TYPE_LENGTH = 128;
/** Of all patterns together: they go to Central in one small frame. */
const MAX_TYPES_LENGTH = 8_192;
const MAX_NAME_LENGTH = 32;
const MAX_CERTIFICATES = 64;
/** Every certificate that no consumer names. */
export const ANY_CERTIFICATE = '*';

/** `consumer.NAME.types`, and so on. */
export const CONSUMER_KEYS = ['types', 'group', 'certificates'] as const;
type ConsumerKey = (typeof CONSUMER_KEYS)[number];
const KEY = new RegExp(`^consumer\\.(.*)\\.(${CONSUMER_KEYS.join('|')})$`, 's');
const NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
/** Printable ASCII without comma and blank; `*` at the end only. */
const TYPE = /^[!-)+\--~]*\*?$/;
const GROUP = /^[A-Za-z_][\w.-]{0,63}$/;

interface Found {
  readonly where: string;
  readonly text: string;
}

/** True for a key that belongs here, well-formed or not. */
export function isConsumerKey(key: string): boolean {
  return key.startsWith('consumer.');
}

/**
 * The consumers of these files, the lowest file first: a key of a later one counts. `default` is among them when it is
 * named. Errors: consumer_setting_bad.
 */
export function readConsumers(files: readonly Properties[]): ConsumerSettings[] {
  const found = new Map<string, Partial<Record<ConsumerKey, Found>>>();
  for (const { file, entries } of files)
    for (const { key, value, line } of entries) {
      if (!isConsumerKey(key)) continue;
      const where = `${file} line ${line}`;
      const [, name = '', what] = KEY.exec(key) ?? [];
      if (!isName(name) || !isConsumerSetting(what))
        throw agentFault('consumer_setting_bad', {
          setting: key.slice(0, 128),
          where,
          found: 'an unknown key',
          allowed: `consumer.NAME.types, consumer.NAME.group and consumer.NAME.certificates, with a NAME of 1 to ${MAX_NAME_LENGTH} small letters, digits and dashes`,
        });
      found.set(name, { ...found.get(name), [what]: { where, text: value } });
    }
  const consumers = Array.from(found, ([name, { types, group, certificates }]) => ({
    name,
    types: types === undefined ? [] : typesOf(name, types),
    group: group === undefined ? undefined : groupOf(name, group),
    certificates: certificates === undefined ? [] : certificatesOf(name, certificates),
    where: (types ?? group ?? certificates)?.where ?? '',
    hasTypes: types !== undefined,
  }));
  checkTogether(consumers);
  checkCertificates(consumers);
  return consumers.map(({ name, types, group, certificates }) => ({ name, types, group, certificates }));
}

function isConsumerSetting(what: string | undefined): what is ConsumerKey {
  return CONSUMER_KEYS.some((key) => key === what);
}

function isName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && NAME.test(name);
}

function typesOf(name: string, { where, text }: Found): string[] {
  const types = text.split(',').map((type) => type.trim());
  const bad = types.find((type) => type === '' || type.length > MAX_TYPE_LENGTH || !TYPE.test(type));
  if (bad !== undefined || types.length > MAX_TYPES)
    throw agentFault('consumer_setting_bad', {
      setting: `consumer.${name}.types`,
      where,
      found: bad === undefined ? `${types.length} types` : JSON.stringify(bad.slice(0, 64)),
      allowed: `1 to ${MAX_TYPES} types separated by commas, each of 1 to ${MAX_TYPE_LENGTH} printable ASCII characters without blanks; * at the end stands for any rest`,
    });
  return types;
}

function groupOf(name: string, { where, text }: Found): string | undefined {
  if (name === DEFAULT_CONSUMER)
    throw agentFault('consumer_setting_bad', {
      setting: `consumer.${name}.group`,
      where,
      found: 'a group',
      allowed: `none: the token of "${name}" is in the data folder, which no other account may enter. Give the program a consumer of its own`,
    });
  const group = text.trim();
  if (group === '') return undefined;
  if (!GROUP.test(group))
    throw agentFault('consumer_setting_bad', {
      setting: `consumer.${name}.group`,
      where,
      found: JSON.stringify(group.slice(0, 64)),
      allowed: 'the name of a group of this host',
    });
  return group;
}

function certificatesOf(name: string, { where, text }: Found): string[] {
  const refuse = (found: string, allowed: string): never => {
    throw agentFault('consumer_setting_bad', { setting: `consumer.${name}.certificates`, where, found, allowed });
  };
  if (name === DEFAULT_CONSUMER)
    return refuse(
      'host names',
      `none: "${name}" belongs to the account of the agent. Give devices a consumer of their own`,
    );
  const names = text.split(',').map((one) => one.trim().toLowerCase());
  const bad = names.find((one) => one !== ANY_CERTIFICATE && (one === '' || hostName.parse(one) !== one));
  if (bad !== undefined || names.length > MAX_CERTIFICATES)
    return refuse(
      bad === undefined ? `${names.length} host names` : JSON.stringify(bad.slice(0, 64)),
      `1 to ${MAX_CERTIFICATES} host names separated by commas, as they are in the client certificates of devices; ${ANY_CERTIFICATE} for all certificates that no consumer names`,
    );
  return names;
}

function checkCertificates(
  consumers: readonly { readonly name: string; readonly certificates: readonly string[]; readonly where: string }[],
): void {
  const owners = new Map<string, string>();
  for (const { name, certificates, where } of consumers)
    for (const host of certificates) {
      const owner = owners.get(host);
      if (owner !== undefined)
        throw agentFault('consumer_setting_bad', {
          setting: `consumer.${name}.certificates`,
          where,
          found: `"${host}" a second time, first in consumer.${owner}.certificates`,
          allowed: 'each host name once: a device is one consumer',
        });
      owners.set(host, name);
    }
}

function checkTogether(
  consumers: readonly { name: string; types: readonly string[]; where: string; hasTypes: boolean }[],
): void {
  const refuse = (consumer: { name: string; where: string }, found: string, allowed: string): never => {
    throw agentFault('consumer_setting_bad', {
      setting: `consumer.${consumer.name}.types`,
      where: consumer.where,
      found,
      allowed,
    });
  };
  const owners = new Map<string, string>();
  let length = 0;
  const named = consumers.filter(({ name }) => name !== DEFAULT_CONSUMER);
  for (const consumer of consumers) {
    if (!consumer.hasTypes && consumer.name !== DEFAULT_CONSUMER)
      refuse(consumer, 'nothing', 'its types: without them it would get no command');
    for (const type of consumer.types) {
      const owner = owners.get(type);
      if (owner !== undefined)
        refuse(
          consumer,
          `"${type}" a second time, first in consumer.${owner}.types`,
          'each type once: a command has one consumer',
        );
      owners.set(type, consumer.name);
      length += type.length;
    }
  }
  const last = named.at(-1);
  if (last === undefined) return;
  if (named.length > MAX_CONSUMERS)
    refuse(last, `${named.length} consumers`, `at most ${MAX_CONSUMERS} beside "${DEFAULT_CONSUMER}"`);
  if (length > MAX_TYPES_LENGTH)
    refuse(last, `${length} characters of all types together`, `at most ${MAX_TYPES_LENGTH}`);
}
