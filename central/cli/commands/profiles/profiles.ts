// The commands on profiles: import, settings, differences, and releases.
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { measureFolder } from '../../../../shared/releases/folder.ts';
import type { Command } from '../../command.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { confirmForce, FORCE, REASON, termsOf, YES } from '../../terms.ts';
import { packDirectory } from './archive.ts';
import { agentLines, changedText, contentLines, leftOutLines, profileLine, profilePath } from './print.ts';

const LOCAL_CONF = 'conf/agent.local.conf';
const ONE = { least: 1, most: 1 } as const;
const DRY_RUN = { 'dry-run': { type: 'boolean', doc: 'only show what would change' } } as const;

export const profileCommands: readonly Command[] = [
  {
    name: 'profiles list',
    usage: '',
    summary: 'profiles, which are configured centrally for many agents',
    options: LIST,
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/profiles');
      call.answer(answer, () =>
        call.table(
          ['name', 'files', 'bytes', 'agents', 'running', 'changed', 'by'],
          rowsOf(answer, 'items').map((row) => [
            row['name'],
            row['fileCount'],
            row['bytes'],
            row['desiredAgentCount'],
            row['reportedAgentCount'],
            row['changedAt'],
            row['changedBy'],
          ]),
          'No profiles. Import one: "queuegate profiles import DIRECTORY --name NAME".',
        ),
      );
    },
  },
  {
    name: 'profiles show',
    usage: 'PROFILE',
    summary: 'what is in a profile: settings, truststore, problems, its latest release, and how many agents have which',
    options: {},
    words: ONE,
    async run(call) {
      const answer = recordOf(await call.client.request('GET', profilePath(call.words[0])));
      call.answer(answer, () =>
        [
          profileLine(answer),
          ...contentLines(answer),
          `release     ${answer['latestRelease'] === null ? 'none yet' : shown(answer['latestRelease'])}`,
          ...agentLines(answer),
        ].join('\n'),
      );
    },
  },
  {
    name: 'profiles import',
    usage: 'DIRECTORY --name PROFILE [--replace]',
    summary: 'import a directory with conf/agent.conf, such as agentProfiles/branch, and report what is in it',
    help: 'Nothing reaches an agent before a release of the profile is prepared and rolled out. conf/agent.local.conf is left out: it belongs to the\nmachine, and wins over the profile. Links and devices are refused.',
    options: {
      name: { type: 'string', doc: 'name of the profile' },
      replace: { type: 'boolean', doc: 'replace the files of a profile that exists' },
      ...DRY_RUN,
      ...REASON,
    },
    words: ONE,
    async run(call) {
      const name = call.text('name');
      if (name === undefined) throw call.complain('--name is required');
      const folder = resolve(call.workingFolder, call.words[0] ?? '');
      const leftOut: string[] = [];
      const isIgnored = (path: string): boolean => path === LOCAL_CONF && leftOut.push(path) > 0;
      const files = await measureFolder(folder, { isIgnored });
      const answer = recordOf(
        await call.client.upload('/profiles', {
          query: { ...termsOf(call), name, replace: call.flag('replace') || undefined },
          headers: { 'content-type': 'application/x-tar' },
          content: Readable.from(packDirectory(folder, files), { objectMode: false }),
        }),
      );
      call.answer(answer, () =>
        [
          ...(answer['profile'] === null ? [] : [profileLine(answer['profile'])]),
          ...contentLines(answer),
          ...leftOutLines(leftOut),
          '',
          call.flag('dry-run') ? 'Would change:' : 'Changed:',
          changedText(answer),
        ].join('\n'),
      );
    },
  },
  {
    name: 'profiles set',
    usage: 'PROFILE KEY=VALUE...',
    summary: 'set keys in the agent.conf of a profile; comments and order stay',
    options: {
      remove: { type: 'string', isList: true, value: 'KEY', doc: 'remove a key; may be repeated' },
      secret: { type: 'string', value: 'KEY', doc: 'a key whose value is in --password-file, or is typed' },
      'password-file': { type: 'string', doc: 'file with the value of --secret' },
      'if-match': { type: 'string', value: 'ETAG', doc: 'only if the profile is still the one with this ETag' },
      force: { type: 'boolean', doc: 'set a key that the agent does not know, too' },
      ...DRY_RUN,
      ...REASON,
      ...YES,
    },
    asks: 'forced',
    words: { least: 1, most: 100 },
    async run(call) {
      const [profile, ...pairs] = call.words;
      const body: Record<string, string | null> = {};
      for (const pair of pairs) {
        const equals = pair.indexOf('=');
        if (equals <= 0) throw call.complain(`"${pair}" is not KEY=VALUE`);
        body[pair.slice(0, equals)] = pair.slice(equals + 1);
      }
      for (const key of call.list('remove') ?? []) body[key] = null;
      const secret = call.text('secret');
      if (secret !== undefined) {
        const value = await call.secret('password-file', 'QUEUEGATE_SETTING', `Value of ${secret}`);
        if (value === undefined) throw call.complain('--secret needs --password-file without a terminal');
        body[secret] = value;
      }
      if (Object.keys(body).length === 0) throw call.complain('KEY=VALUE, --remove or --secret is needed');
      await confirmForce(call, `Set ${Object.keys(body).join(', ')}`, 'The agent may not know the key.');
      const path = profilePath(profile);
      const ifMatch = call.text('if-match') ?? shown(recordOf(await call.client.request('GET', path))['etag']);
      const answer = await call.client.request('PATCH', `${path}/settings`, { query: termsOf(call), body, ifMatch });
      call.answer(answer, () => changedText(answer, 'Nothing changed.'));
    },
  },
  {
    name: 'profiles diff',
    usage: 'PROFILE [--from RELEASE] [--to RELEASE]',
    summary: 'what differs between two releases of a profile, or the latest one and the draft, in words',
    options: {
      from: { type: 'string', value: 'RELEASE', doc: 'a release, or "draft"; the latest release unless set' },
      to: { type: 'string', value: 'RELEASE', doc: 'a release, or "draft", which it is unless set' },
    },
    words: ONE,
    async run(call) {
      const query = { from: call.text('from'), to: call.text('to') };
      const answer = await call.client.request('GET', `${profilePath(call.words[0])}/diff`, { query });
      call.answer(answer, () => changedText(answer));
    },
  },
  {
    name: 'profiles prepare',
    usage: 'PROFILE',
    summary: 'make a release of the draft, which agents can synchronize and change to',
    help: 'Refused where agents would not start with it or not accept Central: an agent.conf with a bad value, a truststore that does not verify\nthe certificate of Central, a transport that Central does not accept now. --force overrides the last two.',
    options: { ...DRY_RUN, ...FORCE, ...REASON, ...YES },
    asks: 'forced',
    words: ONE,
    async run(call) {
      await confirmForce(
        call,
        `Prepare a release of ${call.words[0]}`,
        'Agents that change to it may not accept Central.',
      );
      const answer = recordOf(
        await call.client.request('POST', `${profilePath(call.words[0])}/releases`, { query: termsOf(call) }),
      );
      const overridden = rowsOf(answer, 'overridden').map(({ detail }) => `Note: ${shown(detail)}`);
      const head = call.flag('dry-run')
        ? 'Would be prepared:'
        : answer['isNew'] === true
          ? `Prepared ${shown(answer['release'])}.`
          : `${shown(answer['release'])} was prepared from the same files at ${shown(answer['preparedAt'])}.`;
      call.answer(answer, () => [head, changedText(answer), ...overridden].join('\n'));
      if (call.flag('dry-run') && overridden.length > 0 && !call.flag('force')) call.refused();
    },
  },
  {
    name: 'profiles releases',
    namedBy: 'release',
    usage: 'PROFILE [RELEASE]',
    summary: 'the releases of a profile, the newest first; or the files of one',
    options: LIST,
    words: { least: 1, most: 2 },
    async run(call) {
      const [profile, release] = call.words;
      const path = `${profilePath(profile)}/releases`;
      if (release !== undefined) {
        const found = recordOf(await call.client.request('GET', `${path}/${encodeURIComponent(release)}`));
        const { release: name, digest, preparedAt, preparedBy, comment, ticket } = found;
        return call.answer(found, () =>
          [
            facts([
              ['release', name],
              ['digest', digest],
              ['prepared', `${shown(preparedAt)} by ${shown(preparedBy)}`],
              ['comment', comment],
              ['ticket', ticket],
            ]),
            '',
            call.table(
              ['path', 'bytes', 'sha-256'],
              rowsOf(found, 'files').map((file) => [file['path'], file['bytes'], file['sha256']]),
              'No files.',
            ),
          ].join('\n'),
        );
      }
      const answer = await readList(call, path);
      call.answer(answer, () =>
        call.table(
          ['release', 'prepared', 'by', 'files', 'bytes', 'ticket', 'comment'],
          rowsOf(answer, 'items').map((row) => [
            row['release'],
            row['preparedAt'],
            row['preparedBy'],
            row['fileCount'],
            row['bytes'],
            row['ticket'],
            row['comment'],
          ]),
          'No releases. Prepare one: "queuegate profiles prepare PROFILE".',
        ),
      );
    },
  },
  {
    name: 'profiles delete',
    usage: 'PROFILE',
    summary: 'delete a profile with its releases; agents keep what they have',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: ONE,
    async run(call) {
      const [name] = call.words;
      await call.confirm({
        act: `Delete the profile ${name}`,
        effect: 'Its draft and its releases are gone; agents keep the files that they have.',
        name,
      });
      await call.client.request('DELETE', profilePath(name), { query: termsOf(call) });
      call.answer({ deleted: name }, () => `Deleted ${name}.`);
    },
  },
];
