// Writes what agents report without being asked, of each agent one report at a time: of those that come while one is
// written, only the newest is kept, since each replaces the one before. So an agent has at most one such write in
// flight, and one report in memory, however often it reports.
export class NewestReports<R extends object> {
  readonly #write: (agentId: string, report: R) => Promise<void>;
  /** Of each agent that has a report in flight: the one to be written next. */
  readonly #next = new Map<string, R | undefined>();

  /** `write` must not reject. */
  constructor(write: (agentId: string, report: R) => Promise<void>) {
    this.#write = write;
  }

  note(agentId: string, report: R): void {
    const isWriting = this.#next.has(agentId);
    this.#next.set(agentId, report);
    if (!isWriting) void this.#writeAll(agentId);
  }

  async #writeAll(agentId: string): Promise<void> {
    for (let report = this.#next.get(agentId); report !== undefined; report = this.#next.get(agentId)) {
      this.#next.set(agentId, undefined);
      await this.#write(agentId, report);
    }
    this.#next.delete(agentId);
  }
}
