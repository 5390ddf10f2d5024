import { describe, expect, it } from 'vitest';
import { preferredType } from '../../../shared/http/accept.ts';

const TYPES = ['application/json', 'text/event-stream'] as const;

describe('the media type of an answer', () => {
  it.each([
    [undefined, 'application/json'],
    [' ', 'application/json'],
    ['*/*', 'application/json'],
    ['text/*', 'text/event-stream'],
    ['TEXT/Event-Stream ; charset=utf-8', 'text/event-stream'],
    ['application/json;q=0.2, text/event-stream;q=0.3', 'text/event-stream'],
    // The most specific range counts, whatever the order.
    ['*/*, application/json;q=0', 'text/event-stream'],
    ['application/json;q=0, */*', 'text/event-stream'],
    // The first one where several are equally good.
    ['text/event-stream, application/json', 'application/json'],
    ['text/html', undefined],
    ['application/json;q=0', undefined],
    ['application/json;q=x', undefined],
    [',;,', undefined],
  ])('for Accept %j is %j', (accept, type) => {
    expect(preferredType(accept, TYPES)).toBe(type);
  });
});
