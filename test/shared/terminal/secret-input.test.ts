// The reader of secrets (shared/terminal/secret-input.ts): files, lines of the standard input, and a prompt that shows
// nothing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PromptCanceled, SecretInput } from '../../../shared/terminal/secret-input.ts';
import { ROOT } from '../../flow/processes.ts';
import { secretsFrom } from '../secrets.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const QUESTION = { what: 'The password file', prompt: 'Password' };

/** A terminal that notes in which order it was set and shown what. */
function terminal(): { secrets: SecretInput; stdin: PassThrough; acts: string[] } {
  const acts: string[] = [];
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (mode: boolean) => acts.push(`raw ${mode}`),
  });
  return {
    stdin,
    acts,
    secrets: new SecretInput(
      () => stdin,
      (text) => void acts.push(text),
    ),
  };
}

describe('a secret from the standard input', () => {
  test('is one line each, in the order in which they are asked for', async () => {
    const secrets = secretsFrom('first\r\nsecond ü\nlast');
    expect([
      await secrets.read('-', QUESTION),
      await secrets.read('-', QUESTION),
      await secrets.read('-', QUESTION),
      await secrets.read('-', QUESTION),
    ]).toEqual(['first', 'second ü', 'last', '']);
  });

  test('that is too long is refused, whether or not its line ends', async () => {
    await expect(secretsFrom('x'.repeat(5_000)).read('-', QUESTION)).rejects.toMatchObject({ code: 'file_too_large' });
  });

  test('is not waited for behind its line, and a pipe that stays open does not keep the program', async () => {
    const program = `import { SecretInput } from '${join(ROOT, 'shared/terminal/secret-input.ts')}'; console.log(await new SecretInput().read('-', { what: '', prompt: '' }));`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stdin.write('first\nsecond\n');
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(out).toBe('first\n');
  });
});

describe('a secret from a file', () => {
  test('is its first line', async () => {
    const folder = temporaryFolder();
    await writeFile(join(folder, 'secret'), ' of a file \r\nmore');
    expect(await secretsFrom('').read(join(folder, 'secret'), QUESTION)).toBe(' of a file ');
    await expect(secretsFrom('').read(join(folder, 'none'), QUESTION)).rejects.toMatchObject({
      code: 'file_missing',
      hint: expect.stringContaining('- for the standard input'),
    });
  });
});

describe('a prompt', () => {
  test('comes once nothing is echoed any more, and takes edits, not controls', async () => {
    const { secrets, stdin, acts } = terminal();
    const typed = secrets.ask('Password');
    expect(acts).toEqual(['raw true', 'Password: ']);
    for (const keys of ['wr\u007f\bse', 'c\u001b\u0001r', 'et\r\n']) stdin.write(keys);
    expect(await typed).toBe('secret');
    expect(acts.slice(2)).toEqual(['raw false', '\n']);
  });

  test('is there for "-" too, and what was typed ahead belongs to the next one', async () => {
    const { secrets, stdin, acts } = terminal();
    stdin.write('one\rtwo\r');
    expect([await secrets.read('-', QUESTION), await secrets.read('-', { what: '', prompt: 'New password' })]).toEqual([
      'one',
      'two',
    ]);
    expect(acts).toContain('New password: ');
  });

  test.each([
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', 'half\u0004'],
  ])('is left with %s, and the terminal is as before', async (_, keys) => {
    const { secrets, stdin, acts } = terminal();
    const typed = secrets.ask('Password');
    stdin.write(keys);
    await expect(typed).rejects.toBeInstanceOf(PromptCanceled);
    expect(acts).toContain('raw false');
  });

  test('ends with the terminal', async () => {
    const { secrets, stdin } = terminal();
    stdin.end('half');
    await expect(secrets.ask('Password')).rejects.toBeInstanceOf(PromptCanceled);
  });
});
