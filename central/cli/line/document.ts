// Makes docs/CLI.md from the declared commands.
import { COMMANDS, TRUSTSTORE } from '../commands.ts';
import type { CommandOption } from '../command.ts';
import { GLOBAL_OPTIONS } from './global-options.ts';

const INTRODUCTION = `# Command line of the administrator

\`queuegate NOUN VERB [ARGUMENT...] [options]\`. Every level has \`--help\` and \`--version\`; a mistyped word is answered with the one that is
probably meant. \`queuegate completion bash|zsh|fish|powershell\` prints the script that completes commands in a shell.

\`queuegate\` speaks only [REST](REST.md). On the host of Central it uses the socket and the administrator's token in the data folder
(\`data/central\`, or \`QUEUEGATE_DATA_FOLDER\`); from elsewhere it needs \`--url\`, \`--ca-file\` and \`--token-file\`, or a context, which has all three (\`queuegate contexts set\`). What a
flag names counts first, then the environment, then the current context, then the data folder; an address or a data folder that is
named otherwise leaves the context out. Contexts are in \`$XDG_CONFIG_HOME/queuegate/config.json\` (\`QUEUEGATE_CONFIG\`).

Lists have 100 items unless \`--limit\` or \`--all\` says otherwise; a line on the standard error says when there is more. In tables the ids
of agents are shortened to 8 digits, or as many as tell them apart; every command takes them so. On a terminal tables are cut to its
width. With \`-o json\` an answer is that of REST, and an error is its problem document on the standard error.

This page is made from the commands in the code (\`npm run docs\`).

## Exit status

| status | meaning |
| --- | --- |
| 0 | done; an empty list, too |
| 1 | another failure: HTTP 5xx, or the awaited state is a failure |
| 2 | the line was wrong |
| 3 | Central is unreachable, not trusted, or to be tried again later: HTTP 429, 503 |
| 4 | no token, a wrong token, or a role that is too low: HTTP 401, 403 |
| 5 | not found: HTTP 404, 410 |
| 6 | refused: invalid, or it would cut agents off (a dry run that needs \`--force\`, too): HTTP 400, 413, 415, 422 |
| 7 | conflict: state, version, a pending change: HTTP 409, 412, 428 |
| 8 | the time to wait ran out |
| 130 | Ctrl-C |
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
        `\`queuegate ${`${name} ${usage}`.trim()}\``,
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
    ...Object.entries(options).map(([name, { type, short, value, doc }]) => {
      const flags = `${short === undefined ? '' : `-${short}, `}--${name}${type === 'string' ? ` ${value ?? 'VALUE'}` : ''}`;
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
