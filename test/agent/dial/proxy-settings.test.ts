// Which HTTP proxy is used for which host: the order of the sources, and the exceptions as curl and the JVM read them.
import { describe, expect, it } from 'vitest';
import { proxyFor, proxySettings } from '../../../agent/dial/proxy-settings.ts';
import { proxyUrl } from '../../../shared/settings/proxy-url.ts';

interface Sources {
  readonly configured?: string;
  readonly jvmArgs?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

function settings({ configured = '', jvmArgs = [], environment = {} }: Sources) {
  return proxySettings({ configured, passwordFile: '/profile/proxy-password', jvmArgs, environment });
}

/** "host:port (origin)", or "direct". */
function used(sources: Sources, host = 'central.example.com', { secure = true, port = 9150 } = {}): string {
  const proxy = proxyFor(settings(sources), { host, port, secure });
  return proxy === undefined ? 'direct' : `${proxy.host}:${proxy.port} (${proxy.origin})`;
}

const environment = { HTTPS_PROXY: 'http://env:3128' };
const jvmArgs = ['-Dhttps.proxyHost=jvm', '-Dhttps.proxyPort=3128'];

describe('the proxy', () => {
  it('is that of central.proxy, else that of the JVM options, else that of the environment', () => {
    expect(used({ configured: 'http://own:8080', jvmArgs, environment })).toBe('own:8080 (central.proxy)');
    expect(used({ jvmArgs, environment })).toBe('jvm:3128 (-Dhttps.proxyHost in jetty.jvm.args)');
    expect(used({ environment })).toBe('env:3128 (HTTPS_PROXY)');
    expect(used({ environment: { https_proxy: 'small:1', HTTPS_PROXY: 'large:1' } })).toBe('small:1 (HTTPS_PROXY)');
    expect(used({ environment: { ALL_PROXY: 'http://all' } })).toBe('all:80 (ALL_PROXY)');
    expect(used({})).toBe('direct');
  });

  it('is none with central.proxy=none', () => {
    expect(used({ configured: 'none', jvmArgs, environment })).toBe('direct');
  });

  it('is that of the transport: for ws those of http', () => {
    const plain = { secure: false };
    expect(used({ environment }, 'central', plain)).toBe('direct');
    expect(used({ environment: { http_proxy: 'http://h:1' } }, 'central', plain)).toBe('h:1 (HTTP_PROXY)');
    expect(used({ jvmArgs: ['-Dhttp.proxyHost=h'] }, 'central', plain)).toBe(
      'h:80 (-Dhttp.proxyHost in jetty.jvm.args)',
    );
    expect(used({ jvmArgs: ['-Dhttps.proxyHost=h'] })).toBe('h:443 (-Dhttps.proxyHost in jetty.jvm.args)');
    expect(used({ configured: 'http://own:8080' }, 'central', plain)).toBe('own:8080 (central.proxy)');
  });

  it('has the login of its address, and the password of the file where it is configured', () => {
    const target = { host: 'central', port: 9150, secure: true };
    expect(proxyFor(settings({ configured: 'http://bank%5Cagent@own:8080' }), target)).toMatchObject({
      user: 'bank\\agent',
      password: undefined,
      passwordFile: '/profile/proxy-password',
    });
    expect(proxyFor(settings({ environment: { HTTPS_PROXY: 'http://user:p%40ss@env:3128' } }), target)).toMatchObject({
      user: 'user',
      password: 'p@ss',
      passwordFile: undefined,
    });
  });

  it('of another kind is not used, and a warning says so without its value', () => {
    for (const address of ['socks5://secret@p:1', 'https://secret@p:1', 'http://secret@p:1/path', 'http://', '%%%'])
      expect(settings({ environment: { HTTPS_PROXY: address } })).toEqual({
        wss: undefined,
        ws: undefined,
        warnings: [
          'The environment variable HTTPS_PROXY is not used: it does not name an HTTP proxy; allowed: http://[USER[:PASSWORD]@]HOST:PORT.',
        ],
      });
    expect(settings({ jvmArgs: ['-DsocksProxyHost=p'] }).warnings).toEqual([
      '-DsocksProxyHost in jetty.jvm.args is not used: only HTTP proxies are supported (central.proxy).',
    ]);
  });
});

describe('an exception', () => {
  it.each([
    ['example.com', 'central.example.com', 'direct'],
    ['.example.com', 'central.example.com', 'direct'],
    ['*.example.com', 'central.example.com', 'direct'],
    ['.example.com', 'example.com', 'direct'],
    ['EXAMPLE.com', 'Central.Example.COM.', 'direct'],
    ['ample.com', 'central.example.com', 'used'],
    ['a b,central.example.com', 'central.example.com', 'direct'],
    ['central.example.com:9150', 'central.example.com', 'direct'],
    ['central.example.com:443', 'central.example.com', 'used'],
    ['*', 'central.example.com', 'direct'],
    ['10.0.0.0/8', '10.1.2.3', 'direct'],
    ['10.0.0.0/8', '11.1.2.3', 'used'],
    ['10.0.0.0/8', 'ten.example', 'used'],
    ['10.0.0.0/99', '10.1.2.3', 'used'],
    ['fd00::/8', 'fd00::7', 'direct'],
    ['fd00::7', 'fd00::7', 'direct'],
    ['[fd00::7]', 'fd00::7', 'direct'],
    ['10.1.2.3', '110.1.2.3', 'used'],
    ['bücher.example', 'central.xn--bcher-kva.example', 'direct'],
  ])('NO_PROXY=%s: %s is %s', (list, host, outcome) => {
    expect(used({ environment: { ...environment, NO_PROXY: list } }, host)).toBe(
      outcome === 'direct' ? 'direct' : 'env:3128 (HTTPS_PROXY)',
    );
  });

  it('counts for central.proxy too, but loopback is one only where the setting is not the own one of the agent', () => {
    expect(used({ configured: 'http://own:1', environment: { no_proxy: 'central' } }, 'central')).toBe('direct');
    expect(used({ configured: 'http://own:1' }, 'localhost')).toBe('own:1 (central.proxy)');
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) {
      expect(used({ environment }, host)).toBe('direct');
      expect(used({ jvmArgs }, host)).toBe('direct');
    }
  });

  it('of http.nonProxyHosts is one name exactly, unless it begins or ends with *', () => {
    const args = [...jvmArgs, '-Dhttp.nonProxyHosts=localhost|*.bank|10.*|exact'];
    for (const host of ['central.bank', '10.1.2.3', 'exact']) expect(used({ jvmArgs: args }, host)).toBe('direct');
    for (const host of ['not.exact', '110.1.2.3', '127.0.0.1']) expect(used({ jvmArgs: args }, host)).toMatch(/^jvm/);
  });
});

describe('the setting central.proxy', () => {
  it('takes an address of an HTTP proxy, with a user and without a password', () => {
    for (const text of ['', 'none', 'http://p:3128', ' http://user@p:3128 ', 'p:3128', 'http://[fd00::1]:3128'])
      expect(proxyUrl.parse(text), text).toBe(text.trim());
    for (const text of [
      'http://user:secret@p:3128',
      'https://p',
      'socks5://p',
      'http://p/x',
      'http://p?x',
      `p${'x'.repeat(1100)}`,
    ])
      expect(proxyUrl.parse(text), text).toBeUndefined();
  });
});
