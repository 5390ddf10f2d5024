// Places for connections that are not yet welcomed, shared by address: while over half of them are taken, one block of
// addresses holds at most its share, and silent connections give way to new ones, the largest block first.
import type { CodedError } from '../../shared/errors.ts';
import { addressBlock } from './address-rules.ts';
import { placeFault } from './errors.ts';

/** Of all places: seven strangers with one address each leave room for the others. */
const SHARE = 1 / 8;
/** Where there are few places: a browser opens six connections. */
const SMALLEST_SHARE = 6;

/** The block without a share: a trusted proxy, before it has named the origin. */
export const UNSHARED = '(trusted proxies)';

export interface Place {
  /** Central waits for the peer: the place may go to a new connection. The longest silent one goes first. */
  waits(): void;
  /** Central works for the peer: the place is kept. */
  works(): void;
  /**
   * The origin became known (PROXY protocol): the place counts for that block. Returns a fault when that block has its
   * share.
   */
  move(address: string): CodedError | undefined;
  /** Frees the place; may be called twice. */
  leave(): void;
}

interface Holder {
  block: string;
  readonly giveUp: (fault: CodedError) => void;
}

interface Block {
  /** In the order in which they began to wait. */
  readonly waiting: Set<Holder>;
  readonly working: Set<Holder>;
}

export class Places {
  readonly #limit: () => number;
  readonly #blocks = new Map<string, Block>();
  #taken = 0;

  /** `limit` is read at each use. */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * A place, at first a waiting one; or the reason for the refusal. `giveUp` is called, once, when the place goes to
   * another.
   */
  enter(address: string, giveUp: (fault: CodedError) => void): Place | CodedError {
    const block = blockOf(address);
    const refused = this.#makeRoom(block);
    if (refused !== undefined) return refused;
    const holder: Holder = { block, giveUp };
    this.#add(holder);
    return {
      waits: () => this.#put(holder, 'waiting'),
      works: () => this.#put(holder, 'working'),
      move: (to) => this.#move(holder, blockOf(to)),
      leave: () => this.#remove(holder),
    };
  }

  /** Makes room for one more of `block`, where due by closing a waiting one. */
  #makeRoom(block: string): CodedError | undefined {
    const limit = this.#limit();
    const own = this.#sizeOf(block);
    const share = Math.max(SMALLEST_SHARE, Math.floor(limit * SHARE));
    if (block !== UNSHARED && this.#taken >= limit / 2 && own >= share) {
      return this.#giveUpOf(block, limit) ? undefined : placeFault('address_share_full', { limit, share });
    }
    if (this.#taken < limit) return undefined;
    return this.#giveUpOf(this.#largestWaiting(own) ?? block, limit) ? undefined : placeFault('places_full', { limit });
  }

  /** The block that holds most among those with a waiting connection; only one that holds more than `own`. */
  #largestWaiting(own: number): string | undefined {
    let largest: string | undefined;
    let most = own;
    for (const [block, { waiting, working }] of this.#blocks) {
      const size = waiting.size + working.size;
      if (size <= most || waiting.size === 0) continue;
      largest = block;
      most = size;
    }
    return largest;
  }

  #giveUpOf(block: string, limit: number): boolean {
    const [oldest] = this.#blocks.get(block)?.waiting ?? [];
    if (oldest === undefined) return false;
    this.#remove(oldest);
    oldest.giveUp(placeFault('place_given_up', { limit }));
    return true;
  }

  #move(holder: Holder, block: string): CodedError | undefined {
    if (holder.block === block || !this.#holds(holder)) return undefined;
    this.#remove(holder);
    const refused = this.#makeRoom(block);
    if (refused !== undefined) return refused;
    holder.block = block;
    this.#add(holder);
    return undefined;
  }

  #add(holder: Holder): void {
    let block = this.#blocks.get(holder.block);
    if (block === undefined) this.#blocks.set(holder.block, (block = { waiting: new Set(), working: new Set() }));
    block.waiting.add(holder);
    this.#taken += 1;
  }

  #holds(holder: Holder): boolean {
    const block = this.#blocks.get(holder.block);
    return block !== undefined && (block.waiting.has(holder) || block.working.has(holder));
  }

  #put(holder: Holder, state: keyof Block): void {
    const block = this.#blocks.get(holder.block);
    if (block === undefined || !this.#holds(holder)) return;
    block.waiting.delete(holder);
    block.working.delete(holder);
    block[state].add(holder);
  }

  #remove(holder: Holder): void {
    const block = this.#blocks.get(holder.block);
    if (block === undefined || !(block.waiting.delete(holder) || block.working.delete(holder))) return;
    if (block.waiting.size + block.working.size === 0) this.#blocks.delete(holder.block);
    this.#taken -= 1;
  }

  #sizeOf(block: string): number {
    const found = this.#blocks.get(block);
    return found === undefined ? 0 : found.waiting.size + found.working.size;
  }
}

function blockOf(address: string): string {
  return address === UNSHARED ? UNSHARED : addressBlock(address);
}
