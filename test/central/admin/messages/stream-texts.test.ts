// How many texts of streams are held at once: those of one token, and those of all.
import { expect, test } from 'vitest';
import { MAX_TEXTS_IN_ALL, MAX_TEXTS_OF_TOKEN, StreamTexts } from '../../../../central/admin/messages/stream-texts.ts';

const here = new AbortController().signal;

async function entered(texts: StreamTexts, token: string, count: number): Promise<(() => void)[]> {
  const found = await Promise.all(Array.from({ length: count }, async () => await texts.enter(token, here)));
  return found.filter((leave) => leave !== undefined);
}

test('a token whose clients take nothing waits, until one of them takes its text; other tokens do not wait', async () => {
  const texts = new StreamTexts();
  const [first] = await entered(texts, 'a', MAX_TEXTS_OF_TOKEN);
  let isIn = false;
  const next = texts.enter('a', here).then(() => (isIn = true));
  await entered(texts, 'b', 1);
  expect(isIn).toBe(false);
  first?.();
  await next;
  expect(isIn).toBe(true);
});

test('in all there are so many; a client that leaves waits no longer', async () => {
  const texts = new StreamTexts();
  const tokens = Array.from({ length: MAX_TEXTS_IN_ALL / MAX_TEXTS_OF_TOKEN }, (_, index) => `t${index}`);
  const held = (await Promise.all(tokens.map((token) => entered(texts, token, MAX_TEXTS_OF_TOKEN)))).flat();
  expect(held).toHaveLength(MAX_TEXTS_IN_ALL);
  const gone = new AbortController();
  const waiting = texts.enter('other', gone.signal);
  gone.abort();
  expect(await waiting).toBeUndefined();
  held[0]?.();
  expect(await texts.enter('other', here)).toBeTypeOf('function');
});
