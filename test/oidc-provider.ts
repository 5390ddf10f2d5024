// An OpenID provider as an organization has one, over TLS with a certificate of its own authority: oidc-provider. People
// sign in by their name alone, and are asked for no consent.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Provider, type Configuration } from 'oidc-provider';
import { openssl } from './central/pki/folder.ts';
import { freePorts, type Cleanup } from './flow/processes.ts';

export const CLIENT_ID = 'queuegate';
const CLIENT_SECRET = 'the secret of the client, with % and +:';

export interface Organization {
  readonly issuer: string;
  /** The certificate of its authority. */
  readonly root: string;
  /** Its own. */
  readonly certificate: string;
  /** The groups of each account; without one: the account has no claim. */
  readonly accounts: Map<string, readonly string[] | undefined>;
  /** The flags of a Central whose people sign in here. */
  readonly flags: readonly string[];
  stop(): Promise<void>;
  start(): Promise<void>;
}

interface OrganizationOptions {
  readonly redirectUri: string;
  /** `oidc.roles`. */
  readonly roles: string;
  /** True: the groups are in the ID token; otherwise in the userinfo. */
  readonly inIdToken?: boolean;
}

const FORM = `<!doctype html><title>Organization</title><form method="post">
  <label>Name <input name="login"></label><button>Continue</button></form>`;

export async function startOrganization(cleanup: Cleanup, options: OrganizationOptions): Promise<Organization> {
  const folder = await cleanup.folder();
  const [port = 0] = await freePorts(1);
  const issuer = `https://localhost:${port}`;
  const accounts: Organization['accounts'] = new Map();
  const provider = new Provider(issuer, configurationOf(accounts, options));
  const answer = provider.callback();
  const { root, cert, key } = await certificatesIn(folder);
  const server = createServer({ cert, key }, (request, response) => {
    if (request.url?.startsWith('/interaction/') === true) void interact(provider, request, response);
    else void answer(request, response);
  });
  const [secretFile, caFile] = [join(folder, 'secret'), join(folder, 'ca.pem')];
  await writeFile(secretFile, `${CLIENT_SECRET}\n`, { mode: 0o600 });
  await writeFile(caFile, root);
  const settings = {
    issuer,
    'client-id': CLIENT_ID,
    'client-secret-file': secretFile,
    'redirect-uri': options.redirectUri,
    roles: options.roles,
    scopes: 'openid profile groups',
    'ca-file': caFile,
  };
  const organization = {
    issuer,
    root,
    certificate: cert,
    accounts,
    flags: Object.entries(settings).flatMap(([name, value]) => [`--oidc-${name}`, value]),
    async start(): Promise<void> {
      await once(server.listen(port, 'localhost'), 'listening');
    },
    async stop(): Promise<void> {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
  await organization.start();
  cleanup.add(() => organization.stop());
  return organization;
}

/** A root of its own, and a certificate for localhost. */
async function certificatesIn(folder: string): Promise<{ root: string; cert: string; key: string }> {
  const at = (name: string): string => join(folder, name);
  const made = (name: string, ...more: string[]): string =>
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '30',
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.crt`),
      ...more,
    );
  made('root', '-subj', '/CN=Root of the organization', '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  const leaf = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth', 'subjectAltName=DNS:localhost'];
  const by = ['-CA', at('root.crt'), '-CAkey', at('root.key')];
  made('provider', '-subj', '/CN=localhost', ...leaf.flatMap((extension) => ['-addext', extension]), ...by);
  const read = async (name: string): Promise<string> => await readFile(at(name), 'utf8');
  return { root: await read('root.crt'), cert: await read('provider.crt'), key: await read('provider.key') };
}

function configurationOf(
  accounts: Organization['accounts'],
  { redirectUri, inIdToken }: OrganizationOptions,
): Configuration {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        redirect_uris: [redirectUri],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'ES256' }] },
    cookies: { keys: ['a key of the cookies of the provider'] },
    scopes: ['openid', 'profile', 'groups'],
    claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
    conformIdTokenClaims: inIdToken !== true,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    renderError(context, { error, error_description: text }) {
      context.type = 'text/plain';
      context.body = `${error}: ${text}`;
    },
    async findAccount(_context, id) {
      if (!accounts.has(id)) return undefined;
      const claims = { sub: id, preferred_username: id, groups: accounts.get(id) };
      return { accountId: id, claims: async () => claims };
    },
    async loadExistingGrant({ oidc }) {
      const { client, session, provider } = oidc;
      if (client === undefined || session?.accountId === undefined) return undefined;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile groups');
      await grant.save();
      return grant;
    },
  };
}

async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'POST') {
    response.writeHead(200, { 'content-type': 'text/html' }).end(FORM);
    return;
  }
  let body = '';
  for await (const piece of request) body += String(piece);
  const accountId = new URLSearchParams(body).get('login') ?? '';
  const result =
    accountId === 'stranger'
      ? { error: 'access_denied', error_description: 'a text of the provider' }
      : { login: { accountId } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}
