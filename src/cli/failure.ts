/** What ends a command early. The message is for the person who typed it: what is wrong, and what to do. */
export class Failure extends Error {
  /** 1: it did not hold; 2: used wrongly. */
  readonly status: 1 | 2;

  constructor(message: string, status: 1 | 2 = 1) {
    super(message);
    this.status = status;
  }
}

export const usage = (message: string): Failure => new Failure(message, 2);
