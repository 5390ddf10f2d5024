// Reads the address of an HTTP proxy: of the setting central.proxy, and of variables such as HTTPS_PROXY.
import type { SettingFormat } from './format.ts';

interface ProxyUrl {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
}

const MAX_ADDRESS_LENGTH = 1024;

/** `central.proxy`: the text stays text, so that its password can be refused by the same words as everything else. */
export const proxyUrl: SettingFormat<string> = {
  name: 'HTTP proxy',
  allowed:
    'http://HOST:PORT or http://USER@HOST:PORT, without a password (central.proxy.passwordFile names its file); or none',
  parse: (found) => {
    const text = found.trim();
    if (text === '' || text === 'none') return text;
    const read = readProxyUrl(text);
    return read === undefined || read.password !== undefined ? undefined : text;
  },
};

/** "http://user:password@host:port"; the scheme may be left out, as in curl. Undefined when it is something else. */
export function readProxyUrl(text: string): ProxyUrl | undefined {
  if (text.length > MAX_ADDRESS_LENGTH) return undefined;
  try {
    const url = new URL(text.includes('://') ? text : `http://${text}`);
    if (url.protocol !== 'http:' || url.hostname === '' || url.pathname.length > 1 || url.search + url.hash !== '')
      return undefined;
    return {
      host: url.hostname.replaceAll(/^\[|\]$/g, ''),
      port: url.port === '' ? 80 : Number(url.port),
      user: url.username === '' ? undefined : decodeURIComponent(url.username),
      password: url.password === '' ? undefined : decodeURIComponent(url.password),
    };
  } catch {
    return undefined;
  }
}
