/** The ways in which a unit ends: it dies, a probe or a hook condemns it, or it is stopped. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LifecycleHandler } from '../../manifest/resource.ts';
import type { Hold } from '../local/epoch.ts';
import { removeTree } from '../local/remove.ts';
import { StaleEpoch } from '../ports.ts';
import { type Core, graceMs, type RunningContainer, type Unit } from './unit.ts';

/** A container that was seen to run has ended. The unit as a whole is dead then: it is started again as a whole. */
export function containerEnded<R extends RunningContainer>(
  host: Core<R>,
  unit: Unit<R>,
  running: R,
  how: string,
): void {
  running.ended = how;
  if (unit.watching.signal.aborted || unit.record.phase === 'stopping') return;
  const message = host.runtime.obituary(unit, running, how);
  if (typeof message === 'string') void endUnit(host, unit, { message, crashed: true });
  else void message.then((text) => endUnit(host, unit, { message: text, crashed: true }));
}

export interface Cause {
  message: string;
  /** Something of it has ended by itself or never began; else all of it runs and is ended in an orderly way. */
  crashed: boolean;
}

/** Takes the unit out of the traffic, ends what is left of it, and reports it dead. Never throws. */
export function endUnit<R extends RunningContainer>(
  host: Core<R>,
  unit: Unit<R>,
  { message, crashed }: Cause,
): Promise<void> {
  unit.ending ??= insist(host, unit, async () => {
    const { record } = unit;
    unit.watching.abort();
    record.ready = false;
    record.message = message;
    record.condemned ??= message;
    host.note(unit);
    host.changed(unit);
    await terminate(host, unit, { hooks: !crashed });
    if (record.phase === 'stopping') return;
    unit.containers = [];
    record.phase = 'dead';
    record.diedAt = Date.now();
    host.note(unit);
    host.log('unit died', { resource: record.resource, unit: record.unit, message });
    host.changed(unit);
  });
  return unit.ending;
}

/**
 * Out of the router, until it has finished what it serves; the drain command and preStop; SIGTERM; SIGKILL. Each step may
 * be the last that this operator takes: the next one begins again at the first, and no hook runs twice.
 */
export function stopUnit<R extends RunningContainer>(host: Core<R>, unit: Unit<R>): Promise<void> {
  const { record } = unit;
  if (unit.stopping !== undefined) return unit.stopping;
  const alive = record.phase !== 'dead';
  record.phase = 'stopping';
  record.stoppingAt ??= Date.now();
  record.ready = false;
  unit.stopping = insist(host, unit, async () => {
    host.note(unit);
    unit.watching.abort();
    host.changed(unit);
    await Promise.all([unit.starting, unit.ending]);
    await host.published(unit);
    if (alive) await drained(host, unit);
    await terminate(host, unit, { hooks: true });
    await host.runtime.discard(unit);
    host.gone(unit);
  });
  return unit.stopping;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Begins again until nothing is in the way. What a later operator goes on with is left to it. */
async function insist(host: Core<never>, { record }: Unit, end: () => Promise<void>): Promise<void> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await end();
    } catch (error) {
      if (error instanceof StaleEpoch || host.closing.aborted) return;
      record.message = `it cannot be ended: ${(error as Error).message}`;
      host.log('unit could not be ended', { resource: record.resource, unit: record.unit, message: record.message });
    }
    await sleep(pause, undefined, { signal: host.closing }).catch(() => {});
  }
}

/** The record goes first: what is left after a crash is no unit. What it wrote stays, to be read. */
export async function forgetUnit({ reach }: Pick<Hold, 'reach'>, folder: string): Promise<void> {
  await removeTree(reach(join(folder, 'unit.json')));
  for (const name of readdirSync(folder)) {
    if (name !== 'logs') await removeTree(reach(join(folder, name)));
  }
}

/** For as long as the grace period, counted from when the stop was begun, by whichever operator. */
async function drained<R extends RunningContainer>(host: Core<R>, unit: Unit<R>): Promise<void> {
  const grace = graceMs(unit);
  const left = Math.min(grace, (unit.record.stoppingAt ?? 0) + grace - Date.now());
  const deadline = performance.now() + left;
  const runs = () => unit.containers.some((running) => host.runtime.runs(running));
  for (let wait = 10; performance.now() < deadline && runs(); wait = Math.min(wait * 1.5, 250)) {
    if ((await host.active(unit).catch(() => 1)) === 0) return;
    await sleep(wait, undefined, { signal: host.closing });
  }
}

async function terminate<R extends RunningContainer>(
  host: Core<R>,
  unit: Unit<R>,
  { hooks }: { hooks: boolean },
): Promise<void> {
  host.guard();
  await host.runtime.terminate(unit, async (deadline) => {
    const runs = unit.containers.some((running) => host.runtime.runs(running));
    return hooks && runs && (await runHooks(host, unit, deadline));
  });
}

/** False: there are none to run. */
async function runHooks<R extends RunningContainer>(host: Core<R>, unit: Unit<R>, deadline: number): Promise<boolean> {
  const { record } = unit;
  const hooked = unit.containers.filter((running) => stopHooks(running).length > 0 && host.runtime.runs(running));
  if (hooked.length === 0 || record.preStopAt !== undefined) return false;
  record.preStopAt = Date.now();
  host.note(unit);
  await Promise.all(
    hooked.map(async (running) => {
      for (const hook of stopHooks(running)) {
        const { pass, message } = await host.runtime.ask(running, hook, Math.max(1, deadline - performance.now()));
        if (!pass) {
          const container = running.container.name;
          host.log('hook before stop failed', { unit: record.unit, container, message });
        }
      }
    }),
  );
  return true;
}

function stopHooks({ container, image }: RunningContainer): LifecycleHandler[] {
  const { preStop } = container.lifecycle ?? {};
  return [
    ...(image.drain === undefined ? [] : [{ exec: { command: image.drain } }]),
    ...(preStop === undefined ? [] : [preStop]),
  ];
}
