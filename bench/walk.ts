/** A fleet planned and walked through all of its batches against a simulated target: what the engine takes for each unit. */
import type { Live, LiveInstance } from '../src/plan/live.ts';
import { apply } from '../src/rollout/apply.ts';
import { decide } from '../src/rollout/decide.ts';
import type { Action, Event } from '../src/rollout/decision.ts';
import type { PrecheckResult, State } from '../src/rollout/state.ts';
import { fleet, machine } from '../test/support/fleet-world.ts';
import { type Figure, median, note } from './harness.ts';
import { written } from './walk-status.ts';

const ROUNDS = 5;
const REACH = { micros: 50, growth: 11 };
const PUSHES_A_MINUTE = 6;

export async function bench(): Promise<Figure[]> {
  walk(1000);
  const small: number[] = [];
  const large: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    small.push(walk(10_000));
    large.push(walk(100_000));
  }
  const each = (median(small) * 1000) / 10_000;
  const growth = median(large) / median(small);
  const [few, many] = [await written(1000), await written(10_000)];
  const bound = Math.ceil(many.minutes * PUSHES_A_MINUTE) + many.first + 1;
  note(`10,000 instances ${median(small).toFixed(0)} ms, 100,000 ${median(large).toFixed(0)} ms`);
  return [
    {
      work: 'plan and walk of 10,000 instances against a simulated target',
      reach: `at most ${REACH.micros} µs a unit`,
      seen: `${each.toFixed(1)} µs a unit`,
      held: each <= REACH.micros,
    },
    {
      work: 'the same of 100,000',
      reach: `at most ${REACH.micros} µs a unit, and ${REACH.growth} × the time of 10,000`,
      seen: `${growth.toFixed(1)} × (${((median(large) * 1000) / 100_000).toFixed(1)} µs a unit)`,
      held: growth <= REACH.growth && (median(large) * 1000) / 100_000 <= REACH.micros,
    },
    {
      work: 'status written during a walk of 10,000 instances whose script takes 30 s',
      reach: `at most ${PUSHES_A_MINUTE} pushes a minute besides those that are waited for, whatever their number`,
      seen:
        `${many.commits} commits in ${many.minutes.toFixed(1)} simulated minutes, ${many.first} of them waited for, ` +
        `${(many.bytes / 1024).toFixed(0)} KiB (1,000 instances: ${few.commits} commits, ${(few.bytes / 1024).toFixed(0)} KiB)`,
      held: many.commits <= bound && many.commits === few.commits,
    },
  ];
}

/** Milliseconds of CPU of the engine alone, from the commit to `Succeeded`. */
function walk(count: number): number {
  const machines = machinesOf(count);
  const walked: Walked = { state: undefined };
  let micros = 0;
  for (let now = 0; walked.state?.rollout?.phase !== 'Succeeded'; now += 1000) {
    if (now > 1_000_000) throw new Error(`it does not end: ${walked.state?.rollout?.message}`);
    const { decision, took } = step(walked, machines, now);
    micros += took;
    for (const action of decision.actions) act(machines, action);
  }
  return micros / 1000;
}

/** As they are before the commit. */
export function machinesOf(count: number): Map<string, LiveInstance> {
  const slots = Array.from({ length: count }, (_, slot) => `web-${slot + 1}`);
  return new Map(slots.map((id) => [id, machine(id, { applied: ['r1'] })]));
}

export interface Walked {
  state: State | undefined;
}

const DECLARATION = { resource: fleet('r2', { batches: 10 }), commit: 'c2', deletionConfirmed: false };
const CONDITIONS = { operatorPaused: false, highestId: 0 };

/** One look and what is decided on it; `took`: microseconds of CPU. */
export function step(walked: Walked, machines: Map<string, LiveInstance>, now: number) {
  const live: Live = { observedAt: now, complete: true, units: [], instances: [...machines.values()], suspended: [] };
  const before = process.cpuUsage();
  const decision = decide(DECLARATION, walked.state, live, now, CONDITIONS);
  walked.state = decision.next;
  if (decision.questions.length > 0 && walked.state.rollout !== undefined) {
    const event: Event = { kind: 'prechecked', rollout: walked.state.rollout.id, revision: 'r2', results: [PASS] };
    walked.state = apply(walked.state, event, DECLARATION.resource, live, now);
  }
  const { user, system } = process.cpuUsage(before);
  return { decision, live, took: user + system };
}

const PASS: PrecheckResult = { name: 'target', result: 'pass', message: 'answers', remedy: '' };

export function act(machines: Map<string, LiveInstance>, action: Action): void {
  const it = 'unit' in action ? machines.get(action.unit) : undefined;
  if (it === undefined) return;
  if (action.kind === 'takeOut') machines.set(it.id, { ...it, service: 'out', weight: 0 });
  if (action.kind === 'putBack') machines.set(it.id, { ...it, service: 'in', weight: action.weight ?? 100 });
  if (action.kind === 'update') {
    const attempt = { id: action.attempt, state: 'succeeded', message: '' } as const;
    machines.set(it.id, { ...it, attempt, applied: [...it.applied, action.change.to] });
  }
}
