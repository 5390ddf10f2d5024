// The list of every command of `queuegate`, in the order of its help.
import { agentActionCommands } from './commands/agents/actions.ts';
import { agentCommands } from './commands/agents/agents.ts';
import { sentCommands } from './commands/agents/commands.ts';
import { drainCommands } from './commands/agents/drains.ts';
import { auditCommands } from './commands/audit/audit.ts';
import { caCommands } from './commands/ca.ts';
import { changeCommands } from './commands/changes.ts';
import { enrollmentCommands } from './commands/enrollments.ts';
import { eventCommands } from './commands/events/events.ts';
import { failureCommands } from './commands/failures.ts';
import { maintenanceCommands } from './commands/maintenance.ts';
import { nodeCommands } from './commands/nodes.ts';
import { parameterCommands } from './commands/parameters.ts';
import { agentProfileCommands } from './commands/releases/agent-profile.ts';
import { rolloutCommands } from './commands/releases/rollouts.ts';
import { softwareCommands } from './commands/releases/software.ts';
import { profileContentCommands } from './commands/profiles/contents.ts';
import { profileCommands } from './commands/profiles/profiles.ts';
import { rotationCommands } from './commands/rotation.ts';
import { serverCertificateCommands } from './commands/server-certificate.ts';
import { statusCommands } from './commands/status.ts';
import { storeCommands } from './commands/store.ts';
import { serviceCommands } from './commands/services/services.ts';
import { subscriptionCommands } from './commands/events/subscriptions.ts';
import { taskCommands } from './commands/tasks/tasks.ts';
import { tokenCommands } from './commands/tokens.ts';
import type { Command } from './command.ts';
import { contextCommands } from './connection/context-commands.ts';
import { loginCommands } from './connection/login-commands.ts';
import { localCommands } from './line/completion.ts';
import { GLOBAL_OPTIONS } from './line/global-options.ts';

/** Works on files of this machine and needs no Central: it reads its own line (shared/truststore/command.ts). */
export const TRUSTSTORE = {
  name: 'truststore',
  verbs: ['list', 'import', 'delete', 'convert', 'create', 'change-password'],
  summary: 'truststores on this machine, such as those of profiles, without keytool',
} as const;

export const COMMANDS: readonly Command[] = [
  ...statusCommands,
  ...loginCommands,
  ...nodeCommands,
  ...maintenanceCommands,
  ...parameterCommands,
  ...changeCommands,
  ...agentCommands,
  ...sentCommands,
  ...agentActionCommands,
  ...drainCommands,
  ...agentProfileCommands,
  ...rolloutCommands,
  ...taskCommands,
  ...enrollmentCommands,
  ...failureCommands,
  ...eventCommands,
  ...subscriptionCommands,
  ...serviceCommands,
  ...tokenCommands,
  ...auditCommands,
  ...caCommands,
  ...rotationCommands,
  ...serverCertificateCommands,
  ...profileCommands,
  ...profileContentCommands,
  ...softwareCommands,
  ...storeCommands,
  ...contextCommands,
  ...localCommands(() => COMMANDS, { [TRUSTSTORE.name]: TRUSTSTORE.verbs }, GLOBAL_OPTIONS),
];

/** The words of every command, as "agents list". */
export const COMMAND_NAMES: readonly string[] = [...COMMANDS, TRUSTSTORE].map(({ name }) => name);
