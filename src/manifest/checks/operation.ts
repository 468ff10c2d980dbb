/** Which fields an action needs, and which it does not take. */
import type { OperationAction } from '../resource.ts';
import type { WrittenOperation } from '../written.ts';
import type { Report } from './report.ts';

type Field = 'resource' | 'rollout' | 'unit' | 'commit';

const OF_A_ROLLOUT = { needs: ['resource', 'rollout'], takes: [] } satisfies { needs: Field[]; takes: Field[] };
const OF_A_UNIT = { needs: ['resource', 'rollout'], takes: ['unit'] } satisfies { needs: Field[]; takes: Field[] };

const ACTIONS: Record<OperationAction, { needs: Field[]; takes: Field[] }> = {
  pause: OF_A_ROLLOUT,
  continue: OF_A_ROLLOUT,
  rollback: OF_A_ROLLOUT,
  retry: OF_A_UNIT,
  skip: OF_A_UNIT,
  cancel: OF_A_UNIT,
  confirmDeletion: { needs: ['commit'], takes: [] },
};
const FIELDS: Field[] = ['resource', 'rollout', 'unit', 'commit'];

export function checkOperation(operation: WrittenOperation, report: Report): void {
  const { action, resource } = operation;
  if (action === undefined) return;
  const { needs, takes } = ACTIONS[action];
  for (const field of FIELDS) {
    const isThere = operation[field] !== undefined;
    if (needs.includes(field) && !isThere) report(['spec', field], 'missing-field', `missing; ${action} needs it`);
    if (isThere && !needs.includes(field) && !takes.includes(field))
      report(['spec', field], 'unknown-field', `${action} takes no ${field}; remove it`, 'key');
  }
  const kind = resource?.split('/')[0];
  if (kind === 'Fleet' || kind === 'Cluster') return;
  if (action === 'skip')
    report(
      ['spec', 'action'],
      'unsupported-action',
      `skip is for units of a Fleet or a Cluster; a ${kind ?? 'Workload or Service'} has none that could be skipped`,
    );
  else if (action === 'cancel' && operation.unit !== undefined)
    report(
      ['spec', 'unit'],
      'unsupported-action',
      `cancel of one unit is for a Fleet or a Cluster; remove unit to cancel the rollout`,
    );
}
