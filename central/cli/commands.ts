// The list of every command of `queuegate`, in the order of its help.
import { agentCommands } from './commands/agents.ts';
import { caCommands } from './commands/ca.ts';
import { changeCommands } from './commands/changes.ts';
import { enrollmentCommands } from './commands/enrollments.ts';
import { eventCommands } from './commands/events.ts';
import { failureCommands } from './commands/failures.ts';
import { parameterCommands } from './commands/parameters.ts';
import { rotationCommands } from './commands/rotation.ts';
import { serverCertificateCommands } from './commands/server-certificate.ts';
import { statusCommands } from './commands/status.ts';
import { storeCommands } from './commands/store.ts';
import { tokenCommands } from './commands/tokens.ts';
import type { Command } from './command.ts';

export const COMMANDS: readonly Command[] = [
  ...statusCommands,
  ...parameterCommands,
  ...changeCommands,
  ...agentCommands,
  ...enrollmentCommands,
  ...failureCommands,
  ...eventCommands,
  ...tokenCommands,
  ...caCommands,
  ...rotationCommands,
  ...serverCertificateCommands,
  ...storeCommands,
];

/** Works on files of this machine and needs no Central: it reads its own line (shared/truststore/command.ts). */
export const TRUSTSTORE = {
  name: 'truststore',
  summary: 'truststores on this machine, such as those of profiles, without keytool',
} as const;

/** The words of every command, as "agents list". */
export const COMMAND_NAMES: readonly string[] = [...COMMANDS, TRUSTSTORE].map(({ name }) => name);
