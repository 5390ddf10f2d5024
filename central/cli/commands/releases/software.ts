// The commands on releases of the agents' software: import of the archive of a build, list, and rollouts.
import { createReadStream } from 'node:fs';
import type { Command } from '../../command.ts';
import { fileToUpload } from '../../files.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { confirmForce, FORCE, REASON, termsOf, YES } from '../../terms.ts';
import { releaseCommands } from './rollouts.ts';

type Row = Readonly<Record<string, unknown>>;

const PATH = '/software-releases';
const ONE = { least: 1, most: 1 } as const;
const pathOf = (release: string | undefined): string => `${PATH}/${encodeURIComponent(release ?? '')}`;

export const softwareCommands: readonly Command[] = [
  {
    name: 'software list',
    namedBy: 'release',
    usage: '',
    summary: "releases of the agents' software, the newest first",
    options: LIST,
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, PATH);
      call.answer(answer, () =>
        call.table(
          ['release', 'part', 'imported', 'by', 'bytes', 'signed by'],
          rowsOf(answer, 'items').map((row) => [
            row['release'],
            row['part'],
            row['preparedAt'],
            row['preparedBy'],
            row['bytes'],
            signersText(row),
          ]),
          'No releases. Import one: "queuegate software import FILE.qgs".',
        ),
      );
    },
  },
  {
    name: 'software show',
    usage: 'RELEASE',
    summary: 'a release with its files, and the keys that signed it',
    options: {},
    words: ONE,
    async run(call) {
      const answer = recordOf(await call.client.request('GET', pathOf(call.words[0])));
      call.answer(answer, () =>
        [
          releaseText(answer),
          '',
          call.table(
            ['path', 'bytes', 'sha-256'],
            rowsOf(answer, 'files').map((file) => [file['path'], file['bytes'], file['sha256']]),
            'No files.',
          ),
        ].join('\n'),
      );
    },
  },
  {
    name: 'software import',
    usage: 'FILE.qgs',
    summary: 'import a release of the software, as "npm run dist" wrote it',
    help: 'A release is the program or Node.js (runtime); each is rolled out on its own. Agents accept a release only with a signature by a key of\ntheir software.signers, which Central does not have: a release without one is refused, unless --force is set.',
    options: {
      'dry-run': { type: 'boolean', doc: 'only check the archive' },
      ...FORCE,
      ...REASON,
      ...YES,
    },
    asks: 'forced',
    words: ONE,
    async run(call) {
      const file = await fileToUpload(call, call.words[0] ?? '');
      await confirmForce(call, `Import ${file}`, 'Agents refuse a release without a signature.');
      const answer = recordOf(
        await call.client.upload(PATH, {
          query: termsOf(call),
          headers: { 'content-type': 'application/octet-stream' },
          content: createReadStream(file),
        }),
      );
      const head = call.flag('dry-run')
        ? 'Would be imported:'
        : answer['isNew'] === true
          ? `Imported ${shown(answer['release'])}.`
          : `${shown(answer['release'])} was imported at ${shown(answer['preparedAt'])}.`;
      call.answer(answer, () => `${head}\n${releaseText(answer)}`);
    },
  },
  ...releaseCommands('software', {
    synchronize:
      'NAME@PREFIX as "queuegate software list" shows it. Files that the agent has are not sent again. Continue with\n"queuegate software upgrade".',
    upgrade:
      'With --rollout the agents of a rollout that synchronized the release continue. An agent starts again with the release; 60 seconds after\nCentral has welcomed it, it keeps the release. If that fails, its launcher starts the previous one. To return to the software of a\npackage, roll out the .qgs files of that package.',
  }),
  {
    name: 'software delete',
    usage: 'RELEASE',
    summary: 'delete a release that no rollout and no agent uses; agents keep the files that they have',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: ONE,
    async run(call) {
      const [release = ''] = call.words;
      await call.confirm({ act: `Delete the release ${release}`, effect: 'It can no longer be rolled out.' });
      await call.client.request('DELETE', pathOf(release), { query: termsOf(call) });
      call.answer({ deleted: release }, () => `Deleted ${release}.`);
    },
  },
];

function releaseText(row: Row): string {
  const { release, digest, part, version, target, bytes, fileCount, preparedAt, preparedBy, comment, ticket } = row;
  return facts([
    ['release', release],
    ['digest', digest],
    ['part', `${shown(part)} ${shown(version)}${target === null ? '' : ` for ${shown(target)}`}`],
    ['files', `${shown(fileCount)}, ${shown(bytes)} bytes`],
    ['signed by', signersText(row)],
    ['imported', `${shown(preparedAt)} by ${shown(preparedBy)}`],
    ['comment', comment],
    ['ticket', ticket],
  ]);
}

function signersText(row: Row): string {
  const signers = row['signers'] as readonly unknown[];
  return signers.length === 0 ? 'no key: agents refuse it' : signers.map((signer) => shown(signer)).join(', ');
}
