// Idempotency-Key: what creates is carried out once, whatever is sent again.
import { connect } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { operationOf } from '../../../../central/admin/openapi/document.ts';
import { CREATING_ROUTES } from '../../../../central/admin/idempotency/creating-routes.ts';
import { registeredRoutes } from '../../../described-answers.ts';
import { startRest, type Rest } from '../rest.ts';
import { tarOf } from '../../tar.ts';

const TOKEN = { name: 'monitoring', role: 'viewer' };

async function post(rest: Rest, path: string, body: unknown, key: string, as?: 'operator') {
  const answer = await rest.request('POST', path, {
    body,
    headers: { 'idempotency-key': key },
    ...(as === undefined ? {} : { as }),
  });
  const { status, headers } = answer;
  const value = (await answer.json()) as Record<string, unknown>;
  return { status, replayed: headers.get('queuegate-replayed'), location: headers.get('location'), value };
}

const createdTokens = ({ store }: Rest) => store.audit.entries.filter(({ action }) => action === 'api-tokens.create');

describe('an Idempotency-Key', () => {
  it('answers the same request again without carrying it out, and without its secret', async () => {
    const rest = await startRest();
    const before = createdTokens(rest).length;
    const first = await post(rest, '/api-tokens', TOKEN, 'one');
    expect(first).toMatchObject({ status: 201, replayed: null, value: { token: expect.stringMatching(/^qg_/) } });
    const second = await post(rest, '/api-tokens', TOKEN, 'one');
    expect(second).toEqual({ ...first, replayed: 'true', value: { ...first.value, token: null } });
    expect(createdTokens(rest).length).toBe(before + 1);
  });

  it('repeats status and Location, also of a request that another role may make', async () => {
    const rest = await startRest();
    const drain = { agents: ['all'], withinSeconds: 60 };
    const agent = { id: 'a1', name: 'a1', state: 'online', labels: {} } as unknown as Rest['agents'][number];
    rest.agents.push(agent);
    const first = await post(rest, '/drains', drain, 'one', 'operator');
    expect(first).toMatchObject({ status: 202, location: expect.stringContaining('/api/v1/drains/') });
    expect(await post(rest, '/drains', drain, 'one', 'operator')).toEqual({ ...first, replayed: 'true' });
    expect(await post(rest, '/drains', drain, 'two', 'operator')).not.toMatchObject({ location: first.location });
  });

  it('refuses another request with the same key: another body, query or route', async () => {
    const rest = await startRest();
    await post(rest, '/api-tokens', TOKEN, 'one');
    const count = createdTokens(rest).length;
    const reused = { status: 422, value: { code: 'idempotency_key_reused' } };
    expect(await post(rest, '/api-tokens', { ...TOKEN, role: 'operator' }, 'one')).toMatchObject(reused);
    expect(await post(rest, '/api-tokens?comment=why', TOKEN, 'one')).toMatchObject(reused);
    expect(await post(rest, '/enrollment-tokens', {}, 'one')).toMatchObject(reused);
    expect(createdTokens(rest).length).toBe(count);
  });

  it('belongs to an API token: another one may use it', async () => {
    const rest = await startRest();
    await post(rest, '/api-tokens', TOKEN, 'one');
    expect(await post(rest, '/drains', { agents: ['a1'], withinSeconds: 60 }, 'one', 'operator')).toMatchObject({
      status: 422,
      value: { code: 'agent_unknown' },
    });
  });

  it('repeats no answer to a token whose scope was changed since', async () => {
    const rest = await startRest();
    const made = await rest.request('POST', '/api-tokens', { body: { name: 'n', role: 'administrator' } });
    const { token, id } = (await made.json()) as { readonly token: string; readonly id: string };
    const headers = { authorization: `Bearer ${token}`, 'idempotency-key': 'one' };
    const drain = { agents: ['all'], withinSeconds: 60 };
    rest.agents.push({ id: 'a1', name: 'a1', state: 'online', labels: {} } as unknown as Rest['agents'][number]);
    const send = () => rest.request('POST', '/drains', { as: null, body: drain, headers });
    expect((await send()).status).toBe(202);
    await rest.request('PATCH', `/api-tokens/${id}`, { body: { scope: 'label:region=north' } });
    expect(await (await send()).json()).toMatchObject({ code: 'idempotency_key_reused' });
  });

  it('of a request that was refused may be used for the corrected one', async () => {
    const rest = await startRest();
    expect(await post(rest, '/api-tokens', { ...TOKEN, role: 'boss' }, 'one')).toMatchObject({ status: 400 });
    expect(await post(rest, '/api-tokens', TOKEN, 'one')).toMatchObject({ status: 201, replayed: null });
  });

  it('refuses a request while the first one is in progress', async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begins } = Promise.withResolvers<void>();
    const rest = await startRest(async (store) => {
      const add = store.tokens.addApiToken.bind(store.tokens);
      store.tokens.addApiToken = async (token, entry) => {
        if (token.name === TOKEN.name) {
          begins();
          await held;
        }
        await add(token, entry);
      };
      return {};
    });
    const first = post(rest, '/api-tokens', TOKEN, 'one');
    await begun;
    expect(await post(rest, '/api-tokens', TOKEN, 'one')).toMatchObject({
      status: 409,
      value: { code: 'idempotency_key_in_progress' },
    });
    release();
    expect(await first).toMatchObject({ status: 201 });
    expect(await post(rest, '/api-tokens', TOKEN, 'one')).toMatchObject({ status: 201, replayed: 'true' });
  });

  it('carries out nothing twice whose outcome is unknown', async () => {
    const rest = await startRest(async (store) => {
      const add = store.tokens.addApiToken.bind(store.tokens);
      store.tokens.addApiToken = async (token, entry) => {
        await add(token, entry);
        if (token.name === TOKEN.name) throw new Error('behind the commit');
      };
      return {};
    });
    expect(await post(rest, '/api-tokens', TOKEN, 'one')).toMatchObject({ status: 500 });
    expect(await post(rest, '/api-tokens', TOKEN, 'one')).toMatchObject({
      status: 409,
      value: { code: 'idempotency_answer_lost', detail: expect.stringContaining('not finish') },
    });
  });

  it('says that an answer is too long to be kept', async () => {
    const rest = await startRest();
    const { idempotency } = rest.store;
    const finish = idempotency.finish.bind(idempotency);
    idempotency.finish = async (tokenId, key, body, answer) =>
      await finish(tokenId, key, body, { ...answer, text: null });
    await post(rest, '/api-tokens', TOKEN, 'one');
    expect(await post(rest, '/api-tokens', TOKEN, 'one')).toMatchObject({
      status: 409,
      value: { code: 'idempotency_answer_lost', detail: expect.stringContaining('was carried out') },
    });
  });

  it('has no effect on a dry run', async () => {
    const rest = await startRest();
    const agent = { id: 'a1', name: 'a1', state: 'online', labels: {} } as unknown as Rest['agents'][number];
    rest.agents.push(agent);
    const drain = { agents: ['all'], withinSeconds: 60 };
    expect(await post(rest, '/drains?dryRun=true', drain, 'one')).toMatchObject({ status: 200 });
    expect(await post(rest, '/drains', drain, 'one')).toMatchObject({ status: 202, replayed: null });
  });

  it.each(['k'.repeat(65), 'two words'])('refuses the key %s', async (key) => {
    const rest = await startRest();
    expect(await post(rest, '/api-tokens', TOKEN, key)).toMatchObject({
      status: 400,
      value: { code: 'request_invalid', errors: [{ header: 'Idempotency-Key' }] },
    });
  });
});

describe('an Idempotency-Key of an upload', () => {
  const conf = 'central.host=central.test\n';
  const upload = async (rest: Rest, archive: Buffer, key = 'one') => {
    const answer = await fetch(`${rest.url}/api/v1/profiles?name=branch`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${rest.tokens.administrator}`,
        'content-type': 'application/x-tar',
        'idempotency-key': key,
      },
      body: new Uint8Array(archive),
    });
    return { status: answer.status, value: (await answer.json()) as Record<string, unknown> };
  };

  it('that was cut off may be sent again with its key: nothing was carried out, and that is not a defect of Central', async () => {
    const rest = await startRest();
    const begun = vi.spyOn(rest.store.idempotency, 'begin');
    const socket = connect(Number(new URL(rest.url).port), '127.0.0.1').on('error', () => undefined);
    const head = `Host: c\r\nAuthorization: Bearer ${rest.tokens.administrator}\r\nIdempotency-Key: one\r\nContent-Type: application/x-tar`;
    const sent = tarOf('conf/other.bin', 'x'.repeat(200_000)).subarray(0, 100_000);
    socket.write(`POST /api/v1/profiles?name=branch HTTP/1.1\r\n${head}\r\nContent-Length: 300000\r\n\r\n`);
    socket.write(sent);
    const again = () => upload(rest, tarOf('conf/agent.conf', conf));
    await expect.poll(() => begun).toHaveBeenCalledOnce();
    socket.destroy();
    await expect.poll(again).toMatchObject({ status: 201 });
    expect(rest.unexpected).toEqual([]);
  });

  it('compares the bytes of the body, which are not held', async () => {
    const rest = await startRest();
    const first = await upload(rest, tarOf('conf/agent.conf', conf));
    expect(first).toMatchObject({ status: 201 });
    expect(await upload(rest, tarOf('conf/agent.conf', conf))).toEqual(first);
    expect(await upload(rest, tarOf('conf/agent.conf', conf), 'two')).toMatchObject({
      status: 409,
      value: { code: 'profile_exists' },
    });
    expect(await upload(rest, tarOf('conf/agent.conf', `# other\n${conf}`))).toMatchObject({
      status: 422,
      value: { code: 'idempotency_key_reused' },
    });
  });
});

describe('the table of routes that create', () => {
  it('has each POST that is answered with 201, or 202 and what was created', async () => {
    const posts = (await registeredRoutes()).filter(({ method }) => method === 'POST').map(({ key }) => key);
    const isKept = (key: string) => {
      const { answers = {}, id = '' } = operationOf(key) ?? {};
      return 201 in answers || (202 in answers && /^(?:create|repair|run)/.test(id));
    };
    expect(Object.keys(CREATING_ROUTES).toSorted()).toEqual(posts.filter(isKept).toSorted());
  });
});
