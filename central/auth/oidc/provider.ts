// The OpenID provider, by the library openid-client: where a browser signs in (authorization code with PKCE, state and
// nonce), and who the answer says it is. The library is loaded with the first sign-in.
import type * as OpenIdClient from 'openid-client';
import type { ClientAuth, Configuration } from 'openid-client';
import type { OidcSettings } from '../../../shared/settings/oidc-settings.ts';
import { isCoded, systemCode, textOf, type CodedError } from '../../../shared/errors.ts';
import { oidcFault } from './errors.ts';
import type { Expected } from './pending.ts';

/** After a failure the provider is asked again no sooner. */
const RETRY_MS = 5_000;
/** Its metadata are read again after so long: endpoints and keys change. */
const METADATA_MS = 3_600_000;
const MAX_NAME = 128;
/** OpenID Connect Core 1.0 section 2. */
const MAX_SUBJECT = 255;
const MAX_FOUND = 300;
const TLS_CODE = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|HOSTNAME_MISMATCH)/;
/** Errors of RFC 6749 section 4.1.2.1 and OpenID Connect; a word, since the browser brought it. */
const ERROR_WORD = /^[\w.-]{1,64}$/;

/** What is known of a person once the provider has answered. */
export interface Identity {
  readonly subject: string;
  readonly name: string;
  /** Undefined: the provider does not say. */
  readonly groups: readonly string[] | undefined;
}

export interface Provider {
  /** Where the browser signs in, and what the answer has to fit. Errors: oidc_unreachable, oidc_untrusted, oidc_answer_bad. */
  begin(): Promise<{ readonly location: string; readonly expected: Omit<Expected, 'replaced'> }>;
  /**
   * Who signed in, by the query with which the browser came back. Errors: those of begin, oidc_denied,
   * oidc_sign_in_unknown (another state).
   */
  finish(query: URLSearchParams, expected: Expected): Promise<Identity>;
}

interface ProviderOptions {
  readonly settings: OidcSettings;
  readonly secret: string;
  /** PEM; undefined: the roots of the system. */
  readonly roots: string | undefined;
  /** Of one request. */
  readonly timeoutMs?: number | undefined;
  readonly now: () => number;
}

type Library = typeof OpenIdClient;
type Loaded = { readonly library: Library; readonly configuration: Configuration };

export function createProvider(options: ProviderOptions): Provider {
  const { settings, now } = options;
  let loaded: Promise<Loaded> | undefined;
  let loadedAt = 0;
  let failed: { readonly fault: CodedError; readonly at: number } | undefined;

  async function load(): Promise<Loaded> {
    if (failed !== undefined && Math.abs(now() - failed.at) < RETRY_MS) throw failed.fault;
    if (loaded !== undefined && Math.abs(now() - loadedAt) > METADATA_MS) loaded = undefined;
    loadedAt = loaded === undefined ? now() : loadedAt;
    const mine = (loaded ??= discover(options));
    try {
      const found = await mine;
      failed = undefined;
      return found;
    } catch (error) {
      if (loaded === mine) loaded = undefined;
      const fault = faultOf(error, settings);
      failed = { fault, at: now() };
      throw fault;
    }
  }

  return {
    async begin() {
      const { library, configuration } = await load();
      const verifier = library.randomPKCECodeVerifier();
      const expected = { state: library.randomState(), nonce: library.randomNonce(), verifier };
      const location = library.buildAuthorizationUrl(configuration, {
        redirect_uri: settings.redirectUri,
        scope: settings.scopes,
        state: expected.state,
        nonce: expected.nonce,
        code_challenge: await library.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      });
      return { location: location.href, expected };
    },
    async finish(query, expected) {
      const { redirectUri: address } = settings;
      // Before anything that the browser brings is read.
      if (query.get('state') !== expected.state) throw unknownSignIn(address);
      const { library, configuration } = await load();
      const url = new URL(address);
      url.search = query.toString();
      try {
        const tokens = await library.authorizationCodeGrant(configuration, url, {
          pkceCodeVerifier: expected.verifier,
          expectedState: expected.state,
          expectedNonce: expected.nonce,
          idTokenExpected: true,
        });
        const claims = tokens.claims();
        if (claims === undefined) throw new Error('it has no ID token');
        const { groupsClaim } = settings;
        const more =
          Object.hasOwn(claims, groupsClaim) || configuration.serverMetadata().userinfo_endpoint === undefined
            ? {}
            : await library.fetchUserInfo(configuration, tokens.access_token, claims.sub);
        return identityOf({ ...more, ...claims }, groupsClaim);
      } catch (error) {
        if (error instanceof library.AuthorizationResponseError)
          throw oidcFault('oidc_denied', { issuer: settings.issuer, address, found: wordOf(error.error) }, error);
        throw faultOf(error, settings);
      }
    },
  };
}

/** A sign-in may take this many minutes. */
export function unknownSignIn(address: string): CodedError {
  return oidcFault('oidc_sign_in_unknown', { minutes: 10, address: new URL('/sign-in', address).href });
}

async function discover({ settings, secret, roots, timeoutMs }: ProviderOptions): Promise<Loaded> {
  const library = await import('openid-client');
  const { providerFetch } = await import('./requests.ts');
  const configuration = await library.discovery(
    new URL(settings.issuer),
    settings.clientId,
    { client_secret: secret },
    authenticationOf(library, secret),
    { [library.customFetch]: providerFetch(roots, timeoutMs) },
  );
  // The signature of the ID token as well, beside the TLS over which it comes.
  library.enableNonRepudiationChecks(configuration);
  return { library, configuration };
}

/** HTTP Basic unless the provider takes the secret only in the body (OpenID Connect Core 1.0 section 9). */
function authenticationOf({ ClientSecretBasic, ClientSecretPost }: Library, secret: string): ClientAuth {
  const [basic, post] = [ClientSecretBasic(secret), ClientSecretPost(secret)];
  return (server, client, body, headers) => {
    const taken = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
    const method = taken.includes('client_secret_post') && !taken.includes('client_secret_basic') ? post : basic;
    method(server, client, body, headers);
  };
}

function identityOf(claims: Readonly<Record<string, unknown>>, groupsClaim: string): Identity {
  const { sub } = claims;
  if (typeof sub !== 'string' || sub.length > MAX_SUBJECT)
    throw new Error(`its sub has over ${MAX_SUBJECT} characters`);
  const named = ['preferred_username', 'email', 'name'].map((claim) => claims[claim]);
  const name = named.find((text): text is string => typeof text === 'string' && text.trim() !== '') ?? sub;
  const groups = claims[groupsClaim];
  const texts = (Array.isArray(groups) ? groups : [groups]).filter((group) => typeof group === 'string');
  return {
    subject: sub.replaceAll(/\p{Cc}/gu, ' '),
    name: name
      .replaceAll(/\p{Cc}/gu, ' ')
      .trim()
      .slice(0, MAX_NAME),
    groups: groups === undefined || groups === null ? undefined : texts,
  };
}

function faultOf(error: unknown, { issuer }: OidcSettings): CodedError {
  if (isCoded(error)) return error;
  const causes = causesOf(error);
  const code = causes.map(systemCode).find((one) => one !== undefined && !one.startsWith('OAUTH_'));
  const found = foundIn(causes);
  if (code !== undefined && TLS_CODE.test(code)) return oidcFault('oidc_untrusted', { issuer, found }, error);
  if (causes.some(isOfConnection)) return oidcFault('oidc_unreachable', { issuer, found }, error);
  return oidcFault('oidc_answer_bad', { issuer, found }, error);
}

function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = [];
  for (let one = error; one !== undefined && one !== null && causes.length < 5; one = (one as Error).cause)
    causes.push(one);
  return causes;
}

/** What the connection says, or an answer like 502; anything else is what the library found in an answer. */
function isOfConnection(error: unknown): boolean {
  if (error instanceof Response) return error.status >= 500;
  const code = systemCode(error);
  return (
    (code !== undefined && /^E[A-Z]+$/.test(code) && !code.startsWith('ERR_')) ||
    /did not answer within|socket hang up/.test(textOf(error))
  );
}

/** The texts of an error and its causes, without what a provider might have echoed of a request. */
function foundIn(causes: readonly unknown[]): string {
  const texts = causes.map((cause) => {
    if (cause instanceof Response) return `the status ${cause.status}`;
    const word = (cause as { readonly error?: unknown }).error;
    return typeof word === 'string' ? wordOf(word) : textOf(cause);
  });
  // What OpenSSL found, without Node's advice to developers.
  const [text = ''] = [...new Set(texts)].join(': ').split('; if the root CA');
  return text.replaceAll(/\p{Cc}/gu, ' ').slice(0, MAX_FOUND);
}

function wordOf(error: string): string {
  return ERROR_WORD.test(error) ? error : 'an error without a name';
}
