// Does something when a response or a stream is over: read to its end, or cut. `close` alone is not enough: after an await the peer
// may have left already, the event does not come again, and what was counted for the response would be counted for
// ever.
interface Closing {
  readonly closed: boolean;
  once(event: 'close', act: () => void): unknown;
}

/** Calls `act` once: when it closes, or now if it is closed. */
export function whenClosed(response: Closing, act: () => void): void {
  if (response.closed) act();
  else response.once('close', act);
}
