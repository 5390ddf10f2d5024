// Bounds the bytes that Central has accepted from the sockets of all sessions and not yet committed, and decides whose
// socket is read next. Knows neither frames nor sockets; a session counts its bytes here (central/sessions/intake.ts).
//
// Every session may hold a little (about one read of the operating system) without a grant; for more it needs a grant
// for one whole frame. Both come from pools of their own, so that a session with little waiting never queues behind the
// backlogs of others. A session without a grant is not read: what it sent waits in the kernel, and TCP slows its agent
// down.

/** What Node reads from a socket at once (libuv, src/unix/stream.c): the smallest unit. */
export const READ_BYTES = 64 * 1024;
/** Beyond this a session needs a grant to be read. */
const ASK_BYTES = READ_BYTES / 2;
/** The most that it can hold without one. */
const LITTLE_BYTES = ASK_BYTES + READ_BYTES;
/** The share of the total for small holdings: some 600 sessions at once with 64 MiB. The rest is for grants. */
const LITTLE_SHARE = 5 / 8;
/**
 * Where incomplete frames of slow agents fill the room for grants, grants go beyond it, up to this share of the total.
 */
const FULL_SHARE = 3 / 4;
/** No session holds more than this share of the total, or one frame: one hostile agent does not slow the others. */
const SESSION_SHARE = 1 / 8;

/**
 * Enough for 22 frames of 1 MiB at once, more than two cores can parse and a disk can take within a tenth of a second.
 */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;
/**
 * A byte of a frame costs about four while it becomes items, and a copy for the writing thread: two thirds of a small
 * heap are left for all else.
 */
const HEAP_SHARE = 1 / 12;

/**
 * A second, when ticks come every 250 ms: longer than a turn of a busy event loop, and than a line takes on the same
 * continent.
 */
const IDLE_TICKS = 4;

/** The budget that fits the heap (v8.getHeapStatistics().heap_size_limit). */
export function budgetBytes(heapLimitBytes: number): number {
  return Math.min(MAX_TOTAL_BYTES, Math.floor(heapLimitBytes * HEAP_SHARE));
}

/** A socket that can be left unread. Both are called only when that changes something. */
interface Readable {
  pause(): void;
  resume(): void;
}

/** One session's account. */
export interface BudgetShare {
  /** True while its socket is not read. */
  readonly isPaused: boolean;
  /** Bytes were read; they belong to a frame that is not complete yet. */
  received(bytes: number): void;
  /** So many of these belonged to no frame: headers, pings. */
  dropped(bytes: number): void;
  /** A frame of so many bytes is complete; `besides` is its memory overhead. */
  completed(bytes: number, besides?: number): void;
  /** So much of the completed bytes is on disk, or was dropped. */
  released(bytes: number): void;
  /** The session is over: all of it is released. May be called twice. */
  close(): void;
}

interface Member {
  readonly socket: Readable;
  readonly grantBytes: number;
  readonly maxBytes: number;
  /** `full`: it has to release some of its own first. */
  state: 'reading' | 'waiting' | 'full' | 'closed';
  held: number;
  /** Of it, in whole frames. */
  whole: number;
  /** What it may still read of its grant. */
  grant: number;
  /** Room that was kept for its first read after a pause. */
  kept: number;
  /** Since the last tick. */
  recent: number;
  /** Ticks in a row in which it read less than it could have. */
  idleTicks: number;
}

/** What a share does with the account of its session: made once for all of them. */
interface Ledger {
  received(member: Member, bytes: number): void;
  completed(member: Member, bytes: number, besides: number): void;
  dropped(member: Member, bytes: number): void;
  released(member: Member, bytes: number): void;
  close(member: Member): void;
}

/** A class: closures and a getter of its own would cost each session a kibibyte. */
class Share implements BudgetShare {
  readonly #ledger: Ledger;
  readonly #member: Member;

  constructor(ledger: Ledger, member: Member) {
    this.#ledger = ledger;
    this.#member = member;
  }

  get isPaused(): boolean {
    return this.#member.state !== 'reading';
  }

  received(bytes: number): void {
    this.#ledger.received(this.#member, bytes);
  }

  dropped(bytes: number): void {
    this.#ledger.dropped(this.#member, bytes);
  }

  completed(bytes: number, besides = 0): void {
    this.#ledger.completed(this.#member, bytes, besides);
  }

  released(bytes: number): void {
    this.#ledger.released(this.#member, bytes);
  }

  close(): void {
    this.#ledger.close(this.#member);
  }
}

export class ByteBudget {
  readonly #totalBytes: number;
  readonly #littleLimit: number;
  readonly #grantLimit: number;
  readonly #sessionLimit: number;
  readonly #members = new Set<Member>();
  /** Those with a grant, or with room that is kept for them. */
  readonly #served = new Set<Member>();
  /** Paused sessions in order of arrival: those that need a little, and those that need a grant. */
  readonly #little = new Set<Member>();
  readonly #much = new Set<Member>();
  /** No session without a grant is read: nothing is left to pause. */
  #areAllPaused = false;
  #used = 0;
  /** Of it, in whole frames: they are released without anything being read. */
  #whole = 0;
  /** Held up to LITTLE_BYTES by each session, and kept for it. */
  #littleBytes = 0;
  /** Held beyond that, and granted. */
  #grantedBytes = 0;
  #grants = 0;
  /** Granted, and not yet read. */
  #outstanding = 0;
  readonly #defer: (run: () => void) => void;
  #isDeferred = false;
  /** Room was kept for these in this turn of the event loop, and in the one before. */
  #keptNow = new Set<Member>();
  #keptBefore = new Set<Member>();

  readonly #ledger: Ledger = {
    received: (member, bytes) => this.#received(member, bytes),
    completed: (member, bytes, besides) => this.#completed(member, bytes, besides),
    dropped: (member, bytes) => this.#released(member, Math.min(bytes, member.held - member.whole)),
    released: (member, bytes) => {
      const whole = Math.min(bytes, member.whole);
      this.#count(member, member.whole - whole);
      this.#released(member, whole);
    },
    close: (member) => this.#close(member),
  };

  /** `defer` runs something in the next turn of the event loop. */
  constructor(totalBytes: number, defer: (run: () => void) => void = (run) => void setImmediate(run)) {
    this.#totalBytes = totalBytes;
    this.#defer = defer;
    this.#littleLimit = totalBytes * LITTLE_SHARE;
    this.#grantLimit = totalBytes - this.#littleLimit;
    this.#sessionLimit = totalBytes * SESSION_SHARE;
  }

  /** Bytes accepted and not yet committed. */
  get used(): number {
    return this.#used;
  }

  /** Sessions that are not read until others have released something. */
  get waiting(): number {
    return this.#little.size + this.#much.size;
  }

  /**
   * A session whose largest frame has so many bytes. Its socket is taken to be paused, and is resumed when there is
   * room.
   */
  open(socket: Readable, maxFrameBytes: number): BudgetShare {
    const grantBytes = maxFrameBytes + READ_BYTES;
    const member: Member = {
      socket,
      grantBytes,
      maxBytes: Math.max(grantBytes, this.#sessionLimit),
      state: 'waiting',
      held: 0,
      whole: 0,
      grant: 0,
      kept: 0,
      recent: 0,
      idleTicks: 0,
    };
    this.#members.add(member);
    // Nothing is kept for it: most sessions that begin send nothing for a while, and two thousand begin at once after
    // an outage. Those that do send are stopped together when the pool is full.
    if (this.#little.size === 0 && this.#hasRoomForLittle()) this.#resume(this.#little, member);
    else this.#enqueue(member);
    this.#serve();
    return new Share(this.#ledger, member);
  }

  /** Called a few times per second: a session that does not use its grant loses it, and is read without one. */
  tick(): void {
    for (const member of this.#served) {
      member.idleTicks = member.recent < READ_BYTES ? member.idleTicks + 1 : 0;
      member.recent = 0;
      if (member.idleTicks >= IDLE_TICKS) this.#giveBack(member);
    }
    this.#serve();
  }

  #received(member: Member, bytes: number): void {
    if (member.state === 'closed') return;
    this.#keep(member, 0);
    this.#grant(member, member.grant - Math.min(bytes, member.grant));
    member.recent += bytes;
    this.#add(member, bytes);
  }

  #completed(member: Member, bytes: number, besides: number): void {
    if (member.state === 'closed') return;
    this.#count(member, member.whole + bytes + besides);
    // A grant is for one frame: the next one needs another.
    this.#grant(member, 0);
    this.#add(member, Math.max(besides, member.whole - member.held));
  }

  #add(member: Member, bytes: number): void {
    this.#hold(member, member.held + bytes);
    if (member.state === 'waiting') this.#enqueue(member);
    if (member.state !== 'reading') return;
    if (member.held > member.maxBytes) this.#pause(member, 'full');
    else if (member.held >= ASK_BYTES && member.grant === 0) this.#ask(member);
    if (this.#littleBytes > this.#littleLimit || this.#used + this.#outstanding > this.#totalBytes) this.#pauseAll();
  }

  #released(member: Member, bytes: number): void {
    if (member.state === 'closed') return;
    this.#hold(member, Math.max(0, member.held - bytes));
    if (member.held === 0) this.#giveBack(member);
    if (member.state === 'full' && member.held <= member.maxBytes) member.state = 'waiting';
    if (member.state === 'waiting') this.#enqueue(member);
    this.#serve();
  }

  #close(member: Member): void {
    if (member.state === 'closed') return;
    member.state = 'closed';
    this.#giveBack(member);
    this.#count(member, 0);
    this.#hold(member, 0);
    this.#members.delete(member);
    this.#little.delete(member);
    this.#much.delete(member);
    this.#serve();
  }

  /** At once when the queue is empty and there is room; otherwise in turn. */
  #ask(member: Member): void {
    if (this.#much.size === 0 && this.#mayGrant(member)) this.#grant(member, member.grantBytes);
    else this.#pause(member, 'waiting');
  }

  #hasRoomForLittle(): boolean {
    return (
      this.#littleBytes + LITTLE_BYTES <= this.#littleLimit &&
      this.#used + this.#outstanding + LITTLE_BYTES <= this.#totalBytes
    );
  }

  /** Too many hold a little: no session without a grant is read until some have released theirs. */
  #pauseAll(): void {
    if (this.#areAllPaused) return;
    this.#areAllPaused = true;
    for (const member of this.#members)
      if (member.state === 'reading' && member.grant === 0) this.#pause(member, 'waiting');
  }

  #pause(member: Member, state: 'waiting' | 'full'): void {
    member.state = state;
    member.socket.pause();
    if (state === 'waiting') this.#enqueue(member);
  }

  /** Keeps its place where it waits already. */
  #enqueue(member: Member): void {
    const [lane, other] = member.held < ASK_BYTES ? [this.#little, this.#much] : [this.#much, this.#little];
    other.delete(member);
    lane.add(member);
  }

  #serve(): void {
    for (const member of this.#little) {
      if (!this.#hasRoomForLittle() && this.#used > 0) break;
      this.#keep(member, LITTLE_BYTES);
      this.#resume(this.#little, member);
      this.#keptNow.add(member);
    }
    if (this.#keptNow.size > 0) this.#passTurn();
    for (const member of this.#much) {
      if (!this.#mayGrant(member)) break;
      this.#grant(member, member.grantBytes);
      this.#resume(this.#much, member);
    }
  }

  /**
   * What waits for a session in the kernel is read in the next turn of the event loop, whatever else is ready: one that
   * has read nothing by then has nothing to read, and the room goes to the next. Kept for longer, the room of hundreds
   * that are idle keeps out those that are not: of 2,000 that had all sent, the last got a turn once in five seconds.
   */
  #passTurn(): void {
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    this.#defer(() => {
      this.#isDeferred = false;
      const idle = this.#keptBefore;
      this.#keptBefore = this.#keptNow;
      this.#keptNow = new Set();
      for (const member of idle) if (member.kept > 0) this.#release(member);
      this.#serve();
      if (this.#keptBefore.size > 0) this.#passTurn();
    });
  }

  /** It is read without room of its own. */
  #release(member: Member): void {
    this.#keep(member, 0);
    if (member.grant === 0) this.#served.delete(member);
  }

  #resume(lane: Set<Member>, member: Member): void {
    if (member.grant === 0) this.#areAllPaused = false;
    lane.delete(member);
    member.state = 'reading';
    member.socket.resume();
  }

  /**
   * When only incomplete frames are held, the next one is granted in any case: otherwise none could ever be completed.
   */
  #mayGrant(member: Member): boolean {
    if (this.#grantedBytes + member.grantBytes <= this.#grantLimit) return true;
    const all = this.#used + this.#outstanding + member.grantBytes;
    return (
      all <= this.#totalBytes * FULL_SHARE || (this.#grants === 0 && (this.#whole === 0 || all <= this.#totalBytes))
    );
  }

  #giveBack(member: Member): void {
    this.#grant(member, 0);
    this.#keep(member, 0);
    this.#served.delete(member);
  }

  #grant(member: Member, bytes: number): void {
    this.#grants += Number(bytes > 0) - Number(member.grant > 0);
    this.#grantedBytes += bytes - member.grant;
    this.#outstanding += bytes - member.grant;
    // No session loses a grant before it could use it.
    if (bytes > member.grant) member.idleTicks = 0;
    member.grant = bytes;
    if (bytes === 0 && member.state === 'reading') this.#areAllPaused = false;
    if (bytes > 0) this.#served.add(member);
  }

  #keep(member: Member, bytes: number): void {
    this.#littleBytes += bytes - member.kept;
    if (bytes > member.kept) member.idleTicks = 0;
    member.kept = bytes;
    if (bytes > 0) this.#served.add(member);
  }

  #count(member: Member, whole: number): void {
    this.#whole += whole - member.whole;
    member.whole = whole;
  }

  #hold(member: Member, held: number): void {
    const little = Math.min(held, LITTLE_BYTES) - Math.min(member.held, LITTLE_BYTES);
    this.#littleBytes += little;
    this.#grantedBytes += held - member.held - little;
    this.#used += held - member.held;
    member.held = held;
  }
}
