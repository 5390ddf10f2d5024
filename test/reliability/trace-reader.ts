// Reads what strace wrote down (-f -y -xx) and finds what a peer got before it was on disk. Order in the trace is order
// in time wherever one call follows from another: strace lets a thread go on only after it has written its line.

interface Call {
  readonly name: string;
  /** What the first argument, a file descriptor, stands for. */
  readonly target: string;
  /** All strings of the call, one behind the other; one character per byte. */
  data: string;
  /** Place in the trace where it begins and where it has returned. */
  readonly begun: number;
  ended: number;
}

const BEGUN = /^(\d+) +(\w+)\(\d+<((?:[^>"]|>(?!,|\)| <))*)>(.*)$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/;

export function readTrace(text: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, Call>();
  for (const [place, line] of text.split('\n').entries()) {
    const begun = BEGUN.exec(line);
    if (begun !== null) {
      const [, thread = '', name = '', target = '', rest = ''] = begun;
      const unfinished = rest.endsWith('<unfinished ...>');
      const call: Call = {
        name,
        target: bytesOf(target),
        data: stringsOf(rest),
        begun: place,
        ended: unfinished ? Number.POSITIVE_INFINITY : place,
      };
      calls.push(call);
      if (unfinished) open.set(thread, call);
      continue;
    }
    const resumed = RESUMED.exec(line);
    const call = resumed === null ? undefined : open.get(resumed[1] ?? '');
    if (resumed === null || call === undefined) continue;
    open.delete(resumed[1] ?? '');
    call.data += stringsOf(resumed[3] ?? '');
    call.ended = place;
  }
  return calls;
}

/** A message that was put into a log, and the words that tell a peer so. */
export interface Promised {
  /** Is in the log with the message and nowhere else. */
  readonly written: string;
  /** The first text with these words on a socket is the promise. */
  readonly reported: string;
}

/**
 * One line for each promise that was sent without a sync of the log behind the write of its message, or that was never
 * seen.
 */
export function toldTooEarly(calls: readonly Call[], promises: readonly Promised[]): string[] {
  const logWrites = calls.filter(({ name, target }) => name === 'pwrite64' && target.endsWith('.db-wal'));
  const syncs = calls.filter(
    ({ name, target }) => (name === 'fsync' || name === 'fdatasync') && target.endsWith('.db-wal'),
  );
  const sent = calls
    .filter(({ target }) => target.startsWith('socket:') || target.startsWith('TCP'))
    .map(({ begun, data }) => ({ begun, text: data + unmasked(data) }));
  return promises.flatMap(({ written, reported }) => {
    const promise = sent.find(({ text }) => text.includes(reported));
    if (promise === undefined) return [`${reported}: never reported`];
    const write = logWrites.findLast(({ data, begun }) => data.includes(written) && begun < promise.begun);
    if (write === undefined) return [`${reported}: reported before ${written} was written`];
    const synced = syncs.some(({ begun, ended }) => begun > write.ended && ended < promise.begun);
    return synced ? [] : [`${reported}: reported before ${written} was synced`];
  });
}

/** The strings of a call, without what is between them. */
function stringsOf(rest: string): string {
  return Array.from(rest.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g), ([, hex = '']) => bytesOf(hex)).join('');
}

function bytesOf(text: string): string {
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/**
 * What the frames of a WebSocket client say (RFC 6455 section 5.3: they are masked). Empty when this is not such a
 * frame.
 */
function unmasked(data: string): string {
  const bytes = Buffer.from(data, 'latin1');
  let text = '';
  for (let at = 0; bytes[at] === 0x81;) {
    const second = bytes[at + 1] ?? 0;
    if ((second & 0x80) === 0) return text;
    const short = second & 0x7f;
    const header = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (bytes.length < at + header + 4) return text;
    const length =
      short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short;
    const mask = bytes.subarray(at + header, at + header + 4);
    const payload = bytes.subarray(at + header + 4, at + header + 4 + length);
    text += Buffer.from(payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0))).toString('latin1');
    at += header + 4 + length;
  }
  return text;
}
