/** The highest epoch that ever acted on this target of an engine: kept there as an empty volume, so that operators on other machines see it. */
import type Docker from 'dockerode';
import { StaleEpoch } from '../ports.ts';
import { answered, found } from './engine.ts';
import { epochLabel, epochName, epochOf, epochsFilter, type Scope, scopeLabels } from './labels.ts';

async function markers(docker: Docker, scope: Scope): Promise<{ name: string; epoch: number }[]> {
  const { Volumes } = await answered(docker.listVolumes({ filters: epochsFilter(scope) as never }));
  return (Volumes ?? [])
    .map(({ Name, Labels }) => ({ name: Name, epoch: epochOf(Labels ?? {}) }))
    .filter(({ epoch }) => epoch > 0);
}

/** Throws StaleEpoch when a later operator has taken over. */
export async function checkEngineEpoch(docker: Docker, scope: Scope, mine: number): Promise<void> {
  const seen = Math.max(0, ...(await markers(docker, scope)).map(({ epoch }) => epoch));
  if (seen > mine) throw new StaleEpoch(mine, seen);
}

/** Takes the target over for `mine`, unless a later operator has it. */
export async function claimEngineEpoch(docker: Docker, scope: Scope, mine: number): Promise<void> {
  await checkEngineEpoch(docker, scope, mine);
  const Labels = { ...scopeLabels(scope), ...epochLabel(mine) };
  const Name = epochName(scope, mine);
  await answered(docker.createVolume({ Name, Labels }));
  await insuredAfter(
    () => checkEngineEpoch(docker, scope, mine),
    () => found(docker.getVolume(Name).remove()),
  );
  for (const { name, epoch } of await markers(docker, scope))
    if (epoch < mine) await found(docker.getVolume(name).remove());
}

/**
 * An operator may be stopped between its last look at the epoch and what it makes, and go on when another has taken over: what it has
 * made by then is taken away again. Throws StaleEpoch.
 */
export async function insuredAfter(insured: () => Promise<void>, unmake: () => Promise<unknown>): Promise<void> {
  try {
    await insured();
  } catch (error) {
    if (error instanceof StaleEpoch) await unmake();
    throw error;
  }
}
