import { describe, expect, it } from 'vitest';
import { Routing } from '../../../agent/store/routing.ts';

const routing = new Routing([
  { name: 'printer', types: ['com.bank.print*', 'com.bank.ticket.reprint', 'com.bank.both'] },
  { name: 'display', types: ['com.bank.*', 'com.bank.both*'] },
  { name: 'default', types: ['com.bank.printer.selftest*'] },
]);

describe('Routing', () => {
  it.each([
    ['com.bank.print', 'printer'],
    ['com.bank.printer.paper', 'printer'],
    ['com.bank.printer.selftest.now', 'default'],
    ['com.bank.ticket', 'display'],
    ['com.bank.ticket.reprint', 'printer'],
    ['com.bank.ticket.reprint2', 'display'],
    ['com.bank', 'default'],
    ['COM.BANK.PRINT', 'default'],
    ['', 'default'],
    // A whole type wins over the same text with *.
    ['com.bank.both', 'printer'],
    ['com.bank.both.x', 'display'],
  ])('gives "%s" to %s: the longest pattern wins', (type, consumer) => {
    expect(routing.consumerOf(type)).toBe(consumer);
    expect(routing.consumerOf(type)).toBe(consumer);
  });

  it('gives everything to default without consumers, and to the one that takes "*"', () => {
    expect(new Routing().consumerOf('t')).toBe('default');
    expect(new Routing([{ name: 'all', types: ['*'] }]).consumerOf('t')).toBe('all');
  });

  it('remembers no more types than it may, and routes them as before', () => {
    for (let i = 0; i < 3_000; i += 1) expect(routing.consumerOf(`com.bank.print.${i}`)).toBe('printer');
  });
});
