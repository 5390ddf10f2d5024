import { expect, test } from 'vitest';
import { commandIdOf, readCommandId } from '../../../../central/store/agents/command-id.ts';
import { fingerprint } from '../../../../shared/sqlite/logs/fingerprint.ts';

test('the id of a command has its agent and the fingerprint of its message, and is read back', () => {
  const hash = fingerprint({ source: '/bank', id: 'c1' });
  const id = commandIdOf(0x1_2f, hash);
  expect(id).toMatch(/^0000012f[0-9a-f]{24}$/);
  expect([readCommandId(id), readCommandId(id.toUpperCase())]).toEqual([
    { agentKey: 0x1_2f, hash },
    { agentKey: 0x1_2f, hash },
  ]);
  for (const other of ['', 'x', `${id}0`, id.slice(1), ` ${id}`]) expect(readCommandId(other)).toBeUndefined();
  expect(() => commandIdOf(1, 'short')).toThrow(TypeError);
});
