// The files for Prometheus and Grafana: their metrics exist, promtool accepts and tests them, and every alert has a
// runbook.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import { createMetrics, METRICS } from '../../central/metrics.ts';
import { anchorOf } from '../../docs/make.ts';
import { lacksPeer } from '../flow/false-hosts.ts';
import { Cleanup, ROOT, run } from '../flow/processes.ts';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const alerts = read('deploy/prometheus/alerts.yml');
const blocks = alerts.split('- alert: ').slice(1);
const nameOf = (block: string): string => block.split('\n', 1)[0] ?? '';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}
const dashboard = JSON.parse(read('deploy/grafana/queuegate.json')) as {
  readonly uid: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
};

const alertExpressions = blocks.map((block) => /\n {8}expr: (.*)\n/.exec(block)?.[1] ?? '');
const panelExpressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

/** Names of time series that do not exist in an expression. */
async function unknownIn(expressions: readonly string[]): Promise<string[]> {
  const known = new Set(['up', 'process_start_time_seconds']);
  for (const { name, type } of await createMetrics().registry.getMetricsAsJSON())
    // prom-client writes the type as a word at run time (registry.js), whatever its types say.
    for (const ending of String(type) === 'histogram' ? ['_bucket', '_count', '_sum'] : ['']) known.add(name + ending);
  return expressions.flatMap((expression) =>
    Array.from(expression.matchAll(/\b(?:queuegate|nodejs|process)_\w+|\bup\b/g), ([name]) => name).filter(
      (name) => !known.has(name),
    ),
  );
}

const lacksPromtool = lacksPeer('promtool');

describe('the alerts', () => {
  it('are there, each with an expression that has a metric', () => {
    expect(blocks.length).toBeGreaterThan(15);
    expect(new Set(blocks.map(nameOf)).size).toBe(blocks.length);
    expect(alertExpressions.filter((expression) => !/queuegate|nodejs|process|up/.test(expression))).toEqual([]);
  });

  it('and the dashboard use metrics that exist', async () => {
    expect(await unknownIn([...alertExpressions, ...panelExpressions])).toEqual([]);
    expect(await unknownIn(['rate(queuegate_no_such_total[5m])'])).toEqual(['queuegate_no_such_total']);
  });

  it('filter by labels that the metrics have', () => {
    const wrong = [...alertExpressions, ...panelExpressions].flatMap((expression) =>
      Array.from(expression.matchAll(/(queuegate_\w+?)(?:_bucket)?\{([^}]*)\}/g)).flatMap(
        ([, name = '', filters = '']) => {
          const labels: readonly string[] = METRICS[name as keyof typeof METRICS].labels;
          return Array.from(filters.matchAll(/(\w+)(?==|!=)/g), ([label]) => label).filter(
            (label) => label !== 'instance' && label !== 'job' && !labels.includes(label),
          );
        },
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('have a severity, a summary, a description, and a section of the documentation as their runbook', () => {
    const found = Array.from(read('docs/TROUBLESHOOTING.md').matchAll(/^#+ (.+)$/gm), ([, heading = '']) =>
      anchorOf(heading),
    );
    for (const block of blocks) {
      expect([nameOf(block), /\n {8}labels: \{ severity: (?:info|warning|critical) \}\n/.test(block)]).toEqual([
        nameOf(block),
        true,
      ]);
      for (const name of ['summary', 'description'])
        expect([nameOf(block), new RegExp(`\\n {10}${name}:\\s+\\S`).test(block)]).toEqual([nameOf(block), true]);
      const anchor = /\n {10}runbook: docs\/TROUBLESHOOTING\.md#(\S+)\n/.exec(block)?.[1];
      expect(found).toContain(anchor);
    }
  });

  it('are all in the tests that promtool runs', () => {
    const tests = read('deploy/prometheus/alerts.test.yml');
    expect(blocks.map(nameOf).filter((name) => !tests.includes(`alertname="${name}"`))).toEqual([]);
  });

  it.skipIf(lacksPromtool)('fire when they should, and not when all is well (promtool test rules)', async () => {
    const { code, stdout, stderr } = await run('promtool', ['test', 'rules', 'deploy/prometheus/alerts.test.yml']);
    expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, '']);
  });
});

describe('the dashboard', () => {
  it('is a model that Grafana imports: panels with ids of their own, on a grid, in which none covers another', () => {
    const { panels, uid, schemaVersion, templating } = dashboard;
    expect([uid, schemaVersion > 30]).toEqual(['queuegate-central', true]);
    expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance']);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Set<string>();
    for (const { gridPos, title } of panels)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect([title, x < 24, taken.has(`${x} ${y}`)]).toEqual([title, true, false]);
          taken.add(`${x} ${y}`);
        }
    expect(panelExpressions.length).toBeGreaterThan(30);
  });

  it.skipIf(lacksPromtool)('has expressions that Prometheus can parse', async () => {
    const folder = await cleanup.folder();
    const rules = panelExpressions.map((expression, i) => ({
      record: `panel:${i}`,
      expr: expression.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'),
    }));
    // JSON is YAML.
    writeFileSync(join(folder, 'rules.yml'), JSON.stringify({ groups: [{ name: 'panels', rules }] }));
    const { code, stdout, stderr } = await run('promtool', ['check', 'rules', join(folder, 'rules.yml')]);
    expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, '']);
  });
});

describe.skipIf(lacksPromtool)('promtool', () => {
  it('finds nothing wrong with the names, types and texts of the metrics', async () => {
    const { registry, instruments } = createMetrics();
    instruments.queuegate_commit_seconds.observe(0.01);
    const input = await registry.metrics();
    const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });

  it('accepts the configuration of Prometheus', async () => {
    const folder = await cleanup.folder();
    cpSync(join(ROOT, 'deploy/prometheus/alerts.yml'), join(folder, 'alerts.yml'));
    for (const file of ['queuegate-token', 'queuegate-root.pem']) writeFileSync(join(folder, file), '');
    const text = read('deploy/prometheus/prometheus.yml');
    expect(text).toContain('credentials_file: /etc/prometheus/queuegate-token');
    writeFileSync(
      join(folder, 'prometheus.yml'),
      text.replaceAll('/etc/prometheus', folder).replace(/ca_file: .*/, 'insecure_skip_verify: false'),
    );
    const { code, stdout, stderr } = await run('promtool', ['check', 'config', join(folder, 'prometheus.yml')]);
    expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, '']);
  });
});
