// The commands that need no Central: completion and version. The words to complete follow from the declared commands.
import { VERSION } from '../../../shared/version.ts';
import { completionScript, SHELLS, type CompletionModel } from '../../../shared/terminal/completion.ts';
import { shown } from '../print.ts';
import type { Command, CommandOption } from '../command.ts';

/** `commands` and `others`: everything that can be completed; called when a script is made. */
export function localCommands(
  commands: () => readonly Command[],
  others: Readonly<Record<string, readonly string[]>>,
  globalOptions: Readonly<Record<string, CommandOption>>,
): readonly Command[] {
  return [
    {
      name: 'completion',
      usage: SHELLS.join('|'),
      summary: 'the script that completes commands and options in a shell',
      help: 'bash: source <(queuegate completion bash). zsh: the same with zsh, in ~/.zshrc. fish: queuegate completion fish | source. PowerShell: queuegate completion powershell | Out-String | Invoke-Expression.',
      options: {},
      words: { least: 1, most: 1 },
      async run(call) {
        const [shell = ''] = call.words;
        const script = completionScript(shell, 'queuegate', modelOf(commands(), others, globalOptions));
        if (script === undefined) throw call.complain(`The shell is "${shell}"; allowed are ${SHELLS.join(', ')}`);
        call.line(script);
      },
    },
    {
      name: 'version',
      usage: '',
      summary: 'the version of this program',
      options: {},
      words: { least: 0, most: 0 },
      async run(call) {
        call.answer({ name: 'queuegate', version: VERSION }, () => `queuegate ${shown(VERSION)}`);
      },
    },
  ];
}

function modelOf(
  commands: readonly Command[],
  others: Readonly<Record<string, readonly string[]>>,
  globalOptions: Readonly<Record<string, CommandOption>>,
): CompletionModel {
  const below = new Map<string, Set<string>>([['', new Set(['help', ...Object.keys(others)])]]);
  for (const [noun, verbs] of Object.entries(others)) below.set(noun, new Set(verbs));
  for (const { name } of commands)
    for (const [i, word] of name.split(' ').entries()) {
      const path = name.split(' ').slice(0, i).join(' ');
      below.set(path, (below.get(path) ?? new Set()).add(word));
    }
  const flags = Object.keys(globalOptions).map((name) => `--${name}`);
  const options = [globalOptions, ...commands.map((command) => command.options)].flatMap((all) => Object.entries(all));
  return {
    levels: [
      ...[...below].map(([path, words]) => ({ path, words: [...words] })),
      ...commands.map(({ name, options: own, usage }) => ({
        path: name,
        words: [
          ...(name === 'completion' ? usage.split('|') : []),
          ...Object.keys(own).map((option) => `--${option}`),
          ...flags,
          '--help',
        ],
      })),
    ],
    withValue: [
      ...new Set(
        options.flatMap(([name, { type, short, isOptional }]) =>
          type === 'string' && isOptional !== true ? [`--${name}`, ...(short === undefined ? [] : [`-${short}`])] : [],
        ),
      ),
    ],
  };
}
