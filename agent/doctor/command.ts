// Runs `queue-agent doctor`: prints each step as it is done, or all steps as JSON, and returns the exit status.
import { escapeLine } from '../../shared/terminal/escape.ts';
import { EXIT_DONE, EXIT_FAILED } from '../../shared/terminal/exit-status.ts';
import { isForPeople, type OutputFormat } from '../../shared/terminal/output.ts';
import { printOut } from '../../shared/terminal/standard-streams.ts';
import { loadAgentConf, type AgentConfRequest } from '../conf.ts';
import { proxySettings, type ProxySettings } from '../dial/proxy-settings.ts';
import { examineAgent, examineEnrollment, type EnrollmentQuestion } from './doctor.ts';
import type { StepReport, Walk } from './step.ts';

/** What the command line of the doctor says. */
interface DoctorCall {
  readonly request: AgentConfRequest;
  readonly format: OutputFormat;
  /** Undefined: TIMEOUT_MS. */
  readonly timeoutMs: number | undefined;
}

interface DoctorOrder {
  readonly call: DoctorCall;
  /** Examine the way to an enrollment instead. */
  readonly enrollment: Omit<EnrollmentQuestion, 'proxies'> | undefined;
}

/** Of each step: longer than a bad line needs, short enough to wait for. */
const TIMEOUT_MS = 10_000;

/** Exit status 0: the agent gets (or could get) online, and its port for devices can be opened; 1: a step says why not. */
export async function doctorCommand({ call, enrollment }: DoctorOrder): Promise<number> {
  const { request, format, timeoutMs = TIMEOUT_MS } = call;
  const options = { timeoutMs, now: () => new Date() };
  const walk: Walk<boolean> =
    enrollment === undefined
      ? examineAgent(request, options)
      : examineEnrollment({ ...enrollment, proxies: await proxiesOf(request) }, options);
  const steps: StepReport[] = [];
  for (;;) {
    const next = await walk.next();
    if (next.done === true) {
      if (format === 'json') printOut(`${JSON.stringify({ ok: next.value, steps }, null, 2)}\n`);
      if (isForPeople(format) && next.value) printOut('No fault found.\n');
      return next.value ? EXIT_DONE : EXIT_FAILED;
    }
    const { target, fault } = next.value;
    if (isForPeople(format) && target !== null && target !== steps.at(-1)?.target) printOut(`\n${target}\n`);
    steps.push(next.value);
    if (isForPeople(format)) printOut(stepText(next.value));
    if (format === 'ndjson') printOut(`${JSON.stringify(next.value)}\n`);
    // To be piped: what ERRORS.md explains.
    if (format === 'name' && fault !== null) printOut(`${escapeLine(fault.code)}\n`);
  }
}

/** Those of the profile; without a readable one, which the enrollment itself reports, those of the environment. */
async function proxiesOf(request: AgentConfRequest): Promise<ProxySettings> {
  try {
    return (await loadAgentConf(request)).central.proxies;
  } catch {
    const { environment } = request;
    return proxySettings({ configured: '', passwordFile: undefined, jvmArgs: [], environment });
  }
}

const MARKS = { ok: 'ok', warning: 'warning', fault: 'FAULT' } as const;

/** Certificates, answers and refusals of hosts are in it: each part stays on its line. */
function stepText({ step, outcome, found, fault }: StepReport): string {
  const lines = [`${MARKS[outcome].padEnd(8)}${step}`, ...found.map((line) => `          ${line}`)];
  if (fault !== null)
    lines.push(`          ${fault.detail}`, `          hint: ${fault.hint}`, `          (${fault.code})`);
  return `${lines.map(escapeLine).join('\n')}\n`;
}
