// Who is read and who waits, by sockets of the test's own.
import { describe, expect, it } from 'vitest';
import {
  budgetBytes,
  ByteBudget,
  READ_BYTES,
  type BudgetShare,
} from '../../../../central/sessions/limits/byte-budget.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const FRAME = MIB;

class Peer {
  readonly share: BudgetShare;
  isRead = false;
  /** What it still has to send. */
  backlog: number;
  /** Of the frame that it is sending. */
  #sent = 0;
  committed = 0;

  constructor(budget: ByteBudget, backlog: number) {
    this.backlog = backlog;
    this.share = budget.open({ pause: () => (this.isRead = false), resume: () => (this.isRead = true) }, FRAME);
  }

  /** One read of the operating system. What it completes is in `whole`. */
  read(whole: { peer: Peer; bytes: number }[], most = READ_BYTES): boolean {
    if (!this.isRead || this.backlog === 0) return false;
    const bytes = Math.min(most, this.backlog, FRAME - this.#sent);
    this.backlog -= bytes;
    this.#sent += bytes;
    this.share.received(bytes);
    if (this.#sent === FRAME || this.backlog === 0) {
      this.share.completed(this.#sent);
      whole.push({ peer: this, bytes: this.#sent });
      this.#sent = 0;
    }
    return true;
  }

  commit(bytes: number): void {
    this.committed += bytes;
    this.share.released(bytes);
  }
}

/**
 * Reads every session that may be read and commits `perTurn` bytes each turn, until all is committed; the most that was
 * held, and what `each` says.
 */
function run(
  budget: ByteBudget,
  peers: readonly Peer[],
  perTurn: number,
  each: (turn: number) => void = () => undefined,
): number {
  const whole: { peer: Peer; bytes: number }[] = [];
  let most = 0;
  for (let turn = 0; peers.some(({ backlog }) => backlog > 0) || whole.length > 0; turn += 1) {
    expect(turn).toBeLessThan(100_000);
    for (const peer of peers) peer.read(whole);
    most = Math.max(most, budget.used);
    for (let left = perTurn; left > 0 && whole[0] !== undefined;) {
      const [frame] = whole.splice(0, 1);
      if (frame === undefined) break;
      left -= frame.bytes;
      frame.peer.commit(frame.bytes);
    }
    budget.tick();
    each(turn);
  }
  return most;
}

describe('the size of the budget', () => {
  it('ten thousand sessions that begin at once are all read at once, and one that was there before is not paused', () => {
    const budget = new ByteBudget(64 * MIB);
    const before = new Peer(budget, 10 * KIB);
    const begun = Array.from({ length: 10_000 }, () => new Peer(budget, 0));
    expect(begun.every(({ isRead }) => isRead)).toBe(true);
    expect(budget.waiting).toBe(0);
    const whole: { peer: Peer; bytes: number }[] = [];
    expect(before.read(whole)).toBe(true);
    expect(before.isRead).toBe(true);
  });

  it('follows the heap, and stops at 64 MiB', () => {
    expect(budgetBytes(96 * MIB)).toBe(8 * MIB);
    expect(budgetBytes(4096 * MIB)).toBe(64 * MIB);
  });
});

describe('all sessions together', () => {
  it('a hundred agents with a backlog of 4 MiB each hold no more than the budget of a heap of 96 MiB, and all of it gets through', () => {
    const total = budgetBytes(96 * MIB);
    const budget = new ByteBudget(total);
    const peers = Array.from({ length: 100 }, () => new Peer(budget, 4 * MIB));
    expect(run(budget, peers, MIB)).toBeLessThanOrEqual(total + FRAME);
    expect(peers.map(({ committed }) => committed)).toEqual(peers.map(() => 4 * MIB));
    expect([budget.used, budget.waiting]).toEqual([0, 0]);
  });

  it.each([600, 2_000])('%i agents with a backlog hold no more than 64 MiB, and all of it gets through', (count) => {
    const total = 64 * MIB;
    const budget = new ByteBudget(total);
    const peers = Array.from({ length: count }, () => new Peer(budget, 2 * MIB));
    expect(run(budget, peers, 2 * MIB)).toBeLessThanOrEqual(total + FRAME);
    expect(peers.every(({ committed }) => committed === 2 * MIB)).toBe(true);
    expect(budget.used).toBe(0);
  });

  it('progress does not depend on who was read first: frames in pieces from more agents than there is room for are all finished', () => {
    const budget = new ByteBudget(2 * MIB);
    const peers = Array.from({ length: 50 }, () => new Peer(budget, FRAME));
    run(budget, peers, 64 * KIB);
    expect(peers.every(({ committed }) => committed === FRAME)).toBe(true);
  });
});

describe('fairness', () => {
  it('a fresh agent with a small event passes the backlogs of 600: it is read and committed while less than a tenth of theirs is', () => {
    const budget = new ByteBudget(64 * MIB);
    const peers = Array.from({ length: 600 }, () => new Peer(budget, 4 * MIB));
    const fresh = new Peer(budget, 0);
    let passedAt: number | undefined;
    run(budget, [...peers, fresh], MIB, (turn) => {
      if (turn === 20) fresh.backlog = 500;
      if (fresh.committed > 0) passedAt ??= peers.reduce((sum, { committed }) => sum + committed, 0);
    });
    expect(passedAt).toBeLessThan((600 * 4 * MIB) / 10);
  });

  it('takes from all in turn: when the first has had a fourth frame, everybody has had the second', () => {
    const budget = new ByteBudget(8 * MIB);
    const peers = Array.from({ length: 40 }, () => new Peer(budget, 6 * MIB));
    let spread = 0;
    run(budget, peers, MIB, () => {
      const committed = peers.filter(({ backlog }) => backlog > 0).map((peer) => peer.committed);
      if (committed.length > 0) spread = Math.max(spread, Math.max(...committed) - Math.min(...committed));
    });
    expect(spread).toBeLessThanOrEqual(2 * FRAME);
  });

  it('one that has a grant and does not use it gives it back to those who wait', () => {
    const budget = new ByteBudget(4 * MIB);
    const whole: { peer: Peer; bytes: number }[] = [];
    const stalled = Array.from({ length: 3 }, () => new Peer(budget, FRAME));
    for (const peer of stalled) for (let i = 0; i < 2; i += 1) peer.read(whole);
    const other = new Peer(budget, FRAME);
    while (other.read(whole));
    expect(other.backlog).toBeGreaterThan(0);
    // A second for each of those before it: no session loses its turn before it could use it.
    for (let i = 0; i < 5 * 3; i += 1) budget.tick();
    while (other.read(whole));
    expect(other.backlog).toBe(0);
  });

  it('one session cannot hold more than an eighth, or one frame', () => {
    const budget = new ByteBudget(64 * MIB);
    const greedy = new Peer(budget, 100 * MIB);
    while (greedy.read([]));
    expect(budget.used).toBeLessThanOrEqual(8 * MIB + READ_BYTES);
    greedy.commit(2 * MIB);
    expect(greedy.isRead).toBe(true);
  });

  it('what frames take up besides their bytes counts too', () => {
    const budget = new ByteBudget(64 * MIB);
    const peer = new Peer(budget, 0);
    peer.share.received(6_000);
    peer.share.completed(6_000, 512_000);
    expect(budget.used).toBe(518_000);
    peer.share.released(518_000);
    expect(budget.used).toBe(0);
  });
});

describe('a session that ends', () => {
  it('releases all it held, and lets others go on', () => {
    const budget = new ByteBudget(2 * MIB);
    const [one, other] = [new Peer(budget, FRAME), new Peer(budget, FRAME)];
    while (one.read([]));
    other.read([]);
    other.read([]);
    expect(other.share.isPaused).toBe(true);
    one.share.close();
    one.share.close();
    one.share.released(FRAME);
    expect(other.share.isPaused).toBe(false);
    expect(budget.used).toBe(READ_BYTES);
    other.share.close();
    expect([budget.used, budget.waiting]).toEqual([0, 0]);
  });

  it('when too many hold a little, no one is read who holds nothing, until there is room again', () => {
    const budget = new ByteBudget(MIB);
    const little = Array.from({ length: 11 }, () => new Peer(budget, FRAME));
    const idle = new Peer(budget, 100);
    const holding = little.filter((peer) => peer.read([]));
    expect(holding.length).toBeLessThan(11);
    expect(idle.isRead).toBe(false);
    for (const { share } of holding) share.close();
    expect(idle.isRead).toBe(true);
  });
});

describe('2,000 sessions that all had to wait', () => {
  it('hold up none that has something to send, when they have nothing themselves: no tick is needed', () => {
    const turns: (() => void)[] = [];
    const budget = new ByteBudget(64 * MIB, (run) => void turns.push(run));
    const peers = Array.from({ length: 2_000 }, () => new Peer(budget, READ_BYTES / 4));
    const flood = Array.from({ length: 700 }, () => new Peer(budget, READ_BYTES));
    const whole: { peer: Peer; bytes: number }[] = [];
    for (const peer of flood) peer.read(whole);
    expect(peers.every(({ isRead }) => !isRead)).toBe(true);
    // One is still being written.
    for (const { peer, bytes } of whole.slice(1)) peer.commit(bytes);

    // Only the last has something to send.
    const last = peers.at(-1);
    let taken = 0;
    while (last?.isRead === false) {
      taken += 1;
      expect(taken).toBeLessThan(20);
      for (const turn of turns.splice(0)) turn();
    }
    expect(taken).toBeGreaterThan(0);
    // Then nothing is deferred any more.
    for (let turn = 0; turn < 20; turn += 1) for (const run of turns.splice(0)) run();
    expect(turns).toEqual([]);
    expect(peers.every(({ isRead }) => isRead)).toBe(true);
  });
});
