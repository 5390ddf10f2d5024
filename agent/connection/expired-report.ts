// Reports to Central which commands have expired here after they were acknowledged to it.
import type { AgentStore } from '../store/store.ts';
import { RecordedReport, type RecordedReportNeeds } from './recorded-report.ts';

/** A frame of the largest size costs some 17 of the 20 control frames of a second. */
const INTERVAL_MS = 2_000;

export function expiredReport(
  inbox: Pick<AgentStore['inbox'], 'expiredBatch' | 'setExpiredRecorded'>,
  { log, after }: Pick<RecordedReportNeeds, 'log' | 'after'>,
): RecordedReport {
  return new RecordedReport({
    subject: 'expired commands',
    async read() {
      const batch = await inbox.expiredBatch();
      return batch && { type: 'expired', ...batch };
    },
    recorded: (through) => inbox.setExpiredRecorded(through),
    intervalMs: () => INTERVAL_MS,
    log,
    after,
  });
}
