import { describe, expect, it } from 'vitest';
import { agentFault } from '../../../agent/errors.ts';
import { answerText, documentOf, formatOf, wantsJson } from '../../../shared/terminal/output.ts';

const refuse = (found: string): Error => new Error(found);

describe('the format of an answer', () => {
  it('is the one of the options, else the preset one, else a table', () => {
    expect([
      formatOf({ json: true }, 'name', refuse),
      formatOf({ wide: true }, undefined, refuse),
      formatOf({ output: 'ndjson' }, 'name', refuse),
      formatOf({}, 'name', refuse),
      formatOf({}, '', refuse),
    ]).toEqual(['json', 'wide', 'ndjson', 'name', 'table']);
    expect(() => formatOf({ output: 'xml' }, undefined, refuse)).toThrow('allowed are table, wide, json');
  });

  it('makes one text of one value: for people, for programs, or its names', () => {
    const list = { items: [{ name: 'b\n1', id: 'x' }, { id: 'y' }, 7], next: null };
    expect(answerText('table', list, () => 'people')).toBe('people');
    expect(JSON.parse(answerText('json', list, () => '') ?? '')).toEqual(list);
    expect(answerText('ndjson', list, () => '')?.split('\n')).toHaveLength(3);
    expect(answerText('name', list, () => '')).toBe(String.raw`b\u000a1` + '\ny\n-');
    expect(answerText('name', { name: 'x', id: 'y' }, () => '', 'id')).toBe('y');
    expect(answerText('name', { items: [] }, () => '')).toBeUndefined();
  });
});

describe('an error', () => {
  it('is a problem document wherever JSON was requested, also in a line that cannot be read', () => {
    for (const argv of [['x', '--json'], ['-ojson'], ['-o', 'json'], ['--output=ndjson'], ['--output', 'ndjson']])
      expect(wantsJson(argv, undefined), argv.join(' ')).toBe(true);
    expect([wantsJson(['x'], 'json'), wantsJson(['x'], undefined), wantsJson(['-o', 'table'], 'json')]).toEqual([
      true,
      false,
      false,
    ]);
    expect(documentOf(agentFault('token_bad', {}))).toMatchObject({
      type: 'urn:queuegate:error:token_bad',
      code: 'token_bad',
      title: 'Token bad',
      hint: expect.stringContaining('Copy the whole line'),
    });
    expect(documentOf(new Error('x'))).toMatchObject({ code: 'internal', detail: 'x', hint: null });
  });
});
