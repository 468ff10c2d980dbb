import { type Command, InvalidArgumentError, Option } from 'commander';
import { resolveAddress } from '../git/clone.ts';
import { parseDuration } from '../manifest/duration.ts';
import type { LogLevel, OperatorOptions } from '../operator/options.ts';
import { type Address, parseAddress } from '../target/local/router/launch.ts';
import { repositoryFolders } from './folders.ts';
import { createLog, LOG_LEVELS } from './log.ts';
import { dataDirOption, pathOption, type RepositoryOptions, repositoryOptions } from './options.ts';
import { note } from './print.ts';

interface RunOptions extends RepositoryOptions {
  path: string;
  interval: number;
  pushInterval?: number;
  dataDir?: string;
  secretsDir?: string;
  router: Address;
  runAs?: string;
  paused?: boolean;
  once?: boolean;
  acceptRewrite?: boolean;
  logLevel: LogLevel;
}

export function registerRun(program: Command): void {
  repositoryOptions(program.command('run'))
    .description('run the operator: upgrade what runs to what the branch says, as long as it runs')
    .addOption(pathOption())
    .addOption(durationOption('--interval <time>', 'how often a remote repository is asked').default(15_000, '15s'))
    .addOption(
      durationOption('--push-interval <time>', 'how long status is gathered (default: 10s; 0 on this machine)'),
    )
    .addOption(dataDirOption())
    .option('--secrets-dir <folder>', 'secrets, as files <name>/<key>')
    .addOption(routerOption())
    .option('--run-as <user>', "run units as this user instead of the operator's own")
    .option('--paused', 'start nothing new; so does a file PAUSED in the data folder')
    .option('--once', 'settle what is declared, then end')
    .option('--accept-rewrite', 'follow a remote branch although its history was rewritten')
    .addOption(new Option('--log-level <level>', 'the least that is told').choices(LOG_LEVELS).default('info'))
    .addHelpText(
      'after',
      `
What it started goes on running when it ends, and the next one finds it again. On a terminal it tells what happens in
lines; elsewhere in JSON. SLUICE_GIT_TOKEN is the token for https addresses.

Exit status: 0 when it was stopped, or with --once when all is as declared; 1 when it is not, or when another operator
took over.

Examples:
  sluice run
  sluice run --repo https://git.example.com/shop/config --router 0.0.0.0:8080
  sluice run --once`,
    )
    .action(async (options: RunOptions) => {
      const operatorOptions = await toOperatorOptions(options);
      process.exitCode = await untilStopped(operatorOptions);
    });
}

async function toOperatorOptions(options: RunOptions): Promise<OperatorOptions> {
  const { repo, branch, path, pushInterval, secretsDir, runAs, router } = options;
  const folders = repositoryFolders((await resolveAddress(repo)).key, options);
  return {
    repo,
    ...(branch !== undefined && { branch }),
    path,
    intervalMs: options.interval,
    ...(pushInterval !== undefined && { pushIntervalMs: pushInterval }),
    stateDir: folders.state,
    dataDir: folders.data,
    ...(secretsDir !== undefined && { secretsDir }),
    router,
    paused: options.paused ?? false,
    once: options.once ?? false,
    ...(runAs !== undefined && { runAs }),
    acceptRewrite: options.acceptRewrite ?? false,
    log: createLog(options.logLevel),
  };
}

/** Runs until a signal, or its own end; a second signal does not wait. Gives the exit status. */
export async function untilStopped(options: OperatorOptions, started: () => void = () => {}): Promise<0 | 1> {
  const { startOperator } = await import('../operator/operator.ts');
  const operator = await startOperator(options);
  let asked = false;
  const stop = () => {
    if (asked) process.exit(1);
    asked = true;
    operator.stop();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  started();
  const { settled, message } = await operator.done;
  process.off('SIGINT', stop);
  process.off('SIGTERM', stop);
  note(message);
  return settled ? 0 : 1;
}

export const DEFAULT_ROUTER: Address = { host: '127.0.0.1', port: 8080 };

export const routerOption = (): Option =>
  new Option('--router <host:port>', 'where the router serves')
    .argParser(routerAddress)
    .default(DEFAULT_ROUTER, '127.0.0.1:8080');

const durationOption = (flags: string, description: string): Option =>
  new Option(flags, description).argParser((text) => {
    const milliseconds = text === '0' ? 0 : parseDuration(text);
    if (milliseconds === undefined) throw new InvalidArgumentError('Expected a time, such as 30s or 5m.');
    return milliseconds;
  });

function routerAddress(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
