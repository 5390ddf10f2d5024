// Sign-in of people with the OpenID provider of their organization: bounded, and with the role that the settings give
// their groups.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { textOf } from '../../../shared/errors.ts';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { isOpenToOthers } from '../../../shared/platform/files.ts';
import type { GroupRole, OidcSettings } from '../../../shared/settings/oidc-settings.ts';
import { certificatesInPem } from '../../../shared/x509/certificates.ts';
import type { SignedInPerson } from '../../store/token-store.ts';
import { addressBlock } from '../address-rules.ts';
import { oidcFault } from './errors.ts';
import { PendingSignIns } from './pending.ts';
import { createProvider, unknownSignIn, type Identity, type Provider } from './provider.ts';

/** Answers of the provider that Central fetches at once: each is up to three requests. */
export const MAX_EXCHANGES_OF_BLOCK = 10;
export const MAX_EXCHANGES = 50;
const MAX_SECRET_BYTES = 4_096;
const MAX_CA_BYTES = 256 * 1024;
const READABLE_BY_OTHERS = 0o077;
/** Of the groups that an error names. */
const MAX_NAMED = 10;
const MAX_NAMED_LENGTH = 64;

export interface Oidc {
  /** Where browsers come back to. */
  readonly redirectUri: string;
  /** Of the settings by which people get their roles: a session with others has ended. */
  readonly rules: string;
  /**
   * Begins a sign-in. `id`: what only this browser learns; `replaced`: the session that it has. Errors:
   * oidc_unreachable, oidc_untrusted, oidc_answer_bad, oidc_busy.
   */
  begin(address: string, replaced: string | undefined): Promise<{ readonly location: string; readonly id: string }>;
  /**
   * Who has signed in, by the query with which the browser came back; `id` is known once. Errors: those of begin,
   * oidc_sign_in_unknown, oidc_denied, oidc_groups_missing, oidc_no_role.
   */
  finish(
    address: string,
    id: string | undefined,
    query: URLSearchParams,
  ): Promise<{ readonly person: SignedInPerson; readonly replaced: string | undefined }>;
}

interface OidcLog {
  warn(facts: object, text: string): void;
}

/** Errors: those of files, oidc_file_bad. Asks the provider nothing yet. */
export async function openOidc(settings: OidcSettings, log: OidcLog, now: () => number): Promise<Oidc> {
  const [secret, roots] = [await readSecret(settings, log), await readRoots(settings)];
  return createOidc({ settings, now, provider: createProvider({ settings, secret, roots, now }) });
}

interface OidcParts {
  readonly settings: OidcSettings;
  readonly provider: Provider;
  readonly now: () => number;
}

export function createOidc({ settings, provider, now }: OidcParts): Oidc {
  const pending = new PendingSignIns(now);
  const exchanges = new Exchanges();
  const rules = rulesOf(settings);
  return {
    redirectUri: settings.redirectUri,
    rules,
    begin: async (address, replaced) =>
      await exchanges.run(address, async () => {
        const { location, expected } = await provider.begin();
        return { location, id: pending.add(address, { ...expected, replaced }) };
      }),
    finish: async (address, id, query) =>
      await exchanges.run(address, async () => {
        const expected = id === undefined ? undefined : pending.take(id);
        if (expected === undefined) throw unknownSignIn(settings.redirectUri);
        const identity = await provider.finish(query, expected);
        const { group, role, scope } = roleOf(identity, settings);
        const { subject, name } = identity;
        const person = { issuer: settings.issuer, subject, name, group, role, scope, rules };
        return { person, replaced: expected.replaced };
      }),
  };
}

/** The first entry whose group the person has. Errors: oidc_groups_missing, oidc_no_role. */
function roleOf({ name, groups }: Identity, { roles, groupsClaim: claim }: OidcSettings): GroupRole {
  if (groups === undefined) throw oidcFault('oidc_groups_missing', { name, claim });
  const has = new Set(groups);
  const found = roles.find(({ group }) => has.has(group));
  if (found !== undefined) return found;
  const named = groups.slice(0, MAX_NAMED).map((group) => group.slice(0, MAX_NAMED_LENGTH).replaceAll(/\p{Cc}/gu, ' '));
  const more = groups.length > named.length ? `, and ${groups.length - named.length} more` : '';
  throw oidcFault('oidc_no_role', { name, groups: named.length === 0 ? '(none)' : `${named.join(', ')}${more}` });
}

/** Changes with each setting that says who gets which role. */
function rulesOf({ issuer, clientId, groupsClaim, roles }: OidcSettings): string {
  return createHash('sha256')
    .update(JSON.stringify([issuer, clientId, groupsClaim, roles]))
    .digest('hex');
}

/** Bounds what waits for the provider, by address. */
class Exchanges {
  readonly #blocks = new Map<string, number>();
  #all = 0;

  /** Errors: oidc_busy. */
  async run<T>(address: string, act: () => Promise<T>): Promise<T> {
    const block = addressBlock(address);
    const own = this.#blocks.get(block) ?? 0;
    if (own >= MAX_EXCHANGES_OF_BLOCK || this.#all >= MAX_EXCHANGES) throw oidcFault('oidc_busy', {});
    this.#blocks.set(block, own + 1);
    this.#all += 1;
    try {
      return await act();
    } finally {
      this.#all -= 1;
      const left = (this.#blocks.get(block) ?? 1) - 1;
      if (left > 0) this.#blocks.set(block, left);
      else this.#blocks.delete(block);
    }
  }
}

async function readSecret({ clientSecretFile: file }: OidcSettings, log: OidcLog): Promise<string> {
  const setting = 'oidc.clientSecretFile';
  const hint = `Write the secret of the client into it, or name another file with ${setting} in central.conf.`;
  const bytes = await readBoundedFile({
    path: file,
    what: "The OpenID client's secret",
    maxBytes: MAX_SECRET_BYTES,
    hint,
  });
  if (isOpenToOthers(await stat(file), READABLE_BY_OTHERS))
    log.warn({ file }, 'other accounts may read the secret of the OpenID client (chmod 600)');
  const text = bytes.toString('utf8').trim();
  const allowed = 'the secret that the provider shows for this client, in one line';
  if (text === '') throw oidcFault('oidc_file_bad', { file, setting, found: 'nothing', allowed });
  if (/\p{Cc}/u.test(text)) throw oidcFault('oidc_file_bad', { file, setting, found: 'several lines', allowed });
  return text;
}

async function readRoots({ caFile: file }: OidcSettings): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const hint = "Name the file with the root of the provider's certificate (PEM).";
  const bytes = await readBoundedFile({ path: file, what: 'The file of oidc.caFile', maxBytes: MAX_CA_BYTES, hint });
  const text = bytes.toString('utf8');
  let found = 'no certificate';
  try {
    if (certificatesInPem(text).length > 0) return text;
  } catch (error) {
    found = textOf(error);
  }
  const allowed = 'certificates as PEM (-----BEGIN CERTIFICATE-----)';
  throw oidcFault('oidc_file_bad', { file, setting: 'oidc.caFile', found, allowed });
}
