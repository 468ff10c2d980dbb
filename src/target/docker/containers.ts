/** The containers of a target as the engine lists them now. */
import type Docker from 'dockerode';
import type { UnitRecord } from '../local/record.ts';
import { answered } from './engine.ts';
import { isAlive } from './feed.ts';
import { asFilter, type Mark, markOf, type Scope, scopeLabels, unitLabels } from './labels.ts';

export interface Found {
  id: string;
  mark: Mark;
  alive: boolean;
  /** It was made, and never started. */
  fresh: boolean;
}

async function list(docker: Docker, labels: Record<string, string>): Promise<Found[]> {
  const there = await answered(docker.listContainers({ all: true, filters: asFilter(labels) }));
  return there.map(({ Id, Labels, State }) => ({
    ...{ id: Id, mark: markOf(Labels) },
    ...{ alive: isAlive(State), fresh: State === 'created' },
  }));
}

/** Every container of the target that is one of a unit. */
export const allContainers = async (docker: Docker, scope: Scope): Promise<Found[]> =>
  (await list(docker, scopeLabels(scope))).filter(({ mark }) => mark.attempt !== '' && mark.unit !== '');

/** Of all attempts of a unit. */
export function containersOfUnit(
  docker: Docker,
  scope: Scope,
  record: Pick<UnitRecord, 'resource' | 'unit'>,
): Promise<Found[]> {
  return list(docker, { ...scopeLabels(scope), ...unitLabels(record) });
}
