/** Goals, gates and traffic as a status file writes them: near to the manifests' own words, and back without loss. */
import type { Check, Revision } from '../manifest/resource.ts';
import type { TrafficPolicy } from '../plan/live.ts';
import type { Gate, Goal } from '../plan/plan.ts';

export type PolicyDocument =
  | { percent: Record<string, number> }
  | { match: { rules: { version: string; query: Record<string, string> }[]; default: string } };

export type GoalDocument =
  | {
      replicas: {
        /** Absent for a workload. */
        version?: string;
        want: Record<Revision, number>;
        maxTotal: number;
        minAvailable: number;
        minReadySeconds: number;
      };
    }
  | { traffic: PolicyDocument };

export type GateDocument = { pause: true } | { soakSeconds: number } | { check: Check; version?: string };

export function policyToDocument(policy: TrafficPolicy): PolicyDocument {
  if (policy.kind === 'percent') return { percent: policy.weights };
  return { match: { rules: policy.rules, default: policy.default } };
}

export function policyFromDocument(document: PolicyDocument): TrafficPolicy {
  if ('percent' in document) return { kind: 'percent', weights: document.percent };
  return { kind: 'match', ...document.match };
}

export function goalToDocument(goal: Goal): GoalDocument {
  if (goal.kind === 'traffic') return { traffic: policyToDocument(goal.policy) };
  const { kind: _, version, ...rest } = goal;
  return { replicas: { ...(version !== '' && { version }), ...rest } };
}

export function goalFromDocument(document: GoalDocument): Goal {
  if ('traffic' in document) return { kind: 'traffic', policy: policyFromDocument(document.traffic) };
  return { kind: 'replicas', version: '', ...document.replicas };
}

export function gateToDocument(gate: Gate): GateDocument {
  switch (gate.kind) {
    case 'pause':
      return { pause: true };
    case 'soak':
      return { soakSeconds: gate.seconds };
    case 'check':
      return { check: gate.check, ...(gate.version !== '' && { version: gate.version }) };
  }
}

export function gateFromDocument(document: GateDocument): Gate {
  if ('pause' in document) return { kind: 'pause' };
  if ('soakSeconds' in document) return { kind: 'soak', seconds: document.soakSeconds };
  return { kind: 'check', check: document.check, version: document.version ?? '' };
}
