// The commands on the authority: list, export (its root, or its key under a password), import.
import type { Command } from '../command.ts';
import { createSecretFile, checkSecretFile } from '../../../shared/files/secret-file.ts';
import { resolve } from 'node:path';
import { fileForRequest, writeAnswer } from '../files.ts';
import { fingerprint, recordOf, rowsOf, shown, table } from '../print.ts';

const PASSWORD = 'QUEUEGATE_CA_PASSWORD';

export const authorityCommands: readonly Command[] = [
  {
    name: 'ca list',
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
              `  ${shown(row['usedFor'])}, since ${shown(row['since'])}`,
              `  SHA-256 ${fingerprint(row['thumbprint'])}`,
              `  ${shown(row['key'])}, ${shown(row['origin'])}, until ${shown(row['notAfter'])}; root ${shown(recordOf(row['root'])['subject'])}`,
            ].join('\n'),
          ),
          `pin ${shown(recordOf(answer)['pin'])}\nsigning key ${shown(recordOf(answer)['signingKey'])}`,
        ].join('\n\n'),
      );
    },
  },
  {
    name: 'ca export',
    usage: '[--out FILE] | --with-key --out FILE [--password-file FILE]',
    summary: 'what agents trust as PEM, for truststores; or the authority with its key',
    help: 'For a truststore: keytool -importcert -noprompt -alias queuegate -file FILE -keystore truststore.jks\nWith its key it is PKCS#12 under a password of at least 12 characters, for a second Central ("queuegate ca import").',
    options: {
      out: {
        type: 'string',
        doc: 'write it to this file instead of the standard output; with its key, a new file with mode 0600',
      },
      'with-key': { type: 'boolean', doc: 'the authority with its private key, as PKCS#12' },
      'password-file': { type: 'string', doc: `file with the password of the PKCS#12 (or ${PASSWORD})` },
      thumbprint: { type: 'string', doc: 'with its key: this generation instead of the current one' },
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const file = call.text('out');
      if (call.flag('with-key')) {
        if (file !== undefined) await checkSecretFile(resolve(call.workingFolder, file));
        const password = await call.secret('password-file', PASSWORD, 'Password for the file with the key');
        if (file === undefined || password === undefined)
          throw call.complain(`--with-key needs --out, and a password (--password-file or ${PASSWORD})`);
        const thumbprint = call.text('thumbprint')?.replaceAll(':', '').toLowerCase();
        const answer = recordOf(
          await call.client.request('POST', '/ca/export', {
            body: { password, ...(thumbprint === undefined ? {} : { thumbprint }) },
          }),
        );
        await createSecretFile(
          resolve(call.workingFolder, file),
          Buffer.from(typeof answer['pkcs12'] === 'string' ? answer['pkcs12'] : '', 'base64'),
        );
        return call.answer(
          { file, thumbprint: answer['thumbprint'] },
          () =>
            `Written to ${file}: the authority ${fingerprint(answer['thumbprint'])} with its key. Whoever has file and password can pretend to be Central.`,
        );
      }
      const pem = await call.client.text('/ca/root.pem');
      if (file === undefined) return call.answer({ pem }, () => pem.trimEnd());
      await writeAnswer(file, Buffer.from(pem));
      call.answer({ file }, () => `Written to ${file}.`);
    },
  },
  {
    name: 'ca import',
    usage: 'FILE [--key FILE] [--password-file FILE] [--dry-run] [--force]',
    summary: 'let another authority sign: an exported one, or the own one of your house',
    help: 'FILE is PKCS#12, JKS or PEM with the key of a root, or of an intermediate whose chain ends at its root. What was signed\nbefore stays trusted. Agents that do not trust the new one yet are named, and it is refused unless forced.',
    options: {
      key: { type: 'string', doc: 'PEM file with the key, when FILE has the certificates only' },
      alias: { type: 'string', doc: 'which entry, when FILE has several keys' },
      'password-file': { type: 'string', doc: `file with the password (or ${PASSWORD})` },
      'dry-run': { type: 'boolean', doc: 'only say what would happen, and to whom' },
      force: { type: 'boolean', doc: 'import it even if agents are cut off' },
      comment: { type: 'string', doc: 'why, for the audit log' },
      ticket: { type: 'string', doc: 'number of the ticket, for the audit log' },
    },
    words: { least: 1, most: 1 },
    async run(call) {
      const [key, alias, comment, ticket] = [
        call.text('key'),
        call.text('alias'),
        call.text('comment'),
        call.text('ticket'),
      ];
      const password = await call.secret('password-file', PASSWORD);
      const body = {
        ...(await fileForRequest(call.words[0] ?? '', 'The authority')),
        ...(key === undefined ? {} : { key: (await fileForRequest(key, 'The key')).file }),
        ...(alias === undefined ? {} : { alias }),
        ...(password === undefined ? {} : { password }),
        ...(comment === undefined ? {} : { comment }),
        ...(ticket === undefined ? {} : { ticket }),
        dryRun: call.flag('dry-run'),
        force: call.flag('force'),
      };
      const answer = recordOf(await call.client.request('POST', '/ca/import', { body }));
      const authority = recordOf(answer['authority']);
      const cutOff = rowsOf(answer, 'cutOff').map((row) => `  ${shown(row['name'])}`);
      call.answer(answer, () =>
        [
          `${answer['dryRun'] === true ? 'Would sign from then on' : 'Signs from now on'}: ${shown(authority['subject'])}`,
          `  SHA-256 ${fingerprint(authority['thumbprint'])}`,
          ...(cutOff.length === 0
            ? []
            : [
                answer['dryRun'] === true ? 'Would cut off, as far as is known:' : 'Cut off, as far as is known:',
                ...cutOff,
              ]),
          ...(Array.isArray(answer['notices']) ? answer['notices'].map((notice) => `Note: ${shown(notice)}`) : []),
        ].join('\n'),
      );
    },
  },
  {
    name: 'certificates list',
    usage: '[--within-days N] [--kind KIND]',
    summary: 'every certificate that matters: days left, and where it is used',
    options: {
      'within-days': { type: 'string', doc: 'only those that end within so many days' },
      kind: { type: 'string', doc: 'only authority, server, signing, trust or agent' },
      limit: { type: 'string', doc: 'at most so many; 1000 unless set' },
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/certificates', {
        query: { withinDays: call.number('within-days'), kind: call.text('kind'), limit: call.number('limit') ?? 1000 },
      });
      const rows = rowsOf(answer, 'certificates').map((row) => [
        row['daysLeft'],
        row['notAfter'],
        row['kind'],
        row['which'],
        row['subject'],
        row['usedFor'],
      ]);
      const more =
        recordOf(answer)['next'] === null ? '' : '\n\nThere are more: give --within-days, --kind or --limit.';
      call.answer(answer, () => table(['days', 'until', 'kind', 'which', 'subject', 'used for'], rows, 'None.') + more);
    },
  },
];
