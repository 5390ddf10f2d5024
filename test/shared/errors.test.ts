import { describe, expect, it } from 'vitest';
import { CodedError, defineErrors, isCoded, printable, systemCode, textOf, titleOf } from '../../shared/errors.ts';

const fault = defineErrors({
  port_taken: { text: 'Port {port} is taken by {port}.', hint: 'Free {port}.', status: 409 },
  busy: { text: 'Busy.', hint: 'Wait.', status: 503 },
  gone: { text: 'Gone.', hint: 'Enroll.', close: 4499 },
  away: { text: 'Away.', hint: 'Wait.', close: 4500 },
  stubborn: { text: 'No.', hint: 'Stop.', status: 503, retryable: false },
  plain: { text: 'Failed: {found}', hint: '{hint}' },
});

describe('an error of a table', () => {
  it('has its code, its text and hint with the placeholders filled, and its cause', () => {
    const cause = new Error('EADDRINUSE');
    const error = fault('port_taken', { port: 80 }, cause);
    expect(error).toMatchObject({
      code: 'port_taken',
      message: 'Port 80 is taken by 80.',
      hint: 'Free 80.',
      status: 409,
      close: undefined,
      cause,
      parameters: { port: 80 },
    });
    expect(fault('busy', {})).not.toHaveProperty('cause');
  });

  it('fills nothing out of what filled it', () => {
    expect(fault('plain', { found: '{hint}', hint: 'x' }).message).toBe('Failed: {hint}');
    expect(new CodedError('c', { text: '{unknown}', hint: '' }, {}).message).toBe('{unknown}');
  });

  it('ends a sentence once, also when what fills it is a sentence itself', () => {
    const end = defineErrors({ cut: { text: 'Failed: {found}.', hint: 'Try {found}...' } });
    expect([end('cut', { found: 'No space left.' }).message, end('cut', { found: 'EIO' }).message]).toEqual([
      'Failed: No space left.',
      'Failed: EIO.',
    ]);
    expect(end('cut', { found: 'EIO' }).hint).toBe('Try EIO...');
  });

  it('is retryable by 503, by a close code from 4500 on, or because the table says so', () => {
    const retryable = [
      fault('busy', {}),
      fault('away', {}),
      fault('gone', {}),
      fault('port_taken', { port: 1 }),
      fault('stubborn', {}),
    ].map((error) => error.retryable);
    expect(retryable).toEqual([true, true, false, false, false]);
  });

  it('is 500 unless the table says otherwise', () => {
    expect(fault('gone', {}).status).toBe(500);
  });
});

it('an error is recognized by its code, by one of several, or as coded at all', () => {
  const error = fault('busy', {});
  expect([isCoded(error), isCoded(error, 'busy'), isCoded(error, 'gone', 'busy'), isCoded(error, 'gone')]).toEqual([
    true,
    true,
    true,
    false,
  ]);
  expect(isCoded({ code: 'busy' }, 'busy')).toBe(false);
});

it('a command line prints text, hint and code, and never a stack trace', () => {
  expect(printable(fault('busy', {}))).toBe('error: Busy.\n  Wait.\n  (busy)');
  expect(printable(new Error('x'))).toBe('error: x');
  expect(printable('x')).toBe('error: x');
});

it('a title, a text and a system code are taken from whatever was thrown', () => {
  expect(titleOf('port_taken')).toBe('Port taken');
  expect([textOf(new Error('a')), textOf(7)]).toEqual(['a', '7']);
  expect(systemCode(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT');
  expect([systemCode(Object.assign(new Error('x'), { code: 7 })), systemCode({ code: 'ENOENT' })]).toEqual([
    undefined,
    undefined,
  ]);
});
