#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { messageOf } from '../error-text.ts';
import { GitError } from '../git/errors.ts';
import { registerCheck } from './check.ts';
import { registerDemo } from './demo.ts';
import { Failure } from './failure.ts';
import { registerHistory } from './history.ts';
import { registerInit } from './init.ts';
import { registerLogs } from './logs.ts';
import { registerOperations } from './operate.ts';
import { packageVersion } from './package.ts';
import { registerPlan } from './plan.ts';
import { registerPredict } from './predict.ts';
import { endQuietlyOnClosedPipe, printError, writeErr, writeOut } from './print.ts';
import { registerRollback } from './rollback.ts';
import { registerRun } from './run.ts';
import { registerStatus } from './status.ts';
import { registerValidate } from './validate.ts';

function commandLine(): Command {
  const program = new Command('sluice')
    .description(
      'A GitOps operator for staged upgrades: a commit upgrades, a revert rolls back, one safe stage at a time.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpCommand(true)
    .showHelpAfterError('(see --help)')
    .configureOutput({ writeOut, writeErr, outputError: (text, write) => write(text) })
    .exitOverride();
  registerInit(program);
  registerRun(program);
  registerValidate(program);
  registerPlan(program);
  registerCheck(program);
  registerStatus(program);
  registerHistory(program);
  registerLogs(program);
  registerPredict(program);
  registerOperations(program);
  registerRollback(program);
  registerDemo(program);
  return program;
}

/** 0: done; 1: it did not hold; 2: used wrongly. Commands that did their work and found something wrong set 1 themselves. */
async function main(args: string[]): Promise<void> {
  endQuietlyOnClosedPipe();
  try {
    await commandLine().parseAsync(args, { from: 'user' });
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
