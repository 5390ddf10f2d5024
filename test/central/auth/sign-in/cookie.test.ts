import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { clearSession, keepSession, sessionCookie } from '../../../../central/auth/sign-in/cookie.ts';

const requestOver = (socket: object, cookie?: string): IncomingMessage =>
  ({ socket, headers: { cookie } }) as unknown as IncomingMessage;
const TLS = { encrypted: true };

describe('the cookie of a session', () => {
  it('is of this host only and never without TLS, where it came over TLS', () => {
    expect(keepSession(requestOver(TLS), 's', 60.9)).toBe(
      '__Host-queuegate=s; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure',
    );
    expect(clearSession(requestOver(TLS))).toMatch(/^__Host-queuegate=; Path=\/; Max-Age=0; .*Secure$/);
    expect(keepSession(requestOver({}), 's', 60)).toBe('queuegate=s; Path=/; Max-Age=60; HttpOnly; SameSite=Strict');
  });

  it('is not taken over TLS under the name that any host of the domain could set', () => {
    expect(sessionCookie(requestOver(TLS, 'queuegate=a'))).toBeUndefined();
    expect(sessionCookie(requestOver(TLS, 'queuegate=a; __Host-queuegate=b'))).toBe('b');
    expect(sessionCookie(requestOver({}, '__Host-queuegate=b'))).toBeUndefined();
  });

  it('counts only where it is one', () => {
    expect(sessionCookie(requestOver({}))).toBeUndefined();
    expect(sessionCookie(requestOver({}, 'queuegate=a; queuegate=b'))).toBeUndefined();
    expect(sessionCookie(requestOver({}, 'queuegate=a; queuegate=a'))).toBe('a');
  });
});
