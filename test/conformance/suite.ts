/** Runs the list of behaviours on one driver, with one operator. */
import t from 'tap';
import { clean, operator, place, settled } from '../e2e/support.ts';
import { BEHAVIOURS, type Behaviour, type World } from './behaviours.ts';
import type { Harness } from './harness.ts';
import { INSTANCE_BEHAVIOURS, ROUTED_BEHAVIOURS } from './instances.ts';

const BASE = `apiVersion: sluice/v1
kind: Workload
metadata: {name: base}
spec:
  target: place
  template: {spec: {containers: [{name: web, image: "hello:7", ports: [{containerPort: 8080}]}]}}
`;

const BASE_FLEET = `apiVersion: sluice/v1
kind: Fleet
metadata: {name: base}
spec: {target: place, size: 1, image: "hello:7"}
`;
const BASE_CLUSTER = `apiVersion: sluice/v1
kind: Cluster
metadata: {name: base}
spec: {target: place, version: 1.1.0, image: hello}
`;

/** `part`: of `of` parts, so that no file takes too long. */
export const conform = (harness: Harness, part = 0, of = 1): Promise<void> =>
  all(
    harness,
    BEHAVIOURS.filter((_, index) => index % of === part),
    { 'Workload/base': BASE },
  );

/** Of a driver that creates instances. */
export const conformInstances = (harness: Harness, part = 0, of = 1): Promise<void> =>
  all(
    harness,
    INSTANCE_BEHAVIOURS.filter((_, index) => index % of === part),
    { 'Fleet/base': BASE_FLEET, 'Cluster/base': BASE_CLUSTER },
  );

/** Of a driver that differs from one that has run them all in how requests come to its instances. */
export const conformRouted = (harness: Harness): Promise<void> =>
  all(harness, ROUTED_BEHAVIOURS, { 'Fleet/base': BASE_FLEET });

/** `bases` stay, so that what goes is never the last of its kind. */
async function all(harness: Harness, behaviours: Behaviour[], bases: Record<string, string>): Promise<void> {
  const target = `apiVersion: sluice/v1\nkind: Target\nmetadata: {name: place}\nspec: ${harness.target}\n`;
  const files = Object.fromEntries(Object.values(bases).map((text, index) => [`base-${index}.yaml`, text]));
  const at = await place({ ...harness.files, 'target.yaml': target, ...files });
  if (harness.routed !== undefined) at.routed = harness.routed;
  const world: World = { t, harness, at, operator: operator(at) };
  t.teardown(() => clean(at, world.operator));
  for (const base of Object.keys(bases))
    await settled(at, base, 1).catch((error: Error) => {
      throw new Error(`${error.message}; the operator said:\n${world.operator.output().slice(-3000)}`);
    });
  for (const { name, needsTraffic = false, run } of behaviours) {
    if (needsTraffic && !harness.hasTraffic) continue;
    await t.test(`${harness.driver}: ${name}`, async (each) => {
      const its: World = { ...world, t: each };
      await run(its);
      world.operator = its.operator;
    });
  }
}
