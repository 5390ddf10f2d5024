import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadAgentConf } from '../../agent/conf.ts';
import { AGENT_SCHEMA } from '../../shared/settings/agent-settings.ts';
import { isCoded } from '../../shared/errors.ts';
import { settingsTable } from '../../shared/settings/settings.ts';

const FIELD_PROFILE = new URL('../fixtures/profile/', import.meta.url).pathname;
const PROFILES = new URL('../../profiles/', import.meta.url).pathname;

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'queuegate-conf-')), 'branch');
  await mkdir(join(folder, 'conf'), { recursive: true });
  await write('agent.conf', '');
});
afterEach(async () => {
  await rm(join(folder, '..'), { recursive: true });
});

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(folder, 'conf', name), text);
}

const DIRECT = { wss: undefined, ws: undefined };

function load(environment: Record<string, string> = {}, flags: Record<string, unknown> = {}, profileFolder = folder) {
  return loadAgentConf({ profileFolder, environment, flags, workingFolder: '/work', hostName: 'My_PC.example' });
}

describe('the profile as it is found in the field', () => {
  test('is read: separators, escapes, continued lines, Windows paths in quotes', async () => {
    const conf = await load({}, {}, FIELD_PROFILE);
    expect(conf.central).toEqual({ secure: true, proxied: false, port: 9150, endpoints: [], proxies: DIRECT });
    expect(conf.truststore).toMatchObject({
      path: join(FIELD_PROFILE, 'conf/security/truststore.jks'),
      password: 'changeit',
      declaredType: undefined,
      origin: `${FIELD_PROFILE}conf/agent.conf line 8`,
    });
    expect(conf.logLevel).toBe('info');
  });

  test('has its unknown keys kept and reported, and its file untouched', async () => {
    await cp(FIELD_PROFILE, folder, { recursive: true });
    const path = join(folder, 'conf', 'agent.conf');
    const before = await readFile(path);
    const { unknownKeys, warnings } = await load();
    expect(unknownKeys.map(({ name, where }) => [name, where])).toEqual([
      ['branch.name', `${path} line 13`],
      ['jiql.home', `${path} line 14`],
    ]);
    expect(warnings).toEqual([]);
    expect((await readFile(path)).equals(before)).toBe(true);
  });

  test('says which of its keys another layer decides on this host', async () => {
    await write('agent.conf', 'central.host = a\nlog.level = warn\noutbox.maxBytes = 1048576\n');
    await write('agent.local.conf', 'log.level = info\nagent.name = here\n');
    expect((await load()).overridden).toEqual(['log.level']);
    const named = await load({ QUEUE_AGENT_OUTBOX_MAX_BYTES: '2097152' }, { 'central-hosts': 'b' });
    expect(named.overridden.toSorted()).toEqual(['central.hosts', 'log.level', 'outbox.maxBytes']);
  });

  test('a single backslash is reported, and is the hint for a truststore that is missing', async () => {
    await write('agent.conf', String.raw`jetty.jvm.args = -Djavax.net.ssl.trustStore=C:\qsystem\new\truststore.jks`);
    const { warnings, truststore } = await load();
    expect(warnings).toEqual([expect.stringContaining('line 1): a single backslash disappears')]);
    expect(truststore.hints).toEqual([expect.stringContaining('write it twice')]);
    await write(
      'agent.conf',
      String.raw`jetty.jvm.args = -Djavax.net.ssl.trustStore=C:\\qsystem\\new\\truststore.jks -Dname=K\u00f6ln\:1`,
    );
    expect((await load()).warnings).toEqual([]);
  });

  test('a setting that is refused for a single backslash says so', async () => {
    await write('agent.conf', String.raw`truststore = C:\qsystem\new\truststore.jks`);
    await expect(load()).rejects.toThrow('a single backslash disappears');
  });

  test('has its consumers read from both files, and their keys are not reported as unknown', async () => {
    await cp(FIELD_PROFILE, folder, { recursive: true });
    const text = await readFile(join(folder, 'conf', 'agent.conf'), 'utf8');
    await write('agent.conf', `${text}\nconsumer.printer.types = print.*\n`);
    await write('agent.local.conf', 'consumer.display.types = show.*\nconsumer.display.group = lp');
    const { consumers, unknownKeys, localApi } = await load();
    expect(consumers).toEqual([
      { name: 'printer', types: ['print.*'], group: undefined, certificates: [] },
      { name: 'display', types: ['show.*'], group: 'lp', certificates: [] },
    ]);
    expect(unknownKeys.map(({ name }) => name)).toEqual(['branch.name', 'jiql.home']);
    expect(localApi.consumersFolder).toMatch(/\/consumers$/);
  });

  test('takes the host from agent.local.conf, environment or flag', async () => {
    await cp(FIELD_PROFILE, folder, { recursive: true });
    await write('agent.local.conf', 'central.host = central.example.com');
    expect((await load()).central.endpoints).toEqual([{ host: 'central.example.com', port: 9150 }]);
    expect((await load({ QUEUE_AGENT_CENTRAL_HOSTS: 'a,b:1' })).central.endpoints).toEqual([
      { host: 'a', port: 9150 },
      { host: 'b', port: 1 },
    ]);
    expect((await load({ QUEUE_AGENT_CENTRAL_HOSTS: 'a' }, { 'central-host': '[::1]' })).central.endpoints).toEqual([
      { host: '::1', port: 9150 },
    ]);
  });

  test('takes names as resolvers know them: a dot at the end, underscores, other scripts', async () => {
    await cp(FIELD_PROFILE, folder, { recursive: true });
    const hosts = 'Central.Example.com., my_central:1, bücher.example, _x.y_, 例え.jp:2';
    expect((await load({ QUEUE_AGENT_CENTRAL_HOSTS: hosts })).central.endpoints).toEqual([
      { host: 'central.example.com.', port: 9150 },
      { host: 'my_central', port: 1 },
      { host: 'xn--bcher-kva.example', port: 9150 },
      { host: '_x.y_', port: 9150 },
      { host: 'xn--r8jz45g.jp', port: 2 },
    ]);
    for (const host of [
      'a..b',
      '.',
      'a..',
      '300.1.1.1',
      '300.1.1.1.',
      '-a',
      'a b',
      'a/b',
      '\u00ad',
      `${'a'.repeat(64)}.b`,
    ])
      await expect(load({ QUEUE_AGENT_CENTRAL_HOSTS: host }), host).rejects.toMatchObject({ code: 'settings_refused' });
  });

  test('has its proxy in central.proxy, in the options of the JVM, or in the environment', async () => {
    await cp(FIELD_PROFILE, folder, { recursive: true });
    const proxyOf = async (environment: Record<string, string>): Promise<unknown> =>
      (await load(environment)).central.proxies.wss?.proxy;
    expect(await proxyOf({ HTTPS_PROXY: 'http://u:secret@env:3128' })).toMatchObject({
      host: 'env',
      password: 'secret',
    });
    await write('agent.local.conf', 'jetty.jvm.args = -Dhttps.proxyHost=jvm');
    expect(await proxyOf({ HTTPS_PROXY: 'http://env:3128' })).toMatchObject({ host: 'jvm', port: 443 });
    await write('agent.local.conf', 'central.proxy = http://own\ncentral.proxy.passwordFile = conf/password');
    expect(await proxyOf({ HTTPS_PROXY: 'http://env:3128' })).toMatchObject({
      host: 'own',
      passwordFile: join(folder, 'conf/password'),
    });
    expect((await load({ HTTPS_PROXY: 'socks5://p' }, { 'central-proxy': 'none' })).warnings).toEqual([]);
    await write('agent.local.conf', 'central.proxy = http://user:secret@own');
    const fault = await load().catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: 'settings_refused' });
    expect(String(fault)).toMatch(/central\.proxy: found a value that is not shown; allowed: http:/);
    expect(String(fault)).not.toContain('secret');
  });
});

describe('loadAgentConf', () => {
  test('has the documented defaults', async () => {
    expect(await load()).toMatchObject({
      profile: { name: 'branch', folder },
      central: { secure: true, port: 9150 },
      truststore: { path: join(folder, 'conf/security/truststore.jks'), password: undefined, origin: 'default' },
      name: 'my-pc.example',
      id: undefined,
      enrollmentFile: undefined,
      dataFolder: '/work/data/branch',
      localApi: { port: 8888, socket: '/work/data/branch/local-api.sock', group: undefined },
      logLevel: 'info',
      outbox: { maxMessages: 10_000, maxBytes: 16_777_216 },
      inbox: { maxMessages: 10_000, maxBytes: 16_777_216 },
    });
  });

  test('dials the ws port when secure is false', async () => {
    await write('agent.conf', 'central.websocket.secure=false\ncentral.hosts=a');
    expect((await load()).central).toMatchObject({ secure: false, port: 8787, endpoints: [{ host: 'a', port: 8787 }] });
  });

  test('is frozen to its depths', async () => {
    const conf = await load();
    expect(() => Object.assign(conf.central, { secure: false })).toThrow(TypeError);
  });

  test('honours the options of the JVM, the last one where there are several, and paths of Windows', async () => {
    await write(
      'agent.conf',
      String.raw`jetty.jvm.args=-Djavax.net.ssl.trustStore=a -Djavax.net.ssl.trustStore="C:\\Program Files\\Agent\\t.jks" -Djavax.net.ssl.trustStoreType=JKS`,
    );
    expect((await load()).truststore).toMatchObject({
      path: String.raw`C:\Program Files\Agent\t.jks`,
      declaredType: 'JKS',
      password: undefined,
    });
    await write('agent.conf', String.raw`jetty.jvm.args=-Djavax.net.ssl.trustStore=conf\\security\\t.jks`);
    expect((await load()).truststore.path).toBe(join(folder, 'conf/security/t.jks'));
  });

  test('does not try the password of one truststore on another', async () => {
    await write('agent.conf', 'jetty.jvm.args=-Djavax.net.ssl.trustStore=a -Djavax.net.ssl.trustStorePassword=pw');
    await write('agent.local.conf', 'truststore=b.pem');
    expect((await load()).truststore).toMatchObject({
      path: join(folder, 'b.pem'),
      password: undefined,
      origin: `${join(folder, 'conf/agent.local.conf')} line 1`,
    });
    expect((await load({ QUEUE_AGENT_TRUSTSTORE_PASSWORD: 'other' })).truststore.password).toBe('other');
  });

  test('refuses every bad setting at once, with what was found, what is allowed and where it was set', async () => {
    await write('agent.conf', 'central.websocket.secure=maybe\nlog.level INFO');
    await write('agent.local.conf', 'central.websocket.securee=true\nagent.name=two words');
    const fault = await load({ QUEUE_AGENT_LOCAL_API_PORT: '65536' }, { 'central-host': 'https://central' }).catch(
      (error: unknown) => error,
    );
    expect(isCoded(fault, 'settings_refused')).toBe(true);
    const text = (fault as Error).message;
    expect(text).toContain('5 settings are refused');
    expect(text).toContain(
      `central.websocket.securee is unknown; did you mean central.websocket.secure? (${join(folder, 'conf/agent.local.conf')} line 1)`,
    );
    expect(text).toContain('agent.name: found "two words"; allowed: a host name');
    expect(text).toContain(
      'localApi.port: found "65536"; allowed: a whole number from 0 to 65535 (environment variable QUEUE_AGENT_LOCAL_API_PORT)',
    );
    expect(text).toContain('central.host: found "https://central"');
    expect(text).toContain(
      `central.websocket.secure: found "maybe"; allowed: true or false (${join(folder, 'conf/agent.conf')} line 1)`,
    );
  });

  test('warns of a key in agent.conf that resembles one it knows', async () => {
    await write('agent.conf', 'central.websocket.securee=false');
    expect((await load()).warnings).toEqual([expect.stringContaining('did you mean central.websocket.secure?')]);
  });

  test('refuses a folder that is not a profile', async () => {
    await expect(load({}, {}, join(folder, 'none'))).rejects.toMatchObject({
      code: 'file_missing',
      hint: expect.stringContaining('profiles/default'),
    });
  });

  test.each([
    ['', 'agent'],
    ['___', 'agent'],
    ['-A-.b', 'a.b'],
    ['x'.repeat(80), 'x'.repeat(63)],
  ])('makes a valid name of the host name "%s"', async (hostName, name) => {
    expect((await loadAgentConf({ profileFolder: folder, environment: {}, flags: {}, hostName })).name).toBe(name);
  });
});

describe('the profiles that come with it', () => {
  test('default is secure on 9150, with a truststore in the profile', async () => {
    const conf = await load({}, {}, join(PROFILES, 'default'));
    expect(conf).toMatchObject({
      central: { secure: true, port: 9150 },
      dataFolder: '/work/data/agent',
      unknownKeys: [],
      warnings: [],
    });
    expect(conf.truststore).toMatchObject({
      path: join(PROFILES, 'default/conf/security/truststore.jks'),
      password: 'changeit',
    });
  });

  test('central is plain over loopback, beside another agent on the same host', async () => {
    expect(await load({}, {}, join(PROFILES, 'central'))).toMatchObject({
      central: { secure: false, endpoints: [{ host: '127.0.0.1', port: 8787 }] },
      localApi: { port: 8889 },
      dataFolder: '/work/data/central-agent',
      unknownKeys: [],
      warnings: [],
    });
  });
});

test('every setting has a row for the documentation', () => {
  const rows = settingsTable(AGENT_SCHEMA, 'QUEUE_AGENT_');
  expect(rows).toHaveLength(AGENT_SCHEMA.length);
  expect(rows.every(({ doc, allowed }) => doc.endsWith('.') && allowed !== '')).toBe(true);
});
