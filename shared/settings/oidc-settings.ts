// The settings by which people sign in with OpenID Connect, and the formats of those that only these have.
import type { SettingFormat } from './format.ts';

export interface GroupRole {
  /** As the provider writes it. */
  readonly group: string;
  readonly role: 'viewer' | 'operator' | 'administrator';
  /** A selector of labels; null: for all agents. */
  readonly scope: string | null;
}

export interface OidcSettings {
  readonly issuer: string;
  readonly clientId: string;
  /** Absolute. */
  readonly clientSecretFile: string;
  /** Where the provider sends browsers back to: this address and no other. */
  readonly redirectUri: string;
  /** Separated by spaces. */
  readonly scopes: string;
  readonly groupsClaim: string;
  /** The first one whose group a person has counts. */
  readonly roles: readonly GroupRole[];
  /** Absolute. Undefined: the authorities of the system. */
  readonly caFile: string | undefined;
}

const MAX_ROLES = 100;
const MAX_GROUP_LENGTH = 256;
const MAX_URL_LENGTH = 512;
const CALLBACK = '/oidc/callback';
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?';
const TERM = `${LABEL}!?=(?:${LABEL})?`;
/** `GROUP=ROLE` or `GROUP=ROLE label:...`: a group may have an equals sign itself (CN=central). */
const ENTRY = new RegExp(`^(.+?)=(viewer|operator|administrator)(?:\\s+(label:${TERM}(?:,${TERM}){0,31}))?$`);

/** The roles of groups, separated by semicolons. */
export const groupRoles: SettingFormat<readonly GroupRole[]> = {
  name: 'roles of groups',
  allowed: `GROUP=ROLE separated by semicolons, each with a scope if needed (GROUP=operator label:region=north); roles are viewer, operator and administrator; at most ${MAX_ROLES}`,
  parse(found) {
    const texts = found
      .split(';')
      .map((text) => text.trim())
      .filter((text) => text !== '');
    const entries = texts.map(groupRole);
    return entries.length <= MAX_ROLES && entries.every((entry) => entry !== undefined) ? entries : undefined;
  },
};

function groupRole(text: string): GroupRole | undefined {
  const [, group = '', role, scope = null] = ENTRY.exec(text) ?? [];
  if (role === undefined || group.trim().length > MAX_GROUP_LENGTH || /\p{Cc}/u.test(group)) return undefined;
  return { group: group.trim(), role: role as GroupRole['role'], scope };
}

/** https, and no more than an issuer may have (OpenID Connect Discovery 1.0 section 3). Empty: none. */
export const issuerUrl: SettingFormat<string> = {
  name: 'issuer',
  allowed: `an address that begins with https://, without ? and #; at most ${MAX_URL_LENGTH} characters`,
  parse(found) {
    const url = urlOf(found);
    if (found.trim() === '') return '';
    return url?.protocol === 'https:' && !/[?#]/.test(found) ? found.trim() : undefined;
  },
};

/** Where browsers come back to. Empty: none. */
export const callbackUrl: SettingFormat<string> = {
  name: 'address of the callback',
  allowed: `https://HOST:PORT${CALLBACK}, or http:// with localhost or a loopback address`,
  parse(found) {
    const url = urlOf(found);
    if (found.trim() === '') return '';
    const isPrivate = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.has(url.hostname));
    return url !== undefined && isPrivate && url.href === `${url.origin}${CALLBACK}` ? url.href : undefined;
  },
};

/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

export const oidcScopes: SettingFormat<string> = {
  name: 'scopes',
  allowed: 'scopes separated by spaces, openid among them; at most 512 characters',
  parse(found) {
    const scopes = found.split(' ').filter((scope) => scope !== '');
    return found.length <= 512 && scopes.includes('openid') && scopes.every((scope) => SCOPE.test(scope))
      ? scopes.join(' ')
      : undefined;
  },
};

function urlOf(found: string): URL | undefined {
  const text = found.trim();
  return text.length <= MAX_URL_LENGTH ? (URL.parse(text) ?? undefined) : undefined;
}
