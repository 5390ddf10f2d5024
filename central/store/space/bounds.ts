// What the store may keep of each peer, and how much disk space it leaves free: the bounds, their defaults, and their reasons.

/** Set from the parameters (central/parameters/definitions.ts); these hold until then. */
export interface StoreBounds {
  /** Dead letters of one agent and direction, in rows and in bytes. The oldest give way. */
  readonly deadLettersPerAgent: number;
  readonly deadLetterBytesPerAgent: number;
  /** Items that Central takes of one agent within a day; 0: without a limit. */
  readonly eventsPerDay: number;
  /** Free disk space that is kept for essential writes; 0: none. */
  readonly reserveBytes: number;
}

/** A store that is opened beside a running Central's work (tools, tests) leaves no space free of its own accord. */
export const DEFAULT_BOUNDS: StoreBounds = {
  deadLettersPerAgent: 10_000,
  deadLetterBytesPerAgent: 16 * 1024 * 1024,
  eventsPerDay: 0,
  reserveBytes: 0,
};

/**
 * Dead letters that one call may add: one for each reason, and one for all further reasons. Otherwise an item of two bytes would cost a row
 * of 250.
 */
export const DEAD_LETTERS_PER_APPEND = 8;
/** JSON text that one dead letter for several messages holds. Enough for some 150 tombstones. */
export const DEAD_LETTER_TEXT = 16 * 1024;
/** What a dead letter costs beside its texts: the other columns, its index, and the share of the page that stays empty. */
export const DEAD_LETTER_OVERHEAD = 128;

/**
 * Certificates of one agent within a day, from whatever act, beyond which another enrollment is refused: each leaves rows in certificates and
 * audit log. A lost answer is repeated a few times, not dozens.
 */
export const ENROLLMENTS_PER_DAY = 48;

/**
 * How often the log of an agent's events may begin again within a day: each time leaves a row that lives as long as the events of that log.
 * An honest one begins again when its disk was lost or restored.
 */
export const RESTARTS_PER_DAY = 100;

/** The same again within this time is counted in the row of the first. Long enough that a flood of one cause makes 144 rows a day. */
export const INCIDENT_INTERVAL_MS = 600_000;
/** Rows of one kind that one agent gets in an interval when they differ: a restore makes two of them (log_restarted up and down). */
export const INCIDENTS_PER_INTERVAL = 8;
/** Rows per agent: more than an honest agent collects in the year for which incidents are kept. */
export const INCIDENTS_PER_AGENT = 500;
/** Rows of all strangers together: some 5 MiB. */
export const INCIDENTS_OF_STRANGERS = 10_000;

/** The reserve never takes more than this share of the file system: a small one is still of use. */
export const RESERVE_SHARE = 4;
/** The alarm comes while there is still as much again as the reserve. */
export const ALARM_FACTOR = 2;
/** A state ends only with so much more space than it began with, so that it does not come and go with each commit. */
export const HYSTERESIS = 1.125;

/**
 * How much room there is. `low`: less than twice the reserve, time to act. `reserved`: the reserve has been reached, only essential writes
 * go on. `unwatched`: there is no reserve, or the file system does not say how much is free.
 */
export type SpaceState = 'unwatched' | 'ample' | 'low' | 'reserved';

export interface StoreSpace {
  readonly state: SpaceState;
  /** Free bytes of the file system; null when unknown. */
  readonly freeBytes: number | null;
  /** What the store can still take: that, with what is free inside its file and without what its log still has to copy into it. */
  readonly availableBytes: number | null;
  /** The reserve as it counts on this file system. */
  readonly reserveBytes: number;
}

/** API tokens that are kept at once, expired ones included: ten thousand branches do not each need one, programs of a head office do. */
export const MAX_API_TOKENS = 1_000;
/** Enrollment tokens that are kept at once: one for each machine of the largest roll-out. */
export const MAX_ENROLLMENT_TOKENS = 10_000;
/** An expired enrollment token still says so to whoever comes late; then it is forgotten. */
export const EXPIRED_ENROLLMENT_TOKEN_MS = 7 * 86_400_000;
