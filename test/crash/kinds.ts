/** Every kind of rollout that is walked through, by the name that `npm run crash` has for it. */
import { dockerCluster, dockerFleet } from './docker.ts';
import { ssh } from './ssh.ts';
import { cluster, fleet, type Owner, type Subject, service, workload } from './subjects.ts';

type Kinds = Record<string, (owner: Owner) => Promise<Subject>>;

export const WITHOUT_ENGINE: Kinds = { workload, service, fleet, cluster, ssh };
export const KINDS: Kinds = {
  ...WITHOUT_ENGINE,
  'docker-fleet': dockerFleet,
  'docker-cluster': dockerCluster,
};
