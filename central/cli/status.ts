// The commands `status` and `ca export`.
import { replaceFile } from '../../shared/atomic-file.ts';
import { textOf } from '../../shared/errors.ts';
import type { Command } from './command.ts';
import { cliFault } from './errors.ts';
import { facts, recordOf, rowsOf, shown } from './print.ts';

/** Everybody may read the root: it is in each handshake. */
const ROOT_MODE = 0o644;

export const statusCommands: readonly Command[] = [
  {
    name: 'status',
    usage: '',
    summary: 'what listens where and how encrypted; version; what is wrong',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/status');
      const status = recordOf(answer);
      const certificate = recordOf(status['certificate']);
      const problems = Array.isArray(status['problems']) ? status['problems'] : [];
      call.answer(answer, () =>
        [
          facts([
            ['central', status['central']],
            ['version', status['version']],
            ['node', status['node']],
            ['running since', status['startedAt']],
            ...rowsOf(status, 'listeners').map((row) => [shown(row['listener']), row['text']] as const),
            ['certificate', status['certificate'] === null ? null : `${shown(certificate['subject'])}, until ${shown(certificate['notAfter'])}, for ${shown(certificate['names'])}`],
          ]),
          ...(problems.length === 0 ? [] : ['', 'Wrong:', ...problems.map((text) => `  ${shown(text)}`)]),
        ].join('\n'),
      );
    },
  },
  {
    name: 'ca export',
    usage: '[--out FILE]',
    summary: "Central's root certificate as PEM, for truststores",
    help: 'For a truststore: keytool -importcert -noprompt -alias queuegate -file FILE -keystore truststore.jks',
    options: { out: { type: 'string', doc: 'write it to this file instead of the standard output' } },
    words: { least: 0, most: 0 },
    async run(call) {
      const pem = await call.client.text('/ca/root.pem');
      const file = call.text('out');
      if (file === undefined) return call.answer({ pem }, () => pem.trimEnd());
      try {
        await replaceFile(file, Buffer.from(pem), ROOT_MODE);
      } catch (error) {
        throw cliFault('file_not_written', { file, found: textOf(error) }, error);
      }
      call.answer({ file }, () => `Written to ${file}.`);
    },
  },
];
