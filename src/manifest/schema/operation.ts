import { choice, fields, text, whole } from './build.ts';
import { document } from './common.ts';

export const operation = document(
  'Operation',
  'A one-time instruction to one rollout. The command line writes and commits it; removing it later changes nothing.',
  fields(
    'What is to be done, to which rollout.',
    {
      resource: text('The resource, as `Kind/name`, e.g. `Service/shop`.', {
        pattern: '^(Workload|Service|Fleet|Cluster)/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$',
        patternErrorMessage: 'Kind/name, such as Service/shop',
      }),
      rollout: whole('The number of the rollout, as `sluice status` shows it.', 1, 1_000_000_000),
      action: choice(
        '`pause`, `continue`, `retry`, `skip`, `cancel` or `rollback` that rollout; `confirmDeletion` names a `commit` instead, whose deletions may then be carried out.',
        ['pause', 'continue', 'retry', 'skip', 'cancel', 'rollback', 'confirmDeletion'],
      ),
      unit: text('One unit of the rollout, with `retry`, `skip` or `cancel`.', {
        pattern: '^[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$',
        patternErrorMessage: "a unit's name, such as web-3",
        maxLength: 253,
      }),
      commit: text('With `confirmDeletion`: the commit that deletes, its whole id.', {
        pattern: '^[0-9a-f]{40}$',
        patternErrorMessage: 'the whole id of a commit, 40 hexadecimal digits',
      }),
      reason: text('Why, for whoever reads the history.'),
    },
    { required: ['action'] },
  ),
  [
    {
      apiVersion: 'sluice/v1',
      kind: 'Operation',
      metadata: { name: 'shop-7-continue-k2f9' },
      spec: { resource: 'Service/shop', rollout: 7, action: 'continue', reason: 'error rate is fine' },
    },
  ],
);
