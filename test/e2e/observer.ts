/** Watches one resource from outside, all the time: `/proc` says what runs, the router's own file says what gets traffic. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Place, processes } from './support.ts';

export interface Bounds {
  /** replicas + surge, over all versions. */
  total: number;
  /** replicas − unavailable. */
  available: number;
}

export interface Observer {
  /** Every attempt that ever had a process. */
  attempts: Set<string>;
  /** What broke a bound since it was last asked for. */
  broken(): string[];
  /** Ends watching; tells what broke a bound, and how often it looked. */
  stop(): Promise<{ broken: string[]; looks: number }>;
}

/** From when the resource is fully there. */
export function observe(at: Place, resource: string, bounds: Bounds): Observer {
  const pids = new Map<string, Set<number>>();
  const attempts = new Set<string>();
  const broken = new Set<string>();
  let looks = 0;
  let going = true;
  const loop = async () => {
    for (; going; looks++) {
      const began = performance.now();
      look(at, resource, bounds, pids, broken);
      for (const attempt of pids.keys()) attempts.add(attempt);
      await sleep(Math.max(20, 2 * (performance.now() - began)));
    }
  };
  const watching = loop();
  return {
    attempts,
    broken() {
      const since = [...broken];
      broken.clear();
      return since;
    },
    async stop() {
      going = false;
      await watching;
      return { broken: [...broken], looks };
    },
  };
}

function look(at: Place, resource: string, bounds: Bounds, pids: Map<string, Set<number>>, broken: Set<string>): void {
  const seen = processes(at, resource);
  for (const { attempt, pid } of seen) {
    const known = pids.get(attempt) ?? new Set();
    pids.set(attempt, known.add(pid));
    if (known.size > 1) broken.add(`${attempt} was started twice: ${[...known].join(', ')}`);
  }
  // What is there still was there all at once, whenever in the look each was seen.
  const still = new Set(processes(at, resource).map(({ pid }) => pid));
  const together = seen.filter(({ pid }) => still.has(pid));
  if (together.length > bounds.total) broken.add(`${together.map(({ attempt }) => attempt).join(', ')} ran together`);
  const units = together.map(({ attempt }) => attempt.slice(0, attempt.lastIndexOf('.')));
  if (new Set(units).size < units.length) broken.add(`two attempts of a unit ran together: ${units.join(', ')}`);
  const served = backends(at, resource);
  if (served.length < bounds.available) broken.add(`only ${served.length} got traffic`);
}

/** The units that the router sends requests to, by their ports. */
export function backends(at: Place, resource: string): { unit: string; port: number }[] {
  const routers = namesIn(at.data).flatMap((key) => {
    const targets = join(at.data, key, 'targets');
    return [join(at.data, key), ...namesIn(targets).map((name) => join(targets, name))];
  });
  return routers.flatMap((folder) => {
    const text = readText(join(folder, 'router', 'config.json'));
    const versions = text === undefined ? {} : (JSON.parse(text).routes[resource]?.versions ?? {});
    return (Object.values(versions) as { unit: string; port: number }[][]).flat();
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
