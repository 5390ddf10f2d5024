// The cookie of a browser that has signed in: its name, how it is read, set and cleared. With TLS it has the prefix
// __Host- (RFC 6265bis section 4.1.3.2): then no other host, and nothing without TLS, can set it. Plain HTTP, which
// Central serves on loopback only, cannot have the prefix.
import type { IncomingMessage } from 'node:http';

const NAME = 'queuegate';
/** Of a sign-in that waits for the OpenID provider. */
const PENDING_NAME = 'queuegate-oidc';

function nameOn({ socket }: IncomingMessage, name = NAME): string {
  return isEncrypted(socket) ? `__Host-${name}` : name;
}

function isEncrypted(socket: IncomingMessage['socket']): boolean {
  return 'encrypted' in socket;
}

/** The session in the cookie of a request; undefined: it has none, or two that differ. In linear time. */
export function sessionCookie(request: IncomingMessage): string | undefined {
  return cookieOf(request, nameOn(request));
}

/** The id of the sign-in that this browser has begun with the OpenID provider; undefined: none. */
export function pendingCookie(request: IncomingMessage): string | undefined {
  return cookieOf(request, nameOn(request, PENDING_NAME));
}

/** The value of this cookie; undefined: there is none, or there are two that differ. */
function cookieOf({ headers: { cookie = '' } }: IncomingMessage, name: string): string | undefined {
  const found = new Set<string>();
  for (const part of cookie.split(';')) {
    const pair = part.trim();
    if (pair.startsWith(`${name}=`)) found.add(pair.slice(name.length + 1));
  }
  return found.size === 1 ? [...found][0] : undefined;
}

/** The header Set-Cookie that keeps a session for so many seconds. */
export function keepSession(request: IncomingMessage, session: string, seconds: number): string {
  return cookieWith(request, nameOn(request), session, seconds, 'Strict');
}

/** The header Set-Cookie that clears it. */
export function clearSession(request: IncomingMessage): string {
  return keepSession(request, '', 0);
}

/**
 * The header Set-Cookie that keeps a sign-in with the OpenID provider. It has to come back from another site: Lax, which
 * only a navigation of the whole window does.
 */
export function keepPending(request: IncomingMessage, id: string, seconds: number): string {
  return cookieWith(request, nameOn(request, PENDING_NAME), id, seconds, 'Lax');
}

/** The header Set-Cookie that clears it. */
export function clearPending(request: IncomingMessage): string {
  return keepPending(request, '', 0);
}

function cookieWith(
  { socket }: IncomingMessage,
  name: string,
  value: string,
  seconds: number,
  sameSite: 'Lax' | 'Strict',
): string {
  const secure = isEncrypted(socket) ? '; Secure' : '';
  return `${name}=${value}; Path=/; Max-Age=${Math.max(0, Math.floor(seconds))}; HttpOnly; SameSite=${sameSite}${secure}`;
}
