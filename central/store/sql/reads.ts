// The methods of the reading thread. It sees each commit that has been answered.
import type { SqlDatabase } from '../../../shared/sqlite/sql.ts';
import { agentHistoryReads } from './rows/agents/agent-history.ts';
import { agentNameReads } from './rows/agents/agent-names.ts';
import { agentCounts } from './rows/agents/agent-counts.ts';
import { agentReads } from './rows/agents/agent-reads.ts';
import { auditReads } from './rows/audit.ts';
import { backlogReads, commandListReads, commandReads } from './rows/commands.ts';
import { certificateReads } from './rows/certificates.ts';
import { enrollmentReads } from './rows/enrollments.ts';
import { deadLetterReads } from './rows/dead-letters.ts';
import { incidentReads } from './rows/incidents.ts';
import { incarnationReads } from './events/incarnations.ts';
import { storedEventReads } from './events/event-reads.ts';
import { maintenanceReads } from './rows/maintenance.ts';
import { messageReads } from './rows/messages.ts';
import { keyMaterialReads, parameterReads } from './rows/parameters.ts';
import { clockReads, figureReads } from './retention.ts';
import { rolloutReads } from './rollouts/rollouts.ts';
import { blobReads } from './releases/blobs.ts';
import { profileReads } from './releases/profiles.ts';
import { releaseReads } from './releases/releases.ts';
import { signInReads } from './sign-ins/sign-ins.ts';
import { exposureReads } from './services/exposures.ts';
import { subscriptionReads } from './subscriptions/subscriptions.ts';
import { taskReads } from './tasks/tasks.ts';
import { tokenReads } from './rows/tokens.ts';

export type Reads = ReturnType<typeof createReads>;

export function createReads(database: SqlDatabase, namesOfCentral: readonly string[]) {
  return {
    ...agentReads(database),
    ...agentCounts(database),
    ...agentHistoryReads(database),
    ...agentNameReads(database, namesOfCentral),
    ...messageReads(database),
    ...commandReads(database),
    ...commandListReads(database),
    ...backlogReads(database),
    ...storedEventReads(database),
    ...incarnationReads(database),
    ...deadLetterReads(database),
    ...incidentReads(database),
    ...certificateReads(database),
    ...enrollmentReads(database),
    ...parameterReads(database),
    ...keyMaterialReads(database),
    ...tokenReads(database),
    ...signInReads(database),
    ...rolloutReads(database),
    ...blobReads(database),
    ...profileReads(database),
    ...releaseReads(database),
    ...subscriptionReads(database),
    ...exposureReads(database),
    ...taskReads(database),
    ...auditReads(database),
    ...clockReads(database),
    ...maintenanceReads(database),
    ...figureReads(database),
  };
}
