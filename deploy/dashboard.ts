// Writes the files of the dashboard to a folder, as a packaged Central reads them (node deploy/dashboard.ts FOLDER).
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bundleDashboard } from '../central/dashboard/bundle.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node deploy/dashboard.ts FOLDER');
const out = resolve(folder);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const [name, content] of (await bundleDashboard()).files) writeFileSync(join(out, name), content);
