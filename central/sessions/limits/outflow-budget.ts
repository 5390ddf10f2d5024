// Bounds the bytes of commands that were read from the store for all sessions and not yet handed to the operating
// system. While there is room, a session reads as far as its window allows; when half is used, only a slice, to see
// whether its agent reads at all.

/** Enough to see whether the agent reads; one message may be larger, and is read whole. */
const SLICE_BYTES = 64 * 1024;

/** One session's account. */
export interface OutflowShare {
  /**
   * Waits for room to read up to `maxBytes`; returns how much there is, 0 when the session is over. One call at a time.
   */
  reserve(maxBytes: number): Promise<number>;
  /** So much of the reservation was read and goes to the socket. */
  read(bytes: number): void;
  /** The operating system took so much. */
  written(bytes: number): void;
  /** The session is over. May be called twice. */
  close(): void;
}

interface Member {
  /** Read and not yet taken by the operating system, or reserved for reading. */
  held: number;
  reserved: number;
  asked: { readonly maxBytes: number; readonly answer: (bytes: number) => void } | undefined;
  open: boolean;
}

/** What a share does with the account of its session: made once for all of them. */
interface Ledger {
  reserve(member: Member, maxBytes: number): Promise<number>;
  read(member: Member, bytes: number): void;
  written(member: Member, bytes: number): void;
  close(member: Member): void;
}

class Share implements OutflowShare {
  readonly #ledger: Ledger;
  readonly #member: Member = { held: 0, reserved: 0, asked: undefined, open: true };

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  reserve(maxBytes: number): Promise<number> {
    return this.#ledger.reserve(this.#member, maxBytes);
  }

  read(bytes: number): void {
    this.#ledger.read(this.#member, bytes);
  }

  written(bytes: number): void {
    this.#ledger.written(this.#member, bytes);
  }

  close(): void {
    this.#ledger.close(this.#member);
  }
}

export class OutflowBudget {
  readonly #totalBytes: number;
  readonly #ledger: Ledger = {
    reserve: (member, maxBytes) => this.#reserve(member, maxBytes),
    read: (member, bytes) => this.#read(member, bytes),
    written: (member, bytes) => this.#written(member, bytes),
    close: (member) => this.#close(member),
  };
  /** In order of arrival. */
  readonly #waiting = new Set<Member>();
  #used = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  get used(): number {
    return this.#used;
  }

  open(): OutflowShare {
    return new Share(this.#ledger);
  }

  #read(member: Member, bytes: number): void {
    if (!member.open) return;
    this.#hold(member, bytes - member.reserved);
    member.reserved = 0;
    if (bytes === 0) this.#serve();
  }

  #written(member: Member, bytes: number): void {
    if (!member.open) return;
    this.#hold(member, -Math.min(bytes, member.held));
    this.#serve();
  }

  #close(member: Member): void {
    member.open = false;
    this.#waiting.delete(member);
    this.#hold(member, -member.held);
    member.asked?.answer(0);
    this.#serve();
  }

  #reserve(member: Member, maxBytes: number): Promise<number> {
    if (!member.open) return Promise.resolve(0);
    return new Promise((answer) => {
      member.asked = { maxBytes, answer };
      this.#waiting.add(member);
      this.#serve();
    });
  }

  /** A session whose agent reads nothing does not block those behind it. */
  #serve(): void {
    for (const member of this.#waiting) {
      if (member.asked === undefined) continue;
      const { maxBytes, answer } = member.asked;
      const bytes = this.#room(member, maxBytes);
      if (bytes === 0) {
        if (this.#used + SLICE_BYTES > this.#totalBytes) break;
        continue;
      }
      this.#waiting.delete(member);
      member.asked = undefined;
      member.reserved = bytes;
      this.#hold(member, bytes);
      answer(bytes);
    }
  }

  #room(member: Member, maxBytes: number): number {
    if (this.#used + maxBytes <= this.#totalBytes / 2) return maxBytes;
    const slice = Math.min(maxBytes, SLICE_BYTES);
    return member.held === 0 && (this.#used === 0 || this.#used + slice <= this.#totalBytes) ? slice : 0;
  }

  #hold(member: Member, bytes: number): void {
    member.held += bytes;
    this.#used += bytes;
  }
}
