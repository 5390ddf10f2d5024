// Opens the log of a daemon: lines of JSON on the standard output, readable lines on a terminal.
import { isatty } from 'node:tty';
import { pino, type Logger, type LoggerOptions } from 'pino';
import { escapeLine, escapeLines } from './escape.ts';
import { LogOutput, writeWithoutWaiting, type LostLines } from './log-output.ts';

export interface Log {
  readonly log: Logger;
  /** Writes text that is not a line of the log, such as the first lines of Central, in order with the lines. */
  print(text: string): void;
  /** What could not be written since the start. */
  lostLines(): LostLines;
}

/**
 * `base` is in every line, as it is at that time. What came from elsewhere cannot act on a terminal: control characters
 * are escaped.
 */
export function openLog(level: LoggerOptions['level'], base: () => Readonly<Record<string, string>>): Log {
  const options: LoggerOptions = {
    level: level ?? 'info',
    base: null,
    // A fresh object: pino adds the facts of the line to it.
    mixin: () => ({ ...base() }),
    hooks: { streamWrite: escapeLines },
  };
  const format = isatty(1) ? readableLine : (line: string): string => line;
  const output = new LogOutput({
    write: writeWithoutWaiting(1),
    report(lines, code) {
      let text = '';
      pino({ ...options, level: 'warn' }, { write: (line: string) => (text = format(line)) }).warn(
        { code: 'log_lines_lost', lines, error: code },
        'lines of this log were lost, because it could not be written',
      );
      return text;
    },
  });
  // What Node or a fatal error prints there: a full disk must not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  process.on('exit', () => output.flush());
  return {
    log: pino(options, { write: (line: string) => output.write(format(line)) }),
    print: (text) => output.write(escapeLines(text)),
    lostLines: () => output.lost(),
  };
}

/** `12:30:01.250 WARN  text  key=value key="a b"`. */
export function readableLine(json: string): string {
  const { time, level, msg, ...facts } = JSON.parse(json) as Record<string, unknown>;
  const at = typeof time === 'number' ? new Date(time).toISOString().slice(11, 23) : '';
  const name = pino.levels.labels[Number(level)] ?? String(level);
  const pairs = Object.entries(facts).map(([key, value]) => `${key}=${readableValue(value)}`);
  return `${escapeLine([at, name.toUpperCase().padEnd(5), msg, ...pairs].join(' '))}\n`;
}

function readableValue(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
