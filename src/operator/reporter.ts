/** Tells what happens, once each: rollouts as they move, what is wrong in manifests, who paused what. */
import { formatDiagnostic } from '../manifest/diagnostic.ts';
import type { Diagnostic, ResourceId } from '../manifest/resource.ts';
import type { Action, Decision } from '../rollout/decision.ts';
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
      const whole = `${decision.why}${actionsText(decision.actions)}`;
      if (reasons.get(id) !== whole) log('debug', `${id}: ${whole}`, { resource: id, actions: decision.actions });
      reasons.set(id, whole);
      if (decision.gone) reasons.delete(id);
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

const NAMED = 5;

/** `: start shop-3, stop shop-1 and 4 more`; empty where nothing is done. */
function actionsText(actions: Action[]): string {
  if (actions.length === 0) return '';
  const named = actions
    .slice(0, NAMED)
    .map((action) => ('unit' in action ? `${action.kind} ${action.unit}` : action.kind));
  const more = actions.length > NAMED ? ` and ${actions.length - NAMED} more` : '';
  return `: ${named.join(', ')}${more}`;
}
