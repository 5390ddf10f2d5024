// The command line of `queuegate`: which commands it has, and what its nouns are about. shared/terminal/program.ts
// reads it.
import { readProgram, usageFault, type ProgramLine } from '../../../shared/terminal/program.ts';
import { COMMANDS, TRUSTSTORE } from '../commands.ts';
import type { Command } from '../command.ts';
import { GLOBAL_OPTIONS } from './global-options.ts';

const PROGRAM = 'queuegate';
const ABOUT: Readonly<Record<string, string>> = {
  agents: 'agents with their state, and what an administrator does with them',
  'agents profile': 'the release of an agent, and its repair',
  'agents recovery-code': 'codes with which an agent that is cut off enrolls again',
  'api-tokens': 'API tokens for people and programs',
  ca: 'the authority of Central',
  'ca rotation': 'the rotation of the authority, step by step',
  certificates: 'every certificate that Central knows',
  changes: 'changes that await their confirmation',
  commands: 'commands to agents',
  contexts: 'the Centrals that this account works with',
  'dead-letters': 'messages that expired or were rejected',
  drains: 'sessions of selected agents that end, spread over a time',
  'enrollment-requests': 'machines that requested enrollment without a token',
  'enrollment-tokens': 'tokens that enroll machines',
  events: 'events that agents sent',
  'handshake-failures': 'connections and enrollments that failed',
  incidents: 'what went wrong with agents',
  maintenance: 'what an administrator decides while Central runs',
  parameters: 'the parameters of Central',
  profiles: 'profiles of agents, and their releases',
  software: "releases of the agents' software",
  rollouts: 'releases on their way to agents',
  'server-certificate': "Central's own certificate",
  'server-certificate request': 'requests (CSR) for another authority',
  services: 'services of agents on ports of Central',
  store: 'the store of Central, its backup and its restore',
  tasks: 'programs that agents run on request',
  subscriptions: 'receivers to which Central pushes events',
};

export type Line = ProgramLine<Command>;

/** Reads a line. Errors: usage, command_unknown. */
export function readLine(argv: readonly string[], shown: Parameters<typeof readProgram>[2]): Line {
  const program = {
    name: PROGRAM,
    description: 'The administration of Central.',
    commands: COMMANDS,
    options: GLOBAL_OPTIONS,
    about: ABOUT,
    others: [TRUSTSTORE],
    footer: '"queuegate help COMMAND" explains one.',
  };
  return readProgram(argv, program, shown);
}

export function usage(command: Command, found: string): Error {
  return usageFault(PROGRAM, command, found);
}
