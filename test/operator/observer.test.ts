import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import type { ResourceId } from '../../src/manifest/resource.ts';
import { createObserver } from '../../src/operator/observer.ts';
import { nothingLive } from '../../src/plan/live.ts';
import type { UnitDriver } from '../../src/target/ports.ts';
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

t.test('a driver is told of all that one look is about at once', async (t) => {
  const ids: ResourceId[] = ['Workload/a', 'Workload/b', 'Workload/c'];
  const told: ResourceId[] = [];
  let allTold = () => {};
  const all = new Promise<void>((resolve) => {
    allTold = resolve;
  });
  const driver = {
    declare(id: ResourceId) {
      if (told.push(id) === ids.length) allTold();
      return all;
    },
    observe: async (those: readonly ResourceId[]) => new Map(those.map((id) => [id, nothingLive(0)])),
  } as Partial<UnitDriver> as UnitDriver;
  const { look } = createObserver({
    clock: systemClock,
    declared: (id) => ({ ...resource, id }),
    frozen: () => [],
    driverOf: () => driver,
    trouble: (_, what) => what,
    signal: new AbortController().signal,
  });
  t.same([...(await look(ids)).keys()], ids);
  t.same(told, ids);
});
