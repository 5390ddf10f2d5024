// The services that a profile names.
import { describe, expect, test } from 'vitest';
import { isServiceKey, readServices } from '../../../agent/services/service-settings.ts';

function read(...texts: readonly Readonly<Record<string, string>>[]) {
  return readServices(
    texts.map((entries, i) => ({
      file: `conf/${i}.conf`,
      entries: Object.entries(entries).map(([key, value], line) => ({ key, value, line: line + 1 })),
    })) as unknown as Parameters<typeof readServices>[0],
  );
}

describe('service.NAME.*', () => {
  test('names a service of this host that may be read, unless it says more', () => {
    expect(read({ 'service.jobs.url': 'http://localhost:4445', 'other.key': '1' })).toEqual([
      {
        name: 'jobs',
        host: 'localhost',
        port: 4445,
        authority: 'http://localhost:4445',
        methods: ['GET', 'HEAD'],
        paths: ['/'],
        hostHeader: 'url',
        responseSeconds: 60,
        idleSeconds: 120,
        upgrade: 'operator',
      },
    ]);
    expect(isServiceKey('service.jobs.url')).toBe(true);
  });

  test('is read from both files, the later one counts', () => {
    const [jobs] = read(
      { 'service.jobs.url': 'http://127.0.0.1', 'service.jobs.methods': 'GET' },
      {
        'service.jobs.methods': 'GET, POST',
        'service.jobs.paths': '/a/, /b',
        'service.jobs.host': 'keep',
        'service.jobs.idleSeconds': '5',
        'service.jobs.upgrade': 'viewer',
      },
    );
    expect(jobs).toMatchObject({
      port: 80,
      methods: ['GET', 'POST'],
      paths: ['/a/', '/b'],
      hostHeader: 'keep',
      idleSeconds: 5,
      upgrade: 'viewer',
    });
    expect(read({ 'service.v6.url': 'http://[::1]:1' })).toMatchObject([{ host: '::1', port: 1 }]);
    const remote = { 'service.far.url': 'http://other.example:1', 'service.far.allowRemote': 'true' };
    expect(read(remote)).toMatchObject([{ host: 'other.example' }]);
  });

  const URL_KEY = { 'service.jobs.url': 'http://localhost:1' };
  test.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['without a URL', { 'service.jobs.methods': 'GET' }, /service\.jobs\.url .*found nothing/],
    ['of another host', { 'service.jobs.url': 'http://10.0.0.1:1' }, /allowRemote=true/],
    ['of a name that looks like this host', { 'service.jobs.url': 'http://localhost.example:1' }, /allowRemote/],
    ['of https', { 'service.jobs.url': 'https://localhost:1' }, /http:\/\/localhost:PORT/],
    ['of a URL with a path', { 'service.jobs.url': 'http://localhost:1/a' }, /without a path/],
    ['of a URL with a password', { 'service.jobs.url': 'http://u:secret@localhost' }, /found a URL with a user name/],
    ['with an unknown role', { ...URL_KEY, 'service.jobs.upgrade': 'true' }, /"true"; allowed: operator or viewer/],
    ['with an unknown method', { ...URL_KEY, 'service.jobs.methods': 'GET,TRACE' }, /"TRACE"/],
    ['with a path that leads up', { ...URL_KEY, 'service.jobs.paths': '/a/../b' }, /"\/a\/..\/b"/],
    ['with a path without a slash', { ...URL_KEY, 'service.jobs.paths': 'a' }, /"a"/],
    ['with no time', { ...URL_KEY, 'service.jobs.responseSeconds': '0' }, /1 to 86400/],
    ['with a Host that is not known', { ...URL_KEY, 'service.jobs.host': 'other' }, /url or keep/],
    ['with an unknown key', { 'service.jobs.uri': 'http://localhost' }, /an unknown key; allowed: .*url, methods/],
    ['with a name in capitals', { 'service.Jobs.url': 'http://localhost' }, /an unknown key/],
  ])('is refused %s, with its line and what is allowed', (_name, keys, text) => {
    expect(() => read(keys)).toThrow(text);
    expect(() => read(keys)).not.toThrow(/secret/);
  });

  test('has 64 services at most', () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`service.s${i}.url`, 'http://localhost']));
    expect(() => read(many)).toThrow(/65 services; allowed: at most 64/);
  });
});
