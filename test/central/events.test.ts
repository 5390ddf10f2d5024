// Events between the parts of Central.
import { expect, test } from 'vitest';
import { Events } from '../../central/events.ts';

test('an event reaches its listeners at once, in the order in which they subscribed, and no others', () => {
  const events = new Events<{ one: [number]; other: [string, boolean] }>();
  const heard: string[] = [];
  events.on('one', (value) => heard.push(`first ${value}`));
  events.on('one', (value) => heard.push(`second ${value}`));
  events.on('other', (text, flag) => heard.push(`${text} ${flag}`));
  events.emit('one', 1);
  expect(heard).toEqual(['first 1', 'second 1']);
  events.emit('other', 'x', true);
  expect(heard.at(-1)).toBe('x true');
});

test('what a listener throws goes to the emitter', () => {
  const events = new Events<{ one: [] }>();
  events.emit('one');
  events.on('one', () => {
    throw new Error('it failed');
  });
  expect(() => events.emit('one')).toThrow('it failed');
});
