// The table of audit actions: each is in use, and those of administrators are called as their commands.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { AUDIT_ACTIONS, auditEntry, auditMarkdown, CENTRAL } from '../../central/audit.ts';
import { COMMAND_NAMES } from '../../central/cli/commands.ts';

const actions = Object.entries<{ readonly text: string; readonly by?: string }>(AUDIT_ACTIONS);

describe('the actions of the audit log', () => {
  it('docs/AUDIT.md is made from the table', () => {
    expect(readFileSync('docs/AUDIT.md', 'utf8')).toBe(auditMarkdown());
  });

  it('are in order, each once', () => {
    expect(actions.map(([action]) => action)).toEqual(actions.map(([action]) => action).toSorted());
  });

  it('an action of an administrator is a command of queuegate', () => {
    const own = actions.filter(([, { by }]) => by === undefined).map(([action]) => action.replaceAll('.', ' '));
    expect(own.filter((name) => !COMMAND_NAMES.includes(name))).toEqual([]);
  });

  it('every action is written somewhere', () => {
    const sources = readdirSync('central', { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && file !== 'audit.ts')
      .map((file) => readFileSync(`central/${file}`, 'utf8'))
      .join('\n');
    // Those of a server certificate and of a rollout end in the verb that brought them.
    const verb = (action: string): string => action.replace(/^(?:server-certificate|rollouts)\.(\w+)$/, '$1');
    expect(
      actions.filter(([action]) => !sources.includes(`'${action}'`) && !sources.includes(`'${verb(action)}'`)),
    ).toEqual([]);
  });
});

it('an entry has the detail as text, and comment and ticket null unless they are set', () => {
  expect(auditEntry(CENTRAL, 'ca.create', { thumbprint: 'a' }, 7)).toEqual({
    at: 7,
    who: 'central',
    from: 'local',
    action: 'ca.create',
    detail: '{"thumbprint":"a"}',
    comment: null,
    ticket: null,
  });
});
