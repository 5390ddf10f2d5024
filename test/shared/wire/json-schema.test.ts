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

  it('bounds strings in length and form', () => {
    const schema = { type: 'string', minLength: 2, maxLength: 4, pattern: '^[a-z]+$' } as const;
    expect(validate(schema, 'abc')).toBeUndefined();
    expect(validate(schema, 'a')).toContain('2 to 4 characters');
    expect(validate(schema, 'ABC')).toContain('a string that fits');
    expect(validate(schema, 3)).toContain('a string');
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
    expect(validate({ type: 'object', required: [], properties: {}, additionalProperties: false }, { more: 1 })).toBe(
      '/more is not known here',
    );
  });

  it('refuses a hello whose name is no host name', () => {
    expect(validate(HELLO.properties.name, 'branch-0042.example')).toBeUndefined();
    expect(validate(HELLO.properties.name, 'branch 42')).toContain('fits');
    expect(validate(HELLO.properties.name, '-branch')).toContain('fits');
  });
});
