// Which host names and addresses the certificate of an agent's port for devices may have: well-formed ones that are not
// Central's. A certificate with a name of Central could pass for Central.
import { isIP } from 'node:net';
import { hostName } from '../../../shared/settings/format.ts';
import { pkiFault } from '../../pki/errors.ts';

/** The names in one form, each once. Errors: device_name_bad, device_name_taken. */
export function deviceNames(asked: readonly string[], centralNames: readonly string[]): string[] {
  if (asked.length === 0) throw pkiFault('device_name_bad', { found: 'An empty list' });
  const names = asked.map(readName);
  for (const name of names)
    if (centralNames.some((own) => covers(formOf(own), name)))
      throw pkiFault('device_name_taken', { found: name, owner: 'Central' });
  return [...new Set(names)];
}

function readName(asked: string): string {
  const name = formOf(asked);
  // All digits and dots would be a mistyped address (300.1.1.1); a zone (fe80::1%eth0) means something on one host only.
  const isName = isIP(name) !== 0 ? !name.includes('%') : hostName.parse(name) === name && !/^[\d.]*$/.test(name);
  if (!isName) throw pkiFault('device_name_bad', { found: JSON.stringify(asked.slice(0, 64)) });
  return name;
}

/** Small letters; an IPv6 address in its shortest form (RFC 5952), as a URL has it. */
function formOf(name: string): string {
  const bare = name.toLowerCase();
  if (isIP(bare) !== 6 || bare.includes('%')) return bare;
  return new URL(`http://[${bare}]/`).hostname.slice(1, -1);
}

/** RFC 9525 section 6.3: a wildcard stands for one whole label on the left. */
function covers(own: string, name: string): boolean {
  if (!own.startsWith('*.')) return own === name;
  return isIP(name) === 0 && name.slice(name.indexOf('.')) === own.slice(1);
}
