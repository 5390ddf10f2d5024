// The commands on the authority: show, trust-bundle, export, import, delete-key; and `certificates list`.
import { resolve } from 'node:path';
import { createSecretFile, checkSecretFile } from '../../../shared/files/secret-file.ts';
import type { Command } from '../command.ts';
import { KEYSTORE_PASSWORD, uploadOf, writeAnswer } from '../files.ts';
import { LIST, readList } from '../list.ts';
import { fingerprint, recordOf, rowsOf, shown } from '../print.ts';
import { confirmForce, cutOffText, DRY_RUN, FORCE, noticeText, REASON, termsOf, YES } from '../terms.ts';

export const caCommands: readonly Command[] = [
  {
    name: 'ca show',
    usage: '',
    summary: 'the authority and what else agents trust, with thumbprints',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/ca');
      call.answer(answer, () =>
        [
          ...rowsOf(answer, 'generations').map((row) =>
            [
              `${shown(row['role'])}: ${shown(row['subject'])}`,
              `  ${shown(row['usedFor'])}, since ${shown(row['roleChangedAt'])}`,
              `  SHA-256 ${fingerprint(row['thumbprint'])}`,
              `  ${shown(row['keyAlgorithm'])}, ${shown(row['origin'])}, until ${shown(row['notAfter'])}; root ${shown(recordOf(row['root'])['subject'])}`,
            ].join('\n'),
          ),
          `pin ${shown(recordOf(answer)['pin'])}\nsigning key ${shown(recordOf(answer)['signingKey'])}`,
        ].join('\n\n'),
      );
    },
  },
  {
    name: 'ca trust-bundle',
    usage: '[--out FILE]',
    summary: 'the root certificates that agents trust, as PEM, for truststores',
    help: 'For a truststore: keytool -importcert -noprompt -alias queuegate -file FILE -keystore truststore.jks',
    options: { out: { type: 'string', doc: 'write it to this file instead of the standard output' } },
    words: { least: 0, most: 0 },
    async run(call) {
      const file = call.text('out');
      const pem = await call.client.text('/ca/trust-bundle.pem');
      if (file === undefined) return call.answer({ pem }, () => pem.trimEnd());
      await writeAnswer(file, Buffer.from(pem));
      call.answer({ file }, () => `Written to ${file}.`);
    },
  },
  {
    name: 'ca export',
    usage: '--out FILE [--password-file FILE] [--thumbprint THUMBPRINT]',
    summary: 'the authority with its private key, as PKCS#12, for a second Central',
    help: 'The file is protected by a password of at least 12 characters; import it with "queuegate ca import".',
    options: {
      out: { type: 'string', doc: 'the file to write (mode 0600); it must not exist' },
      'password-file': { type: 'string', doc: `file with the password of the PKCS#12 (or ${KEYSTORE_PASSWORD})` },
      thumbprint: { type: 'string', doc: 'this generation instead of the current one' },
      ...REASON,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const file = call.text('out');
      if (file !== undefined) await checkSecretFile(resolve(call.workingFolder, file));
      const password = await call.secret('password-file', KEYSTORE_PASSWORD, 'Password for the file with the key');
      if (file === undefined || password === undefined)
        throw call.complain(`--out and a password (--password-file or ${KEYSTORE_PASSWORD}) are required`);
      const thumbprint = call.text('thumbprint')?.replaceAll(':', '').toLowerCase();
      const answer = recordOf(
        await call.client.request('POST', '/ca/export', {
          query: termsOf(call),
          body: { password, ...(thumbprint === undefined ? {} : { thumbprint }) },
        }),
      );
      await createSecretFile(
        resolve(call.workingFolder, file),
        Buffer.from(typeof answer['content'] === 'string' ? answer['content'] : '', 'base64'),
      );
      call.answer(
        { file, thumbprint: answer['thumbprint'] },
        () =>
          `Written to ${file}: the authority ${fingerprint(answer['thumbprint'])} with its key. Anyone with the file and its password can impersonate Central.`,
      );
    },
  },
  {
    name: 'ca import',
    usage: 'FILE [--key-file FILE] [--password-file FILE] [--dry-run] [--force]',
    summary: 'sign with another authority: an exported one, or your own',
    help: 'FILE is PKCS#12, JKS or PEM with the key of a root, or of an intermediate with its chain up to the root. Agents keep trusting what\nthe previous authority signed. Agents that do not trust the new one yet are listed, and the import is refused unless forced.',
    options: {
      'key-file': { type: 'string', doc: 'PEM file with the key, when FILE has the certificates only' },
      alias: { type: 'string', doc: 'the entry to use, when FILE has several keys' },
      'password-file': { type: 'string', doc: `file with the password (or ${KEYSTORE_PASSWORD})` },
      ...DRY_RUN,
      ...FORCE,
      ...YES,
      ...REASON,
    },
    asks: 'forced',
    words: { least: 1, most: 1 },
    async run(call) {
      const file = call.words[0] ?? '';
      const body = await uploadOf(call, file, 'The authority');
      await confirmForce(call, `Sign with the authority in ${file}`);
      const answer = recordOf(await call.client.request('POST', '/ca/import', { query: termsOf(call), body }));
      const authority = recordOf(answer['result']);
      const isDry = answer['dryRun'] === true;
      call.answer(answer, () =>
        [
          `${isDry ? 'Would sign' : 'Signs from now on'}: ${shown(authority['subject'])}`,
          `  SHA-256 ${fingerprint(authority['thumbprint'])}`,
          ...cutOffText(answer, isDry ? 'Would cut off, as far as is known:' : 'Cut off, as far as is known:'),
          ...noticeText(answer),
        ].join('\n'),
      );
    },
  },
  {
    name: 'ca delete-key',
    usage: 'THUMBPRINT',
    summary: 'delete the key of a retired authority; it can never sign again',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: { least: 1, most: 1 },
    async run(call) {
      const thumbprint = (call.words[0] ?? '').replaceAll(':', '').toLowerCase();
      await call.confirm({
        act: `Delete the key of the authority ${fingerprint(thumbprint)}`,
        effect: 'It can never sign again.',
      });
      await call.client.request('DELETE', `/ca/generations/${encodeURIComponent(thumbprint)}`, {
        query: termsOf(call),
      });
      call.answer({ deleted: thumbprint }, () => `Deleted the key of ${fingerprint(thumbprint)}.`);
    },
  },
  {
    name: 'certificates list',
    usage: '[--expires-within DURATION] [--kind KIND]',
    summary: 'every certificate that Central knows, with the days left and its use',
    options: {
      'expires-within': { type: 'string', doc: 'only those that expire within this time, such as 30d' },
      kind: { type: 'string', doc: 'only authority, server, signing, trust or agent' },
      ...LIST,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const seconds = call.seconds('expires-within');
      const expiresWithinDays = seconds === undefined ? undefined : Math.ceil(seconds / 86_400);
      const answer = await readList(call, '/certificates', { expiresWithinDays, kind: call.text('kind') });
      const rows = rowsOf(answer, 'items').map((row) => [
        row['daysLeft'],
        row['notAfter'],
        row['kind'],
        row['slot'] ?? recordOf(row['agent'])['name'],
        row['subject'],
        row['usedFor'],
      ]);
      call.answer(answer, () => call.table(['days', 'until', 'kind', 'which', 'subject', 'used for'], rows, 'None.'));
    },
  },
];
