// What the position of a log that holds the messages with these ids, in this order, has for its own id. All of them
// come from "/test", as the samples of the tests do, unless an entry names another source.
import { linkOf } from '../../../shared/sqlite/logs/fingerprint.ts';

export function positionId(...messages: (string | { readonly source: string; readonly id: string })[]): string {
  let link = '';
  for (const message of messages)
    link = linkOf(link, typeof message === 'string' ? { source: '/test', id: message } : message);
  return link;
}
