// Gathers calls of one kind: while one group is on its way, those that arrive form the next one. After an outage all
// agents of a node come back within seconds, and each call by itself costs several statements under the lock of all nodes.

interface GroupOptions<C, A> {
  /** In the order of the calls; `alone`: this one is not for a group. */
  readonly many: (calls: readonly C[]) => Promise<readonly (A | 'alone')[]>;
  readonly alone: (call: C) => Promise<A>;
  /** What a call brings along; default: nothing worth counting. */
  readonly bytesOf?: (call: C) => number;
}

interface Waiting<C, A> {
  readonly call: C;
  readonly resolve: (answer: A) => void;
  readonly reject: (error: unknown) => void;
}

/** Some 50 ms under the lock of all nodes. */
const MAX_CALLS = 250;
const MAX_BYTES = 1024 * 1024;

export class Groups<C, A> {
  readonly #options: GroupOptions<C, A>;
  #waiting: Waiting<C, A>[] = [];
  #running: Promise<void> | undefined;

  constructor(options: GroupOptions<C, A>) {
    this.#options = options;
  }

  call(call: C): Promise<A> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Until all calls so far are on their way. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // What this turn of the event loop still brings belongs to the same group.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      const [only] = group;
      if (only !== undefined && group.length === 1) {
        await this.#alone(only);
        continue;
      }
      try {
        const answers = await this.#options.many(group.map(({ call }) => call));
        for (const [index, one] of group.entries()) {
          const answer = answers[index] ?? 'alone';
          if (answer === 'alone') void this.#alone(one);
          else one.resolve(answer);
        }
      } catch {
        // One of them is at fault: alone it fails by itself, and the others do not.
        for (const one of group) await this.#alone(one);
      }
    }
    this.#running = undefined;
  }

  #nextGroup(): Waiting<C, A>[] {
    const { bytesOf = () => 0 } = this.#options;
    let [calls, bytes] = [0, 0];
    for (const { call } of this.#waiting) {
      bytes += bytesOf(call);
      if (calls === MAX_CALLS || (calls > 0 && bytes > MAX_BYTES)) break;
      calls += 1;
    }
    return this.#waiting.splice(0, calls);
  }

  async #alone({ call, resolve, reject }: Waiting<C, A>): Promise<void> {
    await this.#options.alone(call).then(resolve, reject);
  }
}
