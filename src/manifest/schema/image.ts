import { fields, map, text } from './build.ts';
import { command, standalone } from './common.ts';

export const image = standalone(
  'image.yaml',
  fields(
    'What an image of the target `local` runs: the file `image.yaml` in its folder, e.g. `images/hello/8/image.yaml`.',
    {
      command: command("The program and its arguments, run in the image's folder."),
      env: map(
        'Environment variables; those of the container win.',
        text('The value; put numbers in quotes.', { maxLength: 65_536 }),
        {
          default: {},
          propertyNames: {
            type: 'string',
            pattern: '^[-._a-zA-Z][-._a-zA-Z0-9]*$',
            patternErrorMessage: 'letters, digits, "_", "-" and ".", not starting with a digit',
          },
        },
      ),
      drain: command(
        'Run on the unit after it has lost its traffic and before it is stopped, to let it finish its work.',
      ),
    },
    { required: ['command'] },
  ),
  [{ command: ['node', 'server.js'], env: { NODE_ENV: 'production' } }],
);
