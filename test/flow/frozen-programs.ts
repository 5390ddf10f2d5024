// The programs of a version as they are installed (bundles of Central and of the agent), kept with its fixtures in
// test/fixtures/v*: so that this version is tested against the one before. record-fixture.ts packs them once for each
// release.
import { writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { tar } from '../../deploy/archive.ts';
import { bundleAgent, bundleCentral } from '../../deploy/bundle.ts';
import { textEntry } from '../../deploy/entry.ts';
import { ROOT, run, type Cleanup } from './processes.ts';

const FILE = 'programs.tar.br';

/** Packs the programs of this checkout: some 0.8 MB. */
export async function packPrograms(to: string): Promise<void> {
  const [central, agent] = [await bundleCentral(), await bundleAgent()];
  const files = new Map([...central.entries, ...agent.entries].map((entry) => [entry.path, entry] as const));
  const licenses = textEntry('third-party-licenses.txt', `${central.licenses}\n${agent.licenses}`);
  const archive = tar([...files.values(), licenses], 0);
  const params = { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS };
  await writeFile(join(to, FILE), brotliCompressSync(archive, { params }));
}

/** The folder with central/ and agent/ of that version. */
export async function unpackPrograms(cleanup: Cleanup, version: string): Promise<string> {
  const folder = await cleanup.folder();
  await writeFile(
    join(folder, 'programs.tar'),
    brotliDecompressSync(readFileSync(join(ROOT, 'test/fixtures', version, FILE))),
  );
  const { code, stderr } = await run('tar', ['-xf', 'programs.tar'], { cwd: folder });
  if (code !== 0) throw new Error(`tar failed: ${stderr}`);
  return folder;
}
