// The commands on the rotation of the authority: its steps, the way back, and where it stands.
import type { Command, CommandCall } from '../command.ts';
import { fileForRequest } from '../files.ts';
import { facts, fingerprint, recordOf, rowsOf, shown, table } from '../print.ts';

const PASSWORD = 'QUEUEGATE_CA_PASSWORD';
const WHY = {
  comment: { type: 'string', doc: 'why, for the audit log' },
  ticket: { type: 'string', doc: 'number of the ticket, for the audit log' },
} as const;
const DRY_RUN = { 'dry-run': { type: 'boolean', doc: 'only say what would happen, and to whom' } } as const;
const STEP = { ...DRY_RUN, force: { type: 'boolean', doc: 'also when agents are left behind' }, ...WHY } as const;
const NONE = { least: 0, most: 0 } as const;

export const rotationCommands: readonly Command[] = [
  {
    name: 'ca status',
    usage: '',
    summary: 'where the rotation of the authority stands, who is missing and why, and what comes next',
    options: {},
    words: NONE,
    async run(call) {
      const answer = recordOf(await call.client.request('GET', '/ca/rotation'));
      const [trust, certificates] = [recordOf(answer['trust']), recordOf(answer['certificates'])];
      call.answer(answer, () =>
        [
          facts([
            ['phase', `${shown(answer['phase'])}, since ${shown(answer['since'])}`],
            ['next', answer['next']],
            [
              'trust its root',
              `${shown(trust['acknowledged'])} of ${shown(trust['registered'])} agents; ${shown(trust['missing'])} missing, ${shown(trust['plain'])} without encryption`,
            ],
            [
              'certificates',
              `${shown(certificates['renewed'])} agents have one of the authority that signs, ${shown(certificates['missing'])} one of an authority before`,
            ],
          ]),
          table(
            ['role', 'since', 'subject', 'sha-256'],
            rowsOf(answer, 'generations').map((row) => [
              row['role'],
              row['since'],
              row['subject'],
              fingerprint(row['thumbprint']),
            ]),
            'None.',
          ),
          ...agentsText('Do not trust it yet:', trust),
          ...agentsText('Have a certificate of an authority before:', certificates),
          ...rowsOf(answer, 'profiles').map(
            (row) =>
              `The truststore of the profile ${shown(row['profile'])} does not follow (${shown(row['code'])}): ${shown(row['text'])}`,
          ),
        ].join('\n\n'),
      );
    },
  },
  {
    name: 'ca rotate prepare',
    usage: '[--import FILE [--key FILE] [--alias NAME] [--password-file FILE]] [--dry-run]',
    summary: 'make the next authority, or bring one; nobody trusts it yet',
    help: 'The way: prepare, publish, switch, retire; "ca rotate back" leads one step back from each. Nothing depends on the new authority\nbefore the switch, and nobody who trusts only the one before is cut off before it is retired.',
    options: {
      import: {
        type: 'string',
        doc: 'PKCS#12, JKS or PEM with the key of a root, or of an intermediate with its chain; else a new root is made',
      },
      key: { type: 'string', doc: 'PEM file with the key, when FILE has the certificates only' },
      alias: { type: 'string', doc: 'which entry, when FILE has several keys' },
      'password-file': { type: 'string', doc: `file with the password (or ${PASSWORD})` },
      ...DRY_RUN,
      ...WHY,
    },
    words: NONE,
    async run(call) {
      const [file, key, alias] = [call.text('import'), call.text('key'), call.text('alias')];
      if (file === undefined && (key ?? alias ?? call.text('password-file')) !== undefined)
        throw call.complain('--key, --alias and --password-file say nothing without --import');
      const password = file === undefined ? undefined : await call.secret('password-file', PASSWORD);
      await step(call, 'prepare', {
        ...(file === undefined ? {} : await fileForRequest(file, 'The authority')),
        ...(key === undefined ? {} : { key: (await fileForRequest(key, 'The key')).file }),
        ...(alias === undefined ? {} : { alias }),
        ...(password === undefined ? {} : { password }),
      });
    },
  },
  {
    name: 'ca rotate publish',
    usage: '[options]',
    summary: 'let agents trust the prepared authority',
    options: { ...DRY_RUN, ...WHY },
    words: NONE,
    run: (call) => step(call, 'publish', {}),
  },
  {
    name: 'ca rotate switch',
    usage: '[options]',
    summary: 'let it sign',
    help: 'With --confirm-within Central shows a certificate of the new authority first, and goes back by itself unless agents come back over it\nand "queuegate certificate confirm" is given over HTTPS in time.',
    options: {
      ...STEP,
      'confirm-within': { type: 'string', doc: 'seconds in which it has to be confirmed, or it is undone' },
      'confirm-share': { type: 'string', doc: 'share of the agents that must be back by then, 0 to 1; 0.9 unless set' },
    },
    words: NONE,
    async run(call) {
      const [withinSeconds, share] = [call.number('confirm-within'), call.number('confirm-share')];
      if (withinSeconds === undefined && share !== undefined)
        throw call.complain('--confirm-share says nothing without --confirm-within');
      await step(call, 'switch', {
        force: call.flag('force'),
        ...(withinSeconds === undefined
          ? {}
          : { confirm: { withinSeconds, ...(share === undefined ? {} : { share }) } }),
      });
    },
  },
  {
    name: 'ca rotate retire',
    usage: '[options]',
    summary: 'trust the authority before no more',
    options: STEP,
    words: NONE,
    run: (call) => step(call, 'retire', { force: call.flag('force') }),
  },
  {
    name: 'ca rotate back',
    usage: '[options]',
    summary: 'one step back, from any of them',
    options: STEP,
    words: NONE,
    run: (call) => step(call, 'back', { force: call.flag('force') }),
  },
  {
    name: 'ca forget',
    usage: 'THUMBPRINT',
    summary: 'throw the key of a retired authority away: there is no way back to it',
    options: WHY,
    words: { least: 1, most: 1 },
    async run(call) {
      const thumbprint = (call.words[0] ?? '').replaceAll(':', '').toLowerCase();
      await call.client.request('DELETE', `/ca/generations/${encodeURIComponent(thumbprint)}`, {
        query: { comment: call.text('comment'), ticket: call.text('ticket') },
      });
      call.answer({ forgotten: thumbprint }, () => `Forgotten: ${fingerprint(thumbprint)}`);
    },
  },
];

async function step(call: CommandCall, name: string, terms: Readonly<Record<string, unknown>>): Promise<void> {
  const [comment, ticket] = [call.text('comment'), call.text('ticket')];
  const body = {
    ...terms,
    dryRun: call.flag('dry-run'),
    ...(comment === undefined ? {} : { comment }),
    ...(ticket === undefined ? {} : { ticket }),
  };
  const answer = recordOf(await call.client.request('POST', `/ca/rotation/${name}`, { body }));
  const pending = recordOf(answer['pending']);
  call.answer(answer, () =>
    [
      answer['dryRun'] === true
        ? `Nothing was changed; the rotation is ${shown(answer['phase'])}.`
        : `The rotation is ${shown(answer['phase'])}.`,
      ...agentsText(
        answer['dryRun'] === true
          ? 'Would be left behind, or is not ready, as far as is known:'
          : 'Left behind, or not ready, as far as is known:',
        answer,
      ),
      ...(Array.isArray(answer['notices']) ? answer['notices'].map((notice) => `Note: ${shown(notice)}`) : []),
      ...(answer['pending'] === null
        ? []
        : [
            `Not confirmed yet: Central goes back at ${shown(pending['deadline'])} unless "queuegate certificate confirm" is given before, over HTTPS.`,
          ]),
    ].join('\n'),
  );
}

function agentsText(title: string, answer: Readonly<Record<string, unknown>>): string[] {
  const rows = rowsOf(answer, 'agents');
  if (rows.length === 0) return [];
  const more = Number(answer['missing']) - rows.length;
  return [
    [
      title,
      ...rows.map((row) => `  ${shown(row['name'])}: ${shown(row['text'])}`),
      ...(more > 0 ? [`  and ${more} more`] : []),
    ].join('\n'),
  ];
}
