/** Goals, gates and traffic as a status file writes them: near to the manifests' own words, and back without loss. */
import type { Check, Revision } from '../manifest/resource.ts';
import type { TrafficPolicy } from '../plan/live.ts';
import type { Gate, Goal, MembersGoal, ReplicasGoal, UnitsGoal } from '../plan/plan.ts';
import { fold, unfold } from './fold.ts';

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
  | { traffic: PolicyDocument }
  | { units: { changes: ChangesDocument[]; maxInFlight: number } }
  | { members: { size?: number; controlPlane?: number; revision: Revision } };

/** Units that follow each other and change alike: their names, folded. */
interface ChangesDocument {
  to: Revision;
  /** Absent: `to` is run. */
  undo?: Revision[];
  units: string[];
}

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
  switch (goal.kind) {
    case 'traffic':
      return { traffic: policyToDocument(goal.policy) };
    case 'replicas':
      return { replicas: replicasToDocument(goal) };
    case 'units':
      return { units: { changes: changesToDocument(goal.want), maxInFlight: goal.maxInFlight } };
    case 'members':
      return { members: membersToDocument(goal) };
  }
}

function replicasToDocument({ kind: _, version, ...rest }: ReplicasGoal) {
  return { ...(version !== '' && { version }), ...rest };
}

const membersToDocument = ({ kind: _, ...rest }: MembersGoal) => rest;

function changesToDocument(want: UnitsGoal['want']): ChangesDocument[] {
  const runs: { to: Revision; undo: Revision[]; names: string[] }[] = [];
  for (const [name, { to, undo }] of Object.entries(want)) {
    const last = runs.at(-1);
    if (last?.to === to && last.undo.join() === undo.join()) last.names.push(name);
    else runs.push({ to, undo, names: [name] });
  }
  return runs.map(({ to, undo, names }) => ({ to, ...(undo.length > 0 && { undo }), units: fold(names) }));
}

export function goalFromDocument(document: GoalDocument): Goal {
  if ('traffic' in document) return { kind: 'traffic', policy: policyFromDocument(document.traffic) };
  if ('replicas' in document) return { kind: 'replicas', version: '', ...document.replicas };
  if ('members' in document) return { kind: 'members', ...document.members };
  const { changes, maxInFlight } = document.units;
  const want = changes.flatMap(({ to, undo = [], units }) => unfold(units).map((name) => [name, { to, undo }]));
  return { kind: 'units', want: Object.fromEntries(want), maxInFlight };
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
