import { type Command, InvalidArgumentError, Option } from 'commander';
import { resolveAddress } from '../git/clone.ts';
import { parseDuration } from '../manifest/duration.ts';
import type { LogLevel, OperatorOptions } from '../operator/options.ts';
import { type Address, parseAddress } from '../target/local/router/launch.ts';
import { reportingCrashes } from './crash.ts';
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
  verifyKeys?: string;
  paused?: boolean;
  once?: boolean;
  standby?: boolean;
  acceptRewrite?: boolean;
  epoch?: number;
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
    .option('--verify-keys <file>', 'work only from commits that a key of this file has signed (SSH, OpenPGP)')
    .option('--paused', 'start nothing new; so does a file PAUSED in the data folder')
    .option('--once', 'settle what is declared, then end')
    .addOption(
      new Option(
        '--standby',
        'wait while another operator lives, and take over when it shows no sign of life for 40 s',
      ).conflicts('once'),
    )
    .option('--accept-rewrite', 'follow a remote branch although its history was rewritten')
    .addOption(
      new Option(
        '--epoch <number>',
        'take the lease with this epoch at least: for a repository that was made anew, when a target says so',
      ).argParser(epoch),
    )
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
      process.exitCode = await untilStopped(operatorOptions, { standby: options.standby ?? false });
    });
}

async function toOperatorOptions(options: RunOptions): Promise<OperatorOptions> {
  const { repo, branch, path, pushInterval, secretsDir, runAs, router, verifyKeys } = options;
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
    ...(verifyKeys !== undefined && { verifyKeys }),
    acceptRewrite: options.acceptRewrite ?? false,
    ...(options.epoch !== undefined && { leastEpoch: options.epoch }),
    log: createLog(options.logLevel),
  };
}

function epoch(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value > 0 && value <= MOST_EPOCH) return value;
  throw new InvalidArgumentError(`expected a whole number from 1 to ${MOST_EPOCH}.`);
}
/** Far beyond any number of starts, and far enough from where numbers lose their thousandths. */
const MOST_EPOCH = 1_000_000_000;

interface Course {
  /** Waits first until nobody operates the repository. */
  standby?: boolean;
  started?(): void;
}

/** Runs until a signal, or its own end; a second signal does not wait. Gives the exit status. */
export async function untilStopped(
  asked: OperatorOptions,
  { standby = false, started = () => {} }: Course = {},
): Promise<0 | 1> {
  writableByItselfAlone();
  const options = reportingCrashes(asked);
  const epoch = standby ? await untilNeeded(options) : undefined;
  if (standby && epoch === undefined) {
    note('stopped');
    return 0;
  }
  const { startOperator } = await import('../operator/operator.ts');
  const operator = await startOperator({ ...options, ...(epoch !== undefined && { epoch }) });
  const signals = onSignals(() => operator.stop());
  started();
  const { settled, message } = await operator.done;
  signals.end();
  note(message);
  return settled ? 0 : 1;
}

/** Of whatever it makes, also where it was started with a umask that lets others write. */
function writableByItselfAlone(): void {
  const before = process.umask(0o022);
  process.umask(before | 0o022);
}

/** The epoch with which it takes over; undefined when a signal came first. */
async function untilNeeded(options: OperatorOptions): Promise<number | undefined> {
  const { standBy } = await import('../operator/standby.ts');
  const stopping = new AbortController();
  const signals = onSignals(() => stopping.abort());
  try {
    return await standBy(options, stopping.signal);
  } finally {
    signals.end();
  }
}

function onSignals(stop: () => void): { end(): void } {
  let asked = false;
  const stopOnce = () => {
    if (asked) process.exit(1);
    asked = true;
    stop();
  };
  const names = ['SIGINT', 'SIGTERM'] as const;
  for (const name of names) process.on(name, stopOnce);
  return {
    end() {
      for (const name of names) process.off(name, stopOnce);
    },
  };
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
