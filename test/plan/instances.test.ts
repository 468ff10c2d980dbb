import t from 'tap';
import { changeTo, fleetStages } from '../../src/plan/instances.ts';
import { fleet, machine } from '../support/fleet-world.ts';

t.test('below the top of a stack what is above is undone, top first; anything else is run', async (t) => {
  const cases: [string[], string, string[] | undefined][] = [
    [[], 'a', []],
    [['a'], 'a', undefined],
    [['a'], 'b', []],
    [['a', 'b', 'c'], 'a', ['c', 'b']],
    [['a', 'b', 'c'], 'b', ['c']],
    [['a', 'b'], 'c', []],
  ];
  for (const [applied, to, undo] of cases)
    t.strictSame(changeTo(applied, to), undo && { to, undo }, `${applied} to ${to}`);
});

t.test('every instance has a change of its own', async (t) => {
  const instances = [
    machine('web-1', { applied: ['a', 'b'] }),
    machine('web-2', { applied: ['c'] }),
    machine('web-3', { applied: ['a'] }),
  ];
  const { spec } = fleet('a', { batches: 1 });
  if (spec.kind !== 'Fleet') throw new Error('a fleet');
  t.strictSame(fleetStages(spec, 'a', instances), [
    {
      name: 'batch 1 of 1',
      goal: {
        kind: 'units',
        want: { 'web-1': { to: 'a', undo: ['b'] }, 'web-2': { to: 'a', undo: [] } },
        maxInFlight: 2,
      },
      gates: [],
    },
  ]);
});
