// Every command of `queuegate` prints what came from Central and from agents as text: nothing in it acts on the
// terminal, and none of it begins a line of its own. The answers are made of the schemas that describe them, with hostile
// text in every place, so that a new command or member is covered from its first day on.
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describedOperations, operationOf } from '../../../central/admin/openapi/document.ts';
import type { Schema } from '../../../central/admin/openapi/schema.ts';
import { COMMANDS } from '../../../central/cli/commands.ts';
import { runCli } from '../../../central/cli/run.ts';
import { secretsFrom } from '../../shared/secrets.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

/**
 * ESC and a C1 control; right-to-left override and isolate (UAX #9); line feed, carriage return, next line; a half of a
 * pair.
 */
const HOSTILE = 'a\u001b[2J\u009b1m\u202eb\u2066c\r\u0085\nerror: forged\ud800';
const ACTS =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|(?<![\ud800-\udbff])[\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])/;

/** How a command is typed that needs more than words of any kind. */
const LINES: Readonly<Record<string, readonly string[]>> = {
  'agents create': ['--csr', 'FILE', '--out', 'out'],
  'agents disable': ['a'],
  'agents enable': ['a'],
  'agents replace': ['a', '--by', 'b'],
  'agents revoke': ['a'],
  'agents set': ['a', 'notes=x'],
  'api-tokens create': ['--name', 'm', '--role', 'viewer'],
  'api-tokens set': ['x', 'name=y'],
  'ca export': ['--out', 'out'],
  'commands send': ['a', '--type', 'x'],
  'drains create': ['a'],
  'parameters set': ['agents.max=5'],
  'profiles files put': ['p', 'x', 'FILE'],
  'profiles import': ['.', '--name', 'p'],
  'profiles set': ['p', 'log.level=warn'],
  'profiles synchronize': ['p', '--agents', 'all'],
  'profiles truststore import': ['p', '--central'],
  'profiles upgrade': ['p', '--agents', 'all'],
  'software import': ['FILE'],
  'software synchronize': ['r', '--agents', 'all'],
  'software upgrade': ['r', '--agents', 'all'],
  'store backup': ['--out', 'out'],
  'store restore': ['FILE'],
  'services expose': ['a', 's', '--listen', '1', '--allow', '10.0.0.1'],
  'services set': ['m', '--allow', '10.0.0.1'],
  'subscriptions create': ['--name', 'm', '--target', 'https://central.test/hook'],
  'subscriptions replay': ['m', '--after', 'oldest'],
  'subscriptions set': ['m', '--name', 'n'],
  'tasks run': ['x', 'x'],
};

/** They ask Central for nothing. */
const WITHOUT_ANSWER: ReadonlySet<string> = new Set(['completion', 'contexts show', 'logout']);

/** What they print is a text of several lines itself (PEM). */
const WHOLE_TEXTS: ReadonlySet<string> = new Set([
  'ca trust-bundle',
  'server-certificate request create',
  'tasks output',
]);

/** Each with numbers as they are, or text in their place. */
const FORMATS = [
  [[], false],
  [['-o', 'wide'], true],
  [['--json'], true],
  [['-o', 'name'], false],
] as const;

/** A value of this schema with hostile text wherever there can be text; `numbers`: in place of numbers, too. */
function hostile(schema: Schema, numbers: boolean): unknown {
  const { anyOf, oneOf, allOf, type, properties, items, additionalProperties } = schema;
  for (const several of [anyOf, oneOf, allOf])
    if (Array.isArray(several))
      return hostile((several as Schema[]).find((one) => one['type'] !== 'null') ?? {}, numbers);
  const kind = Array.isArray(type) ? (type as string[]).find((one) => one !== 'null') : type;
  if (kind === 'array') return [hostile((items ?? {}) as Schema, numbers), hostile((items ?? {}) as Schema, numbers)];
  if (kind === 'boolean') return true;
  if (kind === 'integer' || kind === 'number') return numbers ? HOSTILE : 3;
  if (kind === 'object' || properties !== undefined) {
    const members = Object.entries((properties ?? {}) as Record<string, Schema>);
    const free = typeof additionalProperties === 'object' ? [[HOSTILE, additionalProperties as Schema] as const] : [];
    return Object.fromEntries([...members, ...free].map(([name, member]) => [name, hostile(member, numbers)]));
  }
  return HOSTILE;
}

let folder: string;
let close: () => void;
let numbers = false;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hostile-'));
  const patterns = describedOperations().map((key) => {
    const [method = '', path = ''] = key.split(' ');
    return { key, method, pattern: new RegExp(`^(?:/api/v1)?${path.replaceAll(/\{\w+\}/g, '.+')}$`) };
  });
  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?');
    const found = patterns
      .filter(({ method, pattern }) => method === request.method && pattern.test(path))
      .map(({ key }) => operationOf(key))
      .toSorted((one, other) => Object.keys(other?.answers ?? {}).length - Object.keys(one?.answers ?? {}).length)[0];
    const [status, answer] = Object.entries(found?.answers ?? {})[0] ?? ['404', undefined];
    request.resume();
    if (answer?.schema !== undefined) {
      const value = hostile(answer.schema, numbers);
      // One page: a list has an end.
      const body = typeof value === 'object' && value !== null && 'next' in value ? { ...value, next: null } : value;
      response.writeHead(Number(status), { 'content-type': 'application/json' }).end(JSON.stringify(body));
      return;
    }
    const [type = 'text/plain'] = Object.keys(answer?.types ?? {});
    response.writeHead(Number(status), { 'content-type': type }).end(Number(status) === 204 ? undefined : HOSTILE);
  });
  await once(server.listen(join(folder, 'central.sock')), 'listening');
  close = () => server.close();
});
afterAll(() => {
  close();
  rmSync(folder, { recursive: true });
});

async function run(name: string, more: readonly string[]): Promise<{ status: number; out: string; error: string }> {
  const own = temporaryFolder();
  mkdirSync(join(own, 'conf'));
  for (const file of ['FILE', 'conf/agent.conf']) writeFileSync(join(own, file), 'x');
  const { words } = COMMANDS.find((command) => command.name === name) ?? { words: { least: 0 } };
  const line = LINES[name] ?? Array.from({ length: words.least }, () => 'x');
  const [out, error]: [string[], string[]] = [[], []];
  const status = await runCli([...name.split(' '), ...line, ...more], {
    environment: {
      QUEUEGATE_DATA_FOLDER: folder,
      QUEUEGATE_TOKEN: 'qg_0123456789abcdef_x',
      QUEUEGATE_BACKUP_PASSWORD: 'a long enough password',
      QUEUEGATE_KEYSTORE_PASSWORD: 'a long enough password',
      QUEUEGATE_CONFIG: join(own, 'config.json'),
      XDG_STATE_HOME: join(own, 'state'),
    },
    workingFolder: own,
    out: (text) => out.push(text),
    error: (text) => error.push(text),
    readStdin: async () => '{"type":"x"}',
    terminal: true,
    secrets: secretsFrom('a long enough password\n'),
    canPrompt: true,
    signal: AbortSignal.timeout(5_000),
  });
  return { status, out: out.join('\n'), error: error.join('\n') };
}

describe('hostile text in every place of the answer', () => {
  const names = COMMANDS.map(({ name }) => name).filter((name) => !WITHOUT_ANSWER.has(name));

  test.each(names)('%s', async (name) => {
    const { options } = COMMANDS.find((command) => command.name === name) ?? { options: {} };
    const yes = Object.hasOwn(options, 'yes') ? ['--yes'] : [];
    for (const [format, withNumbers] of FORMATS) {
      numbers = withNumbers;
      const { status, out, error } = await run(name, [...yes, ...format]);
      const all = `${out}\n${error}`;
      // A usage that is refused has seen no answer: the command needs a line above.
      expect([format, status === 2 ? error : '']).toEqual([format, '']);
      expect(all.match(ACTS)?.[0]).toBeUndefined();
      const forged = WHOLE_TEXTS.has(name) ? null : /^error: forged/m.exec(all);
      expect(forged).toBeNull();
    }
  });
});
