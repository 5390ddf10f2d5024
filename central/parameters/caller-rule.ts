// Who may call services of agents: one rule as it is written, and what is wrong with rules and the authorities beside
// them. Exposures and the parameters services.* have the same.
import { isIP } from 'node:net';
import { textOf } from '../../shared/errors.ts';
import { certificatesInPem } from '../../shared/x509/certificates.ts';
import { CALLER_ROLES, type AllowRule, type ExposureSettings } from '../store/services/exposure-store.ts';

const MAX_CALLER_RULES = 64;
/** The name in a rule for the certificates of all callers. */
export const ANY_CERTIFICATE = '*';

const HOST_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i;
const BY_CERTIFICATE = 'certificate:';
/** A host name, and what is around it. */
const MAX_TEXT = 280;

/** `10.1.0.0/16:viewer`, `certificate:NAME:operator`; without a role, a viewer. Undefined: it is not a rule. */
export function parseCallerRule(text: string): AllowRule | undefined {
  if (text.length > MAX_TEXT) return undefined;
  const colon = text.lastIndexOf(':');
  // Otherwise what follows the last colon is part of an IPv6 address, or of a name.
  const named = CALLER_ROLES.find((role) => role === text.slice(colon + 1));
  const [who, role] = colon > 0 && named !== undefined ? [text.slice(0, colon), named] : [text, 'viewer' as const];
  const rule = who.startsWith(BY_CERTIFICATE)
    ? { address: null, certificate: who.slice(BY_CERTIFICATE.length), role }
    : { address: who, certificate: null, role };
  return ruleFault(rule) === undefined ? rule : undefined;
}

export function callerRuleText({ address, certificate, role }: AllowRule): string {
  return `${address ?? `${BY_CERTIFICATE}${certificate ?? ''}`}:${role}`;
}

/** Why these rules and authorities cannot be used together; undefined: they can. */
export function callersFault({ allow, clientCa }: Pick<ExposureSettings, 'allow' | 'clientCa'>): string | undefined {
  if (allow.length > MAX_CALLER_RULES) return `"allow" has ${allow.length} rules; at most ${MAX_CALLER_RULES}`;
  const seen = new Set<string>();
  for (const rule of allow) {
    const { address, certificate } = rule;
    const fault = ruleFault(rule);
    if (fault !== undefined) return fault;
    if (certificate !== null && clientCa === null) return 'a rule names a certificate, and "clientCa" is missing';
    const key = `${address ?? ''} ${certificate?.toLowerCase() ?? ''}`;
    if (seen.has(key)) return `"${address ?? certificate ?? ''}" has two rules`;
    seen.add(key);
  }
  const found = clientCa === null ? undefined : authoritiesFault(clientCa);
  return found === undefined ? undefined : `"clientCa" cannot be used: ${found}`;
}

function ruleFault({ address, certificate }: AllowRule): string | undefined {
  if ((address === null) === (certificate === null))
    return 'a rule of "allow" has both an address and a certificate, or neither';
  if (address !== null && !isBlock(address)) return `"${address.slice(0, 64)}" is not a CIDR block or an address`;
  if (certificate !== null && certificate !== ANY_CERTIFICATE && !HOST_NAME.test(certificate))
    return `"${certificate.slice(0, 64)}" is not a host name; allowed: a host name in the certificate, or ${ANY_CERTIFICATE}`;
  return undefined;
}

/** Why this PEM has no authorities of callers; undefined: it has. */
export function authoritiesFault(pem: string): string | undefined {
  try {
    const certificates = certificatesInPem(pem);
    if (certificates.length === 0) return 'there is no certificate in it';
    return certificates.some(({ ca }) => !ca) ? 'a certificate in it is not that of an authority' : undefined;
  } catch (error) {
    return textOf(error);
  }
}

function isBlock(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 6 ? 128 : 32));
}
