import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { createObserver } from '../../src/operator/observer.ts';
import { workload } from '../support/resources.ts';

const resource = workload('aaaaaaaaaa');

function observer(declared: boolean, problems: Record<string, string>) {
  const { look } = createObserver({
    clock: systemClock,
    declared: () => (declared ? resource : undefined),
    frozen: () => [],
    driverOf: () => undefined,
    unopened: () => new Map(Object.entries(problems)),
    trouble: (_, what) => what,
    signal: new AbortController().signal,
  });
  return async () => (await look([resource.id])).get(resource.id);
}

t.test('where a target cannot be opened it is not known whether what was deleted still runs there', async (t) => {
  const problems = { far: 'it does not answer' };
  t.match(await observer(false, problems)(), {
    complete: false,
    unseen: 'target far cannot be opened: it does not answer',
  });
  t.match(await observer(false, {})(), { complete: true, units: [] });
});

t.test('what is declared is told of its own target only', async (t) => {
  const { target } = resource.spec;
  t.match(await observer(true, { far: 'it does not answer' })(), { complete: true });
  t.match(await observer(true, { [target]: 'no room' })(), {
    complete: false,
    unseen: `target ${target} cannot be opened: no room`,
  });
});
