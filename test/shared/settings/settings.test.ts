import { describe, expect, expectTypeOf, test } from 'vitest';
import { parseProperties } from '../../../shared/settings/properties.ts';
import { hostName, hostPorts, nameList, oneOf, text, wholeNumber, yesOrNo } from '../../../shared/settings/format.ts';
import { flagOptions, loadSettings, settingsTable, type Schema } from '../../../shared/settings/settings.ts';

const schema = [
  { name: 'secure', format: yesOrNo, default: true, doc: 'TLS.' },
  { name: 'secure.port', format: wholeNumber(1, 65_535), default: 9150, doc: 'Port.' },
  { name: 'central.hosts', alias: 'central.host', format: hostPorts, default: [], doc: 'Hosts.' },
  { name: 'log.level', format: oneOf('info', 'warn'), default: 'info', doc: 'Level.' },
  { name: 'password', format: text(0, 8), default: '', secret: true, doc: 'Secret.' },
] as const satisfies Schema;

interface Layers {
  field?: string;
  local?: string;
  environment?: Record<string, string>;
  flags?: Record<string, unknown>;
}

function load({ field = '', local = '', environment = {}, flags = {} }: Layers) {
  const files = [
    { properties: parseProperties(Buffer.from(field), 'field.conf'), foreign: true },
    { properties: parseProperties(Buffer.from(local), 'local.conf') },
  ];
  return loadSettings({ schema, prefix: 'APP_', otherVariables: ['APP_TOKEN'], files, environment, flags });
}

describe('loadSettings', () => {
  test('compares two hundred unknown names with the known ones, and no more: a foreign file may have thousands', () => {
    const { unknown } = load({ field: 'secure.prot=1\n'.repeat(5_000) });
    expect(unknown).toHaveLength(5_000);
    expect(unknown.filter(({ meant }) => meant !== undefined)).toHaveLength(200);
  });

  test('gives every setting its default, and says so', () => {
    const { values, origins } = load({});
    expect(values).toEqual({
      secure: true,
      'secure.port': 9150,
      'central.hosts': [],
      'log.level': 'info',
      password: '',
    });
    expect(new Set(Object.values(origins))).toEqual(new Set(['default']));
    expectTypeOf(values['log.level']).toEqualTypeOf<'info' | 'warn'>();
    expectTypeOf(values['secure.port']).toEqualTypeOf<number>();
  });

  test('derives flag and environment variable from the words of a name', () => {
    const rows = settingsTable(
      [{ name: 'agent.renewal.freshKey', format: yesOrNo, default: true, doc: 'Key.' }] as const satisfies Schema,
      'APP_',
    );
    expect(rows).toMatchObject([{ environment: 'APP_AGENT_RENEWAL_FRESH_KEY', flag: '--agent-renewal-fresh-key' }]);
  });

  test('lays files, environment and flags over each other, and tells where each value was set', () => {
    const layers: Layers = {
      field: 'secure.port=1\nsecure=false',
      local: '\nsecure.port=2',
      environment: { APP_SECURE_PORT: '3' },
      flags: { 'secure-port': '4' },
    };
    const found = [];
    for (const remove of ['flags', 'environment', 'local', 'field'] as const) {
      const { values, origins } = load(layers);
      found.push([values['secure.port'], origins['secure.port'], values.secure]);
      delete layers[remove];
    }
    expect(found).toEqual([
      [4, 'flag --secure-port', false],
      [3, 'environment variable APP_SECURE_PORT', false],
      [2, 'local.conf line 2', false],
      [1, 'field.conf line 1', false],
    ]);
  });

  test('takes another name of a setting for the setting, in every layer', () => {
    expect(load({ local: 'central.hosts=a, b:1' }).values['central.hosts']).toEqual([
      { host: 'a', port: undefined },
      { host: 'b', port: 1 },
    ]);
    expect(load({ local: 'central.hosts=a', environment: { APP_CENTRAL_HOST: 'c' } }).values['central.hosts']).toEqual([
      { host: 'c', port: undefined },
    ]);
    expect(
      load({ environment: { APP_CENTRAL_HOST: 'c' }, flags: { 'central-host': 'd' } }).origins['central.hosts'],
    ).toBe('flag --central-host');
  });

  test('refuses all faults in one error: what was found, what is allowed and where it was set', () => {
    expect(() =>
      load({
        field: 'secure=yes',
        local: 'a=1\n\nsecure.prt=95',
        environment: { APP_LOG_LEVEL: 'loud', APP_LOG_LEVLE: 'info' },
        flags: { 'secure-port': '0' },
      }),
    ).toThrow(
      [
        '5 settings are refused:',
        '  - a is unknown (local.conf line 1)',
        '  - secure.prt is unknown; did you mean secure.port? (local.conf line 3)',
        '  - log.level: found "loud"; allowed: info, warn (environment variable APP_LOG_LEVEL)',
        '  - APP_LOG_LEVLE is unknown (environment variable APP_LOG_LEVLE)',
        '  - secure.port: found "0"; allowed: a whole number from 1 to 65535 (flag --secure-port)',
        '  - secure: found "yes"; allowed: true or false (field.conf line 1)',
      ]
        .join('\n')
        .replace('5 settings', '6 settings')
        .replace('APP_LOG_LEVLE is unknown (', 'APP_LOG_LEVLE is unknown; did you mean APP_LOG_LEVEL? ('),
    );
  });

  test('never shows a secret value', () => {
    expect(() => load({ local: 'password=far-too-long' })).toThrow(
      'password: found a value that is not shown; allowed: 0 to 8 characters, no control characters (local.conf line 1)',
    );
  });

  test('reports unknown keys of a foreign file, and what they resemble, but does not refuse them', () => {
    expect(load({ field: 'branch.name=1\nsecure.prot=2' }).unknown).toEqual([
      { name: 'branch.name', where: 'field.conf line 1', meant: undefined },
      { name: 'secure.prot', where: 'field.conf line 2', meant: 'secure.port' },
    ]);
  });

  test('does not mind a bad value in a foreign file once it is overridden; in an own file it does', () => {
    expect(load({ field: 'secure=yes', local: 'secure=false' }).values.secure).toBe(false);
    expect(() => load({ local: 'secure=yes', flags: { secure: 'false' } })).toThrow('1 setting is refused');
  });

  test('ignores empty variables, those of commands and those of Kubernetes', () => {
    const environment = {
      APP_SECURE: '',
      APP_TOKEN: 'x',
      APP_SERVICE_HOST: '10.0.0.1',
      APP_SERVICE_PORT_HTTP: '1',
      APP_PORT: 'tcp://10.0.0.1:1',
      APP_PORT_1_TCP_ADDR: 'x',
      OTHER: 'x',
    };
    expect(load({ environment }).values.secure).toBe(true);
  });

  test('warns of a key that is set twice, and takes the last', () => {
    const { values, warnings } = load({ local: 'secure.port=1\nsecure.port=2' });
    expect(values['secure.port']).toBe(2);
    expect(warnings).toEqual(['secure.port is set 2 times in local.conf (lines 1, 2); line 2 counts.']);
  });
});

describe('formats', () => {
  test.each([
    [yesOrNo, ['true', 'FALSE', ' true '], ['', '1', 'yes', 'truee', 'toString']],
    [wholeNumber(0, 100), ['0', '100', ' 7 '], ['', '-1', '101', '1e1', '0x1', '1.0', '9x']],
    [oneOf('info', 'warn'), ['INFO', 'warn'], ['', 'warning']],
    [text(1, 3), ['abc', 'ä€'], ['', 'abcd', 'a\nb', '\u007F']],
    [hostName, ['', 'a', 'Branch-1.example', 'x'.repeat(63)], ['-a', 'a-', 'a_b', 'a..b', 'a b', 'x'.repeat(64), 'ä']],
    [
      hostPorts,
      ['', 'a', 'a:1,b', '10.0.0.1:9150', '[::1]:9150', '::1', 'a , b'],
      ['https://a', 'a:', 'a:0', 'a:65536', 'a:b', '300.1.1.1', '[::1', '[a]:1', 'a,,b', 'a/b', 'a,'.repeat(64) + 'a'],
    ],
    [nameList, ['', 'a', 'a, b.c-d_E'], ['a,,b', '-a', 'a b', 'ä']],
  ])('%o', (format, allowed, refused) => {
    for (const found of allowed) expect([found, format.parse(found)]).toEqual([found, expect.anything()]);
    for (const found of refused) expect([found, format.parse(found)]).toEqual([found, undefined]);
  });
});

test('flagOptions and settingsTable follow from the schema', () => {
  expect(Object.keys(flagOptions(schema))).toEqual([
    'secure',
    'secure-port',
    'central-hosts',
    'central-host',
    'log-level',
    'password',
  ]);
  expect(settingsTable(schema, 'APP_')[1]).toEqual({
    name: 'secure.port',
    alias: undefined,
    environment: 'APP_SECURE_PORT',
    flag: '--secure-port',
    default: '9150',
    allowed: 'a whole number from 1 to 65535',
    doc: 'Port.',
  });
});
