// Bundles Central as its packages have it, into a folder of its content's name, and prints the path of its program.
// Tests that start hundreds of Centrals start it in place of the sources (vitest.long.config.ts): a start takes two
// fifths of the processor time.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { bundleCentral } from '../deploy/bundle.ts';

const { entries } = await bundleCentral();
const hash = createHash('sha256');
for (const { path, content } of entries) hash.update(`${path}\n`).update(content);
const bundles = resolve(import.meta.dirname, '../node_modules/.cache/central');
const folder = join(bundles, hash.digest('hex').slice(0, 16));
if (!existsSync(folder)) {
  const unfinished = join(bundles, randomUUID());
  for (const { path, content } of entries) {
    await mkdir(dirname(join(unfinished, path)), { recursive: true });
    await writeFile(join(unfinished, path), content);
  }
  // Another run may have been quicker.
  await rename(unfinished, folder).catch(() => undefined);
}
console.log(join(folder, 'central/main.js'));
