/** What seldom comes about by chance: a few things that happen to one resource in close order. */
import type { Kind } from '../../src/manifest/resource.ts';
import type { Draft } from './drafts.ts';
import type { Event } from './history.ts';

interface Scene {
  /** To which kinds it can happen. */
  kinds: readonly Kind[];
  /** `number`: a release that may be another one than what runs. */
  events(resource: number, number: number): Event[];
}

const set = (resource: number, draft: Draft, after: number): Event => ({ do: 'set', resource, draft, after });
const operate = (
  resource: number,
  action: Extract<Event, { do: 'operate' }>['action'],
  after: number,
  { unit = -1, rollout = 0 } = {},
): Event => ({ do: 'operate', resource, action, unit, rollout, after });
const slow = (amount: number, after: number): Event => ({ do: 'target', fault: 'slow', amount, after });

const ALL: readonly Kind[] = ['Workload', 'Service', 'Fleet', 'Cluster'];
const REPLICAS: readonly Kind[] = ['Workload', 'Service'];
/** Of drafts: never ready; the deadline of a minute; a script that fails, and one that leaves no outcome. */
const NEVER = 4;
const MINUTE = 1;
const FAILS = 4;
const LOST = 5;
const IN_BATCHES: Draft = { members: 0, batches: 1, pause: 2, script: 0, maxFailures: 0, onFailure: 0 };
const AT_ONCE: Draft = { ...IN_BATCHES, batches: 0, pause: 0 };
/** A batch has been walked, or its scripts have failed. */
const BATCH_MS = 8000;
/** While prechecks are asked of a target that answers slowly. */
const CHECKING_MS = [100, 300, 700];
/** Just after the deadline, while what was begun is being stopped. */
const TURNED_MS = 61_000;

const failing = (resource: number, script: number, number: number): Event =>
  set(resource, { ...AT_ONCE, script, number }, 1000);
const turning = (resource: number, number: number): Event =>
  set(resource, { onFailure: 1, deadline: MINUTE, release: NEVER, number }, 8000);

const SCENES: readonly Scene[] = [
  {
    // Stopped in the middle of an act, taken over from, and woken.
    kinds: ALL,
    events: (resource, number) => [
      { do: 'freeze', acts: 1, ms: 30_000, after: 8000 },
      set(resource, { number, paused: 0, windows: 0 }, 100),
      { do: 'second', after: 2000 },
      { do: 'wait', after: 30_000 },
    ],
  },
  {
    kinds: ALL,
    events: (resource, number) => [
      slow(3, 8000),
      ...CHECKING_MS.flatMap((after, index): Event[] => [
        set(resource, { number: number + index }, 200),
        { do: 'pauseSwitch', on: true, after },
        { do: 'pauseSwitch', on: false, after: 4000 },
      ]),
      slow(0, 0),
    ],
  },
  {
    kinds: ALL,
    events: (resource, number) => [
      slow(3, 8000),
      ...CHECKING_MS.flatMap((after, index) => [
        set(resource, { number: number + index }, 4000),
        operate(resource, 'cancel', after, { rollout: 1 }),
      ]),
      slow(0, 4000),
    ],
  },
  ...[FAILS, LOST].map(
    (script): Scene => ({
      kinds: ['Fleet'],
      events: (resource, number) => [
        { do: 'label', resource, hosts: 1, after: 1000 },
        failing(resource, script, number),
        { do: 'unit', resource, unit: 0, how: 0, after: BATCH_MS },
        ...[operate(resource, 'pause', 1000), operate(resource, 'skip', 200, { unit: 6 })],
        { do: 'unit', resource, unit: 0, how: 1, after: 1000 },
        operate(resource, 'continue', 5000),
      ],
    }),
  ),
  {
    kinds: REPLICAS,
    events: (resource, number) => [turning(resource, number), set(resource, { release: 0 }, TURNED_MS)],
  },
  {
    kinds: REPLICAS,
    events: (resource, number) => [
      turning(resource, number),
      { do: 'delete', resource, all: false, after: TURNED_MS },
      { do: 'confirm', after: 200 },
    ],
  },
  {
    // Back to what ran, with other numbers, while it goes back by itself.
    kinds: REPLICAS,
    events: (resource, number) => [
      turning(resource, 0),
      set(resource, { release: 0, replicas: number }, TURNED_MS),
      { do: 'wait', after: 60_000 },
    ],
  },
  {
    // Most things are deleted at once, and some are back before it is known for all.
    kinds: ALL,
    events: (resource, number) => [
      { do: 'delete', resource, all: true, after: 20_000 },
      { do: 'crash', effects: number + 1, before: false, disk: true, down: 1000, after: 0 },
      set(resource, { number }, 200),
      { do: 'wait', after: 60_000 },
    ],
  },
  {
    kinds: ['Fleet'],
    events: (resource, number) => [
      set(resource, { ...IN_BATCHES, number }, 1000),
      operate(resource, 'continue', BATCH_MS),
      operate(resource, 'rollback', BATCH_MS),
      operate(resource, 'continue', BATCH_MS),
    ],
  },
  {
    kinds: ['Fleet'],
    events: (resource, number) => [
      set(resource, { ...IN_BATCHES, number }, 1000),
      operate(resource, 'skip', BATCH_MS, { unit: 4 }),
      operate(resource, 'continue', 200),
    ],
  },
  {
    kinds: ['Fleet'],
    events: (resource, number) => [
      failing(resource, FAILS, number),
      ...[operate(resource, 'skip', BATCH_MS, { unit: 1 }), operate(resource, 'cancel', 200, { unit: 1 })],
      operate(resource, 'rollback', 2500),
    ],
  },
  ...[FAILS, LOST].map(
    (script): Scene => ({
      kinds: ['Fleet'],
      events: (resource, number) => [
        failing(resource, script, number),
        { do: 'unit', resource, unit: 0, how: 0, after: BATCH_MS },
        ...[operate(resource, 'cancel', 1000, { unit: 6 }), operate(resource, 'cancel', 1000)],
        { do: 'unit', resource, unit: 0, how: 1, after: 1000 },
      ],
    }),
  ),
  {
    kinds: ['Fleet'],
    events: (resource, number) => [
      { do: 'label', resource, hosts: 3, after: 1000 },
      set(resource, { ...AT_ONCE, maxFailures: 2, script: FAILS, number }, 1000),
      operate(resource, 'pause', 4700),
      { do: 'label', resource, hosts: 31, after: 1000 },
    ],
  },
];

/** Played by the first resource, from `resource` on, to whose kind the scene can happen; none: nothing happens. */
export function scene(which: number, resource: number, number: number, kinds: readonly Kind[]): Event[] {
  const { kinds: fitting, events } = SCENES[which % SCENES.length] as Scene;
  const order = kinds.map((_, index) => (resource + index) % kinds.length);
  const actor = order.find((index) => fitting.includes(kinds[index] as Kind));
  return actor === undefined ? [] : events(actor, number);
}
