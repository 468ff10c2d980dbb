/** Which lines of the contract, and which transitions of the state table, the rollouts of a history went through. */
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Decision } from '../../src/rollout/decision.ts';
import type { State } from '../../src/rollout/state.ts';
import { TRANSITIONS } from '../../src/rollout/transitions.ts';
import { UNIT_TRANSITIONS } from '../../src/rollout/units.ts';
import type { Process } from './process.ts';
import type { Audience, World } from './world.ts';

/** How many rollouts went through each. */
export type Coverage = Record<string, number>;

export interface CoverageNotes {
  audience: Audience;
  rollouts(): number;
  result(): Coverage;
}

const transition = (from: string, to: string) => `${from} → ${to}`;

type Table = Record<string, readonly string[]>;

const named = (table: Table, prefix: string): string[] =>
  Object.entries(table).flatMap(([from, targets]) => targets.map((to) => `${prefix}${transition(from, to)}`));

/** Of a rollout, and of one unit of a fleet or a cluster. */
export const LEGAL: readonly string[] = [...named(TRANSITIONS, ''), ...named(UNIT_TRANSITIONS, 'unit ')];

/** The steps that must have been taken between two states that were seen one after the other: the fewest. */
function stepsBetween(table: Table, from: string, to: string): [from: string, to: string][] {
  const ways: string[][] = [[from]];
  const seen = new Set([from]);
  for (let way = ways.shift(); way !== undefined; way = ways.shift()) {
    const end = way.at(-1) ?? '';
    if (end === to) return way.slice(1).map((state, index) => [way?.[index] ?? '', state]);
    for (const next of table[end] ?? []) {
      if (seen.has(next)) continue;
      seen.add(next);
      ways.push([...way, next]);
    }
  }
  return [];
}

/** The rows of the contract's table of a rollout, in its words. */
export const CONTRACT = [
  "a stage's goal is observed, and the next stage begins",
  'more than maxFailures units failed: pause',
  'more than maxFailures units failed: rollback',
  'more than maxFailures units failed: revert',
  'pause',
  'continue',
  'retry a unit',
  'skip a unit',
  'cancel a unit',
  'the end with a failed or canceled unit',
  'cancel',
  'rollback by an operation',
  'a commit to an earlier revision',
  'a new revision, Workload or Service',
  'a new revision, Fleet or Cluster',
  'a commit that changes only how, while it rolls',
  'a commit that changes only how, at rest',
  'steps that are added at rest',
  'paused for too long: expired',
  'live differs from the settled goal: repaired',
  'the manifest is deleted',
  'a deletion waits for confirmDeletion',
  'the manifest turns invalid, and the last valid one goes on',
] as const;
export type ContractLine = (typeof CONTRACT)[number];

export function createCoverage(): CoverageNotes {
  const counted = new Map<string, Set<string>>();
  const begun = new Set<string>();
  const last = new Map<Process, Map<ResourceId, State>>();
  let world: World | undefined;

  const count = (what: string, rollout: string) => {
    const own = counted.get(what) ?? new Set<string>();
    counted.set(what, own.add(rollout));
  };

  function walked(from: string, to: string, rollout: string): void {
    for (const [one, next] of stepsBetween(TRANSITIONS, from, to)) count(transition(one, next), rollout);
  }

  function phases(id: ResourceId, before: State | undefined, next: State): void {
    const old = before?.rollout;
    const now = next.rollout;
    if (now === undefined) return;
    const key = `${id} ${now.id}`;
    if (old?.id === now.id) {
      walked(old.phase, now.phase, key);
      return;
    }
    begun.add(key);
    if (before !== undefined) walked('Pending', now.phase, key);
    const ended = old && next.history.find((entry) => entry.id === old.id);
    if (old !== undefined && ended !== undefined) walked(old.phase, ended.phase, `${id} ${old.id}`);
  }

  function units(id: ResourceId, before: State | undefined, next: State): void {
    const now = next.rollout;
    const old = before?.rollout?.id === now?.id ? before?.rollout?.units : undefined;
    if (now?.units === undefined || old === undefined || old === now.units) return;
    for (const [index, unit] of now.units.ids.entries()) {
      const state = now.units.records[index]?.state;
      const was = old.records[old.ids.indexOf(unit)]?.state;
      if (state === undefined || was === undefined || state === was) continue;
      for (const [one, next] of stepsBetween(UNIT_TRANSITIONS, was, state))
        count(`unit ${transition(one, next)}`, `${id} ${now.id}`);
    }
  }

  function lines(id: ResourceId, before: State | undefined, decision: Decision): void {
    const { next } = decision;
    const now = next.rollout;
    const old = before?.rollout;
    const key = `${id} ${now?.id}`;
    const line = (what: ContractLine, rollout = key) => count(what, rollout);
    const same = old !== undefined && old.id === now?.id;
    const spec = world && decisionSpec(world, id);
    if (same && now !== undefined) {
      if (now.stage > old.stage && now.back !== true) line("a stage's goal is observed, and the next stage begins");
      if (old.reason !== 'Failure' && now.reason === 'Failure') line('more than maxFailures units failed: pause');
      if (!old.turned && now.turned) {
        const byOperation = now.message.includes('an operation');
        if (byOperation) line('rollback by an operation');
        else line(`more than maxFailures units failed: ${decision.proposeRevert ? 'revert' : 'rollback'}`);
      }
      if (now.plan.generation > old.plan.generation && !now.turned && before?.digest !== next.digest)
        line('a commit that changes only how, while it rolls');
      if (old.phase !== 'Expired' && now.phase === 'Expired') line('paused for too long: expired');
      if (old.phase !== 'Failed' && now.phase === 'Failed' && now.units !== undefined)
        line('the end with a failed or canceled unit');
    }
    for (const [name, { outcome, message }] of Object.entries(next.operations)) {
      if (before === undefined || before.operations[name] !== undefined || outcome !== 'applied') continue;
      if (/^paused/.test(message)) line('pause');
      else if (/^continued/.test(message)) line('continue');
      else if (/^canceled/.test(message)) line('cancel', `${id} ${old?.id}`);
      else if (/is tried again$/.test(message)) line('retry a unit');
      else if (/ is skipped/.test(message)) line('skip a unit');
      else if (/ is canceled/.test(message)) line('cancel a unit');
    }
    if (!same && now !== undefined && before !== undefined) {
      if (now.cause === 'rollback') line('a commit to an earlier revision');
      if (now.plan.from === now.plan.to && before.settled.partial === undefined) line('steps that are added at rest');
      const superseded =
        old !== undefined && next.history.some((entry) => entry.id === old.id && entry.phase === 'Superseded');
      if (superseded && old.finishedAt === undefined)
        line(spec === 'replicas' ? 'a new revision, Workload or Service' : 'a new revision, Fleet or Cluster');
    }
    if (same && old.phase !== 'Superseded' && now?.phase === 'Superseded')
      line(spec === 'replicas' ? 'a new revision, Workload or Service' : 'a new revision, Fleet or Cluster');
    if (same && old.finishedAt !== undefined && before?.digest !== next.digest && before?.settled !== next.settled)
      line('a commit that changes only how, at rest');
    if (next.repairs.count > (before?.repairs.count ?? 0)) line('live differs from the settled goal: repaired');
    if (next.deletion?.confirmed === false) line('a deletion waits for confirmDeletion');
    if (decision.gone) line('the manifest is deleted');
  }

  return {
    audience: {
      begins(made) {
        world = made;
        made.published.watch(({ changed, before }) => {
          for (const [id, told] of changed) {
            if (told?.health !== 'Invalid' || before.get(id)?.health === 'Invalid') continue;
            if (told.rollout !== undefined)
              count('the manifest turns invalid, and the last valid one goes on', `${id} ${told.rollout.id}`);
          }
        });
      },
      decided(process, id, decision) {
        const own = last.get(process) ?? new Map<ResourceId, State>();
        last.set(process, own);
        const before = own.get(id);
        phases(id, before, decision.next);
        units(id, before, decision.next);
        lines(id, before, decision);
        own.set(id, decision.next);
      },
    },
    rollouts: () => begun.size,
    result: () => Object.fromEntries([...counted].map(([what, those]) => [what, those.size])),
  };
}

const decisionSpec = (_world: World, id: ResourceId): 'replicas' | 'instances' =>
  id.startsWith('Workload/') || id.startsWith('Service/') ? 'replicas' : 'instances';
