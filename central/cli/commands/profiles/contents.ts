// The commands on the files and the truststore of a profile.
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { readBoundedStream } from '../../../../shared/files/bounded-stream.ts';
import type { Command, CommandCall } from '../../command.ts';
import { fileForRequest, fileToUpload, writeSecretAnswer } from '../../files.ts';
import { LIST, readList } from '../../list.ts';
import { recordOf, rowsOf, shown } from '../../print.ts';
import { REASON, termsOf, YES } from '../../terms.ts';
import { changedText, profilePath } from './print.ts';

const ONE = { least: 1, most: 1 } as const;
const TWO = { least: 2, most: 2 } as const;
/** What is written to a file, or to the terminal, in one go. */
const MAX_FILE_BYTES = 1024 ** 3;
const DRY_RUN = { 'dry-run': { type: 'boolean', doc: 'only show what would change' } } as const;
const IF_MATCH = {
  'if-match': { type: 'string', value: 'ETAG', doc: 'only if the profile is still the one with this ETag' },
} as const;

export const profileContentCommands: readonly Command[] = [
  {
    name: 'profiles files list',
    namedBy: 'path',
    usage: 'PROFILE',
    summary: 'the files of a profile',
    options: LIST,
    words: ONE,
    async run(call) {
      const answer = await readList(call, `${profilePath(call.words[0])}/files`);
      call.answer(answer, () =>
        call.table(
          ['path', 'bytes', 'executable', 'sha-256'],
          rowsOf(answer, 'items').map((row) => [
            row['path'],
            row['bytes'],
            row['executable'] === true ? 'yes' : 'no',
            row['sha256'],
          ]),
          'No files.',
        ),
      );
    },
  },
  {
    name: 'profiles files get',
    usage: 'PROFILE PATH [--out FILE]',
    summary: 'the content of a file of a profile',
    options: {
      out: { type: 'string', value: 'FILE', doc: 'write it to this file (mode 0600) instead of the standard output' },
    },
    words: TWO,
    async run(call) {
      const stream = await call.client.download(filePath(call), {}, 'GET');
      const bytes = await readBoundedStream(stream, MAX_FILE_BYTES, () => new Error('the file is too large'));
      const out = call.text('out');
      if (out === undefined) return call.line(bytes.toString('utf8').replace(/\r?\n$/, ''));
      const file = resolve(call.workingFolder, out);
      // Settings and truststores may hold passwords: only administrators may read them at Central, too.
      await writeSecretAnswer(file, bytes);
      call.answer({ file, bytes: bytes.length }, () => `Written to ${file} (${bytes.length} bytes, mode 0600).`);
    },
  },
  {
    name: 'profiles files put',
    usage: 'PROFILE PATH FILE',
    summary: 'put a file into a profile, or replace it',
    options: {
      executable: { type: 'boolean', doc: 'the file is a program' },
      ...IF_MATCH,
      ...DRY_RUN,
      ...REASON,
    },
    words: { least: 3, most: 3 },
    async run(call) {
      const file = await fileToUpload(call, call.words[2] ?? '');
      const answer = await call.client.upload(filePath(call), {
        method: 'PUT',
        query: { ...termsOf(call), executable: call.flag('executable') || undefined },
        headers: { 'content-type': 'application/octet-stream' },
        content: createReadStream(file),
        ifMatch: await etagOf(call),
      });
      call.answer(answer, () => changedText(answer, 'Nothing changed.'));
    },
  },
  {
    name: 'profiles files delete',
    usage: 'PROFILE PATH',
    summary: 'delete a file of a profile',
    options: { ...IF_MATCH, ...REASON, ...YES },
    asks: 'always',
    words: TWO,
    async run(call) {
      const [profile, path] = call.words;
      await call.confirm({
        act: `Delete ${path} of the profile ${profile}`,
        effect: 'The next release of the profile does not have it.',
      });
      await call.client.request('DELETE', filePath(call), { query: termsOf(call), ifMatch: await etagOf(call) });
      call.answer({ deleted: path }, () => `Deleted ${path}.`);
    },
  },
  {
    name: 'profiles truststore list',
    namedBy: 'alias',
    usage: 'PROFILE',
    summary: 'what agents with a profile trust',
    options: LIST,
    words: ONE,
    async run(call) {
      const answer = await readList(call, `${profilePath(call.words[0])}/truststore`);
      call.answer(answer, () =>
        call.table(
          ['alias', 'until', 'sha-256', 'subject'],
          rowsOf(answer, 'items').map((row) => [
            row['alias'],
            shown(row['notAfter']).slice(0, 10),
            row['thumbprint'],
            row['subject'],
          ]),
          'The truststore has no certificates.',
        ),
      );
    },
  },
  {
    name: 'profiles truststore import',
    usage: 'PROFILE --central | --certificate FILE [--alias ALIAS]',
    summary: 'let agents with a profile trust Central, or another certificate',
    options: {
      central: { type: 'boolean', doc: 'the root certificate of this Central' },
      certificate: { type: 'string', value: 'FILE', doc: 'a certificate: PEM, DER or PKCS#7' },
      alias: { type: 'string', doc: 'alias of the entry; from the name of the certificate unless set' },
      ...DRY_RUN,
      ...REASON,
    },
    words: ONE,
    async run(call) {
      const [certificate, alias] = [call.text('certificate'), call.text('alias')];
      if (call.flag('central') === (certificate !== undefined))
        throw call.complain('exactly one of --central and --certificate is needed');
      const body = {
        ...(certificate === undefined
          ? { source: 'central' }
          : await fileForRequest(resolve(call.workingFolder, certificate), 'The certificate')),
        ...(alias === undefined ? {} : { alias }),
      };
      const path = `${profilePath(call.words[0])}/truststore`;
      const answer = await call.client.request('POST', path, { query: termsOf(call), body });
      call.answer(answer, () => changedText(answer, 'It is trusted already.'));
    },
  },
  {
    name: 'profiles truststore delete',
    usage: 'PROFILE ALIAS',
    summary: 'delete an entry from the truststore of a profile',
    options: { ...REASON, ...YES },
    asks: 'always',
    words: TWO,
    async run(call) {
      const [profile, alias] = call.words;
      await call.confirm({
        act: `Delete ${alias} from the truststore of the profile ${profile}`,
        effect: 'Agents that change to the next release do not trust it any more.',
      });
      await call.client.request('DELETE', `${profilePath(profile)}/truststore/${encodeURIComponent(alias ?? '')}`, {
        query: termsOf(call),
      });
      call.answer({ deleted: alias }, () => `Deleted ${alias}.`);
    },
  },
];

function filePath(call: CommandCall): string {
  const [profile, path = ''] = call.words;
  return `${profilePath(profile)}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}

async function etagOf(call: CommandCall): Promise<string> {
  const etag = call.text('if-match');
  return etag ?? shown(recordOf(await call.client.request('GET', profilePath(call.words[0])))['etag']);
}
