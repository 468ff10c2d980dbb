/** The one place that writes to the terminal. Results go to standard output, everything about them to standard error. */
import pc from 'picocolors';

/** A reader that went away (`sluice status | head -1`) is no error: there is nobody left to tell. */
export function endQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
      throw error;
    });
  }
}

/** A person looks at standard output as it is written: colours, bars and redrawing are for them alone. */
export const onTerminal = (): boolean => process.stdout.isTTY === true && process.env.TERM !== 'dumb';

export const colours = pc.createColors(onTerminal() && !process.env.NO_COLOR);

/** Results: what a pipe or a file is to get. */
export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

/** Remarks for whoever sits there; never mixed into results. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

const noted = new Set<string>();

/** For what is asked again and again: told the first time. */
export function noteOnce(text: string): void {
  if (!noted.has(text)) note(text);
  noted.add(text);
}

/** `error: …`, one line for the error and what to do about it. */
export function printError(message: string): void {
  process.stderr.write(`${colours.red('error:')} ${message}\n`);
}

/** Text as it is, for help and usage errors that commander has laid out. */
export const writeOut = (text: string): boolean => process.stdout.write(text);
export const writeErr = (text: string): boolean => process.stderr.write(text);
