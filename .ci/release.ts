// Makes a release: writes version and changelog, builds, runs every check and test, commits and tags (npm run release
// -- VERSION). Refuses a dirty tree. Pushes and publishes nothing: what it made can be looked at, and taken back,
// before that.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const USAGE = 'usage: npm run release -- VERSION [--dry-run]';
const WRITTEN = ['CHANGELOG.md', 'package.json', 'package-lock.json', 'shared/version.ts'];
/** Everything that CI runs and that needs no fresh clone, the quick ones first. */
const CHECKS = ['check', 'format:check', 'lint', 'build', 'test', 'test:long'];

/** Compares two versions of three numbers each; positive when `one` is the later. Throws for anything else. */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [one, other].map((version) => {
    const found = /^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$/.exec(version);
    if (found === null) throw new Error(`"${version}" is not a version; it needs three numbers, as in 1.2.3.`);
    return found.slice(1).map(Number);
  });
  for (const place of [0, 1, 2]) {
    const difference = (left?.[place] ?? 0) - (right?.[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * The changelog with its section "Unreleased" as that of a version, under an empty one. Throws when there is nothing to
 * release.
 */
export function releasedChangelog(changelog: string, version: string, date: string): string {
  const heading = '## Unreleased\n';
  const start = changelog.indexOf(`\n${heading}`);
  if (start === -1) throw new Error('CHANGELOG.md has no section "Unreleased".');
  const from = start + 1 + heading.length;
  const next = changelog.indexOf('\n## ', from);
  const entries = changelog.slice(from, next === -1 ? undefined : next + 1);
  if (!/^- /m.test(entries)) throw new Error('The section "Unreleased" of CHANGELOG.md has no entry.');
  if (changelog.includes(`\n## ${version} `)) throw new Error(`CHANGELOG.md has a section ${version} already.`);
  return `${changelog.slice(0, from)}\n## ${version} - ${date}\n${changelog.slice(from)}`;
}

/** What keeps a version from being released now; empty when nothing does. */
export function obstacles(facts: {
  readonly version: string;
  readonly current: string;
  /** The output of `git status --porcelain`. */
  readonly changes: string;
  readonly tags: readonly string[];
}): string[] {
  const { version, current, changes, tags } = facts;
  return [
    ...(changes.trim() === '' ? [] : [`The working tree has changes; commit or remove them:\n${changes.trimEnd()}`]),
    ...(compareVersions(version, current) < 0 ? [`${version} is before the current version, ${current}.`] : []),
    ...(tags.includes(`v${version}`) ? [`The tag v${version} exists already.`] : []),
  ];
}

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function runStep(command: string, args: readonly string[]): void {
  say(`> ${command} ${args.join(' ')}`);
  execFileSync(command, args, { cwd: root, stdio: 'inherit' });
}

function release(version: string, dryRun: boolean): void {
  const { version: current } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const tags = git('tag', '--list').split('\n');
  const found = obstacles({ version, current, changes: git('status', '--porcelain'), tags });
  if (found.length > 0) throw new Error(found.join('\n'));
  const date = new Date().toISOString().slice(0, 10);
  const changelog = releasedChangelog(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), version, date);
  if (dryRun) {
    say(`Would write ${WRITTEN.join(', ')} for version ${version} (${date}),`);
    say(`then run ${CHECKS.map((name) => `npm run ${name}`).join(', ')},`);
    say(`then commit "chore: release ${version}" and tag v${version}. Nothing was changed.`);
    return;
  }
  try {
    writeFileSync(join(root, 'CHANGELOG.md'), changelog);
    if (version !== current) runStep('npm', ['version', version, '--no-git-tag-version']);
    const source = join(root, 'shared/version.ts');
    writeFileSync(source, readFileSync(source, 'utf8').replace(/'[^']+'/, `'${version}'`));
    for (const name of CHECKS) runStep('npm', ['run', name]);
    runStep('git', ['commit', '--message', `chore: release ${version}`, '--', ...WRITTEN]);
  } catch (error) {
    git('checkout', 'HEAD', '--', ...WRITTEN);
    throw error;
  }
  runStep('git', ['tag', '--annotate', `v${version}`, '--message', `Queuegate ${version}`]);
  say(`Released ${version}. Look at it ("git show v${version}"), then push the branch and the tag.`);
}

if (import.meta.main) {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { 'dry-run': { type: 'boolean' } } });
    const [version, ...more] = positionals;
    if (version === undefined || more.length > 0) throw new Error(USAGE);
    release(version, values['dry-run'] === true);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
