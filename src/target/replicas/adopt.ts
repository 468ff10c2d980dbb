/** What an earlier operator left, whatever runs it. */
import type { Runnable } from '../../manifest/resource.ts';
import { mainPort } from '../local/ports.ts';
import type { FoundUnit, UnitRecord } from '../local/record.ts';
import { type Core, createUnit, type RunningContainer, type Unit } from './unit.ts';

/** Why a unit whose containers all run cannot go on: a hook was under way, and is never run twice. */
export function halfBegun({ record, runnable }: Unit): string | undefined {
  const { containers } = record;
  const half = containers.find((container) => container.postStart === 'begun');
  if (half !== undefined) return `the operator was stopped while postStart of container ${half.name} ran`;
  const hook = runnable.template.spec.containers.find(({ lifecycle }) => lifecycle?.postStart !== undefined);
  const done = containers.find(({ name }) => name === hook?.name)?.postStart === 'done';
  return hook === undefined || done
    ? undefined
    : `the operator was stopped before postStart of container ${hook.name} ran`;
}

/**
 * What was ready stays ready when its sockets are still its own, so that no traffic is lost to a restart of the operator;
 * the probes go on from there.
 */
export async function recheckReady<R extends RunningContainer>(host: Core<R>, unit: Unit<R>): Promise<void> {
  const wasReady = unit.record.ready;
  for (const running of unit.containers) {
    const port = mainPort(running.container, running.record.ports);
    running.listening = port !== undefined && (await host.runtime.holder(unit, running, port)) === 'own';
    running.started ||= wasReady;
    running.passing = wasReady && (running.listening || running.container.ports.length === 0);
  }
  host.note(unit);
}

/** Nothing is known of it but whose it is and where its record lies. */
export function damagedUnit<R extends RunningContainer>(found: FoundUnit, folder: string, boot: string): Unit<R> {
  const { resource, unit } = found;
  const record: UnitRecord = {
    ...{ resource, unit, attempt: '', revision: '', version: '', restarts: 0, boot },
    ...{ phase: 'starting', containers: [], ready: false, startedAt: Date.now() },
  };
  const template = {
    metadata: { labels: {} },
    spec: { containers: [], volumes: [], terminationGracePeriodSeconds: 0 },
  };
  const runnable: Runnable = { resource, revision: '', template, configMaps: {}, images: {} };
  return createUnit<R>(record, runnable, folder);
}
