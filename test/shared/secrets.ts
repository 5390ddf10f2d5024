// Secrets that come by the standard input, which holds `text`.
import { Readable } from 'node:stream';
import { SecretInput } from '../../shared/terminal/secret-input.ts';

export function secretsFrom(text: string): SecretInput {
  const stdin = Readable.from([Buffer.from(text)]);
  return new SecretInput(
    () => stdin,
    () => undefined,
  );
}
