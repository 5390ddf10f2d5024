import { expect, test } from 'vitest';
import { startRest } from '../../admin/rest.ts';
import { queuegateFor } from '../over-socket.ts';

test('api-tokens set changes what its words name, and refuses others', async () => {
  const rest = await startRest();
  const queuegate = await queuegateFor(rest);
  const tokens = await rest.store.tokens.listApiTokens();
  const id = tokens.find(({ role }) => role === 'viewer')?.id ?? '';
  expect(await queuegate(`api-tokens set ${id} name=wall role=operator lifetime=90d --ticket CHG-7`)).toEqual({
    status: 0,
    error: '',
    out: expect.stringMatching(/^Set wall: role operator, expires \d{4}-\S+Z\.$/),
  });
  expect(await queuegate(`api-tokens set ${id} lifetime=`)).toMatchObject({
    out: 'Set wall: role operator, does not expire.',
  });
  expect(rest.store.audit.entries.at(-2)).toMatchObject({ action: 'api-tokens.set', ticket: 'CHG-7' });
  for (const [words, text] of [
    ['lifetime=soon', 'lifetime is "soon"'],
    ['color=north', '"color=north" is not of the form'],
    ['', 'An argument is missing'],
  ])
    expect(await queuegate(`api-tokens set ${id} ${words}`.trim())).toMatchObject({
      status: 2,
      error: expect.stringContaining(text ?? ''),
    });
  expect(await queuegate('api-tokens set 0000000000000000 name=x')).toMatchObject({ status: 5 });
  const north = 'label:region=north';
  expect(await queuegate(`api-tokens set ${id} scope=${north}`)).toMatchObject({
    out: `Set wall: role operator, scope ${north}, does not expire.`,
  });
  expect((await queuegate('api-tokens list')).out).toContain(north);
  expect((await queuegate(`api-tokens show ${id}`)).out).toContain(north);
  expect(await queuegate(`api-tokens set ${id} scope=north`)).toMatchObject({
    status: 6,
    error: expect.stringContaining('label:KEY=VALUE'),
  });
  expect(await queuegate(`api-tokens set ${id} scope=`)).toMatchObject({
    out: 'Set wall: role operator, does not expire.',
  });
  const created = await queuegate(`api-tokens create --name n --role viewer --scope ${north} --json`);
  expect(JSON.parse(created.out)).toMatchObject({ scope: north });
  // What the other commands take.
  expect((await queuegate('api-tokens list -o name')).out.split('\n')).toContain(id);
});
