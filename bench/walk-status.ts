/** What a fleet's walk writes to the status branch: the engine on simulated time, the documents and the publisher that an operator has. */
import { setImmediate } from 'node:timers/promises';
import { deflateSync } from 'node:zlib';
import type { Clock } from '../src/clock.ts';
import { createPublisher } from '../src/operator/publisher.ts';
import type { LiveInstance } from '../src/plan/live.ts';
import { toDocument } from '../src/status/document.ts';
import { StatusStore } from '../src/status/store.ts';
import { fleet } from '../test/support/fleet-world.ts';
import { act, machinesOf, step, type Walked } from './walk.ts';

const INTERVAL_MS = 10_000;
const SCRIPT_MS = 30_000;
const HEAD = { commit: 'c2', at: 0 };

export interface Written {
  commits: number;
  /** Of the files, as Git compresses them. */
  bytes: number;
  minutes: number;
  /** Pushes that something waited for before it acted. */
  first: number;
}

/** Every script takes half a minute; a batch's instances are updated at once. */
export async function written(count: number): Promise<Written> {
  const { clock, advance } = simulatedClock();
  const { store } = await StatusStore.open({} as never, undefined);
  const seen: Written = { commits: 0, bytes: 0, minutes: 0, first: 0 };
  const publisher = createPublisher({
    clock,
    head: () => HEAD,
    prepare: (changes) =>
      store.prepare(
        changes.map(({ id, document }) => ({ id, document: document() })),
        HEAD,
      ),
    async push(write) {
      if (write === undefined) return false;
      for (const content of write.files.values()) seen.bytes += content === null ? 0 : deflateSync(content).length;
      seen.commits++;
      write.committed();
      return true;
    },
    failed(error) {
      throw error;
    },
    intervalMs: INTERVAL_MS,
  });
  const machines = machinesOf(count);
  const running = new Map<string, { due: number; updated: LiveInstance }>();
  const walked: Walked = { state: undefined };
  for (; walked.state?.rollout?.phase !== 'Succeeded'; await advance(1000)) {
    const now = clock.now();
    for (const [id, { due, updated }] of running) {
      if (due > now) continue;
      running.delete(id);
      machines.set(id, updated);
    }
    const { decision, live } = step(walked, machines, now);
    const { next, pushFirst } = decision;
    const { id } = fleet('r2');
    const document = () => toDocument({ id, state: next, live, health: 'Progressing', message: decision.why });
    const publication = { id, document, refs: [] };
    if (pushFirst) {
      seen.first++;
      await publisher.first(publication);
    } else publisher.gather(publication);
    for (const action of decision.actions) {
      const before = 'unit' in action ? machines.get(action.unit) : undefined;
      act(machines, action);
      if (action.kind !== 'update' || before === undefined) continue;
      running.set(action.unit, { due: now + SCRIPT_MS, updated: machines.get(action.unit) ?? before });
      machines.set(action.unit, { ...before, attempt: { id: action.attempt, state: 'running', message: '' } });
    }
  }
  await publisher.flush();
  publisher.close();
  return { ...seen, minutes: clock.now() / 60_000 };
}

function simulatedClock(): { clock: Clock; advance(ms: number): Promise<void> } {
  let now = 0;
  const waiting = new Set<{ due: number; call: () => void }>();
  return {
    clock: {
      now: () => now,
      after(ms, call) {
        const timer = { due: now + ms, call };
        waiting.add(timer);
        return () => waiting.delete(timer);
      },
      soon: (call) => void setImmediate().then(call),
      random: () => 0.5,
    },
    async advance(ms) {
      now += ms;
      for (const timer of [...waiting].filter(({ due }) => due <= now)) {
        waiting.delete(timer);
        timer.call();
      }
      await setImmediate();
    },
  };
}
