#!/usr/bin/env node
import { CommanderError } from 'commander';
import { messageOf } from '../error-text.ts';
import { GitError } from '../git/errors.ts';
import { commandLine } from './commands.ts';
import { Failure } from './failure.ts';
import { endQuietlyOnClosedPipe, printError, writeErr } from './print.ts';

/** 0: done; 1: it did not hold; 2: used wrongly. Commands that did their work and found something wrong set 1 themselves. */
async function main(args: string[]): Promise<void> {
  endQuietlyOnClosedPipe();
  try {
    const program = await commandLine(args);
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = statusOf(error);
    if (error instanceof CommanderError) return;
    printError(messageOf(error));
    if (process.env.SLUICE_DEBUG && error instanceof Error) writeErr(`${error.stack}\n`);
  }
}

const MISTAKES = new Set(['bad-address', 'not-found']);

function statusOf(error: unknown): number {
  if (error instanceof GitError) return MISTAKES.has(error.code) ? 2 : 1;
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return error instanceof Failure ? error.status : 1;
}

await main(process.argv.slice(2));
