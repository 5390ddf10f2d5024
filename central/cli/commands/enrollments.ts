// The commands with which an administrator enrolls a machine without a token, and gives an agent that is cut off a
// recovery code.
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { findAgent, idIn } from './agents/agents.ts';
import type { Command, CommandCall } from '../command.ts';
import { LIST, readList } from '../list.ts';
import { shellWord } from '../../../shared/terminal/escape.ts';
import { SECRET_OUT, secretPlace } from '../secret-answer.ts';
import { writeAnswer } from '../files.ts';
import { facts, fingerprint, recordOf, rowsOf, shown } from '../print.ts';
import { DRY_RUN, REASON, termsOf, YES } from '../terms.ts';
import { WAIT, waitForEnd, waitSeconds } from '../watching/wait.ts';
import { WATCH } from '../watching/watch.ts';

const MAX_REQUEST_BYTES = 8192;

export const enrollmentCommands: readonly Command[] = [
  {
    name: 'enrollment-requests list',
    namedBy: 'keyThumbprint',
    usage: '[--state pending|accepted|rejected]',
    summary: 'machines that requested enrollment without a token',
    help: 'Compare the whole thumbprint with the one that "queue-agent enroll" printed on the machine, then accept or reject the request.\nRequests are possible while the parameter agents.enrollment is approve; one that is not repeated within a day is deleted.',
    options: {
      state: { type: 'string', doc: 'accepted or rejected within the last days; pending unless set' },
      ...LIST,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/enrollment-requests', { state: call.text('state') });
      const rows = rowsOf(answer, 'items').map((row) => [
        row['keyThumbprint'],
        row['name'],
        row['address'],
        row['transport'],
        row['firstRequestedAt'],
        row['lastRequestedAt'],
      ]);
      const counts = call.json
        ? ''
        : countsText(recordOf(recordOf(await call.client.request('GET', '/status'))['enrollmentRequests']));
      call.answer(
        answer,
        () =>
          call.table(
            ['key (sha256)', 'name', 'address', 'transport', 'first request', 'latest request'],
            rows,
            'No enrollment requests.',
          ) + counts,
      );
    },
  },
  {
    name: 'enrollment-requests show',
    namedBy: 'keyThumbprint',
    usage: 'THUMBPRINT [--wait]',
    summary: 'one request; with --wait when it is accepted or rejected',
    help: 'The first 8 or more digits of the thumbprint are enough when only one request begins with them.',
    options: { ...WAIT, ...WATCH },
    words: { least: 1, most: 1 },
    async run(call) {
      const [word = ''] = call.words;
      const [path, seconds] = [`/enrollment-requests/${encodeURIComponent(word)}`, waitSeconds(call)];
      const command = `enrollment-requests show ${word}`;
      const awaited = { path, what: `The enrollment request ${word}`, command, passing: ['pending'] };
      const row =
        seconds === undefined
          ? recordOf(await call.client.request('GET', path))
          : await waitForEnd(call, seconds, awaited);
      if (seconds !== undefined && row['state'] !== 'accepted') call.fail();
      call.answer(row, () =>
        facts([
          ['key (sha256)', row['keyThumbprint']],
          ['name', row['name']],
          ['id', row['agentId']],
          ['state', row['state']],
          ['address', `${shown(row['address'])} over ${shown(row['transport'])}`],
          ['first request', row['firstRequestedAt']],
          ['latest request', row['lastRequestedAt']],
          ['decided', row['decidedAt'] === null ? null : `${shown(row['decidedAt'])} by ${shown(row['decidedBy'])}`],
          ['comment', row['comment']],
        ]),
      );
    },
  },
  {
    name: 'enrollment-requests accept',
    namedBy: 'keyThumbprint',
    usage: 'THUMBPRINT',
    summary: 'accept a machine as an agent',
    help: 'The first 8 or more digits of the thumbprint are enough when only one pending request begins with them.',
    options: { ...DRY_RUN, ...REASON },
    words: { least: 1, most: 1 },
    async run(call) {
      const answer = recordOf(await decide(call, 'accept'));
      if (call.flag('dry-run')) return call.answer(answer, () => 'The request would be accepted.');
      call.answer(
        answer,
        () =>
          `Accepted: ${shown(answer['name'])}, key sha256:${shown(answer['keyThumbprint'])}\nIt receives its certificate with its next request.`,
      );
    },
  },
  {
    name: 'enrollment-requests reject',
    namedBy: 'keyThumbprint',
    usage: 'THUMBPRINT',
    summary: 'reject a machine; its next request is refused with the comment',
    options: { ...DRY_RUN, ...REASON },
    words: { least: 1, most: 1 },
    async run(call) {
      const answer = recordOf(await decide(call, 'reject'));
      if (call.flag('dry-run')) return call.answer(answer, () => 'The request would be rejected.');
      call.answer(answer, () => `Rejected: ${shown(answer['name'])}, key sha256:${shown(answer['keyThumbprint'])}`);
    },
  },
  {
    name: 'agents create',
    usage: '--csr FILE --out FILE [--name NAME] [--id ID]',
    summary: 'enroll a machine that cannot reach Central yet, from its certificate request',
    help: 'FILE of --csr is what "queue-agent certificate request" wrote there; take the file of --out to "queue-agent certificate install".\nCompare the thumbprint with the one that was printed there: a request that was replaced on its way enrolls another machine.',
    options: {
      csr: { type: 'string', doc: 'the certificate request of the machine (PKCS#10, PEM)' },
      out: {
        type: 'string',
        doc: 'the file to write: certificate, chain, roots and signing certificate as one PEM file',
      },
      name: { type: 'string', doc: 'name of the agent, instead of the one in the request' },
      id: { type: 'string', doc: 'its id, instead of the one in the request or the thumbprint of its key' },
      ...REASON,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const [file, out, name, id] = [call.text('csr'), call.text('out'), call.text('name'), call.text('id')];
      if (file === undefined || out === undefined) throw call.complain('--csr and --out are required');
      const bytes = await readBoundedFile({
        path: file,
        what: 'The request',
        maxBytes: MAX_REQUEST_BYTES,
        hint: 'Name the file that "queue-agent certificate request --out FILE" wrote.',
      });
      const body = {
        csr: bytes.toString('utf8'),
        ...(name === undefined ? {} : { name }),
        ...(id === undefined ? {} : { id }),
      };
      const answer = recordOf(await call.client.request('POST', '/agents', { query: termsOf(call), body }));
      await writeAnswer(out, Buffer.from(typeof answer['pem'] === 'string' ? answer['pem'] : ''));
      const certificate = recordOf(answer['certificate']);
      call.answer({ ...answer, file: out }, () =>
        [
          `Issued for ${shown(answer['name'])} (${shown(answer['id'])}), key sha256:${shown(answer['keyThumbprint'])}`,
          `  certificate SHA-256 ${fingerprint(certificate['thumbprint'])}, until ${shown(certificate['notAfter'])}`,
          `Take ${out} to that machine, and run there: queue-agent certificate install FILE`,
        ].join('\n'),
      );
    },
  },
  {
    name: 'agents recovery-code create',
    usage: 'AGENT [--lifetime DURATION] [--out FILE]',
    summary: 'create a code with which an agent that is cut off enrolls again',
    help: 'For an agent whose certificate expired, whose key is lost, or which no longer trusts Central. Anyone at the branch can run\n"queue-agent recover" on that machine and enter the code. The code is shown on a terminal only; otherwise, and with --out, it is in a\nnew file with mode 0600, which the answer names, also with --json. It works once, for that agent only; a new one replaces it.',
    options: {
      lifetime: { type: 'string', doc: 'time until it expires, such as 2h; 24h unless set' },
      ...SECRET_OUT,
      ...REASON,
    },
    words: { least: 1, most: 1 },
    async run(call) {
      const lifetimeSeconds = call.seconds('lifetime');
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const body = lifetimeSeconds === undefined ? {} : { lifetimeSeconds };
      const place = await secretPlace(call, 'recovery-code');
      const { code, commandLine, ...rest } = recordOf(
        await call.client.request('POST', `/agents/${idIn(agent)}/recovery-code`, { query: termsOf(call), body }),
      );
      const before = `On the machine of ${shown(recordOf(rest['agent'])['name'])}, before ${shown(rest['expiresAt'])}:`;
      const file = await place.keep(shown(code), shown(recordOf(rest['agent'])['id']));
      if (file === undefined)
        return call.answer(
          { ...rest, code },
          () => `${before}\n\n  ${shown(commandLine)}\n\nand enter this code there:\n\n  ${shown(code)}\n`,
        );
      call.answer(
        { ...rest, codeFile: file },
        () =>
          `The recovery code is in ${file} (mode 0600).\n${before}\n\n  ${shown(commandLine)} --code-file ${shellWord(file)}\n\nor without --code-file, and enter the code there.`,
      );
    },
  },
  {
    name: 'agents recovery-code show',
    usage: 'AGENT',
    summary: 'when the recovery code of an agent was made, and whether it was used; never the code',
    options: {},
    words: { least: 1, most: 1 },
    async run(call) {
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const row = recordOf(await call.client.request('GET', `/agents/${idIn(agent)}/recovery-code`));
      const used = row['usedByKeyThumbprint'];
      call.answer(row, () =>
        facts([
          ['agent', agent['name']],
          ['created', `${shown(row['createdAt'])} by ${shown(row['createdBy'])}`],
          ['expires', row['expiresAt']],
          ['used', used === null ? 'no' : `by the key sha256:${shown(used)}`],
        ]),
      );
    },
  },
  {
    name: 'agents recovery-code delete',
    usage: 'AGENT',
    summary: 'delete the recovery code of an agent, so that it can no longer be used',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: { least: 1, most: 1 },
    async run(call) {
      const agent = await findAgent(call.client, call.words[0] ?? '');
      await call.confirm({
        act: `Delete the recovery code of ${shown(agent['name'])}`,
        effect: 'The branch can no longer enter it.',
      });
      await call.client.request('DELETE', `/agents/${idIn(agent)}/recovery-code`, { query: termsOf(call) });
      call.answer({ deleted: agent['id'] }, () => `Deleted the recovery code of ${shown(agent['name'])}.`);
    },
  },
];

/** The address blocks with most requests, once a good part of the places is taken. */
function countsText(counts: Readonly<Record<string, unknown>>): string {
  if (!(Number(counts['pendingCount']) > 0)) return '';
  const blocks = rowsOf(counts, 'blocks').map((row) => `${shown(row['addressBlock'])} (${shown(row['pendingCount'])})`);
  return `\n\n${shown(counts['pendingCount'])} of ${shown(counts['maxCount'])} places are taken; by address: ${blocks.join(', ')}`;
}

async function decide(call: CommandCall, verb: 'accept' | 'reject'): Promise<unknown> {
  const request = encodeURIComponent(call.words[0] ?? '');
  return await call.client.request('POST', `/enrollment-requests/${request}/${verb}`, { query: termsOf(call) });
}
