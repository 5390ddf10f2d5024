// No agent gets what is meant for another agent by taking its name as an id, or its id as a name: the attack, in both
// directions and through every way in, against a real Central; and what becomes of records from before there were
// rules.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeRequest } from '../../agent/enrollment/csr.ts';
import { CentralProcess, Cleanup, type Answer } from './processes.ts';
import { enrollKey, newKey, RawAgent, type RawKey } from './raw-agent.ts';

const cleanup = new Cleanup();
const lasting = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

let made = 0;

interface Known {
  readonly key: RawKey;
  readonly id: string;
  readonly name: string;
}

async function known(name = `branch-${(made += 1)}`, id?: string): Promise<Known> {
  const key = newKey();
  return { key, id: await enrollKey(central, key, name, id), name };
}

async function csrOf(key: RawKey, name: string, id?: string): Promise<string> {
  return (
    await makeRequest(
      { privateKey: key.privateKey, pem: '', publicKey: key.spki, thumbprint: key.thumbprint },
      name,
      id,
    )
  ).pem;
}

const codeOf = ({ body }: Answer): string => String(body.type).replace('urn:queuegate:error:', '');

async function enrollmentCode(name: string, id?: string): Promise<string> {
  return await enrollKey(central, newKey(), name, id).then(
    () => 'enrolled',
    (error: Error) => (JSON.parse(error.message) as { type: string }).type.replace('urn:queuegate:error:', ''),
  );
}

async function issueCode(name: string, id?: string): Promise<string> {
  const answer = await central.rest('POST', '/agents', { csr: await csrOf(newKey(), name, id) });
  return answer.status === 200 ? 'issued' : codeOf(answer);
}

/** Asks without a token, and is accepted. */
async function acceptCode(name: string, id?: string): Promise<string> {
  const key = newKey();
  const asked = await fetch(`http://127.0.0.1:${central.ports.ws}/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ csr: await csrOf(key, name, id), name, ...(id === undefined ? {} : { id }) }),
  });
  // Whether the id or the name is taken is not said to a stranger.
  expect([asked.status, await asked.json()]).toMatchObject([202, { state: 'pending' }]);
  const answer = await central.rest('POST', `/enrollment-requests/${key.thumbprint}/accept`, {});
  return answer.status === 200 ? 'accepted' : codeOf(answer);
}

describe("another agent's name or id cannot be taken", () => {
  it('as an id: with a token, from a file, and by an administrator who accepts it, in whatever case', async () => {
    const victim = await known();
    await central.change({ 'agents.enrollment': 'approve' });
    for (const id of [victim.name, victim.name.toUpperCase(), victim.id.toUpperCase()]) {
      expect([id, await enrollmentCode('mine', id), await issueCode('mine', id), await acceptCode('mine', id)]).toEqual(
        [id, 'agent_id_taken', 'agent_id_taken', 'agent_id_taken'],
      );
    }
    await central.change({ 'agents.enrollment': null });
    expect(await central.agent('mine')).toBeUndefined();
  });

  it('as a name: at enrollment, and when an agent comes with it', async () => {
    const victim = await known(undefined, `Pc-${(made += 1)}`);
    await central.change({ 'agents.enrollment': 'approve' });
    for (const name of [victim.id, victim.id.toLowerCase(), victim.name.toUpperCase()]) {
      expect([name, await enrollmentCode(name), await issueCode(name), await acceptCode(name)]).toEqual([
        name,
        'agent_name_taken',
        'agent_name_taken',
        'agent_name_taken',
      ]);
      const thief = await known();
      expect(await (await RawAgent.ws(cleanup, central)).refused({ ...thief, name })).toEqual({
        code: 'agent_name_taken',
        close: 4408,
      });
      expect(await central.agent(thief.name)).toMatchObject({ id: thief.id, epoch: 0 });
    }
    await central.change({ 'agents.enrollment': null });
  });

  it('so that its commands, its recovery code and its revocation are its own', async () => {
    const [victim, thief] = [await known(), await known()];
    for (const id of [victim.name, victim.id]) await enrollmentCode(thief.name, id);
    const session = await RawAgent.ws(cleanup, central);
    await session.welcomed(victim);
    expect(await central.cli('commands', 'send', victim.name, '--type', 'secret')).toMatchObject({ code: 0 });
    expect((await central.rest('GET', `/agents/${victim.id}`)).body.logs.down).toMatchObject({ messageCount: 1 });
    expect((await central.rest('POST', `/agents/${victim.name.toUpperCase()}/recovery-code`, {})).body).toMatchObject({
      agent: { id: victim.id, name: victim.name },
    });
    expect((await central.rest('POST', `/agents/${victim.id.slice(0, 12)}/revoke`, {})).body).toMatchObject({
      id: victim.id,
      state: 'revoked',
    });
    expect((await session.close()).code).toBe(4412);
    expect((await central.rest('GET', `/agents/${thief.name}`)).body).toMatchObject({
      id: thief.id,
      state: 'enrolled',
      logs: { down: { messageCount: 0 } },
    });
  });

  it('nor are reserved names, those that a token is bound to, and ids that are not plain', async () => {
    await central.rest('POST', '/enrollment-tokens', { agentName: 'Bound-1' });
    for (const word of ['all', 'ALL', 'localhost', 'bound-1', 'Central-Agent']) {
      const expected = word === 'Central-Agent' ? 'enrollment_name_reserved' : 'agent_name_reserved';
      expect([word, await enrollmentCode(word), await enrollmentCode('mine', word), await issueCode(word)]).toEqual([
        word,
        expected,
        'agent_name_reserved',
        expected,
      ]);
    }
    const agent = await known();
    for (const name of ['all', 'localhost', 'bound-1', 'central-agent'])
      expect([name, await (await RawAgent.ws(cleanup, central)).refused({ ...agent, name })]).toEqual([
        name,
        { code: 'agent_name_taken', close: 4408 },
      ]);
    for (const agentName of ['central-agent', 'all', 'LOCALHOST'])
      expect(codeOf(await central.rest('POST', '/enrollment-tokens', { agentName }))).toBe('agent_name_reserved');
    for (const id of ['two words', 'caf\u00e9', 'a\u202eb', 'a\tb', ' x'])
      expect([id, await enrollmentCode('mine', id), await issueCode('mine', id)]).toEqual([
        id,
        'enrollment_request_bad',
        'agent_id_invalid',
      ]);
    for (const id of ['.', '..'])
      expect([id, await enrollmentCode('mine', id), await issueCode('mine', id)]).toEqual([
        id,
        'agent_id_invalid',
        'agent_id_invalid',
      ]);
  });

  it('and every id that is let in is reached by its path, whatever characters it has', async () => {
    for (const id of ['a/b', 'a%2Fb', '100%25', '?x=1', '#x', 'a+b&c=d', 'it\'s"<>', '...', '~'.repeat(255)]) {
      const agent = await known(undefined, id);
      expect((await central.rest('GET', `/agents/${encodeURIComponent(id)}`)).body).toMatchObject({
        id,
        name: agent.name,
      });
      expect((await central.rest('GET', `/incidents?agent=${encodeURIComponent(id)}`)).status).toBe(200);
      expect(await central.cli('agents', 'delete', id, '--yes')).toMatchObject({ code: 0 });
    }
  });
});

describe('events and incidents of an agent', () => {
  it('are listed by name, and an agent that does not exist is an error', async () => {
    const agent = await known();
    const session = await RawAgent.ws(cleanup, central);
    await session.welcomed(agent);
    session.send({ type: 'begin', incarnation: 'one', next: 1, missing: null });
    session.send({
      type: 'messages',
      first: 1,
      items: [{ specversion: '1.0', id: 'e1', source: '/s', type: 'of.mine' }],
    });
    await session.frame('ack');
    for (const word of [agent.id, agent.name, agent.name.toUpperCase(), agent.id.slice(0, 8)])
      expect((await central.cli('events', 'list', '--agent', word)).stdout).toContain('of.mine');
    for (const line of [
      ['events', 'list'],
      ['events', 'list', '--follow'],
      ['incidents', 'list'],
      ['dead-letters', 'list'],
    ]) {
      expect(await central.cli(...line, '--agent', 'no-such')).toMatchObject({
        code: 5,
        stdout: '',
        stderr: expect.stringContaining('(agent_unknown)'),
      });
    }
    // What it sent is there when it is gone, by its full id.
    expect((await central.rest('DELETE', `/agents/${agent.name}`)).status).toBe(204);
    expect((await central.events(`&agent=${agent.id}`)).map(({ event }) => event['id'])).toEqual(['e1']);
    expect((await central.rest('GET', `/events?agent=${agent.name}`)).status).toBe(404);
  });
});

describe('records from before the rules', () => {
  it('are reported at the start, leave Central healthy, and are reached by their full id', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.start(cleanup, folder);
    const [victimKey, thiefKey] = [newKey(), newKey()];
    const victimId = await enrollKey(first, victimKey, 'victim');
    const thiefId = await enrollKey(first, thiefKey, 'thief');
    await first.stop();
    const database = new DatabaseSync(join(folder, 'central.db'));
    for (const statement of [
      'UPDATE agent SET id = ? WHERE id = ?',
      'UPDATE agent_certificate SET agent_id = ? WHERE agent_id = ?',
    ])
      database.prepare(statement).run('VICTIM', thiefId);
    database.close();
    const second = await CentralProcess.start(cleanup, folder);
    await second.process.printed(
      /"first":\["The agent \\"thief\\" with the id \\"VICTIM\\" breaks a rule[^\n]*break the rules; each is reached by its full id/,
    );
    const { body } = await second.rest('GET', '/status');
    expect(body.problems).toEqual([
      expect.objectContaining({
        code: 'agent_record_invalid',
        detail: expect.stringMatching(
          /^The agent "thief" with the id "VICTIM" breaks a rule: its id is the name of the agent [0-9a-f]{64}/,
        ),
      }),
    ]);
    expect((await second.cli('status')).stdout).toContain('"thief"');
    expect((await fetch(`http://127.0.0.1:${second.ports.http}/api/v1/health/ready`)).status).toBe(200);
    expect((await second.rest('GET', '/agents/VICTIM')).body).toMatchObject({ name: 'thief' });
    for (const word of [victimId, 'victim', 'Victim'])
      expect((await second.rest('GET', `/agents/${word}`)).body).toMatchObject({ id: victimId, name: 'victim' });
    await (await RawAgent.ws(cleanup, second)).welcomed({ id: 'VICTIM', key: thiefKey, name: 'thief' });
    expect((await second.rest('DELETE', '/agents/VICTIM')).status).toBe(204);
    expect((await second.rest('GET', '/agents/victim')).body).toMatchObject({ id: victimId });
  });
});
