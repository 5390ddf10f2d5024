// Writes what was measured: a table for people, JSON for comparisons.
import type { Bar } from './bars.ts';
import { ratios, spread, type Spread } from './figures.ts';
import type { Machine } from './machine.ts';
import { OURS, type Check, type Series } from './result.ts';

export interface Report {
  readonly at: string;
  readonly plan: string;
  readonly machine: Machine;
  readonly peers: readonly { readonly name: string; readonly version: string; readonly durability: string }[];
  /** Said loudly: what could not be measured, and why. */
  readonly leftOut: readonly string[];
  readonly series: readonly Series[];
  readonly checks: readonly Check[];
  readonly bars: readonly Bar[];
}

export function markdown(report: Report): string {
  const { machine } = report;
  const lines = [
    `Plan ${report.plan}, ${report.at}. ${machine.cores} cores (${machine.processor}), ${machine.memoryGiB} GiB, ${machine.system}, Node.js ${machine.node}, OpenSSL ${machine.openssl}, SQLite ${machine.sqlite}.`,
    `fdatasync of 4 KiB on this disk: median ${number(machine.fdatasyncMs.median)} ms, p99 ${number(machine.fdatasyncMs.p99)} ms.`,
    '',
    '| peer | version | what its acknowledgement means |',
    '| --- | --- | --- |',
    ...report.peers.map(({ name, version, durability }) => `| ${name} | ${version} | ${durability} |`),
    '',
    ...report.leftOut.map((text) => `LEFT OUT: ${text}`),
    ...(report.leftOut.length > 0 ? [''] : []),
    '| measure | size | unit | peer | median | min | max | Queuegate against it: median (min to max) |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...report.series.flatMap(seriesRows),
    '',
    '| bar | found | reached |',
    '| --- | --- | --- |',
    ...report.bars.map(
      ({ text, found, reached }) =>
        `| ${text} | ${found === undefined ? 'not measured' : number(found)} | ${reached === undefined ? '-' : reached ? 'yes' : 'NO'} |`,
    ),
    '',
    ...report.checks.map(
      ({ peer, what, expected, found }) =>
        `${expected === found ? 'ok' : 'WRONG'}: ${peer}: ${what}: ${found} of ${expected}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function seriesRows({ measure, size, unit, samples }: Series): string[] {
  const ours = samples[OURS];
  return Object.entries(samples)
    .toSorted(([one], [other]) => Number(other === OURS) - Number(one === OURS))
    .map(([peer, values]) => {
      const { min, median, max } = spread(values);
      const against = peer === OURS || ours === undefined ? '' : ratioText(ratios(ours, values));
      return `| ${measure} | ${size} | ${unit} | ${peer} | ${number(median)} | ${number(min)} | ${number(max)} | ${against} |`;
    });
}

function ratioText({ median, min, max }: Spread): string {
  return Number.isFinite(median) ? `${number(median)} (${number(min)} to ${number(max)})` : '';
}

export function number(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return value === 0 ? '0' : String(Number(value.toPrecision(3)));
}
