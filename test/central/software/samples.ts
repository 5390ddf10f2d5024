// Archives of the software as the build writes them, with a key of the test.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { softwareRelease } from '../../../deploy/packages.ts';

export const BUILD_KEY: { readonly key: KeyObject; readonly keyId: string } = {
  key: generateKeyPairSync('ed25519').privateKey,
  keyId: 'sha256:build',
};

const file = (path: string, content: string, executable = false) => ({
  path,
  content: Buffer.from(content),
  executable,
});

/** Files of a program; `text` makes another release of it. */
export const programFiles = (text = 'start();') => [file('agent/cli.js', text), file('package.json', '{}')];
export const runtimeFiles = () => [file('node', 'ELF', true)];

export function archiveOf(
  name: string,
  entries: ReturnType<typeof programFiles>,
  build: typeof BUILD_KEY | undefined = BUILD_KEY,
): { readonly digest: string; readonly archive: Buffer } {
  return softwareRelease(name, entries, build, 0);
}
