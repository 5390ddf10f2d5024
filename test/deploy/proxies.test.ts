// The files of the reverse proxies: valid for the products, documented setting by setting, and with timeouts that
// heartbeats keep open.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFINITIONS } from '../../central/parameters/definitions.ts';
import { AGENT_PATH, ENROLL_PATH } from '../../shared/wire/messages.ts';
import { lacksPeer, OpensslAuthority, type IssuedFiles } from '../flow/false-hosts.ts';
import { Cleanup, ROOT } from '../flow/processes.ts';
import { checkProxy, copyProxy, productOf, PROGRAMS, PROXY_FILES, proxyText } from '../flow/reverse-proxies.ts';

const cleanup = new Cleanup();
let certificate: IssuedFiles;
let centralRoot: string;
beforeAll(async () => {
  const authority = await OpensslAuthority.make(cleanup, 'An authority');
  certificate = await authority.issue({ name: 'localhost', names: 'DNS:localhost' });
  centralRoot = readFileSync(authority.root.certificate, 'utf8');
});
afterAll(() => cleanup.run());

const documented = readFileSync(join(ROOT, 'docs/PROXIES.md'), 'utf8');
const folders = ['nginx', 'apache', 'haproxy'];

describe('the files of the reverse proxies', () => {
  it('are all tested and documented', () => {
    const found = folders.flatMap((folder) =>
      readdirSync(join(ROOT, 'deploy', folder)).map((name) => `${folder}/${name}`),
    );
    expect(found.toSorted()).toEqual(PROXY_FILES.toSorted());
    for (const file of PROXY_FILES) expect(documented).toContain(`deploy/${file}`);
  });

  it.each(PROXY_FILES)('%s: every timeout of a session is above two and a half heartbeats', (file) => {
    const found = Array.from(
      proxyText(file).matchAll(
        /(?<=\b(?:proxy_read_timeout|proxy_send_timeout|proxy_timeout|Timeout|ProxyTimeout|timeout (?:client|server|tunnel)) )\d+/g,
      ),
      ([seconds]) => Number(seconds),
    );
    expect(found.length).toBeGreaterThan(0);
    const least = 2.5 * DEFINITIONS['agents.heartbeatSeconds'].default;
    expect(found.filter((seconds) => seconds <= least)).toEqual([]);
  });

  it.each(PROXY_FILES.filter((file) => !file.includes('pass-tls-through')))(
    '%s: passes on the paths of agents, and sets in place of the client what Central believes',
    (file) => {
      const text = proxyText(file);
      for (const path of [AGENT_PATH, ENROLL_PATH, '/releases/', '/blobs/']) expect(text).toContain(path.slice(1));
      expect(text).toContain('X-Forwarded-For');
      expect(text).toMatch(/X-Forwarded-Proto "?https/);
      expect(text).toMatch(/TLSv1\.3/);
      expect(text).not.toMatch(/(?:_verify|verify|Verify) (?:off|none)/);
    },
  );

  it.each(PROXY_FILES)('%s: every setting that is not about a path has its line in docs/PROXIES.md', (file) => {
    const known =
      /^(?:server|location|upstream|stream|http|listen|frontend|backend|mode|acl|bind|return|ServerName|Listen|Require|deny|allow)$/;
    const settings = proxyText(file)
      .split('\n')
      .filter((line) => !/^\s*(?:#|$|[}<])/.test(line))
      .map((line) => /^\s*((?:timeout |proxy_set_header )?[\w-]+)/.exec(line)?.[1] ?? '')
      .filter((name) => name !== '' && !known.test(name));
    expect([...new Set(settings)].filter((name) => !documented.includes(`\`${name}`))).toEqual([]);
  });

  it.each(PROXY_FILES)('%s: the product accepts it', async (file) => {
    const program = PROGRAMS[productOf(file)];
    if (lacksPeer(program)) return;
    const order = { certificate, centralRoot, to: 9150, allowed: '10.0.0.0/8', timeoutSeconds: 60 };
    const copy = await copyProxy(cleanup, file, order);
    const { code, stdout, stderr } = await checkProxy(copy);
    expect([code, /warn/i.test(stdout + stderr) ? stdout + stderr : '']).toEqual([0, '']);
  });
});
