// Runs `queue-agent doctor`: prints each step as it is done, or all steps as JSON, and returns the exit status.
import { escapeLine } from '../../shared/terminal/escape.ts';
import { loadAgentConf, type AgentConfRequest } from '../conf.ts';
import { proxySettings, type ProxySettings } from '../dial/proxy-settings.ts';
import { examineAgent, examineEnrollment, type EnrollmentQuestion } from './doctor.ts';
import type { StepReport, Walk } from './step.ts';

interface DoctorOrder {
  readonly request: AgentConfRequest;
  /** Examine the way to an enrollment instead. */
  readonly enrollment: Omit<EnrollmentQuestion, 'proxies'> | undefined;
  readonly json: boolean;
  readonly print: (text: string) => void;
}

/** Of each step: longer than a bad line needs, short enough to wait for. */
const TIMEOUT_MS = 10_000;

/** Exit status 0: the agent gets (or could get) online; 1: it does not, and the last step says why. */
export async function doctorCommand({ request, enrollment, json, print }: DoctorOrder): Promise<number> {
  const options = { timeoutMs: TIMEOUT_MS, now: () => new Date() };
  const walk: Walk<boolean> =
    enrollment === undefined
      ? examineAgent(request, options)
      : examineEnrollment({ ...enrollment, proxies: await proxiesOf(request) }, options);
  const steps: StepReport[] = [];
  for (;;) {
    const next = await walk.next();
    if (next.done === true) {
      if (json) print(`${JSON.stringify({ ok: next.value, steps }, null, 2)}\n`);
      else print(next.value ? 'No fault found.\n' : '');
      return next.value ? 0 : 1;
    }
    if (!json && next.value.target !== null && next.value.target !== steps.at(-1)?.target)
      print(`\n${next.value.target}\n`);
    steps.push(next.value);
    if (!json) print(stepText(next.value));
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
