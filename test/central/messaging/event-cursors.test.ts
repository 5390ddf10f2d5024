import { describe, expect, it } from 'vitest';
import { EventCursors } from '../../../central/messaging/event-cursors.ts';

const A = { id: 'aaaaaaaaaa', ended: null };
const B = { id: 'bbbbbbbbbb', ended: null };

describe('a cursor of events', () => {
  const cursors = new EventCursors([A]);

  it.each([0, 1, 63, 255, 256, 4_294_967_296, 2 ** 48 - 1])('says the position %i, in 16 characters', (position) => {
    const cursor = cursors.encode(position);
    expect(cursor).toMatch(/^[A-Za-z0-9_-]{16}$/);
    expect(cursors.decode(cursor)).toEqual({ kind: 'position', position });
  });

  it('of another installation, of another version, or changed in its form is foreign', () => {
    const cursor = cursors.encode(7);
    const bytes = Buffer.from(cursor, 'base64url');
    bytes[0] = 2;
    for (const text of [
      new EventCursors([B]).encode(7),
      bytes.toString('base64url'),
      cursor.slice(1),
      `${cursor} `,
      `${cursor}\n`,
      cursor.replace(/^./, '+'),
      '7',
      '',
      'oldest',
    ])
      expect([text, cursors.decode(text)]).toEqual([text, { kind: 'foreign' }]);
  });

  it('is read in constant time, however long it is', () => {
    const long = cursors.encode(7).repeat(1_000_000);
    const from = performance.now();
    for (let i = 0; i < 1_000; i += 1) cursors.decode(long);
    expect(performance.now() - from).toBeLessThan(500);
  });

  it('from before a restore is valid up to the backup; behind it, it is ahead', () => {
    const restored = new EventCursors([{ ...A, ended: 5 }, B]);
    expect(restored.decode(cursors.encode(5))).toEqual({ kind: 'position', position: 5 });
    expect(restored.decode(cursors.encode(6))).toEqual({ kind: 'ahead', position: 5 });
    expect(restored.decode(restored.encode(6))).toEqual({ kind: 'position', position: 6 });
    expect(restored.encode(5)).not.toBe(cursors.encode(5));
  });

  it('needs an incarnation with an id of five bytes', () => {
    expect(() => new EventCursors([])).toThrow(TypeError);
    expect(() => new EventCursors([{ id: 'abc', ended: null }])).toThrow(TypeError);
  });
});
