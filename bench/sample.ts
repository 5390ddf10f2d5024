// Defines the message that every peer carries: one CloudEvent of exactly 200 bytes of JSON, with an id of its own.

export const MESSAGE_BYTES = 200;
const SUFFIX = '"}';

/** `run` (6 characters) tells one log from another; `number` counts within it. `source` is at most 24 characters. */
export function messageJson(source: string, run: string, number: number): string {
  const head = `{"specversion":"1.0","id":"${messageId(run, number)}","source":"${source}","type":"bench.sample","data":"`;
  return head + FILLER.slice(0, MESSAGE_BYTES - head.length - SUFFIX.length) + SUFFIX;
}

export function messageId(run: string, number: number): string {
  return `${run}-${String(number).padStart(10, '0')}`;
}

/** Of a bench agent. */
export function sourceOf(index: number): string {
  return `/bench/${String(index).padStart(5, '0')}`;
}

const FILLER = 'The counter at window four is open; ticket A117 was called after nine minutes. '.repeat(4);
