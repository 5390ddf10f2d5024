// POST /api/v1/events: programs on this host hand over events for Central.
import { messageFault } from '../../../shared/delivery/errors.ts';
import { faultText, readProduced } from '../../../shared/delivery/message.ts';
import { scanBatch } from '../../../shared/wire/json-text.ts';
import { LIMITS } from '../../../shared/wire/messages.ts';
import { bodyFault, readBody, scanned } from '../requests.ts';
import type { Exchange, Reply } from '../types.ts';
import { MAX_ITEMS } from './schemas.ts';

/** One event or an array, all or nothing. Answered after they are on disk. */
export async function postEvents({ request, ports, authority: { task } }: Exchange): Promise<Reply> {
  const body = await readBody(request);
  const { isArray, items, count } = scanned(() => scanBatch(body, MAX_ITEMS));
  if (count === 0 || count > MAX_ITEMS) throw bodyFault('', `${count} events, where 1 to ${MAX_ITEMS} are allowed`);
  const defaults = { source: ports.source(), now: new Date(ports.now()), ...(task === undefined ? {} : { task }) };
  const maxMessageBytes = Math.min(LIMITS.maxMessageBytes, ports.maxMessageBytes());
  const messages = items.map((item, index) => {
    const message = readProduced(item, defaults, maxMessageBytes);
    if (!('pointer' in message)) return message;
    const pointer = `${isArray ? `/${index}` : ''}${message.pointer}`;
    if (message.kind === 'expired')
      throw messageFault('message_expired', { pointer, found: message.found, now: defaults.now.toISOString() });
    throw bodyFault(pointer, isArray ? `event ${index}: ${faultText(message)}` : faultText(message));
  });
  const appended = await ports.append(messages);
  return {
    status: 202,
    body: {
      items: appended.map(({ outcome, number }, index) => ({
        id: messages[index]?.id,
        source: messages[index]?.source,
        outcome,
        number,
      })),
      next: null,
    },
  };
}
