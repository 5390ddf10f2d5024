// The address is the state of the page: path and query by the History API. Each filter is an entry of
// the history: Back undoes it.
import { store } from './client/store.ts';

export interface Address {
  readonly path: string;
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

function read(): Address {
  const path = location.pathname;
  return { path, parts: path.split('/').filter(Boolean).map(decoded), query: new URLSearchParams(location.search) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const address = store<Address>(read());

export function startRouter(): void {
  addEventListener('popstate', () => address.set(read()));
  // Links are plain links: they open in another tab, and can be copied.
  addEventListener('click', (event) => {
    const { target } = event;
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = target instanceof Element ? target.closest('a[href]') : null;
    const href = link?.getAttribute('href') ?? '';
    if (link === null || link.hasAttribute('download') || link.getAttribute('target') === '_blank') return;
    if (!href.startsWith('/') || href.startsWith('//') || /^\/(?:api|docs|openapi\.json|crl|oidc|metrics)\b/.test(href))
      return;
    event.preventDefault();
    go(href);
  });
}

/** Opens a page of the dashboard. */
export function go(href: string): void {
  const before = location.pathname;
  if (href === `${before}${location.search}`) return;
  history.pushState(null, '', href);
  address.set(read());
  if (location.pathname !== before) scrollTo(0, 0);
}

/** Shows this address in the place of the present one, which Back does not find any more. */
export function replaceAddress(href: string): void {
  history.replaceState(null, '', href);
  address.set(read());
}

/** Changes some terms of the query; an empty one is removed. Back undoes it. */
export function setQuery(changes: Readonly<Record<string, string | null>>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(`${location.pathname}${text === '' ? '' : `?${text}`}`);
}

/** The address of the page of an agent. */
export function agentHref(idOrName: string, tab?: string): string {
  return `/agents/${encodeURIComponent(idOrName)}${tab === undefined ? '' : `?tab=${tab}`}`;
}
