/** Puts the parts together: a repository, a lease, targets, the controller and the publisher, until it is told to stop. */
import { messageOf } from '../error-text.ts';
import type { Feed, FeedEvent } from '../git/feed.ts';
import type { Oid, ResourceId } from '../manifest/resource.ts';
import type { State } from '../rollout/state.ts';
import { active } from '../rollout/transitions.ts';
import { health } from '../status/health.ts';
import type { Held } from '../status/markdown.ts';
import { StaleEpoch } from '../target/ports.ts';
import { type Controller, createController, type StateChange } from './controller.ts';
import type { OperatorOptions, Outcome } from './options.ts';
import { type Parts, systemParts } from './parts.ts';
import { createPublisher } from './publisher.ts';
import { createAnswerer } from './questions.ts';
import { createRegister } from './register.ts';
import { createReporter } from './reporter.ts';
import { createRunnables } from './runnables.ts';
import { openSite } from './site.ts';

export interface Operator {
  /** Ends with it: stopped, settled (`once`), or taken over by another operator. */
  done: Promise<Outcome>;
  /** Stops acting and watching, after what was decided is written; what runs goes on running. */
  stop(): void;
}

/** With `once`: a target that has not answered in full by then is not waited for. */
const UNSEEN_MS = 60_000;

/** Throws when the repository, the state folder or the router cannot be used at all; what fails later is tried again. */
export async function startOperator(options: OperatorOptions, parts: Parts = systemParts): Promise<Operator> {
  const { clock } = parts;
  const stopping = new AbortController();
  const pauseSwitch = parts.paused(options);
  let finish: (outcome: Outcome) => void = () => {};
  const ended = new Promise<Outcome>((resolve) => {
    finish = resolve;
  });
  let head: { commit: Oid; at: number } | undefined;
  let held: Held | undefined;
  let woken: (id: ResourceId) => void = () => {};
  const site = await openSite(options, parts, stopping.signal, {
    changed: (id) => woken(id),
    head: () => head?.commit,
  });
  const register = createRegister(site.snapshots, site.commitsOf);
  const operations = new Map<ResourceId, number>();

  const reporter = createReporter(options.log);
  const runnables = createRunnables(site.snapshots, (id) => register.told(id)?.declaration?.resource);
  const publisher = createPublisher({
    clock,
    head: () => ({ ...(head ?? { commit: site.observed ?? '', at: clock.now() }), ...(held && { held }) }),
    prepare: site.remote.prepare,
    push: site.remote.push,
    failed: (error) => void publishFailed(error),
    intervalMs: options.pushIntervalMs ?? (site.isLocal ? 0 : 10_000),
  });
  const unopened = () => site.targets.unopened?.() ?? new Map();
  const controller: Controller = createController({
    clock,
    conditions: (id) => ({
      operatorPaused: pauseSwitch.isOn(),
      highestId: Math.max(site.remote.highestTag(id), operations.get(id) ?? 0),
    }),
    driverOf: (id, resource) => site.targets.driverOf(id, resource),
    unopened,
    runnable: (id, revision, state) => runnables.of(id, revision, state),
    answer: createAnswerer(({ id, resource, state }) => runnables.of(id, resource.revision, state), unopened),
    publish,
    decided(id, decision) {
      reporter.decided(id, decision);
      parts.decided(id, decision);
      if (options.once) soonEndWhenSettled();
    },
    failed(id, what, error) {
      if (error instanceof StaleEpoch) void takenOver(error.message);
      else options.log('warn', `${id}: ${what}: ${messageOf(error)}`, { resource: id });
    },
    signal: stopping.signal,
  });
  woken = controller.touch;

  async function publish(change: StateChange): Promise<void> {
    const publication = site.remote.publication(change);
    if (change.first) await publisher.first(publication);
    else publisher.gather(publication);
  }

  /** Somebody else wrote there: another operator, which ends this one, or a person, which pauses what is under way. */
  async function publishFailed(error: unknown): Promise<void> {
    options.log('warn', `the status could not be pushed: ${messageOf(error)}`);
    const what = await site.remote.afterFailure(error).catch((again: unknown) => {
      options.log('warn', `the remote cannot be read: ${messageOf(again)}`);
      return undefined;
    });
    if (what?.kind === 'taken-over') await takenOver(what.message);
    if (what?.kind === 'tampered') {
      for (const id of controller.tracked()) controller.send(id, { kind: 'tampered', message: what.message });
      publisher.touch();
    }
  }

  /** What it decided and did not write yet is for the later operator to decide. */
  async function takenOver(message: string): Promise<void> {
    options.log('error', message);
    publisher.close();
    await end({ settled: false, message });
  }

  async function follow(commit: Oid): Promise<void> {
    const declared = await site.snapshots.load(commit);
    const { targets, hostTargets, targetNames, unreadable } = declared;
    // A file that cannot be read may be the one that declares a target.
    await site.targets.declare(targets, hostTargets, unreadable.size > 0 ? undefined : (name) => targetNames.has(name));
    reporter.diagnostics(declared.diagnostics);
    const next = await register.takeUp(declared, controller.state);
    if (head === undefined) parts.releaseMemory();
    head = { commit, at: clock.now() };
    controller.declare(next);
    for (const operation of declared.operations.values()) {
      if (operation.resource === undefined) continue;
      const rollout = Math.max(operations.get(operation.resource) ?? 0, operation.rollout ?? 0);
      operations.set(operation.resource, rollout);
    }
    controller.operate([...declared.operations.values()]);
    publisher.touch();
  }

  /** A commit that cannot be taken up leaves everything as it was, and is tried again as long as none is newer. */
  async function attempt(commit: Oid): Promise<void> {
    try {
      if (commit !== head?.commit) await follow(commit);
    } catch (error) {
      options.log('error', `commit ${commit.slice(0, 10)} could not be taken up: ${messageOf(error)}`);
      tryAgain = clock.after(options.intervalMs, () => void followSafely(commit));
    }
  }

  /** One after the other: what is tried again may meet what has come meanwhile. */
  function followSafely(commit: Oid): Promise<void> {
    tryAgain();
    following = following.then(() => attempt(commit));
    return following;
  }

  for (const [id, state] of site.restored) {
    controller.restore(id, state);
    register.restore(id, state);
    if (site.foreign !== undefined) controller.send(id, { kind: 'tampered', message: site.foreign });
  }
  // From here on the controller remembers them, as they change.
  site.restored.clear();
  let looked = false;
  const unseenUntil = clock.now() + UNSEEN_MS;
  let tryAgain = () => {};
  let following = Promise.resolve();
  let noLongerUnseen = () => {};
  let feed: Feed | undefined;
  feed = await site.openFeed(async (event) => {
    if (event.kind === 'head') await followSafely(event.commit);
    else options.log('warn', feedTrouble(event), event.kind === 'error' ? {} : { commit: heldBy(event).commit });
    if (event.kind === 'error') return;
    held = event.kind === 'head' ? undefined : heldBy(event);
    publisher.touch();
  });
  void feed.looked.then(() => {
    looked = true;
    if (options.once) soonEndWhenSettled();
    if (options.once) noLongerUnseen = clock.after(UNSEEN_MS, endWhenSettled);
  });
  site.startHeartbeat((message) => void takenOver(message));
  const unwatchPaused = pauseSwitch.watch(() => reporter.paused(pauseSwitch.isOn()) && controller.touchAll());

  async function end(outcome: Outcome): Promise<void> {
    if (stopping.signal.aborted) return;
    unwatchPaused();
    tryAgain();
    noLongerUnseen();
    controller.stop();
    await publisher.flush().catch(() => undefined);
    publisher.close();
    stopping.abort();
    await feed?.close();
    await site.close();
    finish(outcome);
  }

  const isUnseen = (id: ResourceId) =>
    register.told(id)?.declaration !== undefined && controller.live(id)?.complete !== true;

  /** Once for all that is decided together: it looks at every resource. */
  let isEndSoon = false;
  function soonEndWhenSettled(): void {
    if (isEndSoon) return;
    isEndSoon = true;
    clock.soon(() => {
      isEndSoon = false;
      endWhenSettled();
    });
  }

  function endWhenSettled(): void {
    if (looked && head === undefined && held !== undefined) void end({ settled: false, message: held.why });
    if (!looked || head === undefined || !controller.idle() || stopping.signal.aborted) return;
    if (clock.now() < unseenUntil && controller.tracked().some(isUnseen)) return;
    const states = controller.tracked().map((id) => [id, controller.state(id)] as const);
    if (states.some(([, state]) => state === undefined || isMoving(state))) return;
    const unwell = states.flatMap(([id, state]) => {
      const say = register.told(id);
      if (state === undefined || say === undefined) return [];
      const { health: how, message } = health(id, state, controller.live(id), say.now);
      const rests = !active(state.rollout) && state.settled.observed && state.attempted === undefined && say.now.valid;
      return how === 'Healthy' || rests ? [] : [`${id}: ${message}`];
    });
    if (held !== undefined) unwell.push(held.why);
    void end({
      settled: unwell.length === 0,
      message: unwell.length === 0 ? 'everything is as declared' : unwell.join('\n'),
    });
  }

  return { done: ended, stop: () => void end({ settled: true, message: 'stopped' }) };
}

function feedTrouble(event: Exclude<FeedEvent, { kind: 'head' }>): string {
  if (event.kind === 'error')
    return `${messageOf(event.error)} (asked again in ${Math.round(event.retryInMs / 1000)} s)`;
  return heldBy(event).why;
}

/** Why the newest head is not worked from, and what to do. */
function heldBy(event: Exclude<FeedEvent, { kind: 'head' | 'error' }>): Held {
  if (event.kind === 'refused') {
    const held = event.held === undefined ? 'nothing is done' : `commit ${event.held.slice(0, 10)} goes on`;
    return {
      commit: event.commit,
      why: `commit ${event.commit.slice(0, 10)} is refused: ${event.why}; until then ${held}`,
    };
  }
  const to = `${event.held.slice(0, 10)} to ${event.head.slice(0, 10)}`;
  const why = `the branch was rewritten, from ${to}; the former is held until sluice run --accept-rewrite or a commit that follows it`;
  return { commit: event.head, why };
}

/** Something will still change without anybody doing anything. */
function isMoving({ rollout, settled, attempted, deletion }: State): boolean {
  if (deletion !== undefined) return deletion.confirmed;
  if (active(rollout)) return rollout.phase !== 'Paused' && rollout.phase !== 'Pending';
  return attempted === undefined && settled.goals.length > 0 && !settled.observed;
}
