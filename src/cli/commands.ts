/** The commands by their names. A command's file, and all that it needs, is loaded when that command is asked for. */
import { Command } from 'commander';
import { packageVersion } from './package.ts';
import { writeErr, writeOut } from './print.ts';

type Register = (program: Command) => void;

/** In the order of the help. */
const COMMANDS: { names: string[]; load: () => Promise<Register> }[] = [
  { names: ['init'], load: async () => (await import('./init.ts')).registerInit },
  { names: ['run'], load: async () => (await import('./run.ts')).registerRun },
  { names: ['validate'], load: async () => (await import('./validate.ts')).registerValidate },
  { names: ['plan'], load: async () => (await import('./plan.ts')).registerPlan },
  { names: ['check'], load: async () => (await import('./check.ts')).registerCheck },
  { names: ['status'], load: async () => (await import('./status.ts')).registerStatus },
  { names: ['history'], load: async () => (await import('./history.ts')).registerHistory },
  { names: ['logs'], load: async () => (await import('./logs.ts')).registerLogs },
  { names: ['predict'], load: async () => (await import('./predict.ts')).registerPredict },
  {
    names: ['pause', 'continue', 'retry', 'skip', 'cancel'],
    load: async () => (await import('./operate.ts')).registerOperations,
  },
  { names: ['rollback'], load: async () => (await import('./rollback.ts')).registerRollback },
  { names: ['demo'], load: async () => (await import('./demo.ts')).registerDemo },
];

export const commandNames = (): string[] => COMMANDS.flatMap(({ names }) => names);

/** What takes these arguments: the one command that they begin with, or else, for help and for a name that there is not, all of them. */
export async function commandLine(args: string[]): Promise<Command> {
  const program = new Command('sluice')
    .description(
      'A GitOps operator for staged upgrades: a commit upgrades, a revert rolls back, one safe stage at a time.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpCommand(true)
    .showHelpAfterError('(see --help)')
    .configureOutput({ writeOut, writeErr, outputError: (text, write) => write(text) })
    .exitOverride();
  const asked = COMMANDS.filter(({ names }) => names.includes(args[0] ?? ''));
  for (const { load } of asked.length > 0 ? asked : COMMANDS) (await load())(program);
  return program;
}
