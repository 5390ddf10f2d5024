// What agents report again behind each welcome, kept as a JSON document in one row of the agent: where it says what the
// row says already, nothing is written, and `reportedAt` stays the time since which it is so.

/** The time comes last, by which `isOtherReport` finds it. */
export function reportDocument({ reportedAt, ...report }: { readonly reportedAt: number }): string {
  return JSON.stringify({ ...report, reportedAt });
}

/** Of an upsert into a table with such documents, in the words of both engines: they differ in more than the time. */
export function isOtherReport(table: string): string {
  return `rtrim(${table}.report, '0123456789}') <> rtrim(excluded.report, '0123456789}')`;
}
