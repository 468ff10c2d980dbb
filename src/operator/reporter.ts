/** Tells what happens, once each: rollouts as they move, what is wrong in manifests, who paused what. */
import { formatDiagnostic } from '../manifest/diagnostic.ts';
import type { Diagnostic, ResourceId } from '../manifest/resource.ts';
import type { Decision } from '../rollout/decision.ts';
import type { Log } from './options.ts';

export interface Reporter {
  decided(id: ResourceId, decision: Decision): void;
  diagnostics(diagnostics: readonly Diagnostic[]): void;
  /** True when it has changed since it was told last. */
  paused(paused: boolean): boolean;
}

export function createReporter(log: Log): Reporter {
  const told = new Map<ResourceId, string>();
  const reasons = new Map<ResourceId, string>();
  let seen: readonly Diagnostic[] | undefined;
  let diagnosed = new Set<string>();
  let wasPaused: boolean | undefined;

  return {
    decided(id, decision) {
      const { rollout, repairs } = decision.next;
      if (reasons.get(id) !== decision.why)
        log('debug', `${id}: ${decision.why}`, { resource: id, actions: decision.actions });
      reasons.set(id, decision.why);
      const label = rollout ? `${rollout.id} ${rollout.phase} ${rollout.reason} ${rollout.stage} ${repairs.count}` : '';
      if (label === '' || told.get(id) === label) return;
      told.set(id, label);
      if (rollout === undefined) return;
      const { plan, phase, reason, stage, message } = rollout;
      const name = plan.stages[stage]?.name;
      const at =
        name === undefined || stage >= plan.stages.length
          ? ''
          : `, stage ${stage + 1} of ${plan.stages.length} (${name})`;
      log('info', `${id}: rollout ${rollout.id} ${phase}${reason ? ` (${reason})` : ''}${at}: ${message}`, {
        resource: id,
        rollout: rollout.id,
        phase,
        ...(reason && { reason }),
        stage,
        revision: plan.to,
      });
      if (decision.gone) told.delete(id);
    },
    diagnostics(diagnostics) {
      if (diagnostics === seen) return;
      seen = diagnostics;
      const now = new Set(diagnostics.map(formatDiagnostic));
      for (const text of now) if (!diagnosed.has(text)) log('warn', text);
      diagnosed = now;
    },
    paused(paused) {
      if (paused === wasPaused) return false;
      if (wasPaused !== undefined || paused)
        log('info', paused ? 'paused: nothing new is started' : 'no longer paused');
      wasPaused = paused;
      return true;
    },
  };
}
