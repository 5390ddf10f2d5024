// The commands on Central's own certificate: show, request, install, import, issue, activate, discard.
import type { Command, CommandCall } from '../command.ts';
import { fileForRequest, KEYSTORE_PASSWORD, uploadOf, writeAnswer } from '../files.ts';
import { fingerprint, recordOf, rowsOf, shown } from '../print.ts';
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
import { awaitChange, checkWait, WAIT } from '../watching/wait.ts';

const KEY_PASSWORD = 'QUEUEGATE_KEY_PASSWORD';

const ACTIVATE = { ...DRY_RUN, ...FORCE, ...YES, ...CONFIRM, ...WAIT, ...REASON } as const;
const SWAP = {
  ...ACTIVATE,
  stage: {
    type: 'boolean',
    doc: 'keep it for "queuegate server-certificate activate"; agents learn to trust its root first',
  },
} as const;
const CONFIRM_HELP =
  'With --confirm-within the agents on wss are asked to reconnect over it. Central rolls back to the previous certificate unless enough of\nthem reconnect and "queuegate changes confirm" follows in time, over HTTPS.';

export const serverCertificateCommands: readonly Command[] = [
  {
    name: 'server-certificate show',
    usage: '',
    summary: "Central's certificate: current, staged, previous, and the open request",
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = recordOf(await call.client.request('GET', '/server-certificate'));
      const request = recordOf(answer['request']);
      call.answer(answer, () =>
        [
          ...(['current', 'staged', 'previous'] as const).map((slot) =>
            answer[slot] === null ? `${slot}: none` : certificateText(slot, recordOf(answer[slot])),
          ),
          answer['request'] === null ? 'request: none' : `request: open since ${shown(request['createdAt'])}`,
          ...pendingText(answer['change']),
        ].join('\n'),
      );
    },
  },
  {
    name: 'server-certificate request create',
    usage: '[--out FILE] [--key-algorithm ec|rsa]',
    summary: 'create a request (CSR) for another authority; its key stays in Central',
    help: 'The names are those of the configuration (advertised.names) and of the parameter certificate.subjectAlternativeNames.\nInstall the answer with "queuegate server-certificate install FILE".',
    options: {
      out: { type: 'string', doc: 'write it to this file instead of the standard output' },
      'key-algorithm': { type: 'string', doc: 'ec (P-256, unless set) or rsa (3072 bits)' },
      ...REASON,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const [file, keyAlgorithm] = [call.text('out'), call.text('key-algorithm')];
      const answer = recordOf(
        await call.client.request('POST', '/server-certificate/request', {
          query: termsOf(call),
          body: keyAlgorithm === undefined ? {} : { keyAlgorithm },
        }),
      );
      const csr = typeof answer['csr'] === 'string' ? answer['csr'] : '';
      if (file === undefined) return call.answer(answer, () => csr.trimEnd());
      await writeAnswer(file, Buffer.from(csr));
      call.answer({ file }, () => `Written to ${file}. Its key stays in Central.`);
    },
  },
  {
    name: 'server-certificate request delete',
    usage: '',
    summary: 'delete the open request with its key',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: { least: 0, most: 0 },
    async run(call) {
      await call.confirm({
        act: 'Delete the request for a server certificate',
        effect: 'Its key is lost, and the answer of the authority can no longer be installed.',
      });
      await call.client.request('DELETE', '/server-certificate/request', { query: termsOf(call) });
      call.answer({ request: null }, () => 'No request is open.');
    },
  },
  {
    name: 'server-certificate install',
    usage: 'FILE [options]',
    summary: 'install the answer to the request; agents see it at once',
    help: `FILE is PEM or PKCS#7 (.p7b) with the certificate and its chain up to the root, in any order.\n${CONFIRM_HELP}`,
    options: SWAP,
    asks: 'forced',
    words: { least: 1, most: 1 },
    async run(call) {
      await swap(call, 'install', await fileForRequest(call.words[0] ?? '', 'The certificate'));
    },
  },
  {
    name: 'server-certificate import',
    usage: 'FILE [--key-file FILE] [--password-file FILE] [options]',
    summary: 'import a certificate with its key: PEM, PKCS#12 or JKS',
    help: CONFIRM_HELP,
    options: {
      ...SWAP,
      'key-file': { type: 'string', doc: 'PEM file with the key, when FILE has the certificates only' },
      alias: { type: 'string', doc: 'the entry to use, when FILE has several keys' },
      'password-file': { type: 'string', doc: `file with the password (or ${KEYSTORE_PASSWORD})` },
      'key-password-file': { type: 'string', doc: `file with the key's own password (or ${KEY_PASSWORD})` },
    },
    asks: 'forced',
    words: { least: 1, most: 1 },
    async run(call) {
      const upload = await uploadOf(call, call.words[0] ?? '', 'The certificate');
      const keyPassword = await call.secret('key-password-file', KEY_PASSWORD);
      await swap(call, 'import', { ...upload, ...(keyPassword === undefined ? {} : { keyPassword }) });
    },
  },
  {
    name: 'server-certificate issue',
    usage: '[options]',
    summary: "issue a new one with Central's own authority",
    help: CONFIRM_HELP,
    options: SWAP,
    asks: 'forced',
    words: { least: 0, most: 0 },
    run: (call) => swap(call, 'issue'),
  },
  {
    name: 'server-certificate activate',
    usage: '[--previous] [options]',
    summary: 'activate the staged one, or the previous one',
    help: CONFIRM_HELP,
    options: { previous: { type: 'boolean', doc: 'return to the previous one' }, ...ACTIVATE },
    asks: 'forced',
    words: { least: 0, most: 0 },
    run: (call) => swap(call, 'activate', { slot: call.flag('previous') ? 'previous' : 'staged' }),
  },
  {
    name: 'server-certificate discard',
    usage: '',
    summary: 'delete the staged one',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: { least: 0, most: 0 },
    async run(call) {
      await call.confirm({
        act: 'Delete the staged server certificate',
        effect: 'It can no longer be activated, and its key is lost.',
      });
      await call.client.request('DELETE', '/server-certificate/staged', {
        query: termsOf(call),
      });
      call.answer({ staged: null }, () => 'No certificate is staged.');
    },
  },
];

async function swap(call: CommandCall, verb: string, body?: Readonly<Record<string, unknown>>): Promise<void> {
  const which = call.words[0] ?? (verb === 'activate' ? `the ${shown(body?.['slot'])} one` : 'a new one');
  checkWait(call);
  await confirmForce(
    call,
    `Force "server-certificate ${verb}" of ${which}`,
    'Agents that do not trust it may be cut off.',
  );
  const report = await call.client.request('POST', `/server-certificate/${verb}`, { query: termsOf(call), body });
  const answer = await awaitChange(call, recordOf(report));
  const slot = shown(rowsOf(answer, 'changed')[0]?.['name']);
  const title = answer['dryRun'] === true ? `would be ${slot}` : slot;
  call.answer(answer, () =>
    [
      certificateText(title, recordOf(answer['result'])),
      ...cutOffText(answer, 'These agents do not trust it, as far as is known:'),
      ...noticeText(answer),
      ...pendingText(answer['change']),
    ].join('\n'),
  );
}

function certificateText(title: string, certificate: Readonly<Record<string, unknown>>): string {
  return [
    `${title}: ${shown(certificate['subject'])} (${shown(certificate['origin'])}), until ${shown(certificate['notAfter'])}`,
    `  for ${shown(certificate['names'])}`,
    `  SHA-256 ${fingerprint(certificate['thumbprint'])}`,
    `  issued by ${shown(certificate['issuerSubject'])}; root ${fingerprint(certificate['rootThumbprint'])}`,
  ].join('\n');
}
