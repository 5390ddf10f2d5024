import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createMetrics, METRICS, metricsMarkdown } from '../../central/metrics.ts';

test('docs/METRICS.md is made from the table', () => {
  expect(readFileSync('docs/METRICS.md', 'utf8')).toBe(metricsMarkdown());
});

test('every metric of the table is there, with its labels', async () => {
  const { registry, instruments } = createMetrics();
  instruments.queuegate_sessions.set({ transport: 'wss' }, 3);
  instruments.queuegate_refusals_total.inc({ code: 'agent_unknown' });
  const text = await registry.metrics();
  for (const name of Object.keys(METRICS)) expect(text).toContain(`# HELP ${name} `);
  expect(text).toContain('queuegate_sessions{transport="wss"} 3');
  expect(text).toContain('queuegate_sessions{transport="ws"} 0');
  expect(text).toContain('queuegate_refusals_total{code="agent_unknown"} 1');
});
