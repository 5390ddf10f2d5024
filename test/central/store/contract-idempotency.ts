// The part of the contract that concerns requests with an Idempotency-Key.
import { expect, it } from 'vitest';
import { KEPT_MS, type KeyedRequest } from '../../../central/store/idempotency/idempotency-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { eachEngine, NOW, type Engine, type OpenEngine } from './samples.ts';

const ANSWER = { status: 201, headers: { location: '/api/v1/drains/1' }, text: '{"id":"1"}' };

const request = (changes: Partial<KeyedRequest> = {}): KeyedRequest => ({
  tokenId: 't1',
  key: 'k1',
  head: 'h',
  body: 'b',
  startedAt: NOW,
  ...changes,
});

export function idempotencyContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  it('keeps a key with its answer over a restart, for each token alone', async () => {
    expect(await store.idempotency.begin(request())).toBeUndefined();
    expect(await store.idempotency.begin(request({ tokenId: 't2' }))).toBeUndefined();
    await store.idempotency.finish('t1', 'k1', 'b', ANSWER);
    store = await engine.restart();
    expect(await store.idempotency.begin(request({ head: 'other', startedAt: NOW + 1 }))).toEqual({
      ...request(),
      answer: ANSWER,
    });
    expect(await store.idempotency.begin(request({ tokenId: 't2' }))).toEqual({
      ...request({ tokenId: 't2' }),
      answer: null,
    });
  });

  it('a key that was forgotten, or is a day old, may be used again', async () => {
    await store.idempotency.begin(request());
    await store.idempotency.forget('t1', 'k1');
    await store.idempotency.finish('t1', 'k1', 'b', ANSWER);
    expect(await store.idempotency.begin(request())).toBeUndefined();
    await store.idempotency.finish('t1', 'k1', 'b', ANSWER);
    expect(await store.idempotency.begin(request({ startedAt: NOW + KEPT_MS - 1 }))).toMatchObject({ answer: ANSWER });
    expect(await store.idempotency.begin(request({ startedAt: NOW + KEPT_MS }))).toBeUndefined();
  });
}
