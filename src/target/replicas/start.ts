/** Starts an attempt: its containers, their hooks, then the watch over them. */
import { endUnit } from './end.ts';
import { type Core, isOver, type RunningContainer, type Unit } from './unit.ts';
import { watchUnit } from './watch.ts';

/** Resolves when the containers are started, or the unit has died of it. Its record is on the disk already, as `starting`. */
export async function startUnit<R extends RunningContainer>(host: Core<R>, unit: Unit<R>): Promise<void> {
  try {
    await host.runtime.start(unit);
    await postStart(host, unit);
    if (!isOver(unit)) watchUnit(host, unit);
  } catch (error) {
    if (unit.watching.signal.aborted) return;
    await endUnit(host, unit, { message: (error as Error).message, crashed: true });
  }
}

const HOOK_MS = 600_000;

/** A hook that fails ends the unit. */
async function postStart<R extends RunningContainer>(host: Core<R>, unit: Unit<R>): Promise<void> {
  await Promise.all(
    unit.containers.map(async (running) => {
      const { container, record } = running;
      const hook = container.lifecycle?.postStart;
      if (hook === undefined || isOver(unit)) return;
      record.postStart = 'begun';
      host.save(unit);
      const { pass, message } = await orAborted(unit.watching.signal, host.runtime.ask(running, hook, HOOK_MS));
      if (!pass) throw new Error(`container ${container.name}: postStart failed: ${message}`);
      record.postStart = 'done';
      host.save(unit);
    }),
  );
}

function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return Promise.race([work, aborted]);
}
