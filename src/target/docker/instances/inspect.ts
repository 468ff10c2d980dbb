/** A look at the instances of an engine from beside the operator, by what lies there of them: nothing is taken over or changed. */
import type { InstanceResource } from '../../../manifest/resource.ts';
import type { DockerTarget } from '../../../manifest/target.ts';
import type { Live } from '../../../plan/live.ts';
import type { Plan } from '../../../plan/plan.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import { inspectRecorded } from '../../instances/inspect.ts';
import type { InstanceRecord } from '../../instances/record.ts';
import { unitFolder } from '../../local/folders.ts';
import { readUnits } from '../../local/record.ts';
import type { RouterClient } from '../../local/router/client.ts';
import type { SecretSource } from '../../ports.ts';
import { createUnit, type Unit } from '../../replicas/unit.ts';
import { containersOfUnit } from '../containers.ts';
import { connectEngine } from '../engine.ts';
import { openImages } from '../images.ts';
import type { Scope } from '../labels.ts';
import { type DockerContainer, newRunning } from '../runtime.ts';
import { lookingInto } from './ground.ts';
import { precheckContainers } from './precheck.ts';
import { latest, readKept } from './store.ts';

export interface InspectOptions {
  name: string;
  docker: DockerTarget & { project: string };
  /** Of the records of instances on this machine. */
  root: string;
  secrets: SecretSource;
  router: Pick<RouterClient, 'answers' | 'address'>;
}

/** Prechecks of what `plan` makes of what is there now, and what that is. */
export async function inspectContainers(
  resource: InstanceResource,
  { name, docker: target, root, secrets, router }: InspectOptions,
  plan: (live: Live) => Plan,
  signal: AbortSignal,
): Promise<{ live: Live; results: PrecheckResult[] }> {
  const { docker, close } = await connectEngine(target);
  const scope: Scope = { project: target.project, target: name };
  const images = openImages({ docker, target, scope, secrets, log: () => {} });
  try {
    const kept = (await readKept(docker, scope).catch(() => [])).filter(
      ({ record }) => record.resource === resource.id,
    );
    const units = new Map<string, Unit<DockerContainer>>();
    for (const { unit, record, runnable } of readUnits(root, resource.id)) {
      if (record === undefined || runnable === undefined) continue;
      const found = createUnit<DockerContainer>(record, runnable, unitFolder(root, resource.id, unit));
      const there = await containersOfUnit(docker, scope, record).catch(() => []);
      for (const container of runnable.template.spec.containers) {
        const own = there.find(({ mark }) => mark.attempt === record.attempt && mark.container === container.name);
        const known = record.containers.find((each) => each.name === container.name);
        if (own !== undefined && known !== undefined)
          found.containers.push({
            ...newRunning(container, known, (text) => text, own.alive),
            id: own.id,
            listening: record.ready,
          });
      }
      if (!found.containers.some(({ alive }) => alive) && record.phase === 'running')
        Object.assign(record, { phase: 'dead', ready: false, message: 'its container does not run' });
      units.set(unit, found);
    }
    const running = ({ unit }: InstanceRecord): string => {
      const [first] = units.get(unit)?.containers ?? [];
      if (first?.alive) return first.id;
      throw new Error('its container does not run');
    };
    return await inspectRecorded(resource, {
      ...{ ground: lookingInto(docker, running), records: latest([], kept), units: [...units.values()], plan, signal },
      precheck: (asked) => precheckContainers({ ...asked, docker, target, images, router }),
    });
  } finally {
    close();
  }
}
