// Asks on the terminal before an act that cannot be undone.
import { escapeLine } from '../../../shared/terminal/escape.ts';
import type { SecretInput } from '../../../shared/terminal/secret-input.ts';
import { cliFault } from '../errors.ts';
import { shown } from '../print.ts';

/** Yes or no; with a `name`, only that name is a yes. Errors: not_confirmed. */
export async function askFirst(terminal: Pick<SecretInput, 'ask'>, question: string, name?: unknown): Promise<void> {
  const allowed = name === undefined ? ['y', 'yes'] : [shown(name)];
  const prompt = name === undefined ? `${question} [y/N]` : `${question} Enter its name (${shown(name)}) to continue`;
  const found = (await terminal.ask(escapeLine(prompt), { echo: true })).trim();
  if (!allowed.some((answer) => answer.toLowerCase() === found.toLowerCase()))
    throw cliFault('not_confirmed', { found: found.slice(0, 64), allowed: allowed.join(', ') });
}
