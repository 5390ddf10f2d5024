// The handlers of tasks as the files of the configuration name them.
import { describe, expect, it } from 'vitest';
import { readTaskHandlers } from '../../../agent/tasks/settings.ts';
import { parseProperties } from '../../../shared/settings/properties.ts';

const read = (...texts: string[]) =>
  readTaskHandlers(texts.map((text, i) => parseProperties(Buffer.from(text), `file-${i}`)));

describe('handlers of tasks', () => {
  it('need a command, and have defaults for the rest', () => {
    expect(read('task.backup.command=/bin/backup\nlog.level=debug')).toEqual([
      {
        name: 'backup',
        command: '/bin/backup',
        arguments: 'none',
        fixedArguments: [],
        argumentPattern: null,
        timeoutSeconds: 3600,
        graceSeconds: 10,
        concurrency: 1,
        maxOutputBytes: 8 * 1024 * 1024,
        onRestart: 'continue',
        rerun: false,
        environment: {},
      },
    ]);
  });

  it('are read from both files, of which the later counts key by key', () => {
    const [handler, other] = read(
      'task.a.command=/bin/a\ntask.a.timeoutSeconds=5\ntask.a.environment.X=1\ntask.b.command=files/b',
      'task.a.timeoutSeconds=7\ntask.a.environment.Y=two words\ntask.a.rerun=true',
    );
    expect(handler).toMatchObject({ timeoutSeconds: 7, rerun: true, environment: { X: '1', Y: 'two words' } });
    expect(other).toMatchObject({ name: 'b', command: 'files/b' });
  });

  it.each([
    ['task.a.timeoutSeconds=5', 'task.a.command', 'the program of the handler'],
    ['task.a.command=backup', 'task.a.command', 'an absolute path'],
    ['task.A.command=/b', 'task.A.command', 'small letters'],
    ['task.a.comand=/b', 'task.a.comand', 'command, arguments'],
    ['task.a.command=/b\ntask.a.arguments=some', 'task.a.arguments', 'none, list, fixed'],
    ['task.a.command=/b\ntask.a.arguments=fixed', 'task.a.fixedArguments', 'a JSON array'],
    ['task.a.command=/b\ntask.a.fixedArguments=--full', 'task.a.fixedArguments', 'a JSON array'],
    ['task.a.command=/b\ntask.a.fixedArguments=[1]', 'task.a.fixedArguments', 'a JSON array'],
    [
      'task.a.command=/b\ntask.a.arguments=list\ntask.a.argumentPattern=(',
      'task.a.argumentPattern',
      'regular expression',
    ],
    ['task.a.command=/b\ntask.a.argumentPattern=x', 'task.a.argumentPattern', 'arguments=list'],
    ['task.a.command=/b\ntask.a.concurrency=0', 'task.a.concurrency', 'an integer from 1 to 64'],
    ['task.a.command=/b\ntask.a.graceSeconds=1e3', 'task.a.graceSeconds', 'an integer from 0 to 3600'],
    ['task.a.command=/b\ntask.a.rerun=yes', 'task.a.rerun', 'true, false'],
    ['task.a.command=/b\ntask.a.environment.1X=1', 'task.a.environment.1X', 'the name of a variable'],
    ['task.a.command=/b\ntask.a.environment.QUEUEGATE_TASK=1', 'QUEUEGATE_TASK', 'QUEUEGATE_'],
  ])('refuses %s with the key, the place and what is allowed', (text, setting, allowed) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'task_setting_bad' }));
    expect(() => read(text)).toThrow(setting);
    expect(() => read(text)).toThrow(/file-0 line \d/);
    expect(() => read(text)).toThrow(allowed);
  });

  it('are 64 at most', () => {
    const lines = (count: number): string =>
      Array.from({ length: count }, (_, i) => `task.h${i}.command=/b`).join('\n');
    expect(read(lines(64))).toHaveLength(64);
    expect(() => read(lines(65))).toThrow('65 handlers');
  });
});
