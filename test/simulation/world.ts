/** One simulated world: a config repository, a remote, targets, operators, and time; and a history that happens to it. */
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Log } from '../../src/operator/options.ts';
import type { Decision } from '../../src/rollout/decision.ts';
import { STATUS_REF } from '../../src/status/names.ts';
import { type Config, createConfig } from './config.ts';
import { createRemote, type Remote } from './git.ts';
import type { Event, History } from './history.ts';
import { createOperators, type Operators } from './operators.ts';
import type { Process } from './process.ts';
import { type Published, watchStatus } from './published.ts';
import { createRandom } from './random.ts';
import { createTarget, isReplicasId, type SimulatedTarget, type Witness } from './target.ts';
import { createTimeline, type Timeline } from './timeline.ts';

export interface World {
  timeline: Timeline;
  remote: Remote;
  target: SimulatedTarget;
  config: Config;
  operators: Operators;
  published: Published;
  history: History;
}

/** Those who look at a world while things happen in it. */
export interface Audience extends Partial<Witness> {
  /** Told once everything is there, before anything happens. */
  begins?(world: World): void;
  decided?(process: Process, id: ResourceId, decision: Decision): void;
  log?: Log;
}

const START = Date.UTC(2026, 0, 5, 11, 55);

export function createWorld(history: History, audience: readonly Audience[]): World {
  const timeline = createTimeline(START);
  const random = createRandom(history.seed);
  const remote = createRemote(timeline);
  const target = createTarget(timeline, random, {
    observed: (process, id, live) => tell((one) => one.observed?.(process, id, live)),
    acts: (process, id, action) => tell((one) => one.acts?.(process, id, action)),
    prechecked: (id, revision, results) => tell((one) => one.prechecked?.(id, revision, results)),
  });
  const operators = createOperators({
    ...{ timeline, random, remote, target, history },
    decided: (process, id, decision) => tell((one) => one.decided?.(process, id, decision)),
    log: (level, message, data) => tell((one) => one.log?.(level, message, data)),
  });
  const config = createConfig(remote, history.kinds);
  const published = watchStatus(remote);
  const world: World = { timeline, remote, target, config, operators, published, history };

  function tell(call: (one: Audience) => void): void {
    for (const one of audience) call(one);
  }
  tell((one) => one.begins?.(world));
  return world;
}

/** Everything that the history says happens, and then nothing any more. */
export async function live(world: World, failed: () => void): Promise<void> {
  const { timeline, operators, history } = world;
  operators.start();
  for (const [index, event] of history.events.entries()) {
    await timeline.run(timeline.now() + event.after);
    failed();
    happen(world, event, index);
  }
  await timeline.run(timeline.now() + 1000);
  failed();
}

const DAY = 24 * 3_600_000;
/** Looked at after so long, again and again, whether it rests. */
const LOOKS = [5000, 20_000, 60_000, 300_000];

/** All faults are mended and nobody does anything; false: it has not come to rest within two days. */
export async function rest(world: World, rests: () => boolean, failed: () => void): Promise<boolean> {
  const { timeline, remote, target, config, operators } = world;
  remote.faults = Object.assign(remote.faults, { refuse: 0, lose: 0, downUntil: 0, slow: 0 });
  Object.assign(target.faults, {
    silentUntil: 0,
    partialUntil: 0,
    refuse: 0,
    precheck: 0,
    check: 0,
    slow: 0,
    calm: true,
  });
  operators.pause(false);
  config.merge();
  // Whoever meddled with the status branch is noticed with the next push.
  config.nudge();
  for (const machines of target.machines.values()) {
    for (const machine of machines.all.values()) machine.reachable = true;
    machines.changed();
  }
  for (const process of operators.alive()) process.thaw();
  const end = timeline.now() + 2 * DAY;
  // Whoever missed a hint has looked by then.
  const looked = timeline.now() + world.history.poll * 1.1 + 20_000;
  let calm = 0;
  for (let look = 0; timeline.now() < end; look++) {
    await timeline.run(timeline.now() + (LOOKS[Math.min(look >> 2, LOOKS.length - 1)] ?? 0) * (calm > 0 ? 0.5 : 1));
    if (operators.alive().length === 0) operators.start();
    failed();
    calm = rests() ? calm + 1 : 0;
    if (calm >= 3 && timeline.now() < looked) await timeline.run(looked);
    else if (calm >= 3) return true;
  }
  return false;
}

type Handlers = { [What in Event['do']]: (world: World, event: Extract<Event, { do: What }>, index: number) => void };

const HANDLERS: Handlers = {
  edit: ({ config }, { resource, field, value, all }) => config.edit(resource, field, value, all),
  set: ({ config }, { resource, draft }) => config.set(resource, draft),
  revert: ({ config }, { back }) => config.revert(back),
  break: ({ config }, { resource, how }) => config.break(resource, how),
  delete: ({ config }, { resource, all }) => config.delete(resource, all),
  confirm: ({ config }) => config.confirm(),
  label: ({ config }, { resource, hosts }) => config.label(resource, hosts),
  rewrite: ({ config }, { back }) => config.rewrite(back),
  operate: ({ config, published }, { resource, action, unit, rollout: other }, index) => {
    const id = pick(config, resource);
    const rollout = published.get(id)?.rollout;
    const { ids: units = [], records = [] } = rollout?.units ?? {};
    const troubled = units.filter((_, at) => /Failed|Unknown/.test(records[at]?.state ?? ''));
    const those = troubled.length > 0 && unit !== 0 ? troubled : units;
    const forUnit = unit >= 0 && those.length > 0 && /retry|skip|cancel/.test(action);
    const one = forUnit ? { unit: those[unit % those.length] ?? '' } : {};
    config.operate(`op-${index}`, { resource: id, rollout: Math.max(1, (rollout?.id ?? 0) + other), action, ...one });
  },
  remote: ({ remote: { faults }, timeline }, { fault, amount }) => {
    if (fault === 'down') faults.downUntil = timeline.now() + amount * 20_000;
    else if (fault === 'slow') faults.slow = amount * 1000;
    else faults[fault] = amount;
  },
  status: (world, { how }) => meddle(world, how),
  target: ({ target: { faults }, timeline }, { fault, amount }) => {
    if (fault === 'silent') faults.silentUntil = timeline.now() + amount * 15_000;
    else if (fault === 'partial') faults.partialUntil = timeline.now() + amount * 15_000;
    else if (fault === 'slow') faults.slow = amount * 400;
    else faults[fault] = amount;
  },
  unit: (world, { resource, unit, how }) => strike(world, pick(world.config, resource), unit, how),
  crash: ({ operators }, { effects, before, disk, down }) => operators.crash(effects, before, disk, down),
  second: ({ operators }) => operators.start(),
  freeze: ({ operators, timeline }, { acts, ms }) => {
    const process = operators.current();
    if (acts > 0) process?.freezeInAct(acts, ms);
    if (acts > 0) return;
    process?.freeze();
    timeline.at(timeline.now() + ms, () => process?.thaw());
  },
  pauseSwitch: ({ operators }, { on }) => operators.pause(on),
  wait: () => {},
};

const pick = ({ resources }: Config, index: number): ResourceId =>
  resources[index % resources.length]?.id as ResourceId;

function happen(world: World, event: Event, index: number): void {
  const handler = HANDLERS[event.do] as (world: World, event: Event, index: number) => void;
  handler(world, event, index);
}

/** A unit dies; or a host leaves and comes back. */
function strike({ target, timeline }: World, id: ResourceId, index: number, how: number): void {
  if (isReplicasId(id)) {
    const units = [...(target.replicas.get(id)?.units.values() ?? [])];
    const unit = units[index % Math.max(1, units.length)];
    // Not in the millisecond in which it was started: the next start would be the same attempt.
    if (unit !== undefined) timeline.at(timeline.now() + 1, () => target.replicas.get(id)?.kill(unit));
    return;
  }
  const machines = target.machines.get(id);
  const all = [...(machines?.all.values() ?? [])];
  const machine = all[index % Math.max(1, all.length)];
  if (machine === undefined || machines === undefined) return;
  if (machine.created) machines.kill(machine);
  else Object.assign(machine, { reachable: how > 0, left: machine.left || how === 0 });
  machines.changed();
}

/** Somebody writes where only the operator should. */
function meddle({ remote, config }: World, how: number): void {
  const tip = remote.refs.get(STATUS_REF);
  if (how === 0) remote.force(STATUS_REF, undefined);
  if (how === 0 || tip === undefined) return;
  const files = new Map<string, string>([['STATUS.md', 'mine\n']]);
  for (const { id, name } of config.resources) {
    const path = `status/${id.split('/')[0]?.toLowerCase()}/${name}.yaml`;
    const text = remote.read(STATUS_REF, path)?.toString();
    if (text !== undefined) files.set(path, how === 1 ? text : how === 2 ? 'no status\n' : `${text}# edited\n`);
  }
  remote.force(STATUS_REF, remote.commit(files, how === 4 ? [] : [tip], 'edited by hand'));
}
