/** Every kind of rollout that is walked through, by the name that `npm run crash` has for it. */
import { ssh } from './ssh.ts';
import { cluster, fleet, type Owner, type Subject, service, workload } from './subjects.ts';

export const KINDS: Record<string, (owner: Owner) => Promise<Subject>> = { workload, service, fleet, cluster, ssh };
