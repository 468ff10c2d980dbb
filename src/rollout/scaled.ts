/** How many replicas a workload is to have where not its manifest says so, but somebody beside it. */
import { isReplicas } from '../manifest/kinds.ts';
import type { Resource } from '../manifest/resource.ts';
import type { Live, Scaled } from '../plan/live.ts';
import type { State } from './state.ts';

/** `replicas: 0` is off, whoever says otherwise. What was seen last counts while the target cannot be seen. */
export function scaledNow({ spec }: Resource, state: State, live: Live): Scaled | undefined {
  if (spec.kind !== 'Workload' || spec.replicas === 0) return undefined;
  return live.complete ? live.scaled : state.scaled;
}

/** What is declared, with the count that holds: declared 5, an autoscaler says 7 → 7. */
export function atScale(resource: Resource, scaled: Scaled | undefined): Resource {
  if (scaled === undefined || !isReplicas(resource) || resource.spec.kind !== 'Workload') return resource;
  return { ...resource, spec: { ...resource.spec, replicas: scaled.replicas } };
}

/** The state with what counts now; the same one where nothing changed. */
export function takeScale(state: State, scaled: Scaled | undefined): State {
  const { scaled: before, ...rest } = state;
  if (before?.replicas === scaled?.replicas && before?.by === scaled?.by) return state;
  return scaled === undefined ? rest : { ...rest, scaled };
}
