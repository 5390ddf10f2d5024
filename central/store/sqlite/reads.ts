// Owns the list of everything that the reading thread can be asked. It sees each commit that has been answered.
import type { DatabaseSync } from 'node:sqlite';
import { agentNameReads } from './agent-names.ts';
import { agentReads } from './agents.ts';
import { auditReads } from './audit.ts';
import { certificateReads } from './certificates.ts';
import { enrolmentReads } from './enrolments.ts';
import { deadLetterReads } from './dead-letters.ts';
import { incidentReads } from './incidents.ts';
import { messageReads } from './messages.ts';
import { keyMaterialReads, parameterReads } from './parameters.ts';
import { figureReads } from './retention.ts';
import { tokenReads } from './tokens.ts';

export type Reads = ReturnType<typeof createReads>;

export function createReads(database: DatabaseSync, namesOfCentral: readonly string[]) {
  return {
    ...agentReads(database),
    ...agentNameReads(database, namesOfCentral),
    ...messageReads(database),
    ...deadLetterReads(database),
    ...incidentReads(database),
    ...certificateReads(database),
    ...enrolmentReads(database),
    ...parameterReads(database),
    ...keyMaterialReads(database),
    ...tokenReads(database),
    ...auditReads(database),
    ...figureReads(database),
  };
}
