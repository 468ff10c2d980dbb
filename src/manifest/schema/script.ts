/** A script that runs on a unit, and command lines. */
import { choice, fields, oneOfNames, type Schema, text } from './build.ts';
import { duration } from './common.ts';

const MAX_TEXT = 65_536;

const file = (description: string): Schema =>
  text(description, {
    pattern: '^[^/]',
    patternErrorMessage: 'a path that starts at the folder of this manifest, such as scripts/upgrade.sh',
    minLength: 1,
    maxLength: 1024,
  });

const run = {
  interpreter: choice(
    'What runs it. `bat` and `powershell` only where the host says that it can.',
    ['sh', 'bat', 'powershell'],
    {
      default: 'sh',
    },
  ),
  run: text('The script itself; it runs at most once per attempt.', { minLength: 1, maxLength: MAX_TEXT }),
  runFile: file(
    'Instead of `run`: the file of the repository that holds it, as a path from the folder of this manifest.',
  ),
};
const timeout = duration('After so long it has failed, and is ended.', { default: '10m' });

export const script = (description: string): Schema =>
  fields(description, { ...run, timeout }, oneOfNames(['run', 'runFile']));

export const undoableScript = (description: string): Schema =>
  fields(
    description,
    {
      ...run,
      rollback: text(
        'What undoes `run`, kept beside the unit before `run` starts; it must be right too where `run` failed half way. Without it, nothing can be undone.',
        {
          minLength: 1,
          maxLength: MAX_TEXT,
        },
      ),
      rollbackFile: file('Instead of `rollback`: the file of the repository that holds it.'),
      timeout,
    },
    oneOfNames(['run', 'runFile']),
  );

/** Text for `sh -c`, or the program and its arguments. */
export const commandLine = (description: string): Schema => ({
  description: `${description} As text it is read by \`sh\`; as a list it is the program and its arguments, and no shell reads it.`,
  type: ['string', 'array'],
  minLength: 1,
  maxLength: MAX_TEXT,
  items: text('One argument, passed as it is.', { maxLength: MAX_TEXT }),
  minItems: 1,
  maxItems: 1000,
});
