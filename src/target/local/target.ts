/** The local target: replicas as operating-system processes that outlive the operator. */
import { isReplicasSpec } from '../../manifest/kinds.ts';
import type { UnitDriver } from '../ports.ts';
import { backendsOf, newSubscribers, replicasDriver } from '../replicas/driver.ts';
import { precheckLocal } from './precheck.ts';
import { openUnits, type UnitsOptions } from './units.ts';

export type LocalTargetOptions = Omit<UnitsOptions, 'livedMs' | 'backends' | 'changed' | 'log'> & {
  log?: UnitsOptions['log'];
};

const LIVED_MS = 1000;

/** Finds again what runs there, takes the target over for `epoch`, and goes on with every stop that was begun. */
export async function openLocalTarget({ log = () => {}, ...options }: LocalTargetOptions): Promise<UnitDriver> {
  const subscribers = newSubscribers();
  const replicas = await openUnits({
    ...options,
    livedMs: LIVED_MS,
    backends: (_, units) => backendsOf(units),
    changed: subscribers.tell,
    log,
  });
  return replicasDriver({
    replicas,
    subscribers,
    async precheck(resource, spec, runnable) {
      if (!isReplicasSpec(spec) || !('template' in runnable)) throw new Error(`${resource} has no replicas`);
      return precheckLocal({ host: replicas.host, router: options.router, spec, runnable });
    },
  });
}
