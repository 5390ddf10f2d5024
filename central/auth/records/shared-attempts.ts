// Wrong secrets over nodes: each reports to the others how many it slowed down of which address block, so that more nodes are
// not more guesses. One note a second, however many there are.
import type { SharedChange } from '../../store/nodes/node-store.ts';
import type { NoteQueue } from '../../store/nodes/note-queue.ts';
import type { WrongAttempts } from '../wrong-attempts.ts';

const TELL_MS = 1_000;
/** Of one note; those beyond count at the node that saw them. */
const MAX_BLOCKS = 200;

interface SharedAttemptsNeeds {
  readonly notes: Pick<NoteQueue, 'add' | 'isOpen'>;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

export class SharedAttempts {
  readonly #needs: SharedAttemptsNeeds;
  /** By block, since the last note. */
  readonly #counts = new Map<string, number>();

  constructor(needs: SharedAttemptsNeeds) {
    this.#needs = needs;
  }

  /** One at this node. */
  add(block: string): void {
    const { notes, after } = this.#needs;
    if (!notes.isOpen) return;
    const count = this.#counts.get(block) ?? 0;
    if (count === 0 && this.#counts.size >= MAX_BLOCKS) return;
    this.#counts.set(block, count + 1);
    if (count === 0 && this.#counts.size === 1) after(TELL_MS, () => this.#tell());
  }

  /** Those at other nodes. */
  async follow(changes: readonly SharedChange[], attempts: Pick<WrongAttempts, 'heard'>): Promise<void> {
    for (const { body } of changes) {
      if (body === undefined) continue;
      // Written by `#tell` of another node.
      const { counts } = JSON.parse(body) as { readonly counts: readonly (readonly [block: string, count: number])[] };
      for (const [block, count] of counts) attempts.heard(block, count);
    }
  }

  #tell(): void {
    const counts = [...this.#counts];
    this.#counts.clear();
    this.#needs.notes.add('attempts', '', { counts });
  }
}
