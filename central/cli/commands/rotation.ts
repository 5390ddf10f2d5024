// The commands on the rotation of the authority: its progress, its steps, and the rollback of a step.
import type { Command, CommandCall } from '../command.ts';
import { KEYSTORE_PASSWORD, uploadOf } from '../files.ts';
import { facts, fingerprint, recordOf, rowsOf, shown } from '../print.ts';
import {
  CONFIRM,
  confirmForce,
  cutOffText,
  DRY_RUN,
  FORCE,
  noticeText,
  pendingText,
  REASON,
  termsOf,
  YES,
} from '../terms.ts';
import { WATCH } from '../watching/watch.ts';

const STEP = { ...DRY_RUN, ...FORCE, ...YES, ...REASON } as const;
/** The text names no more of them. */
const NAMED_AGENTS = 100;
const NONE = { least: 0, most: 0 } as const;

export const rotationCommands: readonly Command[] = [
  {
    name: 'ca rotation show',
    usage: '',
    summary: 'the progress of the rotation, the agents it waits for and why, and the next step',
    options: WATCH,
    words: NONE,
    async run(call) {
      const [rotation, authority, agents] = await Promise.all([
        call.client.request('GET', '/ca/rotation'),
        call.client.request('GET', '/ca'),
        call.client.request('GET', '/ca/rotation/agents', { query: { limit: NAMED_AGENTS } }),
      ]);
      const answer = recordOf(rotation);
      const [trust, certificates] = [recordOf(answer['trust']), recordOf(answer['certificates'])];
      call.answer(answer, () =>
        [
          facts([
            ['phase', `${shown(answer['phase'])}, since ${shown(answer['phaseChangedAt'])}`],
            ['next', answer['next']],
            [
              'trust its root',
              `${shown(trust['acknowledgedCount'])} of ${shown(trust['registeredCount'])} agents; ${shown(trust['missingCount'])} missing, ${shown(trust['unencryptedCount'])} without encryption`,
            ],
            [
              'certificates',
              `${shown(certificates['renewedCount'])} agents have one of the authority that signs, ${shown(certificates['missingCount'])} one of an earlier authority`,
            ],
          ]),
          call.table(
            ['role', 'since', 'subject', 'sha-256'],
            rowsOf(authority, 'generations').map((row) => [
              row['role'],
              row['roleChangedAt'],
              row['subject'],
              fingerprint(row['thumbprint']),
            ]),
            'None.',
          ),
          ...agentsText(agents),
          ...rowsOf(answer, 'profiles').map(
            (row) =>
              `The truststore of the profile ${shown(row['profile'])} could not be updated (${shown(row['code'])}): ${shown(row['text'])}`,
          ),
        ].join('\n\n'),
      );
    },
  },
  {
    name: 'ca rotation prepare',
    usage: '[--import FILE [--key-file FILE] [--alias NAME] [--password-file FILE]] [--dry-run]',
    summary: 'create or import the next authority; agents do not trust it yet',
    help: 'The steps are prepare, publish, switch and retire; "queuegate ca rotation rollback" undoes the latest one. Nothing depends on the new\nauthority before the switch, and agents that trust only the previous one stay connected until it is retired.',
    options: {
      import: {
        type: 'string',
        doc: 'PKCS#12, JKS or PEM with the key of a root, or of an intermediate with its chain; a new root is created unless set',
      },
      'key-file': { type: 'string', doc: 'PEM file with the key, when FILE has the certificates only' },
      alias: { type: 'string', doc: 'the entry to use, when FILE has several keys' },
      'password-file': { type: 'string', doc: `file with the password (or ${KEYSTORE_PASSWORD})` },
      ...DRY_RUN,
      ...REASON,
    },
    words: NONE,
    async run(call) {
      const file = call.text('import');
      if (
        file === undefined &&
        (call.text('key-file') ?? call.text('alias') ?? call.text('password-file')) !== undefined
      )
        throw call.complain('--key-file, --alias and --password-file have no effect without --import');
      await step(call, 'prepare', file === undefined ? undefined : await uploadOf(call, file, 'The authority'));
    },
  },
  {
    name: 'ca rotation publish',
    usage: '[options]',
    summary: 'send the root of the prepared authority to the agents',
    options: { ...DRY_RUN, ...REASON },
    words: NONE,
    run: (call) => step(call, 'publish'),
  },
  {
    name: 'ca rotation switch',
    usage: '[options]',
    summary: 'sign with the prepared authority',
    help: 'With --confirm-within Central activates a certificate of the new authority first, and rolls back automatically unless agents reconnect\nover it and "queuegate changes confirm" follows in time, over HTTPS.',
    options: { ...STEP, ...CONFIRM },
    asks: 'forced',
    words: NONE,
    run: (call) => step(call, 'switch'),
  },
  {
    name: 'ca rotation retire',
    usage: '[options]',
    summary: 'end the trust in the previous authority',
    options: STEP,
    asks: 'forced',
    words: NONE,
    run: (call) => step(call, 'retire'),
  },
  {
    name: 'ca rotation rollback',
    usage: '[options]',
    summary: 'roll back the latest step',
    options: STEP,
    asks: 'forced',
    words: NONE,
    run: (call) => step(call, 'rollback'),
  },
];

async function step(call: CommandCall, name: string, body?: Readonly<Record<string, unknown>>): Promise<void> {
  await confirmForce(call, `Force the step "${name}" of the rotation of the authority`);
  const answer = recordOf(await call.client.request('POST', `/ca/rotation/${name}`, { query: termsOf(call), body }));
  const isDry = answer['dryRun'] === true;
  call.answer(answer, () =>
    [
      `${isDry ? 'Nothing was changed; the' : 'The'} rotation is ${shown(recordOf(answer['result'])['phase'])}.`,
      ...cutOffText(
        answer,
        isDry
          ? 'Would be cut off, or are not ready, as far as is known:'
          : 'Cut off, or not ready, as far as is known:',
      ),
      ...noticeText(answer),
      ...pendingText(answer['change']),
    ].join('\n'),
  );
}

function agentsText(answer: unknown): string[] {
  const rows = rowsOf(answer, 'items');
  const more = recordOf(answer)['next'] === null ? [] : ['  and more: "queuegate ca rotation show --json" counts them'];
  const section = (title: string, of: typeof rows): string[] =>
    of.length === 0
      ? []
      : [[title, ...of.map((row) => `  ${shown(recordOf(row['agent'])['name'])}: ${shown(row['detail'])}`)].join('\n')];
  const isOld = (row: (typeof rows)[number]): boolean => row['reason'] === 'certificate-missing';
  return [
    ...section(
      'Do not trust it yet:',
      rows.filter((row) => !isOld(row)),
    ),
    ...section('Have a certificate of an earlier authority:', rows.filter(isOld)),
    ...more,
  ];
}
