// Makes docs/CLI.md from the declared commands.
import { usageOf } from '../../../shared/terminal/program.ts';
import { COMMANDS, TRUSTSTORE } from '../commands.ts';
import type { CommandOption } from '../command.ts';
import { GLOBAL_OPTIONS } from './global-options.ts';

const INTRODUCTION = `# Command line of the administrator

\`queuegate NOUN VERB [ARGUMENT...] [options]\`. Every level has \`--help\` and \`--version\`; for a
mistyped word, the error suggests the right one. \`queuegate completion bash|zsh|fish|powershell\` prints the script
that completes commands in a shell.

\`queuegate\` uses only [REST](REST.md). On the host of Central it uses the socket and the administrator token in the
data folder (\`data/central\`, or \`QUEUEGATE_DATA_FOLDER\`). From other hosts it needs \`--url\`, \`--ca-file\` and
\`--token-file\`, or a context, which contains all three (\`queuegate contexts set\`). Flags have precedence over the
environment, the environment over the current context, and the context over the data folder. The current context is
ignored if a flag or the environment names an address or a data folder. Contexts are in
\`$XDG_CONFIG_HOME/queuegate/config.json\` (\`QUEUEGATE_CONFIG\`).

Lists have 100 items unless \`--limit\` or \`--all\` is set; a line on the standard error says if there are more. In tables
the ids of agents are shortened to 8 digits, or to as many as are needed to distinguish them; every command accepts
these short ids. On a terminal, tables are cut to its width. With \`-o json\` the output is the answer of REST, and an
error is its problem document on the standard error.

\`--watch\` of a list, or of what shows one thing, shows it again as it changes, until Ctrl-C: a terminal shows the last
answer, and elsewhere each new line is printed. Central says when something changed
([\`waitSeconds\`](REST.md#waiting-for-a-change), [\`GET /watch\`](REST.md#watching-changes)): a rollout, a drain and a pending
change are shown as soon as they change, agents, parameters, and lists of rollouts, of their agents and of changes within a
second, and again every ten seconds, since bytes of downloads and positions in logs are not announced. The others are
read every two seconds. When Central is away for a while, the command waits for it. \`--wait\` of what has a final state, such as a change that must be
confirmed, returns when that is reached: with exit status 0, with 1 if the final state is a failure (rolled back,
rejected), with 8 if the time ran out; nothing is canceled then.

Commands that delete, revoke or restore something, and every act with \`--force\`, ask first. The question names what is
done, what follows, the Central and the context: \`Revoke the agent branch-7 on https://central.bank.test:8443 (context
"prod")? Its session ends, and it is refused until it gets a new key. [y/N]\`. Deleting an agent and restoring ask for
the name. \`--yes\` answers; it does not imply \`--force\`. Without a terminal \`--yes\` is required, else the exit status
is 2. A dry run does not ask.

This page is generated from the commands in the code (\`npm run docs\`).

## Exit status

| status | meaning |
| --- | --- |
| 0 | success; also for an empty list |
| 1 | any other failure: HTTP 5xx, or a result that means failure |
| 2 | invalid command line |
| 3 | Central is unreachable or not trusted, or the command must be retried later: HTTP 429, 503 |
| 4 | no token, a wrong token, or a role without the right: HTTP 401, 403 |
| 5 | not found: HTTP 404, 410 |
| 6 | refused: invalid, or it would cut agents off (a dry run that needs \`--force\`, or that a node cannot apply, too): HTTP 400, 413, 415, 422 |
| 7 | conflict: state, version, a pending change: HTTP 409, 412, 428 |
| 8 | timeout while waiting |
| 130 | Ctrl-C |

The truststore commands of both programs use the same numbers: 4 for a wrong or missing password, 5 if the file or the
entry does not exist, 6 if the store cannot be read or the change is refused, 7 if it exists already.

So does \`queue-agent\`: 3 if neither Central nor the daemon can be reached, or Central is not trusted, 4 if Central refuses
the token, the code or the enrollment, 6 for refused settings and files, 7 if the machine is enrolled already, or not yet,
or the data folder is in use, 8 if an enrollment was not decided in time. \`queue-agent status\` exits with 1 if the agent
is not online, \`queue-agent doctor\` with 1 if it found a fault. Its commands have \`-o\`, \`--json\`, \`--wide\`,
\`--no-color\` and \`--quiet\` as below, and \`status\`, \`consumers\` and \`doctor\` have \`--timeout\`.
`;

export function cliMarkdown(): string {
  const nouns = Map.groupBy(COMMANDS, ({ name }) => (name.includes(' ') ? (name.split(' ')[0] ?? '') : ''));
  return `${[
    INTRODUCTION,
    '## Options of every command',
    '',
    ...optionLines(GLOBAL_OPTIONS),
    ...[...nouns].flatMap(([noun, commands]) => [
      '',
      `## ${noun === '' ? 'Commands without a noun' : noun}`,
      ...commands.flatMap(({ name, usage, summary, help, options }) => [
        '',
        `### ${name}`,
        '',
        `\`queuegate ${`${name} ${usageOf({ usage, options })}`.trim()}\``,
        '',
        prose(`${sentence(summary)} ${help ?? ''}`.trim()),
        ...(Object.keys(options).length === 0 ? [] : ['', ...optionLines(options)]),
      ]),
    ]),
    '',
    `## ${TRUSTSTORE.name}`,
    '',
    prose(`${sentence(TRUSTSTORE.summary)} "queuegate truststore --help" lists its commands.`),
  ].join('\n')}\n`;
}

function optionLines(options: Readonly<Record<string, CommandOption>>): string[] {
  return [
    '| option | meaning |',
    '| --- | --- |',
    ...Object.entries(options).map(([name, { type, short, value = 'VALUE', isOptional, doc }]) => {
      const flags = `${short === undefined ? '' : `-${short}, `}--${name}${type === 'boolean' ? '' : isOptional === true ? `[=${value}]` : ` ${value}`}`;
      return `| \`${flags}\` | ${prose(doc).replaceAll('|', String.raw`\|`)} |`;
    }),
  ];
}

function sentence(text: string): string {
  return `${text.replace(/^./, (first) => first.toUpperCase())}.`;
}

function prose(text: string): string {
  return text
    .replaceAll('\n', ' ')
    .replaceAll('<', '&lt;')
    .replaceAll('*', String.raw`\*`);
}
