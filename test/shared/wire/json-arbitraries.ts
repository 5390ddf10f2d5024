// JSON texts at random in the spellings that writers of JSON differ in: white space, escapes, numbers, names given
// twice.
import fc from 'fast-check';

const space = fc.array(fc.constantFrom(' ', '\t', '\n', '\r'), { maxLength: 2 }).map((parts) => parts.join(''));

const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 25 }).map((all) => all.join(''));
const whole = fc.oneof(
  fc.constant('0'),
  fc.tuple(fc.integer({ min: 1, max: 9 }), digits).map(([first, rest]) => `${first}${rest}`),
);
const numberText = fc
  .record({
    sign: fc.constantFrom('', '-'),
    whole,
    fraction: fc.option(digits, { nil: undefined }),
    exponent: fc.option(fc.tuple(fc.constantFrom('e', 'E', 'e+', 'E-'), digits), { nil: undefined }),
  })
  .map(
    ({ sign, whole: integer, fraction, exponent }) =>
      `${sign}${integer}${fraction === undefined ? '' : `.${fraction}`}${exponent === undefined ? '' : exponent.join('')}`,
  );

const escapes = fc.constantFrom(
  '\\"',
  '\\\\',
  '\\/',
  '\\b',
  '\\f',
  '\\n',
  '\\r',
  '\\t',
  '\\u0000',
  '\\u00e9',
  '\\uD83D\\uDE00',
  '\\ud800',
  '\\uDFFF',
  '\\u2028',
);
const plain = fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => JSON.stringify(text).slice(1, -1));
const stringText = fc
  .array(fc.oneof(plain, escapes, fc.constantFrom('\u2028', '\u007f', '\uffff', '/')), { maxLength: 6 })
  .map((parts) => `"${parts.join('')}"`);

/** Any JSON text, with white space around it. */
export const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string; padded: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    numberText,
    stringText,
    fc.constantFrom('true', 'false', 'null', '9007199254740993', '1e400', '-0', '1.10'),
    fc.array(tie('padded'), { maxLength: 5 }).map((items) => `[${items.join(',')}]`),
    fc
      .array(fc.tuple(space, stringText, space, tie('padded')), { maxLength: 5 })
      .map(
        (members) =>
          `{${members.map(([before, name, behind, value]) => `${before}${name}${behind}:${value}`).join(',')}}`,
      ),
    space.map((inside) => `[${inside}]`),
    space.map((inside) => `{${inside}}`),
  ),
  padded: fc.tuple(space, tie('value'), space).map((parts) => parts.join('')),
})).padded;

/** A text that was JSON before a character was deleted, inserted or replaced, or before it was cut. */
export const mutatedText: fc.Arbitrary<string> = fc
  .tuple(
    jsonText,
    fc.nat(),
    fc.constantFrom(
      '',
      '"',
      '\\',
      ',',
      ':',
      '{',
      '}',
      '[',
      ']',
      '0',
      '1',
      '-',
      '+',
      '.',
      'e',
      'u',
      'n',
      't',
      ' ',
      '\u0000',
      '\n',
      '\u00a0',
      '\ufeff',
      "'",
      '/',
    ),
    fc.constantFrom('insert', 'replace', 'delete', 'cut'),
  )
  .map(([text, at, character, how]) => {
    const place = at % (text.length + 1);
    if (how === 'cut') return text.slice(0, place);
    return (
      text.slice(0, place) + (how === 'delete' ? '' : character) + text.slice(how === 'insert' ? place : place + 1)
    );
  });
