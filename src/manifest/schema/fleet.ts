import { choice, fields, list, oneOfNames, text, whole } from './build.ts';
import { checks, document, host, imageName, labels, resourceSpec } from './common.ts';
import { undoableScript } from './script.ts';

const PROCESSES = ['scaleIn', 'scaleOut', 'healthCheck', 'scheduledAction'];
const process = choice('One of them.', PROCESSES);

export const fleet = document(
  'Fleet',
  'Instances that are upgraded in batches, by an image, a script, or both.',
  fields(
    'What should be on the instances, and how they are upgraded. Exactly one of `selector` and `size`, and `image`, `script` or both.',
    {
      ...resourceSpec,
      selector: labels('On a target of hosts: those that carry all of these labels. No host may be in two fleets.', {
        minProperties: 1,
        maxProperties: 20,
      }),
      size: whole('On a target that creates instances: how many, called `<name>-1` and so on.', 0, 10_000),
      host: {
        ...host,
        description: 'Where the router of the target serves the instances, if it has one. Default: `<name>.localhost`.',
      },
      image: imageName(
        'What the instances are made from, as `name:tag`. One that changed is replaced before the script runs.',
      ),
      rollbackImage: imageName('What a rollback replaces the image by. Default: the image before.'),
      script: undoableScript('What runs on each instance.'),
      batches: whole(
        'How many batches, as equal as can be, the larger first: 10 instances in 4 are 3, 3, 2 and 2.',
        1,
        10_000,
        {
          default: 4,
        },
      ),
      pause: choice(
        '`never`: batch follows batch; `firstBatch`: it waits for `sluice continue` after the first; `everyBatch`: after each but the last.',
        ['never', 'firstBatch', 'everyBatch'],
        { default: 'never' },
      ),
      maxFailures: whole('So many instances may fail before what `onFailure` says follows.', 0, 10_000, { default: 0 }),
      check: checks(
        'What must pass on an updated instance before it is put back. Without any, it must answer.',
        'the updated instance',
        whole(
          'With `path`: the port, on a target of hosts. Default: that of the environment variable `PORT` where the target gives one, else 80.',
          1,
          65_535,
        ),
        { default: [] },
      ),
      suspend: list('What is held during a rollout, and let go however it ends.', process, {
        default: PROCESSES,
        maxItems: PROCESSES.length,
      }),
      suspended: list('What is held at all times, also after a rollout.', process, {
        default: [],
        maxItems: PROCESSES.length,
      }),
      scaling: fields(
        'How the number of instances changes by itself, with `size`.',
        {
          schedules: list(
            'Sizes that take effect at certain times; the last one that did within 8 days counts.',
            fields(
              'One of them.',
              {
                cron: text(
                  'When it takes effect, as a cron expression of five fields, e.g. `0 8 * * *`: at 8 every day.',
                  {
                    minLength: 1,
                    maxLength: 256,
                  },
                ),
                timezone: text('The time zone of `cron`, e.g. `Asia/Shanghai`.', {
                  default: 'UTC',
                  minLength: 1,
                  maxLength: 64,
                }),
                size: whole('How many instances there are from then on.', 0, 10_000),
              },
              { required: ['cron', 'size'] },
            ),
            { default: [] },
          ),
        },
        { default: {} },
      ),
    },
    oneOfNames(['selector', 'size']),
  ),
  [
    {
      apiVersion: 'sluice/v1',
      kind: 'Fleet',
      metadata: { name: 'web' },
      spec: {
        target: 'web-hosts',
        selector: { role: 'web' },
        script: { run: 'apt-get install -y shop=8.1\n', rollback: 'apt-get install -y --allow-downgrades shop=8.0\n' },
        batches: 4,
        pause: 'firstBatch',
        check: [{ http: { path: '/health', port: 8080 } }],
      },
    },
    {
      apiVersion: 'sluice/v1',
      kind: 'Fleet',
      metadata: { name: 'workers' },
      spec: { size: 10, image: 'base:2026.11', scaling: { schedules: [{ cron: '0 8 * * *', size: 20 }] } },
    },
  ],
);
