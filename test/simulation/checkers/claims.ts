/** The status never claims what was not observed. */
import type { ResourceId } from '../../../src/manifest/resource.ts';
import type { Live } from '../../../src/plan/live.ts';
import { rolloutOfTagRef } from '../../../src/status/names.ts';
import type { Told } from '../published.ts';
import { type Checker, createSights } from './checker.ts';

const replicasOf = (told: Told) => told.settled.goals.flatMap((goal) => ('replicas' in goal ? [goal.replicas] : []));

/** What is claimed of replicas and was not seen; undefined: it was all seen. */
function unseen(told: Told, seen: Live): string | undefined {
  if (told.settled.goals.length === 0) return 'nothing was ever settled';
  for (const { version = '', want } of replicasOf(told)) {
    for (const [revision, count] of Object.entries(want)) {
      const ready = seen.units.filter(
        (unit) => unit.version === version && unit.revision === revision && unit.ready,
      ).length;
      if (ready < count) return `${ready} of ${count} ${version} ${revision} were seen ready`;
    }
  }
  return undefined;
}

function revisionUnseen({ revision, settled }: Told, seen: Live): boolean {
  if (revision === undefined) return false;
  const instances = seen.instances ?? [];
  // Of what is to be scaled to nothing, nothing need be seen.
  const none = !settled.goals.some((goal) =>
    'replicas' in goal ? (goal.replicas.want[revision] ?? 0) > 0 : 'members' in goal && goal.members.size !== 0,
  );
  const ready =
    seen.units.some((unit) => unit.revision === revision && unit.ready) ||
    instances.some((one) => one.applied.at(-1) === revision && one.ready);
  return !none && !ready;
}

export const claimsSeen: Checker = (report) => {
  const sights = createSights();
  const everSeen = new Map<string, Set<string>>();

  function units(id: ResourceId, told: Told, before: Told | undefined): void {
    const { rollout } = told;
    if (rollout?.units === undefined || rollout.back === true) return;
    const was = before?.rollout?.id === rollout.id ? before.rollout.units : undefined;
    for (const [index, unit] of rollout.units.ids.entries()) {
      if (rollout.units.records[index]?.state !== 'Succeeded') continue;
      if (was?.records[was.ids.indexOf(unit)]?.state === 'Succeeded') continue;
      if (!everSeen.get(`${id} ${unit}`)?.has(rollout.to))
        report(`${id}: ${unit} counts as updated to ${rollout.to}, and was never seen so`);
    }
  }

  return {
    observed(process, id, live) {
      sights.note(process, id, live);
      for (const { id: unit, applied } of live.instances ?? []) {
        const key = `${id} ${unit}`;
        const top = applied.at(-1);
        if (top !== undefined) everSeen.set(key, (everSeen.get(key) ?? new Set()).add(top));
      }
    },
    begins(world) {
      world.published.watch(({ by, changed, before, moves }) => {
        if (by === undefined) return;
        for (const [id, told] of changed) {
          if (told === undefined) continue;
          const [seen, ...earlier] = sights.lately(by, id);
          units(id, told, before.get(id));
          if (seen === undefined) {
            if (told.health === 'Healthy') report(`${id}: is told to be healthy, and was never looked at`);
            continue;
          }
          const what = told.health === 'Healthy' ? unseen(told, seen) : undefined;
          if (what !== undefined && earlier.every((live) => unseen(told, live) !== undefined))
            report(`${id}: is told to be healthy, and ${what}`);
          if ([seen, ...earlier].every((live) => revisionUnseen(told, live)))
            report(`${id}: ${told.revision} is told to run, and was not seen ready`);
        }
        for (const { ref, new: oid } of moves) {
          const tag = oid === undefined ? undefined : rolloutOfTagRef(ref);
          if (tag === undefined || oid === undefined) continue;
          const told = world.published.get(tag.resource);
          if (told === undefined) continue;
          const past = told.history.find((entry) => entry.id === tag.rollout);
          if (past?.phase !== 'Succeeded') report(`${ref}: is tagged, and is ${past?.phase ?? 'not told of'}`);
          const target = /^object ([0-9a-f]{40})/.exec(world.remote.objects.get(oid)?.content.toString() ?? '')?.[1];
          if (past !== undefined && target !== past.commit) report(`${ref}: is on ${target}, not on ${past.commit}`);
        }
      });
    },
  };
};
