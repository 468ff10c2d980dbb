/** Runs the list of behaviours on one driver, with one operator. */
import t from 'tap';
import { clean, operator, place, settled } from '../e2e/support.ts';
import { BEHAVIOURS, type World } from './behaviours.ts';
import type { Harness } from './harness.ts';

const BASE = `apiVersion: sluice/v1
kind: Workload
metadata: {name: base}
spec:
  target: place
  template: {spec: {containers: [{name: web, image: "hello:7", ports: [{containerPort: 8080}]}]}}
`;

/** `part`: of `of` parts, so that no file takes too long. */
export async function conform(harness: Harness, part = 0, of = 1): Promise<void> {
  const target = `apiVersion: sluice/v1\nkind: Target\nmetadata: {name: place}\nspec: ${harness.target}\n`;
  const at = await place({ ...harness.files, 'target.yaml': target, 'base.yaml': BASE });
  if (harness.routed !== undefined) at.routed = harness.routed;
  const world: World = { t, harness, at, operator: operator(at) };
  t.teardown(() => clean(at, world.operator));
  // It stays, so that what goes is never the last of its kind.
  await settled(at, 'Workload/base', 1, 60).catch((error: Error) => {
    throw new Error(`${error.message}; the operator said:\n${world.operator.output().slice(-3000)}`);
  });
  for (const [index, { name, needsTraffic = false, run }] of BEHAVIOURS.entries()) {
    if (index % of !== part || (needsTraffic && !harness.hasTraffic)) continue;
    await t.test(`${harness.driver}: ${name}`, async (each) => {
      const its: World = { ...world, t: each };
      await run(its);
      world.operator = its.operator;
    });
  }
}
