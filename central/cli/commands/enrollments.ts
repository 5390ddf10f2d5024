// The commands by which an administrator makes agents of machines without a token, and of an agent that is cut off itself again.
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { findAgent, idIn } from './agents.ts';
import type { Command, CommandCall } from '../command.ts';
import { shellWord } from '../../../shared/terminal/escape.ts';
import { SECRET_OUT, secretPlace } from '../secret-answer.ts';
import { writeAnswer } from '../files.ts';
import { fingerprint, recordOf, rowsOf, shown, table } from '../print.ts';

const MAX_REQUEST_BYTES = 8192;

const reasons = {
  comment: { type: 'string', doc: 'why, for the audit log' },
  ticket: { type: 'string', doc: 'number of the ticket, for the audit log' },
} as const;

export const enrollmentCommands: readonly Command[] = [
  {
    name: 'agents pending',
    usage: '[--state pending|accepted|rejected]',
    summary: 'machines that asked to become agents without a token',
    help: 'Compare the whole thumbprint with the one that "queue-agent enroll" printed on the machine, then accept or reject it.\nThey may ask while the parameter agents.enrollment is approve; one that has not asked for a day is forgotten.',
    options: {
      state: { type: 'string', doc: 'those that were accepted or rejected within the last days; pending unless set' },
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/pending-enrollments', {
        query: { state: call.text('state'), limit: 1000 },
      });
      const rows = rowsOf(answer, 'pendingEnrollments').map((row) => [
        row['keyThumbprint'],
        row['name'],
        row['address'],
        row['transport'],
        row['firstAskedAt'],
        row['lastAskedAt'],
      ]);
      call.answer(
        answer,
        () =>
          table(
            ['key (sha256)', 'name', 'address', 'transport', 'asked first', 'asked last'],
            rows,
            'No pending enrollments.',
          ) + countsText(recordOf(recordOf(answer)['counts'])),
      );
    },
  },
  {
    name: 'agents accept',
    usage: 'THUMBPRINT',
    summary: 'make an agent of a machine that asked',
    help: 'The first 8 digits or more of the thumbprint are enough, where only one that waits begins so.',
    options: reasons,
    words: { least: 1, most: 1 },
    async run(call) {
      const answer = recordOf(await decide(call, 'accept'));
      call.answer(
        answer,
        () =>
          `Accepted: ${shown(answer['name'])}, key sha256:${shown(answer['keyThumbprint'])}\nIts next asking brings it its certificate.`,
      );
    },
  },
  {
    name: 'agents reject',
    usage: 'THUMBPRINT',
    summary: 'refuse a machine that asked; it is told, with the comment',
    options: reasons,
    words: { least: 1, most: 1 },
    async run(call) {
      const answer = recordOf(await decide(call, 'reject'));
      call.answer(answer, () => `Rejected: ${shown(answer['name'])}, key sha256:${shown(answer['keyThumbprint'])}`);
    },
  },
  {
    name: 'agents issue',
    usage: '--csr FILE --out FILE [--name NAME] [--id ID]',
    summary: 'make an agent of a machine that cannot reach Central yet, from its request',
    help: 'FILE of --csr is what "queue-agent request" wrote there; take the file of --out back to "queue-agent install-certificate".\nCompare the thumbprint with the one that was printed there: a request that was exchanged on its way makes an agent of a stranger.',
    options: {
      csr: { type: 'string', doc: 'the request of the machine (PKCS#10, PEM)' },
      out: {
        type: 'string',
        doc: 'where the answer is written: certificate, chain, roots and signing certificate as one PEM file',
      },
      name: { type: 'string', doc: 'name of the agent, in place of the one in the request' },
      id: { type: 'string', doc: 'its id, in place of the one in the request, or of the thumbprint of its key' },
      ...reasons,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const [file, out] = [call.text('csr'), call.text('out')];
      if (file === undefined || out === undefined) throw call.complain('--csr and --out are needed');
      const bytes = await readBoundedFile({
        path: file,
        what: 'The request',
        maxBytes: MAX_REQUEST_BYTES,
        hint: 'Name the file that "queue-agent request --out FILE" wrote.',
      });
      const body = { csr: bytes.toString('utf8'), ...given(call, 'name', 'id', 'comment', 'ticket') };
      const answer = recordOf(await call.client.request('POST', '/agents/issue', { body }));
      await writeAnswer(out, Buffer.from(typeof answer['pem'] === 'string' ? answer['pem'] : ''));
      call.answer({ ...answer, file: out }, () =>
        [
          `Issued for ${shown(answer['name'])} (${shown(answer['id'])}), key sha256:${shown(answer['keyThumbprint'])}`,
          `  certificate SHA-256 ${fingerprint(recordOf(answer['certificate'])['thumbprint'])}, until ${shown(recordOf(answer['certificate'])['notAfter'])}`,
          `Take ${out} to that machine, and there: queue-agent install-certificate FILE`,
        ].join('\n'),
      );
    },
  },
  {
    name: 'agents rescue',
    usage: 'AGENT [--hours N] [--out FILE]',
    summary: 'make a code with which an agent that is cut off enrolls again',
    help: 'For an agent whose certificate expired, whose key is lost, or which no longer trusts Central. Anybody at the branch can run\n"queue-agent recover" on that machine and enter the code. The code is shown on a terminal only; otherwise, and with --out, it is in a new\nfile with mode 0600, which the answer names, also with --json. It can be used once, by that agent only; a new one replaces it.',
    options: { hours: { type: 'string', doc: 'hours until it expires; default 24' }, ...SECRET_OUT, ...reasons },
    words: { least: 1, most: 1 },
    async run(call) {
      const hours = call.number('hours');
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const body = { ...(hours === undefined ? {} : { hours }), ...given(call, 'comment', 'ticket') };
      const place = await secretPlace(call, 'recovery-code');
      const {
        code,
        line: _line,
        ...rest
      } = recordOf(await call.client.request('POST', `/agents/${idIn(agent)}/rescue`, { body }));
      const before = `On the machine of ${shown(rest['name'])}, before ${shown(rest['expiresAt'])}:`;
      const file = await place.keep(shown(code), shown(rest['id']));
      if (file === undefined)
        return call.answer(
          { ...rest, code },
          () => `${before}\n\n  queue-agent recover\n\nand enter this code there:\n\n  ${shown(code)}\n`,
        );
      call.answer(
        { ...rest, codeFile: file },
        () =>
          `The recovery code is in ${file} (mode 0600).\n${before}\n\n  queue-agent recover --code-file ${shellWord(file)}\n\nor without --code-file, and enter the code there.`,
      );
    },
  },
];

/** From where the most come, once a good part of the places is taken. */
function countsText(counts: Readonly<Record<string, unknown>>): string {
  if (!(Number(counts['pending']) > 0)) return '';
  const blocks = rowsOf(counts, 'blocks').map((row) => `${shown(row['block'])} (${shown(row['pending'])})`);
  return `\n\n${shown(counts['pending'])} of ${shown(counts['most'])} places are taken; by address: ${blocks.join(', ')}`;
}

async function decide(call: CommandCall, act: 'accept' | 'reject'): Promise<unknown> {
  return await call.client.request('POST', `/pending-enrollments/${encodeURIComponent(call.words[0] ?? '')}/${act}`, {
    body: given(call, 'comment', 'ticket'),
  });
}

/** The options that were given, as members of a body. */
function given(call: CommandCall, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = call.text(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
