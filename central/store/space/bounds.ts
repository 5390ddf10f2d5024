// The bounds of what the store keeps of each peer and of the disk space that it leaves free, with their defaults and
// reasons.

/** Set from the parameters (central/parameters/definitions.ts). */
export interface StoreBounds {
  /** Dead letters of one agent and direction, in rows and in bytes. The oldest are dropped. */
  readonly deadLettersPerAgent: number;
  readonly deadLetterBytesPerAgent: number;
  /** Items that Central accepts from one agent within a day; 0: no limit. */
  readonly eventsPerDay: number;
  /** Free disk space that is kept for essential writes; 0: none. */
  readonly reserveBytes: number;
}

/** A store that no Central has configured (tools, tests) keeps no reserve. */
export const DEFAULT_BOUNDS: StoreBounds = {
  deadLettersPerAgent: 10_000,
  deadLetterBytesPerAgent: 16 * 1024 * 1024,
  eventsPerDay: 0,
  reserveBytes: 0,
};

/**
 * Dead letters that one call may add: one for each reason, and one for all further reasons. Otherwise an item of two
 * bytes would cost a row of 250.
 */
export const DEAD_LETTERS_PER_APPEND = 8;
/** JSON text that one dead letter for several messages holds. Enough for some 150 tombstones. */
export const DEAD_LETTER_TEXT = 16 * 1024;
/**
 * What a dead letter costs besides its texts: the other columns, its index, and the share of the page that stays empty.
 */
export const DEAD_LETTER_OVERHEAD = 128;

/**
 * Certificates of one agent within a day, however issued, beyond which another enrollment is refused: each leaves rows
 * in certificates and audit log. A lost answer is repeated a few times, not dozens.
 */
export const ENROLLMENTS_PER_DAY = 48;

/**
 * How often the log of an agent's events may restart within a day: each restart leaves a row that is kept as long as
 * the events of that log. An honest one restarts when its disk was lost or restored.
 */
export const RESTARTS_PER_DAY = 100;

/** A repetition within this time is counted in the row of the first. A flood of one cause makes 144 rows a day. */
export const INCIDENT_INTERVAL_MS = 600_000;
/**
 * Rows of one kind that one agent gets in an interval when they differ: a restore makes two of them (log_restarted up
 * and down).
 */
export const INCIDENTS_PER_INTERVAL = 8;
/** Rows per agent: more than an honest agent collects in the year for which incidents are kept. */
export const INCIDENTS_PER_AGENT = 500;
/** Rows of all strangers together: some 5 MiB. */
export const INCIDENTS_OF_STRANGERS = 10_000;

/** The reserve never takes more than a quarter of the file system, so that a small one stays usable. */
export const RESERVE_SHARE = 4;
/** The alarm is raised while twice the reserve is still free. */
export const ALARM_FACTOR = 2;
/** A state ends only with this much more space than it began with, so that it does not flap with each commit. */
export const HYSTERESIS = 1.125;

/**
 * How much space there is. `low`: less than twice the reserve, time to act. `reserved`: the reserve has been reached,
 * only essential writes go on. `unwatched`: no reserve is set, or the file system does not report its free space.
 */
export type SpaceState = 'unwatched' | 'ample' | 'low' | 'reserved';

export interface StoreSpace {
  readonly state: SpaceState;
  /** Free bytes of the file system; null when unknown. */
  readonly freeBytes: number | null;
  /**
   * What the store can still write: free bytes, plus free pages of its file, minus what its log still has to copy into
   * it.
   */
  readonly availableBytes: number | null;
  /** The effective reserve on this file system. */
  readonly reserveBytes: number;
}

/** What watches the space of an engine. */
export interface SpaceKeeper {
  report(): StoreSpace;
  setReserve(bytes: number): void;
  /** Asks for room for new data. Errors: store_reserve. */
  take(bytes: number): void;
}

/**
 * API tokens that are kept at once, expired ones included: ten thousand branches do not each need one, programs of a
 * head office do.
 */
export const MAX_API_TOKENS = 1_000;
/**
 * Sign-ins that are kept at once, of one owner and in all: an administrator has a few browsers, and a script that signs
 * in each time ends its own oldest one. The oldest give way.
 */
export const MAX_SIGN_INS_OF_OWNER = 20;
export const MAX_SIGN_INS = 2_000;
/** Enrollment tokens that are kept at once: one for each machine of the largest roll-out. */
export const MAX_ENROLLMENT_TOKENS = 10_000;
/** How long an expired enrollment token is kept, to be answered with token_expired. */
export const EXPIRED_ENROLLMENT_TOKEN_MS = 7 * 86_400_000;

/** Rollouts with their agents; the oldest one that has ended makes room. */
export const MAX_ROLLOUTS = 1_000;
