// Repeats a failed test once in CI and names each test that passed only then. A race of a test must not hide what the
// other thousands say, and it must not hide itself either: a test that is named here is a fault to be fixed. Elsewhere
// a failed test fails at once.
import type { Reporter, TestCase } from 'vitest/node';

export const RETRIES = process.env.CI === undefined ? 0 : 1;

export class FlakyTestReporter implements Reporter {
  #flaky: TestCase[] = [];

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky === true) this.#flaky.push(test);
  }

  onTestRunEnd(): void {
    for (const { module, fullName } of this.#flaky) {
      console.log(`FLAKY, passed on the second attempt: ${module.relativeModuleId} > ${fullName}`);
    }
  }
}
