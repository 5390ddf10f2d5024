// What the page keeps while a browser signs in with the OpenID provider: the address to return to, and why Central refused.
import { replaceAddress } from '../router.ts';
import type { ProblemDocument } from './types.ts';

const KEY = 'queuegate-return';
const CALLBACK = '/oidc/';

/** Called when the browser leaves for the provider: this address follows the sign-in. */
export function keepAddress(): void {
  const { pathname, search } = location;
  // A refusal is shown at the address of the callback, whose query was for Central alone.
  if (pathname !== '/sign-in' && !pathname.startsWith(CALLBACK)) sessionStorage.setItem(KEY, pathname + search);
}

/** The address that was kept, once, where the browser has come back to the start page. */
export function keptAddress(): string | null {
  const kept = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  return location.pathname === '/' ? kept : null;
}

/** Why Central refused the sign-in, where this page is that answer; the address becomes that of the sign-in page. */
export function refusedSignIn(): ProblemDocument | null {
  if (location.pathname.startsWith(CALLBACK)) replaceAddress('/sign-in');
  const meta = document.querySelector<HTMLMetaElement>('meta[name="queuegate-problem"]');
  return meta === null ? null : (JSON.parse(meta.content) as ProblemDocument);
}
