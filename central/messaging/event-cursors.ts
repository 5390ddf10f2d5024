// The cursor of an event as API clients see it: opaque text that only Central reads. It says its version, the
// incarnation of the store that it belongs to (a restored backup begins another one), and the position in it. A later
// version can carry the positions of several nodes.
import type { StoreIncarnation } from '../store/message-store.ts';

/** Of the format: the first byte. */
const VERSION = 1;
/** Of an incarnation: 5 bytes. With the version they are 8 characters of base64url, without padding. */
const ID_BYTES = 5;
const HEAD_BYTES = 1 + ID_BYTES;
/** 2^48 events. */
const POSITION_BYTES = 6;
const BYTES = HEAD_BYTES + POSITION_BYTES;
/** Three bytes are four characters. */
const FORM = /^[A-Za-z0-9_-]{16}$/;

type CursorReading =
  | { readonly kind: 'position'; readonly position: number }
  /** Of events that this store does not have, because it was restored; from `position` on it has others. */
  | { readonly kind: 'ahead'; readonly position: number }
  /** No cursor of events, or of another installation. */
  | { readonly kind: 'foreign' };

export class EventCursors {
  readonly #head: string;
  /** By id: the last position that it shares with this store. */
  readonly #shared: ReadonlyMap<string, number>;

  /** `incarnations`: the oldest first; the last one is the present one. */
  constructor(incarnations: readonly StoreIncarnation[]) {
    const present = incarnations.at(-1)?.id ?? '';
    if (!/^[0-9a-f]{10}$/.test(present)) throw new TypeError(`invalid id of a store incarnation: "${present}"`);
    this.#head = Buffer.from([VERSION, ...Buffer.from(present, 'hex')]).toString('base64url');
    this.#shared = new Map(incarnations.map(({ id, ended }) => [id, ended ?? Number.POSITIVE_INFINITY]));
  }

  /** `position`: 0 is in front of the first event. */
  encode(position: number): string {
    const bytes = Buffer.allocUnsafe(POSITION_BYTES);
    bytes.writeUIntBE(position, 0, POSITION_BYTES);
    return this.#head + bytes.toString('base64url');
  }

  decode(text: string): CursorReading {
    if (!FORM.test(text)) return { kind: 'foreign' };
    const bytes = Buffer.from(text, 'base64url');
    const shared = this.#shared.get(bytes.toString('hex', 1, HEAD_BYTES));
    if (bytes.length !== BYTES || bytes[0] !== VERSION || shared === undefined) return { kind: 'foreign' };
    const position = bytes.readUIntBE(HEAD_BYTES, POSITION_BYTES);
    return position > shared ? { kind: 'ahead', position: shared } : { kind: 'position', position };
  }
}
