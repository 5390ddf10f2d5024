// Finds the HTTP proxy through which Central is reached: central.proxy, else the options of the field's JVM, else the
// environment; and the hosts that are dialed directly all the same. Opens nothing.
import { domainToASCII } from 'node:url';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { readProxyUrl } from '../../shared/settings/proxy-url.ts';
import type { Place } from './tcp.ts';

export interface Proxy extends Place {
  readonly user: string | undefined;
  /** Of HTTPS_PROXY; a configured proxy has its password in a file. */
  readonly password: string | undefined;
  readonly passwordFile: string | undefined;
  /** The setting that names it: central.proxy, HTTPS_PROXY, ... */
  readonly origin: string;
}

/** A proxy, and what it is not used for. */
interface ProxyChoice {
  readonly proxy: Proxy;
  readonly except: readonly Exception[];
}

/** For wss and for ws. */
export interface ProxySettings {
  readonly wss: ProxyChoice | undefined;
  readonly ws: ProxyChoice | undefined;
}

interface Exception {
  /** A name or an address, which may begin or end with *; or a network (10.0.0.0/8). */
  readonly host: string;
  /** Undefined: all ports. */
  readonly port: number | undefined;
}

interface ProxySources {
  /** `central.proxy`; empty: not set. */
  readonly configured: string;
  readonly passwordFile: string | undefined;
  /** `jetty.jvm.args`, taken apart. */
  readonly jvmArgs: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const MAX_EXCEPTIONS = 256;
/** As the JVM has it: what is on this host is not reached through another one. */
const LOOPBACK = ['localhost', '127.*', '::1'];
/** Proxies of the JVM that speak another protocol, or that nothing but a JVM can find. */
const JVM_UNSUPPORTED = ['-DsocksProxyHost=', '-Djava.net.useSystemProxies=true'];

/** The proxies of a configuration. `warnings` names the settings that are there and cannot be used. */
export function proxySettings({ configured, passwordFile, jvmArgs, environment }: ProxySources): ProxySettings & {
  readonly warnings: readonly string[];
} {
  const env = (name: string): string => environment[name.toLowerCase()] ?? environment[name] ?? '';
  const noProxy = exceptionsOf(env('NO_PROXY'));
  if (configured === 'none') return { wss: undefined, ws: undefined, warnings: [] };
  const own = configured === '' ? undefined : readProxyUrl(configured);
  if (own !== undefined) {
    const proxy = { ...own, password: undefined, passwordFile, origin: 'central.proxy' };
    return { wss: { proxy, except: noProxy }, ws: { proxy, except: noProxy }, warnings: [] };
  }
  const warnings = JVM_UNSUPPORTED.filter((option) => jvmArgs.some((argument) => argument.startsWith(option))).map(
    (option) =>
      `${option.replace(/=$/, '')} in jetty.jvm.args is not used: only HTTP proxies are supported (central.proxy).`,
  );
  const fromEnvironment = (...names: string[]): ProxyChoice | undefined => {
    const name = names.find((one) => env(one) !== '');
    if (name === undefined) return undefined;
    const read = readProxyUrl(env(name));
    if (read === undefined) {
      // Not its value: it may hold a password.
      warnings.push(
        `The environment variable ${name} is not used: it does not name an HTTP proxy; allowed: http://[USER[:PASSWORD]@]HOST:PORT.`,
      );
      return undefined;
    }
    const except = [...LOOPBACK.map((host) => ({ host, port: undefined })), ...noProxy];
    return { proxy: { ...read, passwordFile: undefined, origin: name }, except };
  };
  return {
    wss: fromJvm(jvmArgs, 'https') ?? fromEnvironment('HTTPS_PROXY', 'ALL_PROXY'),
    ws: fromJvm(jvmArgs, 'http') ?? fromEnvironment('HTTP_PROXY', 'ALL_PROXY'),
    warnings: [...new Set(warnings)],
  };
}

/** The proxy through which a host is dialed; undefined: directly. */
export function proxyFor(settings: ProxySettings, target: Place & { readonly secure: boolean }): Proxy | undefined {
  const choice = target.secure ? settings.wss : settings.ws;
  return choice === undefined || choice.except.some((exception) => matches(exception, target))
    ? undefined
    : choice.proxy;
}

/** -Dhttps.proxyHost and its port (443, and 80 for http, as in the JVM); -Dhttp.nonProxyHosts counts for both. */
function fromJvm(args: readonly string[], scheme: 'http' | 'https'): ProxyChoice | undefined {
  const value = (option: string): string | undefined => {
    const start = `-D${option}=`;
    return args.findLast((argument) => argument.startsWith(start))?.slice(start.length);
  };
  const host = value(`${scheme}.proxyHost`) ?? '';
  if (host === '') return undefined;
  const port = Number(/^\d{1,5}$/.exec(value(`${scheme}.proxyPort`) ?? '')?.[0] ?? (scheme === 'https' ? 443 : 80));
  const direct = value('http.nonProxyHosts')?.split('|') ?? LOOPBACK;
  return {
    proxy: {
      host: plainAddress(host),
      port,
      user: undefined,
      password: undefined,
      passwordFile: undefined,
      origin: `-D${scheme}.proxyHost in jetty.jvm.args`,
    },
    except: direct
      .slice(0, MAX_EXCEPTIONS)
      .filter((entry) => entry !== '')
      .map((entry) => ({ host: plainAddress(entry.toLowerCase()), port: undefined })),
  };
}

/**
 * NO_PROXY: names with what is below them (with or without a leading dot), addresses, networks, each with :port if need
 * be.
 */
function exceptionsOf(text: string): Exception[] {
  const entries = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '');
  return entries.slice(0, MAX_EXCEPTIONS).flatMap((entry): Exception[] => {
    const [, host = '', port] = isIPv6(entry) ? [entry, entry] : (/^(.+?)(?::(\d{1,5}))?$/.exec(entry) ?? []);
    const at = port === undefined ? undefined : Number(port);
    const name = plainAddress(host).replace(/^\*?\./, '');
    if (name === '*' || name.includes('/') || isIP(name) !== 0) return [{ host: name, port: at }];
    return [name, `*.${name}`].map((one) => ({ host: asciiName(one), port: at }));
  });
}

function matches({ host: pattern, port }: Exception, target: Place): boolean {
  if (port !== undefined && port !== target.port) return false;
  const host = target.host.toLowerCase().replace(/\.$/, '');
  if (pattern.includes('/')) return isInNetwork(pattern, host);
  const text = pattern.replaceAll('*', '');
  if (pattern.startsWith('*') && pattern.endsWith('*')) return host.includes(text);
  if (pattern.startsWith('*')) return host.endsWith(text);
  return pattern.endsWith('*') ? host.startsWith(text) : host === text;
}

function isInNetwork(network: string, host: string): boolean {
  const [, address = '', bits = ''] = /^(.+)\/(\d{1,3})$/.exec(network) ?? [];
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  if (isIP(address) === 0 || isIP(host) !== isIP(address) || Number(bits) > (family === 'ipv6' ? 128 : 32))
    return false;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), family);
  return list.check(host, family);
}

function plainAddress(text: string): string {
  return text.replaceAll(/^\[|\]$/g, '');
}

function asciiName(name: string): string {
  return name.startsWith('*.') ? `*.${domainToASCII(name.slice(2)) || name.slice(2)}` : domainToASCII(name) || name;
}
