// The schema of the store in PostgreSQL, step by step. Several nodes start at one time: who migrates holds a lock, and all
// steps are one transaction. Steps that were released never change; new ones are added, and leave what an older version
// reads and writes: during a rolling upgrade both are at work.
import { APPEND } from './append.ts';
import { FREQUENT } from './frequent.ts';
import { FUNCTIONS } from './functions.ts';
import { NODE_FUNCTIONS } from './node-functions.ts';
import { FIRST_ROWS, NODE_TABLES } from './node-tables.ts';
import { TABLES } from './tables.ts';
import { TRIGGERS } from './triggers.ts';

const byBytes = (tables: string): string => tables.replaceAll(/\bTEXT\b(?! COLLATE)/g, 'TEXT COLLATE "C"');

/** The SQL at index n leads from schema n to n + 1. */
export const MIGRATIONS: readonly string[] = [
  `${FUNCTIONS}${byBytes(TABLES)}${byBytes(NODE_TABLES)}${TRIGGERS}${NODE_FUNCTIONS}${APPEND}${FREQUENT}${FIRST_ROWS}`,
];

/** Made first, whatever else is there. */
export const SCHEMA_TABLE = `CREATE TABLE IF NOT EXISTS queuegate_schema ("only" BIGINT PRIMARY KEY CHECK ("only" = 1),
  version BIGINT NOT NULL, readable_by BIGINT NOT NULL)`;
