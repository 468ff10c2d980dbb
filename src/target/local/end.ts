/** The ways in which a unit ends: it dies, a probe or a hook condemns it, or it is stopped. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StaleEpoch } from '../ports.ts';
import { ask, askCommand } from './handler.ts';
import { lastWords } from './logs.ts';
import { isRunning, membersOf, sendSignal } from './processes.ts';
import type { ProcessMark } from './record.ts';
import { belongingOf, graceMs, groupsOf, type Host, type Running, type Unit } from './unit.ts';

/** A process that was seen to run is gone. The unit as a whole is dead then: it is started again as a whole. */
export function processEnded(host: Host, unit: Unit, running: Running, how: string): void {
  running.ended = how;
  if (unit.watching.signal.aborted || unit.record.phase === 'stopping') return;
  void endUnit(host, unit, { message: obituary(unit, running, how), crashed: true });
}

/** `exited with code 1: Error: Cannot find module 'x'`; of several containers, the one that ended is named. */
export function obituary(unit: Unit, { container, groups, beside }: Running, how: string): string {
  const memory = groups.outOfMemory() ? `, out of memory (limit ${container.resources.limits?.memory})` : '';
  const words = beside.redact(lastWords(unit.folder, container.name, unit.record.attempt));
  const which = unit.containers.length > 1 ? `container ${container.name} ` : '';
  return `${which}${how}${memory}${words === '' ? '' : `: ${words}`}`;
}

export interface Cause {
  message: string;
  /** Something of it has ended by itself or never began; else all of it runs and is ended in an orderly way. */
  crashed: boolean;
}

/** Takes the unit out of the traffic, ends what is left of it, and reports it dead. Never throws. */
export function endUnit(host: Host, unit: Unit, { message, crashed }: Cause): Promise<void> {
  unit.ending ??= insist(host, unit, async () => {
    const { record } = unit;
    unit.watching.abort();
    record.ready = false;
    record.message = message;
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
export function stopUnit(host: Host, unit: Unit): Promise<void> {
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
    await forgetUnit(unit.folder);
    host.gone(unit);
  });
  return unit.stopping;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Begins again until nothing is in the way. What a later operator goes on with is left to it. */
async function insist(host: Host, { record }: Unit, end: () => Promise<void>): Promise<void> {
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
export async function forgetUnit(folder: string): Promise<void> {
  await rm(join(folder, 'unit.json'), { force: true });
  for (const name of await readdir(folder)) {
    if (name !== 'logs') await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** For as long as the grace period, counted from when the stop was begun, by whichever operator. */
async function drained(host: Host, unit: Unit): Promise<void> {
  const grace = graceMs(unit);
  const left = Math.min(grace, (unit.record.stoppingAt ?? 0) + grace - Date.now());
  const deadline = performance.now() + left;
  for (let wait = 10; performance.now() < deadline && unit.containers.some(runs); wait = Math.min(wait * 1.5, 250)) {
    if ((await host.active(unit).catch(() => 1)) === 0) return;
    await sleep(wait, undefined, { signal: host.closing });
  }
}

const markOf = ({ record }: Running): ProcessMark[] => (record.process === undefined ? [] : [record.process]);
const runs = (running: Running) => running.ended === undefined && markOf(running).some(isRunning);

/** Ends every process of the unit that can be found (`membersOf`); resolves when none is left. */
async function terminate(host: Host, unit: Unit, { hooks }: { hooks: boolean }): Promise<void> {
  host.guard();
  const { closing: signal } = host;
  const deadline = performance.now() + graceMs(unit);
  const leaders = unit.containers.filter((running) => running.ended !== undefined || runs(running)).flatMap(markOf);
  // Gathered, since a process whose parent has ended may not be found again.
  const known = new Map<string, ProcessMark>();
  const look = () => {
    for (const mark of membersOf(belongingOf(host, unit, leaders))) known.set(`${mark.pid} ${mark.start}`, mark);
  };
  look();
  if (hooks && unit.containers.some(runs)) await runHooks(host, unit, deadline);
  host.guard();
  signal.throwIfAborted();
  look();
  for (const mark of unit.containers.flatMap(markOf)) sendSignal(mark, 'SIGTERM');
  // Often at first: most end within some milliseconds, and a rolling upgrade waits for each.
  for (let wait = 2; unit.containers.some(runs) && performance.now() < deadline; wait = Math.min(wait * 1.3, 50)) {
    await sleep(wait, undefined, { signal });
  }
  for (let wait = 5; ; wait = Math.min(wait * 2, 1000)) {
    look();
    const left = [...known.values()].filter(isRunning);
    if (left.length === 0) break;
    host.guard();
    for (const mark of left) sendSignal(mark, 'SIGKILL');
    await sleep(wait, undefined, { signal });
  }
  groupsOf(host, unit).remove();
  unit.letLogs?.();
}

async function runHooks(host: Host, unit: Unit, deadline: number): Promise<void> {
  const { record } = unit;
  if (record.preStopAt !== undefined) return;
  record.preStopAt = Date.now();
  host.note(unit);
  await Promise.all(
    unit.containers.filter(runs).map(async ({ container, image, beside }) => {
      const { preStop } = container.lifecycle ?? {};
      const left = () => Math.max(1, deadline - performance.now());
      const answers = [
        ...(image.drain === undefined ? [] : [await askCommand(image.drain, beside, left())]),
        ...(preStop === undefined ? [] : [await ask(preStop, beside, left())]),
      ];
      for (const { pass, message } of answers) {
        if (!pass) host.log('hook before stop failed', { unit: record.unit, container: container.name, message });
      }
    }),
  );
}
