// The commands that need no Central: completion and version. The completion scripts follow from the declared commands.
import { VERSION } from '../../../shared/version.ts';
import { shown } from '../print.ts';
import type { Command, CommandOption } from '../command.ts';

/** What can follow the words of a level: words, or options of a command. */
interface Level {
  readonly path: string;
  readonly words: readonly string[];
}

interface CompletionModel {
  readonly levels: readonly Level[];
  /** Options that have a value, which is not a word of the path. */
  readonly withValue: readonly string[];
}

const SHELLS: Readonly<Record<string, (model: CompletionModel) => string>> = { bash, zsh, fish, powershell };

/** `commands` and `others`: everything that can be completed; called when a script is made. */
export function localCommands(
  commands: () => readonly Command[],
  others: Readonly<Record<string, readonly string[]>>,
  globalOptions: Readonly<Record<string, CommandOption>>,
): readonly Command[] {
  return [
    {
      name: 'completion',
      usage: Object.keys(SHELLS).join('|'),
      summary: 'the script that completes commands and options in a shell',
      help: 'bash: source <(queuegate completion bash). zsh: the same with zsh, in ~/.zshrc. fish: queuegate completion fish | source. PowerShell: queuegate completion powershell | Out-String | Invoke-Expression.',
      options: {},
      words: { least: 1, most: 1 },
      async run(call) {
        const [shell = ''] = call.words;
        const script = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
        if (script === undefined)
          throw call.complain(`The shell is "${shell}"; allowed are ${Object.keys(SHELLS).join(', ')}`);
        call.line(script(modelOf(commands(), others, globalOptions)).trimEnd());
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

function bash({ levels, withValue }: CompletionModel): string {
  return `_queuegate() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      ${withValue.join('|')}) i=$((i + 1)) ;;
      -*) ;;
      *) path="$path\${path:+ }\${COMP_WORDS[i]}" ;;
    esac
  done
  case "\${COMP_WORDS[COMP_CWORD - 1]}" in
    ${withValue.join('|')}) COMPREPLY=(); return ;;
  esac
  # Behind a command its arguments may follow: the longest command that fits counts.
  while :; do
    case "$path" in
${levels.map(({ path, words }) => `      "${path}") words="${words.join(' ')}" ;;`).join('\n')}
      *" "*) path="\${path% *}"; continue ;;
      *) return ;;
    esac
    break
  done
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _queuegate queuegate
`;
}

function zsh(model: CompletionModel): string {
  return `autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
${bash(model)}`;
}

function fish({ levels, withValue }: CompletionModel): string {
  return `function __queuegate_path
  set -l path
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
    else if contains -- $word ${withValue.join(' ')}
      set skip 1
    else if not string match -q -- '-*' $word
      set -a path $word
    end
  end
  echo "$path"
end
function __queuegate_at
  set -l path (__queuegate_path)
  test "$path" = "$argv[1]"
end
function __queuegate_in
  set -l path (__queuegate_path)
  string match -q -- "$argv[1] *" "$path "
end
${levels
  .map(({ path, words }) =>
    words.some((word) => word.startsWith('-'))
      ? `complete -c queuegate -n '__queuegate_in "${path}"' -a '${words.join(' ')}'`
      : `complete -c queuegate -f -n '__queuegate_at "${path}"' -a '${words.join(' ')}'`,
  )
  .join('\n')}
`;
}

function powershell({ levels, withValue }: CompletionModel): string {
  const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(', ');
  return `Register-ArgumentCompleter -Native -CommandName queuegate -ScriptBlock {
  param($word, $ast, $position)
  $levels = @{
${levels.map(({ path, words }) => `    '${path}' = @(${quoted(words)})`).join('\n')}
  }
  $withValue = @(${quoted(withValue)})
  $path = @()
  $skip = $false
  foreach ($element in ($ast.CommandElements | Select-Object -Skip 1)) {
    $text = $element.ToString()
    if ($element.Extent.EndOffset -ge $position -and $text -eq $word) { break }
    if ($skip) { $skip = $false } elseif ($withValue -contains $text) { $skip = $true }
    elseif (-not $text.StartsWith('-')) { $path += $text }
  }
  while ($path.Count -gt 0 -and -not $levels.ContainsKey($path -join ' ')) { $path = @($path | Select-Object -SkipLast 1) }
  $levels[$path -join ' '] | Where-Object { $_ -like "$word*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`;
}
