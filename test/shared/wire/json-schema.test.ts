import { describe, expect, it } from 'vitest';
import { validate } from '../../../shared/wire/json-schema.ts';
import { HELLO } from '../../../shared/wire/messages.ts';

describe('validate', () => {
  it('names the place, what was found and what is allowed', () => {
    const schema = {
      type: 'object',
      required: ['list'],
      properties: { list: { type: 'array', maxItems: 3, items: { type: 'integer', minimum: 1, maximum: 9 } } },
    } as const;
    expect(validate(schema, { list: [1, 2] })).toBeUndefined();
    expect(validate(schema, { list: [1, 12] })).toBe('/list/1 is 12; allowed: a whole number from 1 to 9');
    expect(validate(schema, {})).toBe('the object has no member "list"');
    expect(validate(schema, { list: [1, 2, 3, 4] })).toBe('/list is an array of 4; allowed: at most 3 items');
    expect(validate(schema, [])).toBe('the value is an array; allowed: an object');
  });

  it('takes whole numbers up to both bounds, and nothing beyond or between', () => {
    const schema = { type: 'integer', minimum: 1, maximum: 9 } as const;
    expect([1, 9].map((value) => validate(schema, value))).toEqual([undefined, undefined]);
    for (const value of [0, 10, 1.5, Number.NaN, '5', null, 2 ** 53])
      expect(validate(schema, value)).toContain('a whole number from 1 to 9');
  });

  it('takes strings and lists up to their bounds', () => {
    const text = { type: 'string', minLength: 2, maxLength: 4 } as const;
    expect(['ab', 'abcd'].map((value) => validate(text, value))).toEqual([undefined, undefined]);
    expect(validate(text, 'abcde')).toBe('the value is a string of 5 characters; allowed: 2 to 4 characters');
    expect(validate({ type: 'string', maxLength: 4 }, '')).toBeUndefined();
    const list = { type: 'array', maxItems: 2, items: { type: 'null' } } as const;
    expect(validate(list, [null, null])).toBeUndefined();
    expect(validate(list, {})).toBe('the value is an object; allowed: an array');
  });

  it('shows what it found, of a long string the beginning only', () => {
    const schema = { type: 'object', required: [], properties: { a: { type: 'null' } } } as const;
    expect(validate(schema, { a: 'x'.repeat(100) })).toContain(`/a is "${'x'.repeat(64)}"; allowed`);
    expect(validate(schema, { a: [] })).toContain('/a is an array');
    expect(validate(schema, { a: {} })).toContain('/a is an object');
    expect(validate(schema, { a: true })).toContain('/a is true');
    expect(validate(schema, null)).toBe('the value is null; allowed: an object');
  });

  it('bounds strings in length and form', () => {
    const schema = { type: 'string', minLength: 2, maxLength: 4, pattern: '^[a-z]+$' } as const;
    expect(validate(schema, 'abc')).toBeUndefined();
    expect(validate(schema, 'a')).toContain('2 to 4 characters');
    expect(validate(schema, 'ABC')).toContain('a string that fits');
    expect(validate(schema, 3)).toBe('the value is 3; allowed: a string');
    expect(validate({ type: 'string', maxLength: 4 }, 3)).toBe('the value is 3; allowed: a string');
    // A character beyond the first plane is one character of a pattern.
    expect(validate({ type: 'string', maxLength: 4, pattern: '^.$' }, '😀')).toBeUndefined();
  });

  it('takes one of the words of an enumeration, and nothing else', () => {
    const schema = { enum: ['ws', 'wss'] } as const;
    expect(['ws', 'wss'].map((value) => validate(schema, value))).toEqual([undefined, undefined]);
    expect(validate(schema, 'http')).toBe('the value is "http"; allowed: one of ws, wss');
    for (const value of ['', 'WS', 0, null, ['ws']]) expect(validate(schema, value)).toContain('allowed: one of');
  });

  it('takes true and false, null, or any value where the schema says so', () => {
    expect([true, false].map((value) => validate({ type: 'boolean' }, value))).toEqual([undefined, undefined]);
    for (const value of ['true', 1, null])
      expect(validate({ type: 'boolean' }, value)).toContain('allowed: true or false');
    for (const value of [undefined, 0, false, '']) expect(validate({ type: 'null' }, value)).toContain('allowed: null');
    for (const schema of [{}, { description: 'anything' }])
      for (const value of [null, 1, 'x', [], {}]) expect(validate(schema, value)).toBeUndefined();
  });

  it('takes one of several forms, and refuses a name of Object.prototype as a member', () => {
    const schema = { anyOf: [{ type: 'null' }, { const: 'x' }] } as const;
    expect(validate(schema, null)).toBeUndefined();
    expect(validate(schema, 'x')).toBeUndefined();
    expect(validate(schema, 'y')).toBe('the value is "y"; allowed: "x"');
    expect(validate({ type: 'object', required: ['toString'], properties: {} }, {})).toBe(
      'the object has no member "toString"',
    );
  });

  it('refuses unknown members only where the schema is closed, so that a newer peer may say more', () => {
    expect(validate({ type: 'object', required: [], properties: {} }, { more: 1 })).toBeUndefined();
    const closed = { type: 'object', required: [], properties: { one: {} }, additionalProperties: false } as const;
    expect(validate(closed, { one: 1 })).toBeUndefined();
    expect(validate(closed, { one: 1, more: 1 })).toBe('/more is not known here');
    expect(validate(closed, { ['x'.repeat(100)]: 1 })).toBe(`/${'x'.repeat(64)} is not known here`);
  });

  it('refuses a hello whose name is not a host name', () => {
    expect(validate(HELLO.properties.name, 'branch-0042.example')).toBeUndefined();
    expect(validate(HELLO.properties.name, 'branch 42')).toContain('fits');
    expect(validate(HELLO.properties.name, '-branch')).toContain('fits');
  });
});
