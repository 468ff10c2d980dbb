import { choice, fields, text } from './build.ts';
import { document } from './common.ts';

export const target = document(
  'Target',
  'A place where resources run.',
  fields(
    'Its driver, and what it admits. This version carries out the driver `local`.',
    {
      local: fields('Processes on the machine of the operator.', {
        images: text(
          'The folder of images: in the config repository, or an absolute path on the machine, whose folders count as immutable.',
          {
            default: 'images',
            minLength: 1,
          },
        ),
        dataDir: text('Where units, volumes and logs lie, as an absolute path. Default: below `--data-dir`.', {
          pattern: '^/',
          patternErrorMessage: 'an absolute path, starting with "/"',
        }),
      }),
      policy: fields('Rules for what may run here.', {
        resources: choice(
          '`container-instance`: CPU 0.25 to 32 in steps of 0.25, per container and per unit; memory 1 to 128 GiB per unit in whole GiB; 2 to 4 GiB for each CPU; at most 5 containers, each with at least 0.25 CPU and 0.2 GiB.',
          ['container-instance'],
        ),
      }),
    },
    { required: ['local'] },
  ),
  [
    {
      apiVersion: 'sluice/v1',
      kind: 'Target',
      metadata: { name: 'local' },
      spec: { local: { images: 'images' }, policy: { resources: 'container-instance' } },
    },
  ],
);
