// Finds the hosts that an agent dials and its name, from its configuration and its enrollment.
import type { AgentConf } from './conf.ts';
import { proxyFor, type Proxy, type ProxySettings } from './dial/proxy-settings.ts';
import type { Identity } from './identity/identity.ts';

export interface Target {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** The HTTP proxy through which it is dialed; undefined: directly. */
  readonly proxy?: Proxy | undefined;
}

/** As people write it: wss://central.example.com:9150. */
export function targetName(target: Target): string {
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  return `${target.secure ? 'wss' : 'ws'}://${host}:${target.port}`;
}

/** The same host, dialed as the configuration says. */
export function withProxy(target: Target, proxies: ProxySettings): Target {
  return { ...target, proxy: proxyFor(proxies, target) };
}

/**
 * In the order in which they are tried: without a configured host the one it enrolled with, on its port if the
 * transport is the same.
 */
export function dialTargets(
  { central }: Pick<AgentConf, 'central'>,
  identity: Pick<Identity, 'host' | 'port' | 'secure'>,
): Target[] {
  const { secure, endpoints, port, proxies } = central;
  const hosts =
    endpoints.length > 0
      ? endpoints
      : [{ host: identity.host, port: identity.secure === secure ? identity.port : port }];
  return hosts.map((endpoint) => withProxy({ secure, host: endpoint.host, port: endpoint.port }, proxies));
}

/** Without a configured name the one it enrolled with; the host may be called otherwise since. */
export function agentName(conf: Pick<AgentConf, 'name' | 'origins'>, identity: Pick<Identity, 'name'>): string {
  return conf.origins['agent.name'] === 'default' ? identity.name : conf.name;
}
