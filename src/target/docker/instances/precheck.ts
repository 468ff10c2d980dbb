/** What must hold before containers are instances or nodes. Looks, changes nothing; each answer says what to do. */
import { formatPath } from '../../../manifest/diagnostic.ts';
import type { InstanceResource } from '../../../manifest/resource.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import { type InstancesAsked, nodes, prechecks, rollback } from '../../instances/precheck.ts';
import { askAll, orPass, router } from '../../local/precheck.ts';
import type { RouterClient } from '../../local/router/client.ts';
import { type AskedOfEngine, engine, imagesThere, network } from '../precheck.ts';
import { notHonouredByContainers } from './honour.ts';

export interface AskedOfContainers extends InstancesAsked, AskedOfEngine {
  router: Pick<RouterClient, 'answers' | 'address'>;
}

export async function precheckContainers(asked: AskedOfContainers): Promise<PrecheckResult[]> {
  const [answer] = await askAll({ engine }, asked);
  if (answer?.result === 'fail') return [answer];
  const common = { images, fields, rollback };
  const others = await (asked.spec.kind === 'Fleet'
    ? askAll({ network, ...common, router }, asked)
    : askAll({ ...common, nodes, prechecks }, asked));
  return answer === undefined ? others : [answer, ...others];
}

function fields({ spec, runnable, target }: AskedOfContainers): PrecheckResult[] {
  const wrong = notHonouredByContainers({ spec, runnable } as InstanceResource, target);
  return orPass(
    wrong.map(({ path, result, message, remedy }) => ({
      ...{ name: 'fields', result, message: `${formatPath(path)}: ${message}`, remedy },
    })),
    'fields',
    'all can be honoured',
  );
}

function images(asked: AskedOfContainers): Promise<PrecheckResult[]> {
  const { runnable } = asked;
  const named = [runnable.image, 'rollbackImage' in runnable ? runnable.rollbackImage : undefined];
  return imagesThere(asked, runnable, new Set(named.flatMap((image) => (image === undefined ? [] : [image.name]))));
}
