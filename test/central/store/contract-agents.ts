// The part of the contract that concerns agents, their enrollment and their sessions.
import { beforeEach, describe, expect, it } from 'vitest';
import type { ClaimedSession } from '../../../central/store/agent-store.ts';
import { keptReason, stateReason } from '../../../central/store/agents/state-reasons.ts';
import type { CodedError } from '../../../shared/errors.ts';
import { refusal } from '../../../shared/wire/refusals.ts';
import type { Store } from '../../../central/store/store.ts';
import {
  ACT,
  claimOf,
  DAY,
  enrollmentToken,
  items,
  message,
  NOW,
  online,
  registered,
  ROOM,
  eachEngine,
  type Engine,
  type OpenEngine,
} from './samples.ts';
import { positionId } from '../../shared/sqlite/position-id.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

export function agentContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  const newAgent = (id: string, changes = {}) => ({
    id,
    name: id,
    publicKey: `key of ${id}`,
    keyThumbprint: `thumbprint of ${id}`,
    now: NOW,
    ...changes,
  });

  it('registers an agent, finds it by id, key and name in any case, and keeps it over a restart', async () => {
    const agent = await registered(store, 'a1', 'Branch-12');
    expect(agent).toMatchObject({
      id: 'a1',
      name: 'Branch-12',
      state: 'enrolled',
      epoch: 0,
      session: null,
      stateUntil: null,
      quarantinedUntil: null,
      enrolledAt: NOW,
      enrolledBy: 'token-a1',
    });
    expect(agent.outbox).toMatchObject({ messages: 0, bytes: 0, oldestAt: null });
    expect(agent.inbox).toEqual({ incarnation: null, number: 0, lastAt: null });
    store = await engine.restart();
    expect(await store.agents.get('a1')).toEqual(agent);
    expect(await store.agents.findByKey('thumbprint of a1')).toEqual(agent);
    expect(await store.agents.findByName('bRANCH-12')).toEqual(agent);
    expect(await store.agents.get('a2')).toBeUndefined();
    expect(await store.agents.findByName('branch')).toBeUndefined();
  });

  it('keeps the last report of the consumers of an agent, unless it is of an older session, over a restart until the agent is deleted', async () => {
    await registered(store, 'a1');
    await registered(store, 'a2');
    const { epoch } = await store.agents.claimSession(claimOf('a1'));
    expect(await store.agents.consumersOf('a1')).toBeUndefined();
    const report = (agentId: string, of: number, waitingCount: number) => ({
      agentId,
      epoch: of,
      at: NOW + waitingCount,
      position: { incarnation: 'A', number: 9, id: 'x' },
      inboxFull: true,
      consumers: [{ name: 'default', types: ['t.*'], waitingFrom: 4, waitingCount }],
    });
    const last = report('a1', epoch, 2);
    await store.agents.recordConsumers([
      report('a1', epoch, 1),
      last,
      report('a1', epoch - 1, 3),
      report('a2', 5, 1),
      report('no-such', 1, 1),
    ]);
    expect(await store.agents.consumersOf('a1')).toEqual(last);
    expect(await store.agents.consumersOf('a2')).toBeUndefined();
    store = await engine.restart();
    expect(await store.agents.consumersOf('a1')).toEqual(last);
    await store.agents.remove('a1', ACT);
    expect(await store.agents.consumersOf('a1')).toBeUndefined();
  });

  it('takes a token only as often and as long as it may, and uses none up for what it refuses', async () => {
    await store.tokens.addEnrollmentToken(enrollmentToken('two', { maxUses: 2 }), ACT);
    await store.tokens.addEnrollmentToken(enrollmentToken('old', { expiresAt: NOW }), ACT);
    await store.agents.register(newAgent('a1'), 'two', ACT);
    await expect(store.agents.register(newAgent('a2', { name: 'A1' }), 'two', ACT)).rejects.toMatchObject({
      code: 'agent_name_taken',
      status: 409,
    });
    expect(await store.tokens.getEnrollmentToken('two')).toMatchObject({ uses: 1 });
    await store.agents.register(newAgent('a2'), 'two', ACT);
    await expect(store.agents.register(newAgent('a3'), 'two', ACT)).rejects.toMatchObject({
      code: 'token_used',
      status: 403,
    });
    await expect(store.agents.register(newAgent('a3'), 'old', ACT)).rejects.toMatchObject({
      code: 'token_expired',
      status: 403,
    });
    await expect(store.agents.register(newAgent('a3'), 'none', ACT)).rejects.toMatchObject({ code: 'token_unknown' });
    expect(await store.agents.get('a3')).toBeUndefined();
  });

  it('uses a one-time token once, however many ask at the same moment', async () => {
    await store.tokens.addEnrollmentToken(enrollmentToken('once'), ACT);
    const outcomes = await Promise.allSettled(
      ['a1', 'a2', 'a3', 'a4'].map((id) => store.agents.register(newAgent(id), 'once', ACT)),
    );
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ]);
  });

  it('repairs a lost answer: the same key with the same token again uses nothing up', async () => {
    const agent = await registered(store, 'a1');
    expect(await store.agents.register(newAgent('a1'), 'token-a1', ACT)).toEqual(agent);
    expect(await store.tokens.getEnrollmentToken('token-a1')).toMatchObject({ uses: 1 });
    await expect(store.agents.register(newAgent('a1'), 'none', ACT)).rejects.toMatchObject({ code: 'token_unknown' });
  });

  it('refuses another key under a known id, and a known key under another id', async () => {
    await registered(store, 'a1');
    await store.tokens.addEnrollmentToken(enrollmentToken('t'), ACT);
    await expect(store.agents.register(newAgent('a1', { keyThumbprint: 'other' }), 't', ACT)).rejects.toMatchObject({
      code: 'agent_id_taken',
    });
    await expect(
      store.agents.register(newAgent('a2', { keyThumbprint: 'thumbprint of a1' }), 't', ACT),
    ).rejects.toMatchObject({ code: 'agent_key_known' });
  });

  describe('one namespace of ids and names', () => {
    const taken = (id: string, name: string, code: string) =>
      expect(store.agents.register(newAgent(id, { name }), 't', ACT), `${id} ${name}`).rejects.toMatchObject({
        code,
        status: 409,
      });
    const claimed = (id: string, name: string) => store.agents.claimSession(claimOf(id, { name }));

    beforeEach(async () => {
      await registered(store, 'Victim-Id', 'Victim-Name');
      await store.tokens.addEnrollmentToken(enrollmentToken('t', { maxUses: 99 }), ACT);
    });

    it("an id that is another agent's name, and a name that is another agent's id, are refused at enrollment, in whatever case", async () => {
      for (const id of ['Victim-Name', 'victim-name', 'VICTIM-NAME', 'victim-id', 'VICTIM-ID'])
        await taken(id, 'mine', 'agent_id_taken');
      for (const name of ['Victim-Id', 'victim-id', 'VICTIM-NAME']) await taken('mine', name, 'agent_name_taken');
      await expect(
        store.enrollments.admit(newAgent('victim-name', { name: 'mine' }), 'admin', ACT),
      ).rejects.toMatchObject({
        code: 'agent_id_taken',
      });
      await expect(
        store.enrollments.admit(newAgent('mine', { name: 'victim-id' }), 'admin', ACT),
      ).rejects.toMatchObject({
        code: 'agent_name_taken',
      });
      const request = {
        keyThumbprint: 'thumbprint of x',
        name: 'mine',
        id: 'victim-name',
        csr: 'csr',
        address: 'a',
        block: 'a',
        site: 'a',
        transport: 'wss' as const,
      };
      await store.enrollments.submit(
        request,
        { most: 9, mostOfBlock: 9, silentBefore: 0, pendingBefore: 0, rejectedBefore: 0, acceptedBefore: 0 },
        NOW,
      );
      await expect(
        store.enrollments.accept(
          'csr',
          newAgent('victim-name', { name: 'mine', keyThumbprint: 'thumbprint of x' }),
          'admin',
          ACT,
        ),
      ).rejects.toMatchObject({ code: 'agent_id_taken' });
      expect(await store.tokens.getEnrollmentToken('t')).toMatchObject({ uses: 0 });
      expect(await store.agents.list({ limit: 9 })).toHaveLength(1);
    });

    it("a name that is another agent's id or name is refused when an agent comes with it, and nothing changes", async () => {
      await registered(store, 'a1');
      for (const name of ['Victim-Id', 'VICTIM-ID', 'victim-name'])
        await expect(claimed('a1', name)).rejects.toMatchObject({ code: 'agent_name_taken' });
      expect(await store.agents.get('a1')).toMatchObject({ name: 'a1', epoch: 0, state: 'enrolled' });
      // Its own id as its name, its own name in another case: they take nothing from others.
      await claimed('a1', 'other');
      await claimed('a1', 'A1');
      expect(await store.agents.get('a1')).toMatchObject({ name: 'A1' });
    });

    it('a name or an id that could be taken for the beginning of an id is refused', async () => {
      await registered(store, '0123456789abcdef', 'hex');
      await taken('mine', '01234567', 'agent_name_taken');
      await taken('mine', '0123456789ABC', 'agent_name_taken');
      for (const id of ['01234567', '0123456789ABC']) await taken(id, 'mine', 'agent_id_taken');
      await store.agents.register(newAgent('b1', { name: '0123456' }), 't', ACT);
      await store.agents.register(newAgent('branch-10'), 't', ACT);
      // Ids that are names in a row are usual.
      await store.agents.register(newAgent('branch-1'), 't', ACT);
      for (const [id, prefix] of [
        ['f3a78fd7-2d2f-4944-73fb-e30c8a61dd3b', 'F3A78FD7-2d2f'],
        ['00-1b-44-11-3a-b7', '00-1b-44-11'],
      ] as const) {
        await registered(store, id, `the-name-of-${prefix}`);
        await taken('mine', prefix, 'agent_name_taken');
        await taken(prefix, 'mine', 'agent_id_taken');
      }
      await expect(claimed('b1', '0123456789')).rejects.toMatchObject({ code: 'agent_name_taken' });
    });

    it('an id that begins with what is the name or the id of another agent is refused, where it would be typed in short', async () => {
      await registered(store, 'a1', 'abcdef01-2');
      await registered(store, 'feedc0de', 'a2');
      for (const id of ['abcdef01-2345', 'ABCDEF01-2x', 'feedc0de00ff']) await taken(id, 'mine', 'agent_name_reserved');
      expect(await store.agents.register(newAgent('abcdef02-2345'), 't', ACT)).toMatchObject({ id: 'abcdef02-2345' });
    });

    it('an id is plain printable ASCII without blanks', async () => {
      for (const id of [
        '',
        ' ',
        'a b',
        'a\tb',
        'a\n',
        'caf\u00e9',
        '\u202eab',
        '\u{1f600}',
        'a\u007f',
        'a\u0000',
        '.',
        '..',
        'x'.repeat(256),
      ]) {
        await expect(
          store.agents.register(newAgent(id, { name: 'mine' }), 't', ACT),
          JSON.stringify(id),
        ).rejects.toMatchObject({ code: 'agent_id_invalid', status: 422 });
      }
      for (const [i, id] of ['00-1B-44-11-3A-B7', 'a/b?c#d%2F', '~!"$&()*+,;<=>@[]^`{|}', 'x'.repeat(255)].entries())
        expect(await store.agents.register(newAgent(id, { name: `n${i}` }), 't', ACT)).toMatchObject({ id });
    });

    it('reserved words are refused as id and as name', async () => {
      for (const word of [
        'all',
        'ALL',
        'central-agent',
        'Central-Agent',
        'central.test',
        'CENTRAL.test',
        'host-of-central',
      ]) {
        await taken('mine', word, 'agent_name_reserved');
        await taken(word, 'mine', 'agent_name_reserved');
        await expect(claimed('Victim-Id', word)).rejects.toMatchObject({ code: 'agent_name_reserved' });
      }
      for (const agentName of ['all', 'Central.Test'])
        await expect(store.tokens.addEnrollmentToken(enrollmentToken('b', { agentName }), ACT)).rejects.toMatchObject({
          code: 'agent_name_reserved',
        });
      // Central's own agent comes with a token that is bound to its name.
      await store.tokens.addEnrollmentToken(enrollmentToken('own', { agentName: 'central-agent' }), ACT);
      await store.agents.register(newAgent('c1', { name: 'central-agent' }), 'own', ACT);
      await claimed('c1', 'central-agent');
    });

    it('a name that a token is bound to is kept for it, as name and as id, until it is used up, expired or removed', async () => {
      await store.tokens.addEnrollmentToken(enrollmentToken('bound', { agentName: 'Branch-9' }), ACT);
      await taken('mine', 'branch-9', 'agent_name_reserved');
      await taken('BRANCH-9', 'mine', 'agent_name_reserved');
      await expect(store.enrollments.admit(newAgent('mine', { name: 'branch-9' }), 'admin', ACT)).rejects.toMatchObject(
        {
          code: 'agent_name_reserved',
        },
      );
      await expect(claimed('Victim-Id', 'branch-9')).rejects.toMatchObject({ code: 'agent_name_reserved' });
      // A second one for the same name, since the line was lost: either gets it.
      await store.tokens.addEnrollmentToken(enrollmentToken('again', { agentName: 'branch-9' }), ACT);
      await store.agents.register(newAgent('b9', { name: 'branch-9' }), 'bound', ACT);
      await taken('mine', 'branch-9', 'agent_name_taken');
      await store.tokens.addEnrollmentToken(enrollmentToken('over', { agentName: 'branch-8', expiresAt: NOW }), ACT);
      await store.agents.register(newAgent('b8', { name: 'branch-8' }), 't', ACT);
      await store.tokens.addEnrollmentToken(enrollmentToken('gone', { agentName: 'branch-7' }), ACT);
      await store.tokens.removeEnrollmentToken('gone', ACT);
      await store.agents.register(newAgent('b7', { name: 'branch-7' }), 't', ACT);
    });

    it('an agent that has its name already keeps it, whatever is bound or reserved since', async () => {
      await store.tokens.addEnrollmentToken(enrollmentToken('late', { agentName: 'victim-name' }), ACT);
      expect(await claimed('Victim-Id', 'VICTIM-name')).toMatchObject({ epoch: 1 });
    });
  });

  it('finds what a word means: an exact id, else an exact name in any case, else the beginning of an id', async () => {
    await registered(store, '0123456789abcdef', 'Branch.One');
    await registered(store, '01234567ffff', 'two');
    await registered(store, 'short', 'three');
    const found = async (word: string, limit = 9) =>
      (await store.agents.findByReference(word, limit)).map(({ id }) => id);
    expect(await found('short')).toEqual(['short']);
    expect(await found('BRANCH.ONE')).toEqual(['0123456789abcdef']);
    expect(await found('012345678')).toEqual(['0123456789abcdef']);
    expect(await found('0123456789ABC')).toEqual(['0123456789abcdef']);
    expect(await found('01234567')).toEqual(['0123456789abcdef', '01234567ffff']);
    expect(await found('01234567', 1)).toEqual(['0123456789abcdef']);
    for (const word of [
      '0123456',
      'shor',
      'no-such',
      '',
      '%23456789',
      '_1234567',
      '01234567%',
      '\u{10ffff}',
      '0123456789abcdef0',
    ])
      expect([word, await found(word)]).toEqual([word, []]);
  });

  it('knows whether a removed agent has left anything', async () => {
    const epoch = await online(store, 'a1');
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW);
    await store.agents.remove('a1', ACT);
    await store.agents.recordIncident({ at: NOW, kind: 'clone', agentId: 'a2', address: null, detail: '{}' });
    expect([
      await store.agents.hasLeftRecords('a1'),
      await store.agents.hasLeftRecords('a2'),
      await store.agents.hasLeftRecords('A1'),
      await store.agents.hasLeftRecords(''),
    ]).toEqual([true, true, false, false]);
  });

  it('finds no fault with names that the rules let in', async () => {
    await registered(store, 'a1', 'b1');
    await registered(store, 'a2', 'A2');
    expect(await store.agents.nameFaults(9)).toEqual({ count: 0, faults: [] });
  });

  it('lists in order of name, page by page and by state', async () => {
    for (const name of ['delta', 'Alpha', 'charlie', 'Bravo']) await registered(store, `id-${name}`, name);
    await store.agents.claimSession(claimOf('id-charlie', { name: 'charlie' }));
    const names = async (page: Parameters<Store['agents']['list']>[0]) =>
      (await store.agents.list(page)).map((agent) => agent.name);
    expect(await names({ limit: 3 })).toEqual(['Alpha', 'Bravo', 'charlie']);
    expect(await names({ limit: 3, after: 'charlie' })).toEqual(['delta']);
    expect(await names({ limit: 9, states: ['online'] })).toEqual(['charlie']);
    expect(await names({ limit: 9, states: ['enrolled'], after: 'alpha' })).toEqual(['Bravo', 'delta']);
  });

  it('shows the depth of both logs', async () => {
    const epoch = await online(store, 'a1');
    await store.outbox.append('a1', [message('c1'), message('c2')], ROOM, NOW + 5);
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW + 7);
    const [agent] = await store.agents.list({ limit: 1 });
    expect(agent?.outbox).toMatchObject({
      messages: 2,
      bytes: 2 * Buffer.byteLength(message('c1').json),
      oldestAt: NOW + 5,
    });
    expect(agent?.inbox).toEqual({ incarnation: 'log of a1', number: 1, lastAt: NOW + 7 });
  });

  it('claims a session: epoch, record, state, name and position in one', async () => {
    const first = await online(store, 'a1');
    await store.inbox.append('a1', first, 1, framesOf(1, items('e1', 'e2')), NOW);
    const grant = await store.agents.claimSession(claimOf('a1', { name: 'Renamed', session: 's2', now: NOW + 9 }));
    expect(grant).toEqual({
      epoch: first + 1,
      key: expect.any(Number),
      name: 'Renamed',
      up: { incarnation: 'log of a1', number: 2, id: positionId('e1', 'e2') },
      begun: { incarnation: 'log of a1', next: 3, deduplicates: false },
      down: { incarnation: expect.any(String), next: 1, missing: null },
      newest: 0,
      promoted: false,
    });
    expect(await store.agents.get('a1')).toMatchObject({
      name: 'Renamed',
      state: 'online',
      stateSince: NOW + 9,
      epoch: first + 1,
      session: {
        session: 's2',
        bootId: 'b1',
        version: '1.0.0',
        transport: 'wss',
        address: '192.0.2.7',
        node: 'central-1',
        since: NOW + 9,
        endedAt: null,
      },
    });
  });

  it('looks an agent up and claims its session in one call, when it meets the terms', async () => {
    const terms = { keyAlone: true, expiresAfter: NOW };
    expect(await store.agents.logIn(claimOf('a1'), terms)).toEqual({ kind: 'found', agent: undefined });
    await registered(store, 'a1');
    const agent = await store.agents.get('a1');
    expect(await store.agents.logIn(claimOf('a1', { keyThumbprint: 'other' }), terms)).toEqual({
      kind: 'found',
      agent,
    });
    expect(await store.agents.get('a1')).toEqual(agent);
    await store.outbox.append('a1', [message('c1')], ROOM, NOW);
    expect(await store.agents.logIn(claimOf('a1'), terms)).toMatchObject({
      kind: 'claimed',
      claimed: { epoch: 1, begun: null, down: { next: 1 }, newest: 1 },
      certificate: agent?.certificate,
    });
    expect(await store.agents.get('a1')).toMatchObject({ epoch: 1, state: 'online', session: { session: 's1' } });
    await store.agents.quarantine('a1', NOW + 9, NOW, 'two running copies');
    expect(await store.agents.logIn(claimOf('a1'), terms)).toMatchObject({ kind: 'found', agent: { epoch: 1 } });
    const begin = { incarnation: 'log', next: 1, missing: null, deduplicates: true };
    const { claimed } = (await store.agents.logIn(claimOf('a1', { now: NOW + 9 }), terms)) as {
      claimed: ClaimedSession;
    };
    await store.inbox.begin('a1', claimed.epoch, begin, NOW);
    await store.inbox.append('a1', claimed.epoch, 1, framesOf(1, items('e1')), NOW);
    // A name of another, with nothing changed.
    await registered(store, 'a2');
    await expect(store.agents.logIn(claimOf('a1', { name: 'A2', now: NOW + 9 }), terms)).rejects.toMatchObject({
      code: 'agent_name_taken',
    });
    expect(await store.agents.logIn(claimOf('a1', { now: NOW + 9 }), terms)).toMatchObject({
      claimed: { epoch: 3, begun: { incarnation: 'log', next: 2, deduplicates: true } },
    });
  });

  it('refuses a session to a stranger, to a wrong key and to the name of another, and changes nothing', async () => {
    await registered(store, 'a1');
    await registered(store, 'a2');
    await expect(store.agents.claimSession(claimOf('a3'))).rejects.toMatchObject({
      code: 'agent_unknown',
      status: 404,
    });
    await expect(store.agents.claimSession(claimOf('a1', { keyThumbprint: 'other' }))).rejects.toMatchObject({
      code: 'agent_unknown',
    });
    await expect(store.agents.claimSession(claimOf('a1', { name: 'A2' }))).rejects.toMatchObject({
      code: 'agent_name_taken',
    });
    expect(await store.agents.get('a1')).toMatchObject({ epoch: 0, state: 'enrolled', name: 'a1' });
  });

  it('lets no session write that a newer one has replaced', async () => {
    const stale = await online(store, 'a1');
    await store.outbox.append('a1', [message('c1')], ROOM, NOW);
    const { epoch } = await store.agents.claimSession(claimOf('a1', { session: 's2' }));
    const refused = { code: 'stale_epoch', close: 4507 };
    await expect(store.inbox.append('a1', stale, 1, framesOf(1, items('e1')), NOW)).rejects.toMatchObject(refused);
    await expect(
      store.inbox.begin('a1', stale, { incarnation: 'X', next: 1, missing: null }, NOW),
    ).rejects.toMatchObject(refused);
    await expect(store.outbox.acknowledge('a1', stale, 1)).rejects.toMatchObject(refused);
    await store.agents.endSession({ agentId: 'a1', epoch: stale, now: NOW, reason: 'late' });
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'online',
      outbox: { messages: 1 },
      inbox: { number: 0 },
    });
    expect(await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW)).toBe(1);
  });

  it('ends a session with its reason, once', async () => {
    const epoch = await online(store, 'a1');
    await store.agents.endSession({ agentId: 'a1', epoch, now: NOW + 1, reason: 'the line was cut' });
    await store.agents.endSession({ agentId: 'a1', epoch, now: NOW + 2, reason: 'again' });
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'disconnected',
      stateSince: NOW + 1,
      stateReason: 'the line was cut',
      session: { endedAt: NOW + 1 },
    });
  });

  it('ends the sessions that a node left open, and no other state with them', async () => {
    await online(store, 'a1');
    const epoch = await online(store, 'a2');
    await store.agents.endSession({ agentId: 'a2', epoch, now: NOW + 1, reason: 'the line was cut' });
    await registered(store, 'a3');
    await store.agents.endAbandonedSessions('central-1', NOW + 3, 'Central died');
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'disconnected',
      stateReason: 'Central died',
      session: { endedAt: NOW + 3 },
    });
    expect(await store.agents.get('a2')).toMatchObject({
      state: 'disconnected',
      stateReason: 'the line was cut',
      session: { endedAt: NOW + 1 },
    });
    expect(await store.agents.get('a3')).toMatchObject({ state: 'enrolled', session: null });
  });

  it('says by the state how a session ended: lost, drained until a time, or in order', async () => {
    const ends = [
      [keptReason(refusal('heartbeat_lost', { seconds: 45 })), undefined, 'dropped', null],
      [stateReason('session_cut', {}), undefined, 'dropped', null],
      [stateReason('session_drained', { seconds: 60 }), NOW + 60_000, 'draining', NOW + 60_000],
      [keptReason(refusal('going_away', {})), undefined, 'disconnected', null],
      [stateReason('session_closed', { found: '1000' }), undefined, 'disconnected', null],
    ] as const;
    await registered(store, 'a1');
    for (const [reason, until, state, stateUntil] of ends) {
      const { epoch } = await store.agents.claimSession(claimOf('a1'));
      expect(await store.agents.get('a1')).toMatchObject({ state: 'online', stateUntil: null });
      await store.agents.endSession({
        agentId: 'a1',
        epoch,
        now: NOW + 1,
        reason,
        ...(until === undefined ? {} : { until }),
      });
      expect(await store.agents.get('a1')).toMatchObject({
        state,
        stateSince: NOW + 1,
        stateReason: reason,
        stateUntil,
      });
    }
    const history = await store.agents.history('a1');
    expect(history.filter(({ state }) => state !== 'online').map(({ state, until }) => [state, until])).toEqual([
      ['disconnected', null],
      ['disconnected', null],
      ['draining', NOW + 60_000],
      ['dropped', null],
      ['dropped', null],
      ['enrolled', null],
    ]);
  });

  it('says by the state why an agent is refused: of its own key, once for each cause, and not while it has a session', async () => {
    const { keyThumbprint } = await registered(store, 'a1');
    const expired = refusal('certificate_expired', { date: 'x', graceDays: 30 });
    const record = (reason: CodedError, now: number, key = keyThumbprint, until: number | null = null) =>
      store.agents.recordRefusal({ agentId: 'a1', keyThumbprint: key, reason: keptReason(reason), until, now });
    const state = async () => {
      const agent = await store.agents.get('a1');
      return [agent?.state, (agent?.stateSince ?? 0) - NOW, agent?.stateUntil];
    };
    await record(expired, NOW + 1, 'another key');
    await record(refusal('agent_disabled', {}), NOW + 1);
    await store.agents.recordRefusal({
      agentId: 'a9',
      keyThumbprint,
      reason: keptReason(expired),
      until: null,
      now: NOW,
    });
    expect(await state()).toEqual(['enrolled', 0, null]);
    await record(expired, NOW + 2);
    await record(expired, NOW + 3);
    expect(await state()).toEqual(['unauthenticated', 2, null]);
    await record(refusal('wrong_transport', { found: 'wss', expected: 'ws' }), NOW + 4);
    expect(await state()).toEqual(['misconfigured', 4, null]);
    await record(refusal('agent_login_rate', { id: 'a1', seconds: 3 }), NOW + 5, keyThumbprint, NOW + 3_005);
    expect(await state()).toEqual(['throttled', 5, NOW + 3_005]);
    expect((await store.agents.history('a1')).map((change) => [change.state, change.until])).toEqual([
      ['throttled', NOW + 3_005],
      ['misconfigured', null],
      ['unauthenticated', null],
      ['enrolled', null],
    ]);
    await store.agents.claimSession(claimOf('a1'));
    await record(expired, NOW + 6);
    expect((await store.agents.get('a1'))?.state).toBe('online');
    await store.agents.disable('a1', { now: NOW + 7, text: 'disabled' }, ACT);
    await record(expired, NOW + 8);
    expect((await store.agents.get('a1'))?.state).toBe('disabled');
  });

  it('is degraded while its inbox is full, as its present session reports', async () => {
    const epoch = await online(store, 'a1');
    const report = (inboxFull: boolean, now: number, of = epoch) =>
      store.agents.recordConsumers([
        {
          agentId: 'a1',
          epoch: of,
          at: now,
          position: null,
          inboxFull,
          consumers: [
            { name: 'default', types: [], waitingFrom: null, waitingCount: 0 },
            { name: 'printer', types: ['print'], waitingFrom: 1, waitingCount: 10_000 },
          ],
        },
      ]);
    await report(true, NOW + 1, epoch + 1);
    await report(false, NOW + 1);
    expect(await store.agents.get('a1')).toMatchObject({ state: 'online', stateSince: NOW });
    await report(true, NOW + 2);
    await report(true, NOW + 3);
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'degraded',
      stateSince: NOW + 2,
      stateReason: stateReason('inbox_of_agent_full', { count: 10_000, consumer: 'printer' }),
      session: { endedAt: null },
    });
    await report(false, NOW + 4);
    expect(await store.agents.get('a1')).toMatchObject({ state: 'online', stateSince: NOW + 4 });
    await report(true, NOW + 5);
    await store.agents.endSession({ agentId: 'a1', epoch, now: NOW + 6, reason: stateReason('session_cut', {}) });
    expect(await store.agents.get('a1')).toMatchObject({ state: 'dropped' });
    await report(false, NOW + 7);
    expect(await store.agents.get('a1')).toMatchObject({ state: 'dropped' });
  });

  it('keeps a quarantine through the end of its session, and lifts it with the next claim', async () => {
    const epoch = await online(store, 'a1');
    await store.agents.quarantine('a1', NOW + DAY, NOW + 1, 'clones');
    await store.agents.endSession({ agentId: 'a1', epoch, now: NOW + 2, reason: 'closed' });
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'quarantined',
      stateReason: 'clones',
      quarantinedUntil: NOW + DAY,
      session: { endedAt: NOW + 2 },
    });
    await store.agents.claimSession(claimOf('a1'));
    expect(await store.agents.get('a1')).toMatchObject({ state: 'online', quarantinedUntil: null });
  });

  it('removes an agent with its logs and fences its session, but keeps the events it sent', async () => {
    const epoch = await online(store, 'a1');
    await store.outbox.append('a1', [message('c1')], ROOM, NOW);
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW);
    await store.agents.remove('a1', ACT);
    await expect(store.agents.remove('a1', ACT)).rejects.toMatchObject({ code: 'agent_unknown' });
    await expect(store.inbox.append('a1', epoch, 2, framesOf(2, items('e2')), NOW)).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    await expect(store.outbox.append('a1', [message('c2')], ROOM, NOW)).rejects.toMatchObject({
      code: 'agent_unknown',
    });
    expect(await store.inbox.read(0, { agentId: 'a1' }, 10)).toMatchObject([{ agentId: 'a1', number: 1 }]);
    const again = await registered(store, 'a1-again', 'a1');
    expect(again.outbox.messages).toBe(0);
  });

  it('shows incidents, newest first, all or of one agent', async () => {
    await store.agents.recordIncident({ at: NOW, kind: 'clone', agentId: 'a1', address: '192.0.2.7', detail: '{}' });
    await store.agents.recordIncident({
      at: NOW + 1,
      kind: 'agent_unknown',
      agentId: null,
      address: null,
      detail: '{"id":"x"}',
    });
    expect((await store.agents.incidents({ limit: 9 })).map((incident) => incident.kind)).toEqual([
      'agent_unknown',
      'clone',
    ]);
    expect(await store.agents.incidents({ limit: 9, agentId: 'a1' })).toEqual([
      { key: 1, at: NOW, kind: 'clone', agentId: 'a1', address: '192.0.2.7', detail: '{}', count: 1, lastAt: NOW },
    ]);
    expect(await store.agents.incidents({ limit: 1 })).toHaveLength(1);
    expect(await store.agents.incidents({ limit: 9, kind: 'clone' })).toMatchObject([{ kind: 'clone' }]);
    expect(await store.agents.incidents({ limit: 9, kind: 'agent_unknown', agentId: 'a1' })).toEqual([]);
    expect(await store.agents.incidents({ limit: 9, kind: 'none' })).toEqual([]);
  });
}
