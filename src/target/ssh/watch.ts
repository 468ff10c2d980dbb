/** One host as a unit of a resource: looked at again and again, so that what is known of it is never waited for. */
import type { SshHost } from '../../manifest/target.ts';
import type { UnitPlace } from '../hosts/attempts.ts';
import type { UnitView } from '../hosts/view.ts';

export interface HostUnit {
  host: SshHost;
  place: UnitPlace;
  controlPlane: boolean;
  view: UnitView | undefined;
  /** When `view` was made. */
  seenAt: number;
  /** Why it was not reached when it was asked last. */
  trouble: string | undefined;
  /** The attempt that took it out where nothing sends requests to it: its host is told with the update. */
  out: string | undefined;
  /** What was accepted and is not seen yet: shown as begun. */
  accepted: { key: string; takeOut?: string; update?: string } | undefined;
  /** What was accepted and went wrong, and until when it is not tried again. */
  failed: { key: string; until: number; delay: number; message: string } | undefined;
  /** Acts, one after the other. */
  acting: Promise<void>;
  /** Counts acts, so that what was looked at before one does not hide what it did. */
  acts: number;
  /** Looks now. */
  hurry(): void;
}

/** Not looked at yet. */
export const newUnit = (host: SshHost, place: UnitPlace, controlPlane: boolean): HostUnit => ({
  ...{ host, place, controlPlane, view: undefined, seenAt: 0, trouble: undefined, out: undefined },
  ...{ accepted: undefined, failed: undefined, acting: Promise.resolve(), acts: 0, hurry: () => {} },
});

export interface WatchOptions {
  unit: HostUnit;
  versionCommand(): string[] | undefined;
  /** Between two looks while nothing happens. */
  idleMs: number;
  signal: AbortSignal;
  changed(): void;
}

/** It answers at once when what runs has ended. */
const WAIT_SECONDS = 20;
const BUSY_MS = 1_000;
const RETRY_MS = 1_000;

/** Looks until the signal aborts. */
export async function watchUnit({ unit, versionCommand, idleMs, signal, changed }: WatchOptions): Promise<void> {
  while (!signal.aborted) {
    const before = unit.acts;
    const command = versionCommand();
    const runs = unit.trouble === undefined && isRunning(unit);
    try {
      const view = await unit.place.look({
        signal,
        waitSeconds: runs ? WAIT_SECONDS : 0,
        ...(command !== undefined && { versionCommand: command }),
      });
      if (unit.acts === before) noteView(unit, view);
    } catch (error) {
      if (signal.aborted) return;
      noteTrouble(unit, error as Error);
    }
    changed();
    await rest(unit, idleMs, signal);
  }
}

/** Until the next look is due; what an act saw in the meantime needs none. */
async function rest(unit: HostUnit, idleMs: number, signal: AbortSignal): Promise<void> {
  const from = Date.now();
  while (!signal.aborted) {
    const waits = waitOf(unit, idleMs);
    const left = waits === 0 ? 0 : Math.max(from, unit.seenAt) + waits - Date.now();
    if (left <= 0 || (await pause(unit, left, signal)) === 'hurried') return;
  }
}

function waitOf(unit: HostUnit, idleMs: number): number {
  if (unit.trouble !== undefined) return RETRY_MS;
  if (isRunning(unit)) return 0;
  return unit.view?.out ? BUSY_MS : idleMs;
}

export const isRunning = ({ view }: HostUnit): boolean =>
  Object.values(view?.attempts ?? {}).some(({ state }) => state === 'running');

/** What an act saw says nothing of the version. */
export function noteView(unit: HostUnit, view: UnitView): void {
  const version = view.version ?? unit.view?.version;
  unit.view = { ...view, ...(version && { version }) };
  unit.seenAt = Date.now();
  unit.trouble = undefined;
}

export function noteTrouble(unit: HostUnit, error: Error): void {
  unit.trouble = error.message;
}

function pause(unit: HostUnit, ms: number, signal: AbortSignal): Promise<'over' | 'hurried'> {
  return new Promise((resolve) => {
    const end = (how: 'over' | 'hurried') => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      resolve(how);
    };
    const over = () => end('over');
    const timer = setTimeout(over, ms);
    signal.addEventListener('abort', over, { once: true });
    unit.hurry = () => end('hurried');
  });
}
