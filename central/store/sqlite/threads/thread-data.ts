// What both database threads are started with, and the figures of their connections.
import { join } from 'node:path';

export interface ThreadData {
  readonly folder: string;
  readonly deduplicationMs: number;
  readonly namesOfCentral: readonly string[];
}

/**
 * Only the two threads open this file in Central, through SQLite: closing any other descriptor on it would drop its
 * locks.
 */
export function databasePath(folder: string): string {
  return join(folder, 'central.db');
}

/** Holds the pages of the index for filters where thousands of agents send: the ones that are changed at random. */
export const WRITER_CACHE_KIB = 32 * 1024;
export const READER_CACHE_KIB = 16 * 1024;
/** 32 MiB of log: pages that change with every commit are copied once per so many, not once per commit. */
export const CHECKPOINT_PAGES = 8_000;
/** Four times what the copying after commits holds it to. */
export const LOG_MAX_BYTES = 4 * CHECKPOINT_PAGES * 4096;
/** How often that is looked at. */
export const LOG_CHECK_COMMITS = 64;
