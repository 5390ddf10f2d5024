// Owns the list of everything that the writing thread can be asked, composed over one connection.
import type { DatabaseSync } from 'node:sqlite';
import { InboxLog } from '../../../shared/sqlite/inbox-log.ts';
import { OutboxLog } from '../../../shared/sqlite/outbox-log.ts';
import { agentWrites } from './agents.ts';
import { auditWrites } from './audit.ts';
import { certificateWrites } from './certificates.ts';
import { enrolmentWrites } from './enrolments.ts';
import { incidentWrites } from './incidents.ts';
import { messageWrites } from './messages.ts';
import { keyMaterialWrites, parameterWrites } from './parameters.ts';
import { retentionWrites } from './retention.ts';
import { tokenWrites } from './tokens.ts';

export interface WritesOptions {
  readonly deduplicationMs: number;
  readonly now: () => number;
  /** Central's own name and host names: no agent takes them. */
  readonly namesOfCentral: readonly string[];
  /** A long read begins (true) or ends: the write-ahead log cannot be cut back meanwhile, and nobody may wait for that. */
  readonly holdLog: (held: boolean) => void;
}

export type Writes = ReturnType<typeof createWrites>;

export function createWrites(database: DatabaseSync, options: WritesOptions) {
  const outbox = new OutboxLog(database, options.deduplicationMs);
  const inbox = new InboxLog(database, options.deduplicationMs);
  const audit = auditWrites(database);
  const namesOfCentral = new Set(options.namesOfCentral.map((name) => name.toLowerCase()));
  const tokens = tokenWrites(database, options.now, namesOfCentral);
  const incidents = incidentWrites(database);
  const certificates = certificateWrites(database);
  const agents = agentWrites(database, { outbox, inbox, tokens, certificates, namesOfCentral, now: options.now });
  return {
    ...agents,
    ...enrolmentWrites(database, agents),
    ...messageWrites(database, { outbox, inbox, incidents }),
    ...incidents,
    ...certificates,
    ...parameterWrites(database, audit),
    ...keyMaterialWrites(database, audit),
    ...tokens,
    ...audit,
    ...retentionWrites(database),
    holdLog: options.holdLog,
  };
}
