// The words that a shell completes for queue-agent, from its commands and settings.
import { flagOptions } from '../../shared/settings/settings.ts';
import { completionScript, SHELLS } from '../../shared/terminal/completion.ts';
import { AGENT_SCHEMA } from '../../shared/settings/agent-settings.ts';
import { optionsOf, UsageError, type AgentCommand } from './command.ts';

/** Of `queue-agent truststore`, which reads its own line. */
const TRUSTSTORE_VERBS = ['list', 'import', 'delete', 'convert', 'create', 'change-password'];

/** The script of a shell. Errors: UsageError. */
export function completionOf(shell: string, commands: readonly AgentCommand[]): string {
  const settings = { ...flagOptions(AGENT_SCHEMA), profile: { type: 'string' } } as const;
  const flags = (options: object): string[] => Object.keys(options).map((name) => `--${name}`);
  const below = new Map<string, Set<string>>([['', new Set()]]);
  const add = (path: string, word: string): void => {
    below.set(path, (below.get(path) ?? new Set()).add(word));
  };
  for (const { name } of commands)
    for (const [i, word] of name.split(' ').entries()) add(name.split(' ').slice(0, i).join(' '), word);
  for (const verb of TRUSTSTORE_VERBS) add('truststore', verb);
  const leaves = commands
    .filter(({ name }) => !below.has(name))
    .map((command) => ({
      path: command.name,
      words: [
        ...(command.name === 'completion' ? SHELLS : []),
        ...flags({ ...optionsOf(command), ...(command.withoutSettings === true ? {} : settings) }),
        '--help',
      ],
    }));
  const withValue = [settings, ...commands.map(optionsOf)].flatMap((options) =>
    Object.entries<{ readonly type: string }>(options).flatMap(([name, { type }]) =>
      type === 'string' ? [`--${name}`] : [],
    ),
  );
  const script = completionScript(shell, 'queue-agent', {
    levels: [...[...below].map(([path, words]) => ({ path, words: [...words] })), ...leaves],
    withValue: [...new Set(withValue)],
  });
  if (script === undefined)
    throw new UsageError(`completion needs the name of a shell, not "${shell}"; allowed: ${SHELLS.join(', ')}`);
  return script;
}
