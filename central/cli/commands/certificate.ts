// The commands on Central's own certificate: list, request, install, import, generate, activate, restore, discard, confirm, undo.
import type { Command, CommandCall } from '../command.ts';
import { fileForRequest, writeAnswer } from '../files.ts';
import { fingerprint, recordOf, rowsOf, shown } from '../print.ts';

const PASSWORD = 'QUEUEGATE_CERTIFICATE_PASSWORD';
const KEY_PASSWORD = 'QUEUEGATE_CERTIFICATE_KEY_PASSWORD';

const AGAIN = {
  'dry-run': { type: 'boolean', doc: 'only check it, and say who would refuse it' },
  force: { type: 'boolean', doc: 'even if agents do not trust it' },
  'confirm-within': { type: 'string', doc: 'seconds within which it must be confirmed; else Central goes back' },
  'confirm-share': {
    type: 'string',
    doc: 'share of agents (0 to 1) that must be back over it by then; 0.9 unless set',
  },
  comment: { type: 'string', doc: 'why, for the audit log' },
  ticket: { type: 'string', doc: 'number of the ticket, for the audit log' },
} as const;
const SWAP = {
  ...AGAIN,
  stage: { type: 'boolean', doc: 'keep it for "queuegate certificate activate"; agents learn to trust its root first' },
} as const;
const CONFIRM_HELP =
  'With --confirm-within the agents on wss are asked to come back over it; unless enough of them do and "queuegate\ncertificate confirm" follows in time (over HTTPS), Central goes back to the one before.';

export const certificateCommands: readonly Command[] = [
  {
    name: 'certificate list',
    usage: '',
    summary: "Central's certificate: current, staged, previous, and a request that is out",
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = recordOf(await call.client.request('GET', '/certificate'));
      const request = recordOf(answer['request']);
      call.answer(answer, () =>
        [
          ...(['current', 'staged', 'previous'] as const).map((slot) =>
            answer[slot] === null ? `${slot}: none` : certificateText(slot, recordOf(answer[slot])),
          ),
          answer['request'] === null ? 'request: none' : `request: since ${shown(request['madeAt'])}, not answered yet`,
          ...(answer['pending'] === null ? [] : [pendingText(answer['pending'])]),
        ].join('\n'),
      );
    },
  },
  {
    name: 'certificate request',
    usage: '--out FILE [--key ec|rsa]',
    summary: 'a request (CSR) for another authority; its key stays in Central',
    help: 'The names are those of the configuration (advertised.names) and of the parameter certificate.subjectAlternativeNames.\nGive the answer back with "queuegate certificate install FILE".',
    options: {
      out: { type: 'string', doc: 'write it to this file' },
      key: { type: 'string', doc: 'ec (P-256, unless set) or rsa (3072 bits)' },
      comment: AGAIN.comment,
      ticket: AGAIN.ticket,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const [file, key] = [call.text('out'), call.text('key')];
      const answer = recordOf(
        await call.client.request('POST', '/certificate/request', {
          body: { ...(key === undefined ? {} : { key }), ...whyOf(call) },
        }),
      );
      const csr = typeof answer['csr'] === 'string' ? answer['csr'] : '';
      if (file === undefined) return call.answer(answer, () => csr.trimEnd());
      await writeAnswer(file, Buffer.from(csr));
      call.answer({ file }, () => `Written to ${file}. Its key stays in Central.`);
    },
  },
  {
    name: 'certificate install',
    usage: 'FILE [options]',
    summary: 'the answer to the request: checked, then shown to agents at once',
    help: `FILE is PEM or PKCS#7 (.p7b) with the certificate and everything up to the root, in any order.\n${CONFIRM_HELP}`,
    options: SWAP,
    words: { least: 1, most: 1 },
    async run(call) {
      await swap(call, '/certificate/install', await fileForRequest(call.words[0] ?? '', 'The certificate'));
    },
  },
  {
    name: 'certificate import',
    usage: 'FILE [--key FILE] [--password-file FILE] [options]',
    summary: 'a certificate with its key from elsewhere: PEM, PKCS#12 or JKS',
    help: CONFIRM_HELP,
    options: {
      ...SWAP,
      key: { type: 'string', doc: 'PEM file with the key, when FILE has the certificates only' },
      alias: { type: 'string', doc: 'which entry, when FILE has several keys' },
      'password-file': { type: 'string', doc: `file with the password (or ${PASSWORD})` },
      'key-password-file': { type: 'string', doc: `file with the key's own password (or ${KEY_PASSWORD})` },
    },
    words: { least: 1, most: 1 },
    async run(call) {
      const [key, alias] = [call.text('key'), call.text('alias')];
      const [password, keyPassword] = [
        await call.secret('password-file', PASSWORD),
        await call.secret('key-password-file', KEY_PASSWORD),
      ];
      await swap(call, '/certificate/import', {
        ...(await fileForRequest(call.words[0] ?? '', 'The certificate')),
        ...(key === undefined ? {} : { key: (await fileForRequest(key, 'The key')).file }),
        ...(alias === undefined ? {} : { alias }),
        ...(password === undefined ? {} : { password }),
        ...(keyPassword === undefined ? {} : { keyPassword }),
      });
    },
  },
  {
    name: 'certificate generate',
    usage: '[options]',
    summary: "a new one by Central's own authority",
    help: CONFIRM_HELP,
    options: SWAP,
    words: { least: 0, most: 0 },
    run: (call) => swap(call, '/certificate/generate', {}),
  },
  {
    name: 'certificate activate',
    usage: '[options]',
    summary: 'show the staged one',
    help: CONFIRM_HELP,
    options: AGAIN,
    words: { least: 0, most: 0 },
    run: (call) => swap(call, '/certificate/activate', {}),
  },
  {
    name: 'certificate restore',
    usage: '[options]',
    summary: 'go back to the previous one',
    help: CONFIRM_HELP,
    options: AGAIN,
    words: { least: 0, most: 0 },
    run: (call) => swap(call, '/certificate/restore', {}),
  },
  {
    name: 'certificate discard',
    usage: '',
    summary: 'forget the staged one',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      await call.client.request('DELETE', '/certificate/staged');
      call.answer({ staged: null }, () => 'Nothing is staged any more.');
    },
  },
  {
    name: 'certificate confirm',
    usage: '[--force]',
    summary: 'let the pending certificate stay',
    options: { force: { type: 'boolean', doc: 'even if fewer agents are back than was asked for' } },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('POST', '/certificate/confirm', { body: { force: call.flag('force') } });
      call.answer(answer, () => 'The certificate is confirmed and stays.');
    },
  },
  {
    name: 'certificate undo',
    usage: '',
    summary: 'go back from the pending certificate at once',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('POST', '/certificate/undo', { body: {} });
      call.answer(answer, () => 'The certificate before is shown again.');
    },
  },
];

async function swap(call: CommandCall, path: string, file: Readonly<Record<string, unknown>>): Promise<void> {
  const [withinSeconds, share] = [call.number('confirm-within'), call.number('confirm-share')];
  if (withinSeconds === undefined && share !== undefined)
    throw call.complain('--confirm-share says nothing without --confirm-within');
  const confirm =
    withinSeconds === undefined ? {} : { confirm: { withinSeconds, ...(share === undefined ? {} : { share }) } };
  const body = {
    ...file,
    dryRun: call.flag('dry-run'),
    force: call.flag('force'),
    ...(call.flag('stage') ? { stage: true } : {}),
    ...whyOf(call),
    ...confirm,
  };
  const answer = recordOf(await call.client.request('POST', path, { body }));
  const title = answer['dryRun'] === true ? 'would be shown' : answer['staged'] === true ? 'staged' : 'shown';
  const cutOff = rowsOf(answer, 'cutOff').map((row) => `  ${shown(row['name'])}`);
  call.answer(answer, () =>
    [
      certificateText(title, recordOf(answer['certificate'])),
      ...(cutOff.length === 0 ? [] : ['These agents do not trust it, as far as is known:', ...cutOff]),
      ...(Array.isArray(answer['notices']) ? answer['notices'].map((notice) => `Note: ${shown(notice)}`) : []),
      ...(answer['pending'] === null ? [] : [pendingText(answer['pending'])]),
    ].join('\n'),
  );
}

function certificateText(title: string, certificate: Readonly<Record<string, unknown>>): string {
  return [
    `${title}: ${shown(certificate['subject'])} (${shown(certificate['origin'])}), until ${shown(certificate['notAfter'])}`,
    `  for ${shown(certificate['names'])}`,
    `  SHA-256 ${fingerprint(certificate['thumbprint'])}`,
    `  issued by ${shown(certificate['issuer'])}; root ${fingerprint(certificate['root'])}`,
  ].join('\n');
}

function pendingText(value: unknown): string {
  const pending = recordOf(value);
  return `Not confirmed yet: Central goes back at ${shown(pending['deadline'])} unless "queuegate certificate confirm" is given before, over HTTPS, and ${Math.round(Number(pending['share']) * 100)} % of the ${shown(pending['agents'])} agents are back.`;
}

function whyOf(call: CommandCall): Record<string, string> {
  const [comment, ticket] = [call.text('comment'), call.text('ticket')];
  return { ...(comment === undefined ? {} : { comment }), ...(ticket === undefined ? {} : { ticket }) };
}
