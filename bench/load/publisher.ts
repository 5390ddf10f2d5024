// Publishes as fast as a window of unacknowledged messages allows.
export class Publisher {
  readonly #window: number;
  readonly #send: (number: number, acknowledge: () => void) => void;
  #on = false;
  #number = 0;
  #pending = 0;
  acknowledged = 0;

  /** `send` sends the message with this number, and calls `acknowledge` when the server has acknowledged it. */
  constructor(window: number, send: (number: number, acknowledge: () => void) => void) {
    this.#window = window;
    this.#send = send;
  }

  get drained(): boolean {
    return this.#pending === 0;
  }

  flow(on: boolean): void {
    this.#on = on;
    this.#pump();
  }

  readonly #acknowledge = (): void => {
    this.#pending -= 1;
    this.acknowledged += 1;
    this.#pump();
  };

  #pump(): void {
    while (this.#on && this.#pending < this.#window) {
      this.#number += 1;
      this.#pending += 1;
      this.#send(this.#number, this.#acknowledge);
    }
  }
}
