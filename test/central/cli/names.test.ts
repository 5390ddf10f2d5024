// -o name of every list: one name a line, each of which other commands take.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { describedOperations, operationOf } from '../../../central/admin/openapi/document.ts';
import type { Schema } from '../../../central/admin/openapi/schema.ts';
import { COMMANDS } from '../../../central/cli/commands.ts';
import { queuegateFor, type Queuegate } from './over-socket.ts';

const TOKEN = `qg_0123456789abcdef_${'x'.repeat(43)}`;

/** An answer as it is described, in which each text is the name of its member. */
function sampleOf(schema: Schema, name = ''): unknown {
  const { type, properties, items, anyOf } = schema;
  if (Array.isArray(anyOf)) return sampleOf((anyOf as Schema[])[0] ?? {}, name);
  switch (Array.isArray(type) ? (type as string[])[0] : type) {
    case 'object':
      return Object.fromEntries(
        Object.entries((properties ?? {}) as Record<string, Schema>).map(([key, value]) => [key, sampleOf(value, key)]),
      );
    case 'array':
      return [sampleOf(items as Schema, name)];
    case 'string':
      return name === 'next' ? null : name;
    case 'integer':
    case 'number':
      return 1;
    default:
      return null;
  }
}

const READS = describedOperations()
  .filter((key) => key.startsWith('GET '))
  .map((key) => [key, new RegExp(`^${key.slice(4).replaceAll(/\{\w+\}/g, '[^/]+')}$`)] as const);

/** A Central whose answers are samples. */
async function start(): Promise<Queuegate> {
  const server = createServer(({ url = '' }, response) => {
    const path = new URL(url, 'http://localhost').pathname.replace('/api/v1', '');
    const [key = ''] = READS.find(([, pattern]) => pattern.test(path)) ?? [];
    const schema = operationOf(key)?.answers[200]?.schema ?? {};
    response.setHeader('content-type', 'application/json').end(JSON.stringify(sampleOf(schema)));
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return await queuegateFor({ url: `http://127.0.0.1:${port}`, tokens: { administrator: TOKEN } });
}

/** Each list: what is typed behind it, and the member that names an item. */
const LISTS: Readonly<Record<string, readonly [line: string, member: string]>> = {
  'agents handlers': ['branch-7', 'name'],
  'agents services': ['branch-7', 'name'],
  'agents list': ['', 'name'],
  'api-tokens list': ['', 'id'],
  'audit list': ['', '1'],
  'certificates list': ['', 'thumbprint'],
  'changes list': ['', 'id'],
  'commands list': ['', 'commandId'],
  'dead-letters list': ['', 'id'],
  'drains list': ['', 'id'],
  'enrollment-requests list': ['', 'keyThumbprint'],
  'enrollment-tokens list': ['', 'id'],
  'handshake-failures list': ['', 'cause'],
  'incidents list': ['', 'id'],
  'nodes list': ['', 'name'],
  'parameters list': ['', 'name'],
  'profiles files list': ['branch', 'path'],
  'profiles list': ['', 'name'],
  'profiles releases': ['branch', 'release'],
  'profiles truststore list': ['branch', 'alias'],
  'rollouts list': ['', 'id'],
  'rollouts show': ['r-1 --agents', 'name'],
  'software list': ['', 'release'],
  'subscriptions deliveries': ['tickets', '1'],
  'services list': ['', 'id'],
  'subscriptions list': ['', 'name'],
  'tasks list': ['', 'id'],
};
/** No command takes one of their items. */
const WITHOUT_NAMES = ['agents history', 'events list'];

test('every list has a row in this table', () => {
  const lists = COMMANDS.filter(({ options }) => 'all' in options || 'limit' in options).map(({ name }) => name);
  expect([...Object.keys(LISTS), ...WITHOUT_NAMES].toSorted()).toEqual(lists.toSorted());
});

test.each(Object.entries(LISTS))('%s -o name', async (name, [line, member]) => {
  const queuegate = await start();
  expect(await queuegate(`${name} ${line} -o name`.replaceAll(/ +/g, ' '))).toEqual({
    status: 0,
    out: member,
    error: '',
  });
});
