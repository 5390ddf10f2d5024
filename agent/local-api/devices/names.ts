// The host names and addresses in the certificate of the port for devices: the configured ones, else what this host is
// called and where it is reached.
import { hostname, networkInterfaces } from 'node:os';
import { isIP } from 'node:net';
import { hostName } from '../../../shared/settings/format.ts';
import { MAX_DEVICE_NAMES } from '../../../shared/wire/devices/frames.ts';

interface Host {
  readonly hostname: () => string;
  readonly networkInterfaces: typeof networkInterfaces;
}

/** Never a name of loopback: Central's own certificate may have it, and devices are on other hosts. */
export function wantedNames(
  configured: readonly string[],
  address: string,
  host: Host = { hostname, networkInterfaces },
): string[] {
  if (configured.length > 0) return [...configured];
  const own = host.hostname().toLowerCase();
  const isName = hostName.parse(own) === own && own !== '' && own !== 'localhost' && isIP(own) === 0;
  const isAnywhere = address === '' || address === '0.0.0.0' || address === '::';
  const found = Object.values(host.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    // Link-local ones have a zone, which means something on one host only (RFC 4007 section 6).
    .filter((one) => !one.internal && !one.address.toLowerCase().startsWith('fe80:'))
    .map((one) => one.address);
  const names = [...(isName ? [own] : []), ...(isAnywhere ? found : [address])];
  return [...new Set(names)].slice(0, MAX_DEVICE_NAMES);
}
