// Reads the events of a store's file, without the code that reads them for Central's API.
import type { DatabaseSync } from 'node:sqlite';

/** In the order of their cursors. The lengths of messages under 128 bytes are one byte, those of longer ones two. */
export function storedEvents(database: DatabaseSync): { readonly number: number; readonly json: string }[] {
  const events: { number: number; json: string }[] = [];
  for (const row of database.prepare('SELECT first_number, lengths, body FROM event_run ORDER BY through').iterate()) {
    const [lengths, body] = [Buffer.from(row['lengths'] as Uint8Array), Buffer.from(row['body'] as Uint8Array)];
    let [number, from] = [Number(row['first_number']), 0];
    for (let at = 0; at < lengths.length; number += 1) {
      const low = lengths[at++] ?? 0;
      const length = low < 128 ? low : low - 128 + 128 * (lengths[at++] ?? 0);
      events.push({ number, json: body.toString('utf8', from, from + length) });
      from += length;
    }
  }
  return events;
}
