// docs/TROUBLESHOOTING.md quotes the texts of key stores as they are printed: each is in the sources.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../../..');

test('every text of the section on key stores is in the sources', () => {
  const page = readFileSync(join(root, 'docs/TROUBLESHOOTING.md'), 'utf8');
  const [, section = ''] = /## A key store or a certificate is refused\n([\s\S]*?)\n## /.exec(page) ?? [];
  const sources = ['shared/keystore', 'shared/truststore', 'shared/settings', 'shared/x509', 'agent']
    .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n')
    .replaceAll(/\$\{[^{}]*\}|\{\w+\}/g, '*')
    .replaceAll('\\\\', '\\');
  const texts = [...section.matchAll(/^\| ((?:[^|\\]|\\.)*?) \|/gm)]
    .slice(2)
    .flatMap(([, cell = '']) =>
      [...cell.replaceAll(/\(\[.*?\)\)/g, '').matchAll(/`([^`]+)`/g)].map(([, text]) => text),
    );
  expect(texts.length).toBeGreaterThan(15);
  const plain = (text: string): string =>
    text
      .replaceAll(/"(?:Root|root-2)"/g, '"*"')
      .replace('10000', '*')
      .replace('20000', '*');
  expect(texts.filter((text = '') => !sources.includes(plain(text)))).toEqual([]);
});
