/** Planted bugs: each breaks one invariant in an otherwise good world, so that its checker is seen to fail. */
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Live } from '../../src/plan/live.ts';
import type { Action } from '../../src/rollout/decision.ts';
import { STATUS_REF, tagRef } from '../../src/status/names.ts';
import type { Invariant } from './checkers/all.ts';
import type { Event, History } from './history.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

export interface Mutant {
  breaks: Invariant;
  /** What the operator does wrong. */
  bug: string;
  kinds: History['kinds'];
  events: Event[];
  /** Puts other actions in the place of one. */
  act?: (action: Action, world: World, id: ResourceId) => Action[];
  /** Tells the operator something else than is there. */
  see?: (live: Live) => Live;
  /** Rewrites what is pushed to a status file. */
  write?: (text: string) => string;
  /** Done once when all is set up. */
  spoil?: (world: World) => void;
}

const edit = (resource: number, field: number, value: number, after = 10_000): Event => ({
  ...{ do: 'edit', resource, field, value, all: false, after },
});
/** When everything has long succeeded. */
const LATER = Date.UTC(2026, 0, 5, 11, 56, 15);
const wait = (after: number): Event => ({ do: 'wait', after });

/** What the operator does of itself, and then once more under another name. */
const twice = (action: Action): Action[] =>
  action.kind === 'start' ? [action, { ...action, unit: `${action.unit}99`, attempt: `${action.unit}99.x` }] : [action];

export const MUTANTS: Mutant[] = [
  {
    ...{ breaks: 'mostUnits', bug: 'one unit more is started with each', kinds: ['Workload'] },
    ...{ events: [wait(20_000)], act: twice },
  },
  {
    ...{ breaks: 'leastAvailable', bug: 'with one unit another is stopped', kinds: ['Workload'] },
    events: [edit(0, 1, 1), wait(60_000)],
    act(action, { target }, id) {
      const ready = [...(target.replicas.get(id)?.units.values() ?? [])].filter((unit) => unit.ready);
      const other = ready.find((unit) => action.kind === 'start' && unit.id !== action.unit);
      return other === undefined ? [action] : [action, { kind: 'stop', unit: other.id, attempt: other.attempt }];
    },
  },
  {
    ...{ breaks: 'trafficToReady', bug: 'traffic goes to what is started', kinds: ['Service'] },
    events: [edit(0, 1, 1), wait(60_000)],
    act: (action) =>
      action.kind === 'start'
        ? [action, { kind: 'route', policy: { kind: 'percent', weights: { [action.version]: 100 } } }]
        : [action],
  },
  {
    ...{ breaks: 'trafficFirst', bug: 'an instance is updated before it is taken out', kinds: ['Fleet'] },
    events: [wait(20_000)],
    act: (action) =>
      action.kind === 'takeOut'
        ? [{ kind: 'update', unit: action.unit, attempt: action.attempt, change: { to: 'aaaaaaaaaa', undo: [] } }]
        : [action],
  },
  {
    ...{ breaks: 'durableFirst', bug: 'another revision is started than was decided', kinds: ['Workload'] },
    events: [wait(20_000)],
    act: (action) => (action.kind === 'start' ? [{ ...action, revision: 'bbbbbbbbbb' }] : [action]),
  },
  {
    ...{ breaks: 'scriptsOnce', bug: 'what ended is run again as another attempt', kinds: ['Fleet'] },
    events: [wait(60_000)],
    act(action, { target }, id) {
      if (action.kind !== 'putBack') return [action];
      const machines = target.machines.get(id);
      const done = machines?.all.get(action.unit)?.attempt;
      const last = machines?.scripts.findLast((script) => script.attempt === done?.id);
      if (last !== undefined) machines?.scripts.push({ ...last, attempt: `${action.unit}.1.${last.attempt.length}` });
      return [action];
    },
  },
  {
    ...{ breaks: 'putBack', bug: 'an instance gets back another weight than it had', kinds: ['Fleet'] },
    events: [wait(120_000)],
    spoil({ target, timeline }) {
      timeline.at(timeline.now() + 100_000, () => {
        for (const machines of target.machines.values())
          for (const machine of machines.all.values()) machine.weight = 7;
      });
    },
  },
  {
    ...{ breaks: 'rollbackTouches', bug: 'a way back stops what it goes back to', kinds: ['Workload'] },
    events: [edit(0, 5, 1), edit(0, 0, 5), wait(700_000)],
    act(action, { target, published }, id) {
      const rollout = published.get(id)?.rollout;
      const units = [...(target.replicas.get(id)?.units.values() ?? [])];
      const good = units.find((unit) => unit.revision !== rollout?.to && unit.ready);
      if (rollout?.phase !== 'RollingBack' || good === undefined || action.kind !== 'stop') return [action];
      return [action, { kind: 'stop', unit: good.id, attempt: good.attempt }];
    },
  },
  {
    ...{ breaks: 'prechecksFirst', bug: 'a revision is begun although its prechecks fail', kinds: ['Workload'] },
    events: [{ do: 'target', fault: 'precheck', amount: 3, after: 2000 }, edit(0, 1, 1), wait(30_000)],
    spoil({ target, published }) {
      published.watch(({ by, changed }) => {
        for (const [id, told] of by === undefined ? [] : changed) {
          if (by === undefined || told?.rollout?.phase !== 'Failed') continue;
          const { to: revision } = told.rollout;
          const attempt = 'r0-77.x';
          target.act(id, { kind: 'start', unit: 'r0-77', revision, version: '', attempt, restarts: 0 }, by);
        }
      });
    },
  },
  {
    ...{ breaks: 'neverByMistake', bug: 'a resource that turned invalid is taken away', kinds: ['Service', 'Service'] },
    events: [{ do: 'break', resource: 0, how: 0, after: 20_000 }, wait(20_000)],
    spoil({ target, published }) {
      published.watch(({ by, changed }) => {
        for (const [id, told] of changed)
          if (by !== undefined && told?.health === 'Invalid') target.act(id, { kind: 'route', policy: undefined }, by);
      });
    },
  },
  {
    ...{ breaks: 'oneOperator', bug: 'an operator that was taken over acts again', kinds: ['Workload'] },
    events: [{ do: 'second', after: 10_000 }, edit(0, 1, 1), wait(30_000)],
    spoil({ target, operators, timeline }) {
      let first: Process | undefined;
      timeline.at(timeline.now() + 5000, () => {
        first = operators.current();
      });
      timeline.at(timeline.now() + 40_000, () => {
        if (first !== undefined) target.act('Workload/r0', { kind: 'route', policy: undefined }, first);
      });
    },
  },
  {
    ...{ breaks: 'oneOperator', bug: 'an operator that wakes in the middle of an act carries it out' },
    kinds: ['Workload'],
    events: [
      { do: 'freeze', acts: 1, ms: 30_000, after: 10_000 },
      edit(0, 1, 1, 100),
      { do: 'second', after: 2000 },
      wait(60_000),
    ],
    spoil({ target }) {
      target.spoilt.unfenced = true;
    },
  },
  {
    ...{ breaks: 'oneRollout', bug: 'a rollout that ended goes on', kinds: ['Workload'] },
    events: [edit(0, 1, 1), wait(60_000), edit(0, 2, 1), wait(60_000)],
    spoil({ remote, timeline }) {
      remote.spoil = (text) => (timeline.now() > LATER ? text.replace('phase: Succeeded', 'phase: Checking') : text);
    },
  },
  {
    ...{ breaks: 'claimsSeen', bug: 'the status says healthy of what never was', kinds: ['Workload'] },
    events: [edit(0, 0, 4, 0), wait(30_000)],
    write: (text) => text.replace('health: Progressing', 'health: Healthy'),
  },
  {
    ...{ breaks: 'claimsSeen', bug: 'a rollout is tagged before it has succeeded', kinds: ['Workload'] },
    events: [wait(500)],
    spoil({ remote, published }) {
      let tagged = false;
      published.watch(({ by, moves }) => {
        const tip = remote.refs.get(STATUS_REF);
        if (by === undefined || tagged || tip === undefined || moves.length === 0) return;
        tagged = true;
        remote.moved([{ ref: tagRef('Workload/r0', 1), old: undefined, new: tip }], by);
      });
    },
  },
  {
    ...{ breaks: 'settles', bug: 'a replica too few is taken for all of them', kinds: ['Workload'] },
    events: [wait(60_000)],
    spoil({ target, timeline }) {
      timeline.at(timeline.now() + 30_000, () => {
        for (const replicas of target.replicas.values()) replicas.units.delete('r0-1');
      });
    },
    see(live) {
      const [other] = live.units;
      const isThere = other === undefined || live.units.some(({ id }) => id === 'r0-1');
      return isThere ? live : { ...live, units: [{ ...other, id: 'r0-1' }, ...live.units] };
    },
  },
];

/** The bug is there from now on. */
export function plant({ act, see, write, spoil }: Mutant, world: World): void {
  const { target, remote } = world;
  if (act !== undefined) target.spoilt.act = (id, action) => act(action, world, id);
  if (see !== undefined) target.spoilt.see = (_, live) => see(live);
  if (write !== undefined) remote.spoil = write;
  spoil?.(world);
}

/** A history without faults of its own, in which nothing but the bug goes wrong. */
export const historyOf = ({ kinds, events }: Mutant): History => ({
  ...{ seed: 1, kinds, pushInterval: 0, poll: 60_000, acceptRewrite: false, heartbeat: false, events },
});
