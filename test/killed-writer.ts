// Runs a program that writes to a store and prints a line for each answer, and kills it in the middle.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Every line that it printed; it is killed when it has printed so many. */
export async function linesUntilKilled(program: URL, folder: string, afterLines: number): Promise<string[]> {
  const child = spawn(process.execPath, [program.pathname, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.length === afterLines) child.kill('SIGKILL');
  }
  await exited;
  return lines;
}
