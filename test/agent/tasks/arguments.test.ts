// Which arguments of a requester reach a program.
import { expect, it } from 'vitest';
import { argumentsFor } from '../../../agent/tasks/arguments.ts';
import { readTaskHandlers } from '../../../agent/tasks/settings.ts';
import { parseProperties } from '../../../shared/settings/properties.ts';

function handler(lines: string) {
  const [one] = readTaskHandlers([parseProperties(Buffer.from(`task.a.command=/b\n${lines}`), 'agent.conf')]);
  if (one === undefined) throw new Error('no handler');
  return one;
}

it('go behind the fixed ones, as they are', () => {
  const words = ['a b', '$(id)', "'", '', '\n', '--'];
  expect(argumentsFor(handler('task.a.arguments=list\ntask.a.fixedArguments=["-x"]'), words)).toEqual(['-x', ...words]);
  expect(argumentsFor(handler('task.a.arguments=fixed\ntask.a.fixedArguments=["-x"]'), [])).toEqual(['-x']);
});

it('are refused where the handler takes none', () => {
  expect(argumentsFor(handler(''), ['x'])).toMatch(/^1 arguments were given/);
  expect(argumentsFor(handler('task.a.arguments=fixed\ntask.a.fixedArguments=["-x"]'), ['x'])).toMatch(/takes none/);
});

it('match the pattern as a whole', () => {
  const picky = handler('task.a.arguments=list\ntask.a.argumentPattern=a|b');
  expect(argumentsFor(picky, ['a', 'b'])).toEqual(['a', 'b']);
  for (const word of ['ab', 'xa', 'bx', 'a\n', '\na', ''])
    expect(argumentsFor(picky, ['a', word])).toMatch(/^argument 2 /);
});

it('a pattern that backtracks without end does not match', () => {
  const began = performance.now();
  const slow = handler('task.a.arguments=list\ntask.a.argumentPattern=(a+)+b');
  expect(argumentsFor(slow, ['a'.repeat(4000)])).toMatch(/^argument 1 does not match/);
  expect(performance.now() - began).toBeLessThan(2_000);
});

it('a pattern that takes its time for every argument has one time for all of them', () => {
  const slow = handler('task.a.arguments=list\ntask.a.argumentPattern=(?:(a+)+b)|.*');
  const given = Array.from({ length: 64 }, () => 'a'.repeat(20));
  const began = process.cpuUsage();
  argumentsFor(slow, [...given, 'a'.repeat(30)]);
  const { user, system } = process.cpuUsage(began);
  expect((user + system) / 1_000).toBeLessThan(300);
  const many = handler('task.a.arguments=list\ntask.a.argumentPattern=[a-z]*');
  expect(argumentsFor(many, given)).toEqual(given);
});
