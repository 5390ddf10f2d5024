// Reads the services of this host from the files of the configuration: service.NAME.url and its other keys. They are
// not in the schema of conf.ts, since their names are the administrator's.
import { isBelow, SERVICE_METHODS, targetFault } from '../../shared/http/service-path.ts';
import type { Properties } from '../../shared/settings/properties.ts';
import { agentFault } from '../errors.ts';

/** What Central may request here, within these bounds: the branch has the last word. */
export interface ServiceSettings {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** `http://HOST:PORT`, as the Host header and redirects of the service have it. */
  readonly authority: string;
  readonly methods: readonly string[];
  /** The path, or all below it. */
  readonly paths: readonly string[];
  /** Which Host header the service sees: its own, or the one that the caller sent. */
  readonly hostHeader: 'url' | 'keep';
  /** Without a byte from or to the service until its answer begins. */
  readonly responseSeconds: number;
  /** The same, from then on. */
  readonly idleSeconds: number;
  /** The role that a caller needs for a WebSocket. It counts as POST for an operator, and as GET for a viewer. */
  readonly upgrade: 'operator' | 'viewer';
}

const MAX_SERVICES = 64;
const MAX_NAME_LENGTH = 32;
const NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const KEYS = ['url', 'methods', 'paths', 'host', 'responseSeconds', 'idleSeconds', 'upgrade', 'allowRemote'] as const;
type Key = (typeof KEYS)[number];
const KEY = new RegExp(`^service\\.(.*)\\.(${KEYS.join('|')})$`, 's');
const MAX_PATHS = 32;
const MAX_SECONDS = 86_400;
/** A report that the service computes may take a minute before its first byte. */
const RESPONSE_SECONDS = 60;
const IDLE_SECONDS = 120;

interface Found {
  readonly where: string;
  readonly text: string;
}

type FoundKeys = Partial<Record<Key, Found>>;

/** True for a key that belongs here, well-formed or not. */
export function isServiceKey(key: string): boolean {
  return key.startsWith('service.');
}

/** The services of these files, the lowest file first: a key of a later one counts. Errors: service_setting_bad. */
export function readServices(files: readonly Properties[]): ServiceSettings[] {
  const found = new Map<string, FoundKeys>();
  for (const { file, entries } of files)
    for (const { key, value, line } of entries) {
      if (!isServiceKey(key)) continue;
      const where = `${file} line ${line}`;
      const [, name = '', what] = KEY.exec(key) ?? [];
      if (name.length > MAX_NAME_LENGTH || !NAME.test(name) || !isKey(what))
        throw agentFault('service_setting_bad', {
          setting: key.slice(0, 128),
          where,
          found: 'an unknown key',
          allowed: `service.NAME.KEY, with a NAME of 1 to ${MAX_NAME_LENGTH} small letters, digits and dashes, and one of the keys ${KEYS.join(', ')}`,
        });
      found.set(name, { ...found.get(name), [what]: { where, text: value.trim() } });
    }
  const services = Array.from(found, ([name, keys]) => serviceOf(name, keys));
  const last = [...found.values()].at(-1);
  if (services.length > MAX_SERVICES)
    throw agentFault('service_setting_bad', {
      setting: `service.${services.at(-1)?.name ?? ''}`,
      where: Object.values(last ?? {})[0]?.where ?? '',
      found: `${services.length} services`,
      allowed: `at most ${MAX_SERVICES}`,
    });
  return services;
}

function isKey(what: string | undefined): what is Key {
  return KEYS.some((key) => key === what);
}

function serviceOf(name: string, keys: FoundKeys): ServiceSettings {
  const refuse = (key: Key, found: string, allowed: string): never => {
    const { where } = keys[key] ?? Object.values(keys)[0] ?? { where: '' };
    throw agentFault('service_setting_bad', { setting: `service.${name}.${key}`, where, found, allowed });
  };
  const oneOf = <const W extends readonly string[]>(key: Key, words: W): W[number] | undefined => {
    const text = keys[key]?.text;
    if (text === undefined || words.includes(text)) return text;
    return refuse(key, quoted(text), words.join(' or '));
  };
  const listOf = (key: Key, most: number, isAllowed: (item: string) => boolean, allowed: string): string[] => {
    const items = (keys[key]?.text ?? '').split(',').map((item) => item.trim());
    const bad = items.find((item) => !isAllowed(item));
    if (bad !== undefined || items.length > most)
      refuse(key, bad === undefined ? `${items.length} items` : quoted(bad), allowed);
    return [...new Set(items)];
  };
  const secondsOf = (key: Key, unset: number): number => {
    const text = keys[key]?.text;
    if (text === undefined) return unset;
    const seconds = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    return seconds >= 1 && seconds <= MAX_SECONDS ? seconds : refuse(key, quoted(text), `1 to ${MAX_SECONDS}`);
  };
  const allowsRemote = oneOf('allowRemote', ['true', 'false']) === 'true';
  return {
    name,
    ...addressOf(keys.url?.text ?? '', allowsRemote, (found, allowed) => refuse('url', found, allowed)),
    methods:
      keys.methods === undefined
        ? ['GET', 'HEAD']
        : listOf(
            'methods',
            SERVICE_METHODS.length,
            (method) => SERVICE_METHODS.some((known) => known === method),
            `a list of ${SERVICE_METHODS.join(', ')}`,
          ),
    paths:
      keys.paths === undefined
        ? ['/']
        : listOf(
            'paths',
            MAX_PATHS,
            (path) => targetFault(path) === undefined && !path.includes('?') && isBelow(path, ['/']),
            `1 to ${MAX_PATHS} paths that begin with /, without . and .. as segments; one that ends with / stands for all below it`,
          ),
    hostHeader: oneOf('host', ['url', 'keep']) ?? 'url',
    responseSeconds: secondsOf('responseSeconds', RESPONSE_SECONDS),
    idleSeconds: secondsOf('idleSeconds', IDLE_SECONDS),
    upgrade: oneOf('upgrade', ['operator', 'viewer']) ?? 'operator',
  };
}

function addressOf(
  text: string,
  allowsRemote: boolean,
  refuse: (found: string, allowed: string) => never,
): Pick<ServiceSettings, 'authority' | 'host' | 'port'> {
  const allowed = 'http://localhost:PORT, without a path and a user name';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) return refuse(text === '' ? 'nothing' : quoted(text), allowed);
  // Not repeated: it may hold a password.
  if (url.username !== '' || url.password !== '') return refuse('a URL with a user name', allowed);
  if (url.protocol !== 'http:' || url.pathname !== '/' || url.search !== '' || url.hash !== '')
    return refuse(quoted(text), allowed);
  const host = url.hostname.replaceAll(/^\[|\]$/g, '');
  if (!allowsRemote && !isLoopback(host))
    return refuse(
      quoted(text),
      'an address of this host (localhost, 127.0.0.1, [::1]); another host needs .allowRemote=true beside it',
    );
  return { host, port: Number(url.port || 80), authority: url.origin };
}

/** By its text: a name is resolved later, and by others. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
