// Reads `store.url`: one database at one or several hosts, of which one is the primary.
import { isIP } from 'node:net';
import { postgresFault } from '../errors.ts';

export interface StoreHost {
  /** `host:port`, for people. */
  readonly name: string;
  /** For `pg.Client`. */
  readonly config: { readonly connectionString: string; readonly ssl?: true };
}

const SCHEME = /^postgres(?:ql)?:\/\//;
/** What pg verifies the certificate and the name of the server with; `disable` is for a network that is protected. */
const SSL_MODES: ReadonlySet<string> = new Set(['disable', 'require', 'verify-full']);
const REFUSED = ['uselibpqcompat', 'sslnegotiation', 'ssl'];

/** Errors: store_url_invalid, which names no password. */
export function hostsOf(url: string): StoreHost[] {
  const fault = (found: string): Error => postgresFault('store_url_invalid', { found });
  if (!SCHEME.test(url)) throw fault('it does not begin with postgres://');
  const rest = url.replace(SCHEME, '');
  const end = rest.search(/[/?]/);
  const [authority, path] = end === -1 ? [rest, ''] : [rest.slice(0, end), rest.slice(end)];
  const at = authority.lastIndexOf('@');
  const account = at === -1 ? '' : authority.slice(0, at + 1);
  if (!/^\/[^/?]+/.test(path)) throw fault('it names no database');
  const parameters = new URLSearchParams(path.split('?')[1] ?? '');
  const mode = parameters.get('sslmode');
  if (mode !== null && !SSL_MODES.has(mode))
    throw fault(`sslmode is ${mode.slice(0, 20)}, and it may be ${[...SSL_MODES].join(', ')}`);
  for (const name of REFUSED) if (parameters.has(name)) throw fault(`it sets ${name}: use sslmode`);
  return authority
    .slice(at + 1)
    .split(',')
    .map((place) => {
      const connectionString = `postgres://${account}${place}${path}`;
      if (
        !URL.canParse(
          connectionString === `postgres://${account}${path}` ? `postgres://localhost${path}` : connectionString,
        )
      )
        throw fault('its host or its account cannot be read: characters such as @ and / are written with %');
      const host = parameters.get('host') ?? place.replace(/:\d*$/, '');
      const ssl = mode === null && !isLocal(host) ? { ssl: true as const } : {};
      return { name: parameters.get('host') === null ? place : host, config: { connectionString, ...ssl } };
    });
}

/** A Unix socket, or this host. */
function isLocal(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '');
  return (
    host === '' ||
    host.startsWith('/') ||
    address === 'localhost' ||
    address === '::1' ||
    (isIP(address) === 4 && address.startsWith('127.'))
  );
}
