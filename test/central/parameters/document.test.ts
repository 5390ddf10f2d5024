import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { defaultValues, definitionOf, GROUPS, PARAMETER_NAMES } from '../../../central/parameters/definitions.ts';
import { parametersMarkdown } from '../../../central/parameters/document.ts';
import { crossFaults, validateValue } from '../../../central/parameters/values.ts';

test('docs/PARAMETERS.md is made from the table', () => {
  expect(readFileSync('docs/PARAMETERS.md', 'utf8')).toBe(parametersMarkdown());
});

test('every default is allowed, and all of them go together', () => {
  for (const name of PARAMETER_NAMES)
    expect(validateValue(name, definitionOf(name).default)).toEqual({ value: definitionOf(name).default });
  expect(crossFaults(defaultValues(), new Set(PARAMETER_NAMES))).toEqual([]);
});

test('every parameter has a group that administrators know, a description, a reason and what applying it does', () => {
  const groups = new Set<string>(Object.values(GROUPS));
  for (const name of PARAMETER_NAMES) {
    const { group, description, reason, applying } = definitionOf(name);
    expect(groups).toContain(group);
    for (const text of [description, reason, applying]) expect(text).toMatch(/^[A-Z].+\.$/s);
  }
});

test('unencrypted off is explained in words: loopback only, same port, never closed', () => {
  expect(definitionOf('websocket.enabled').description).toMatch(
    /the port is not closed: .*same port of the loopback addresses only.*because the Central agent/,
  );
});
