import { describe, expect, it } from 'vitest';
import { readableLine } from '../../../shared/terminal/log.ts';

describe('a line of the log on a terminal', () => {
  it('begins with time and level, and ends with the facts as key=value', () => {
    const time = Date.UTC(2026, 0, 2, 3, 4, 5, 6);
    expect(readableLine(JSON.stringify({ level: 40, time, agent: 'a', n: 3, text: 'two words', msg: 'full' }))).toBe(
      '03:04:05.006 WARN  full agent=a n=3 text="two words"\n',
    );
  });

  it('stays one line without control characters, whatever came from elsewhere', () => {
    const line = readableLine(JSON.stringify({ level: 30, time: 0, msg: 'a\nb', name: 'x\u001b[2J' }));
    expect(line).toBe('00:00:00.000 INFO  a\\u000ab name=x\\u001b[2J\n');
  });
});
