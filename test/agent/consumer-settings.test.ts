import { describe, expect, it } from 'vitest';
import { MAX_CONSUMERS, MAX_TYPES, readConsumers } from '../../agent/consumer-settings.ts';
import { parseProperties } from '../../shared/settings/properties.ts';

function read(...files: string[]) {
  return readConsumers(files.map((text, index) => parseProperties(Buffer.from(text), `file${index}`)));
}

describe('consumers of agent.conf', () => {
  it('have types and a group; a key of a later file counts', () => {
    expect(
      read(
        'consumer.printer.types = print.*, reprint\nconsumer.printer.group = lp\nconsumer.printer.certificates = P1.bank, *\nother = x',
        'consumer.printer.types=p*\nconsumer.display-2.types = *',
      ),
    ).toEqual([
      { name: 'printer', types: ['p*'], group: 'lp', certificates: ['p1.bank', '*'] },
      { name: 'display-2', types: ['*'], group: undefined, certificates: [] },
    ]);
    expect(read('')).toEqual([]);
    expect(read('consumer.default.types = a')).toEqual([
      { name: 'default', types: ['a'], group: undefined, certificates: [] },
    ]);
  });

  it.each([
    ['consumer.a.types = x\nconsumer.b.types = y, x', '"x" a second time, first in consumer.a.types', 'file0 line 2'],
    ['consumer.a.types = x, x', '"x" a second time', 'file0 line 1'],
    ['consumer.a.types =', '""', 'consumer.a.types'],
    ['consumer.a.types = x,,y', '""', '1 to 64 types'],
    ['consumer.a.types = a*b', '"a*b"', '* at the end'],
    ['consumer.a.types = a b', '"a b"', 'without blanks'],
    ['consumer.a.types = ümlaut', '"ümlaut"', 'ASCII'],
    [`consumer.a.types = ${'x'.repeat(129)}`, '"xxx', '1 to 128'],
    [`consumer.a.types = ${Array.from({ length: MAX_TYPES + 1 }, (_, i) => i).join()}`, '65 types', 'file0 line 1'],
    ['consumer.a.group = lp', 'nothing', 'its types'],
    ['consumer.a.types = x\nconsumer.a.group = a:b', '"a:b"', 'a group of this host'],
    ['consumer.default.group = lp', 'a group', 'consumer of its own'],
    ['consumer.default.certificates = a.bank', 'host names', 'a consumer of their own'],
    ['consumer.a.types = x\nconsumer.a.certificates = a b', '"a b"', '1 to 64 host names'],
    ['consumer.a.types = x\nconsumer.a.certificates = *.bank', '"*.bank"', '* for all certificates'],
    [
      'consumer.a.types = x\nconsumer.b.types = y\nconsumer.a.certificates = *\nconsumer.b.certificates = *',
      '"*" a second time, first in consumer.a',
      'file0 line 2',
    ],
    ['consumer.Printer.types = x', 'an unknown key', 'small letters'],
    ['consumer.a.type = x', 'an unknown key', 'consumer.NAME.types'],
    [`consumer.${'a'.repeat(33)}.types = x`, 'an unknown key', '1 to 32'],
    ['consumer..types = x', 'an unknown key', 'file0 line 1'],
    ['consumer.../../x.types = x', 'an unknown key', 'file0 line 1'],
    [
      Array.from({ length: MAX_CONSUMERS + 1 }, (_, i) => `consumer.c${i}.types = t${i}`).join('\n'),
      '33 consumers',
      'at most 32',
    ],
    [
      Array.from(
        { length: 3 },
        (_, c) =>
          `consumer.c${c}.types = ${Array.from({ length: 64 }, (_, i) => `${c}-${i}-${'x'.repeat(60)}`).join()}`,
      ).join('\n'),
      'characters of all types together',
      'at most 8192',
    ],
  ])('%j is refused with what was found and what is allowed', (text, found, allowed) => {
    expect(() => read(text)).toThrow(
      expect.objectContaining({ code: 'consumer_setting_bad', message: expect.stringContaining(found) }) as Error,
    );
    expect(() => read(text)).toThrow(allowed);
  });
});
