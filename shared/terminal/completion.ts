// The scripts that complete the words of a program in a shell, made from its commands.

/** What can follow the words of a level: words, or options of a command. */
interface Level {
  readonly path: string;
  readonly words: readonly string[];
}

export interface CompletionModel {
  readonly levels: readonly Level[];
  /** Options that have a value, which is not a word of the path. */
  readonly withValue: readonly string[];
}

const SCRIPTS: Readonly<Record<string, (program: string, model: CompletionModel) => string>> = {
  bash,
  zsh,
  fish,
  powershell,
};
export const SHELLS: readonly string[] = Object.keys(SCRIPTS);

/** Undefined: there is none for this shell. */
export function completionScript(shell: string, program: string, model: CompletionModel): string | undefined {
  return Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell]?.(program, model).trimEnd() : undefined;
}

/** Of a function in a shell. */
function nameOf(program: string): string {
  return `_${program.replaceAll('-', '_')}`;
}

function bash(program: string, { levels, withValue }: CompletionModel): string {
  const name = nameOf(program);
  return `${name}() {
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
complete -o default -F ${name} ${program}
`;
}

function zsh(program: string, model: CompletionModel): string {
  return `autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
${bash(program, model)}`;
}

function fish(program: string, { levels, withValue }: CompletionModel): string {
  const name = `_${nameOf(program)}`;
  return `function ${name}_path
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
function ${name}_at
  set -l path (${name}_path)
  test "$path" = "$argv[1]"
end
function ${name}_in
  set -l path (${name}_path)
  string match -q -- "$argv[1] *" "$path "
end
${levels
  .map(({ path, words }) =>
    words.some((word) => word.startsWith('-'))
      ? `complete -c ${program} -n '${name}_in "${path}"' -a '${words.join(' ')}'`
      : `complete -c ${program} -f -n '${name}_at "${path}"' -a '${words.join(' ')}'`,
  )
  .join('\n')}
`;
}

function powershell(program: string, { levels, withValue }: CompletionModel): string {
  const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(', ');
  return `Register-ArgumentCompleter -Native -CommandName ${program} -ScriptBlock {
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
