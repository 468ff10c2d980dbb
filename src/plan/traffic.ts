/** From declared traffic, in roles, to policies and stages, in version names. */
import { seconds } from '../manifest/duration.ts';
import type { Check, DeclaredTraffic, TrafficStep } from '../manifest/resource.ts';
import type { TrafficPolicy } from './live.ts';
import type { Gate, Stage } from './plan.ts';

export interface Roles {
  latest: string;
  stable: string;
}

/** `latest` and `stable` may be one version: 20 and 80 are then 100 to it. Shares of 0 are left out. */
export function percentPolicy(latestPercent: number, { latest, stable }: Roles): TrafficPolicy {
  if (latest === stable || latestPercent === 100) return { kind: 'percent', weights: { [latest]: 100 } };
  if (latestPercent === 0) return { kind: 'percent', weights: { [stable]: 100 } };
  return { kind: 'percent', weights: { [latest]: latestPercent, [stable]: 100 - latestPercent } };
}

/** Where traffic ends up; undefined: it stays as it is (`onDeploy: none`). */
export function finalPolicy(traffic: DeclaredTraffic, roles: Roles): TrafficPolicy | undefined {
  if ('onDeploy' in traffic) return traffic.onDeploy === 'all' ? percentPolicy(100, roles) : undefined;
  if ('steps' in traffic) return percentPolicy(traffic.steps.at(-1)?.percent ?? 100, roles);
  if ('percent' in traffic) return percentPolicy(traffic.percent.latest, roles);
  return {
    kind: 'match',
    rules: traffic.match.rules.map(({ version, query }) => ({ version: roles[version], query })),
    default: roles[traffic.match.default],
  };
}

/** The traffic stages of a rollout forwards; `reached` leaves out the steps that are behind it. */
export function trafficStages(traffic: DeclaredTraffic, roles: Roles, reached = 0): Stage[] {
  if ('steps' in traffic) {
    const left = traffic.steps.filter((step) => step.percent > reached || step === traffic.steps.at(-1));
    return left.map((step) => stepStage(step, roles));
  }
  const policy = finalPolicy(traffic, roles);
  return policy === undefined ? [] : [policyStage(policy, roles)];
}

export function policyStage(policy: TrafficPolicy, { latest }: Roles): Stage {
  const name = policy.kind === 'match' ? 'match' : `${policy.weights[latest] ?? 0} %`;
  return { name, goal: { kind: 'traffic', policy }, gates: [] };
}

function stepStage(step: TrafficStep, roles: Roles): Stage {
  const gates: Gate[] = [];
  if (step.soak !== undefined) gates.push({ kind: 'soak', seconds: seconds(step.soak) });
  for (const check of step.check ?? []) gates.push(checkGate(check, roles));
  if (step.pause) gates.push({ kind: 'pause' });
  return { name: `${step.percent} %`, goal: { kind: 'traffic', policy: percentPolicy(step.percent, roles) }, gates };
}

const checkGate = (check: Check, { latest }: Roles): Gate => ({ kind: 'check', check, version: latest });

/** The share of `version` under a policy, in percent; a policy by match gives none. */
export function shareOf(policy: TrafficPolicy | undefined, version: string): number {
  return policy?.kind === 'percent' ? (policy.weights[version] ?? 0) : 0;
}

/** Policies are equal when they send every request the same way; the order of rules counts, that of weights does not. */
export function samePolicy(a: TrafficPolicy | undefined, b: TrafficPolicy | undefined): boolean {
  return canonical(a) === canonical(b);
}

function canonical(policy: TrafficPolicy | undefined): string {
  if (policy === undefined) return '';
  if (policy.kind === 'percent') {
    return JSON.stringify(
      Object.entries(policy.weights)
        .filter(([, share]) => share > 0)
        .sort(),
    );
  }
  return JSON.stringify([
    policy.rules.map(({ version, query }) => [version, Object.entries(query).sort()]),
    policy.default,
  ]);
}
