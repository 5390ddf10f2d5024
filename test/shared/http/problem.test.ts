import { describe, expect, it } from 'vitest';
import { CodedError, DetailedError } from '../../../shared/errors.ts';
import { foundAt, pointerTo, problemOf } from '../../../shared/http/problem.ts';

const full = new CodedError('outbox_full', { text: 'Full: {left}.', hint: 'Wait.', status: 503 }, { left: 0 });

describe('a problem document', () => {
  it('has type, code, title, status, detail, hint and the request', () => {
    expect(problemOf(full, 'r-1')).toEqual({
      type: 'urn:queuegate:error:outbox_full',
      code: 'outbox_full',
      title: 'Outbox full',
      status: 503,
      detail: 'Full: 0.',
      hint: 'Wait.',
      instance: 'urn:uuid:r-1',
    });
  });

  it('lists the first 20 places, counts all of them, and has the members of its code', () => {
    const entries = Array.from({ length: 25 }, (_, i) => ({
      pointer: `#/${i}`,
      detail: 'wrong',
      allowed: null,
      found: null,
    }));
    const detailed = new DetailedError(full, { entries, members: { candidates: [] } });
    expect(detailed).toMatchObject({ code: 'outbox_full', status: 503, retryable: true });
    const document = problemOf(detailed, 'r-2');
    expect(document).toMatchObject({ errorCount: 25, candidates: [] });
    expect(document['errors']).toEqual(entries.slice(0, 20));
  });
});

describe('a place', () => {
  it('is a JSON pointer in a URI fragment, whatever name a member has', () => {
    expect(['', '/role', '/a b/0', '/é#?"', '/\uD800'].map((pointer) => pointerTo(pointer))).toEqual([
      '#',
      '#/role',
      '#/a%20b/0',
      '#/%C3%A9%23?%22',
      '#/%EF%BF%BD',
    ]);
    expect(pointerTo(`/${'x'.repeat(1000)}`)).toHaveLength(257);
  });

  it('shows what was found: short, and neither a secret nor a file', () => {
    expect([foundAt('/role', 'boss'), foundAt('/max', 7), foundAt('/on', false)]).toEqual(['boss', '7', 'false']);
    expect(foundAt('/name', 'x'.repeat(100))).toBe('x'.repeat(64));
    for (const name of ['password', 'keyPassword', 'Queuegate-Password', 'token', 'file', 'content', 'csr', 'code'])
      expect(foundAt(`/${name}`, 'x')).toBeNull();
    for (const value of [null, undefined, {}, []]) expect(foundAt('/role', value)).toBeNull();
  });
});
