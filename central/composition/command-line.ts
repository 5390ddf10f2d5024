// The commands of queuegate-central, its help, and which one a command line names. Flags are read by central/config.ts.
import { folded } from '../../shared/terminal/fold.ts';
import { VERSION } from '../../shared/version.ts';

export const CENTRAL_COMMANDS = {
  start: 'Runs Central. The default: "queuegate-central" alone does the same.',
  'create-administrator-token':
    'Creates an API token with the role administrator, for example if the last one is lost. Run it as the account of Central, while Central is stopped.',
  'migrate-store':
    'Moves the store of the data folder into the empty PostgreSQL database of store.url, and checks it there. Run it as the account of Central, while Central is stopped.',
  version: 'Prints the version.',
  help: 'Prints this text.',
} as const;
type CentralCommand = keyof typeof CENTRAL_COMMANDS;

const FLAGS: ReadonlyMap<string, CentralCommand> = new Map([
  ['--version', 'version'],
  ['--help', 'help'],
  ['-h', 'help'],
]);

/** The command, and the arguments behind it. Without a command: start. */
export function readCommand(argv: readonly string[]): {
  readonly command: CentralCommand;
  readonly argv: readonly string[];
} {
  const [first = '', ...rest] = argv;
  const asked = argv.map((word) => FLAGS.get(word)).find((command) => command !== undefined);
  if (asked !== undefined) return { command: asked, argv: [] };
  if (isCommand(first)) return { command: first, argv: rest };
  return { command: 'start', argv };
}

function isCommand(word: string): word is CentralCommand {
  return Object.hasOwn(CENTRAL_COMMANDS, word);
}

export function centralHelp(): string {
  return [
    `queuegate-central ${VERSION}`,
    '',
    ...Object.entries(CENTRAL_COMMANDS).flatMap(([name, text]) => [
      `  queuegate-central ${name}${name === 'version' || name === 'help' ? '' : ' [settings]'}`,
      ...folded(text, '      '),
    ]),
    '',
    ...folded(
      'Settings are flags such as --data-folder FOLDER, --advertised-names NAME, --central-agent, --log-level debug, or are in central.conf (--config FILE); docs/CONFIGURATION.md lists all of them. "queuegate" administers a running Central.',
    ),
    '',
  ].join('\n');
}
