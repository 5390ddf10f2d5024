// Does something when a response is over: read to its end, or cut. `close` alone is not enough: after an await the peer
// may have left already, the event does not come again, and what was counted for the response would be counted for
// ever.
import type { ServerResponse } from 'node:http';

/** Calls `act` once: when the response closes, or now if it is closed. */
export function whenClosed(response: Pick<ServerResponse, 'closed' | 'once'>, act: () => void): void {
  if (response.closed) act();
  else response.once('close', act);
}
