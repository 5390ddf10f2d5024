import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadCentralConfig, type CentralConfig } from '../../central/config.ts';
import { temporaryFolder } from '../temporary-folder.ts';

function load(
  options: {
    argv?: string[];
    environment?: Record<string, string>;
    file?: string;
    name?: string;
    hostName?: string;
  } = {},
): Promise<CentralConfig> {
  const workingFolder = temporaryFolder();
  if (options.file !== undefined) writeFileSync(join(workingFolder, options.name ?? 'central.conf'), options.file);
  return loadCentralConfig({
    argv: options.argv ?? [],
    environment: options.environment ?? {},
    workingFolder,
    hostName: options.hostName ?? 'Central.Test',
  });
}

test('without any file there are defaults for everything', async () => {
  const config = await load();
  expect(config).toMatchObject({
    bindAddress: undefined,
    adminBindAddress: undefined,
    advertisedNames: ['central.test'],
    centralName: 'central.test',
    nodeName: 'central.test',
    centralAgent: false,
    logLevel: 'info',
    overrides: [],
  });
  expect(config.dataFolder.endsWith(join('data', 'central'))).toBe(true);
});

test('a node has a name of its own, or that of Central', async () => {
  expect((await load({ file: 'central.name=x' })).nodeName).toBe('x');
  expect((await load({ file: 'central.name=x\nnode.name=x-1' })).nodeName).toBe('x-1');
});

test('flags stand above the environment, that above the file', async () => {
  const file = 'log.level = warn\nhttps.port : 1\nadvertised.names=a.test, 10.0.0.1\nwebsocket.port=0\n';
  const config = await load({
    file,
    environment: { QUEUEGATE_LOG_LEVEL: 'debug', QUEUEGATE_HTTPS_PORT: '2' },
    argv: ['--https-port', '3', '--central-agent'],
  });
  expect(config).toMatchObject({ logLevel: 'debug', advertisedNames: ['a.test', '10.0.0.1'], centralAgent: true });
  expect(config.overrides).toEqual([
    { name: 'websocket.port', value: 0, origin: expect.stringContaining('central.conf line 4') },
    { name: 'https.port', value: 3, origin: 'flag --https-port' },
  ]);
  expect(config.origins['log.level']).toBe('environment variable QUEUEGATE_LOG_LEVEL');
});

test('unknown and bad settings are refused all at once, each with what was found, what is allowed and where it was set', async () => {
  const file = 'log.leve = warn\nbind.address = central\n';
  const refused = load({
    file,
    environment: { QUEUEGATE_HTTP_PORT: '70000', QUEUEGATE_NONSENSE: '1' },
    argv: ['--advertised-names', 'a b'],
  });
  await expect(refused).rejects.toMatchObject({ code: 'settings_refused' });
  const text = await refused.catch((error: unknown) => String(error));
  expect(text).toContain('did you mean log.level?');
  expect(text).toMatch(/bind\.address: found "central"; allowed: an IPv4 or IPv6 address.*central\.conf line 2/);
  expect(text).toMatch(/http\.port: found "70000"; allowed: a whole number from 0 to 65535.*QUEUEGATE_HTTP_PORT/);
  expect(text).toContain('QUEUEGATE_NONSENSE');
  expect(text).toMatch(/advertised\.names: found "a b".*flag --advertised-names/);
});

test('unknown flags, words and flags without their value are refused', async () => {
  for (const argv of [['--htps-port', '1'], ['start'], ['--log-level']])
    await expect(load({ argv })).rejects.toMatchObject({ code: 'flag_unknown' });
});

test('a file that was named has to be there', async () => {
  await expect(load({ argv: ['--config', 'other.conf'] })).rejects.toMatchObject({ code: 'file_missing' });
  await expect(load({ environment: { QUEUEGATE_CONFIG: 'other.conf' } })).rejects.toMatchObject({
    code: 'file_missing',
  });
  expect(
    (await load({ file: 'central.name=x', name: 'other.conf', argv: ['--config', 'other.conf'] })).centralName,
  ).toBe('x');
});

test('two listeners of one node on one port are refused; 0 may stand twice', async () => {
  await expect(load({ argv: ['--https-port', '5', '--http-port', '5'] })).rejects.toMatchObject({
    code: 'override_ports_equal',
  });
  expect((await load({ argv: ['--https-port', '0', '--http-port', '0'] })).overrides).toHaveLength(2);
});

test('variables of the command line are not settings', async () => {
  expect(
    (await load({ environment: { QUEUEGATE_URL: 'x', QUEUEGATE_TOKEN: 'y', QUEUEGATE_CA_FILE: 'z' } })).overrides,
  ).toEqual([]);
});

test('a host name that is none is made one', async () => {
  expect((await load({ hostName: 'MY_PC' })).hostName).toBe('my-pc');
});
