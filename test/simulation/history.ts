/** A history: what people, commits, targets and the remote do, one after the other. It is what fast-check makes and shrinks. */
import fc from 'fast-check';
import type { Kind, OperationAction } from '../../src/manifest/resource.ts';
import { CHOICES, type Draft, fieldsOf } from './drafts.ts';
import { scene } from './scenes.ts';

/** Indexes are taken modulo what there is, so that a history from which something was left out still means something. */
export type Happening =
  | { do: 'edit'; resource: number; field: number; value: number; all: boolean }
  | { do: 'set'; resource: number; draft: Draft }
  | { do: 'revert'; back: number }
  | { do: 'break'; resource: number; how: number }
  | { do: 'delete'; resource: number; all: boolean }
  | { do: 'confirm' }
  | { do: 'label'; resource: number; hosts: number }
  | { do: 'operate'; resource: number; action: OperationAction; unit: number; rollout: number }
  | { do: 'rewrite'; back: number }
  | { do: 'remote'; fault: 'refuse' | 'lose' | 'down' | 'slow'; amount: number }
  | { do: 'status'; how: number }
  | { do: 'target'; fault: 'silent' | 'partial' | 'refuse' | 'precheck' | 'check' | 'slow'; amount: number }
  | { do: 'unit'; resource: number; unit: number; how: number }
  | { do: 'crash'; effects: number; before: boolean; disk: boolean; down: number }
  | { do: 'second' }
  /** At once, or in the middle of the n-th act from now. */
  | { do: 'freeze'; acts: number; ms: number }
  | { do: 'pauseSwitch'; on: boolean }
  | { do: 'wait' };

export type Event = Happening & {
  /** Milliseconds that pass before it. */
  after: number;
};

export interface History {
  seed: number;
  kinds: Kind[];
  /** Milliseconds between gathered pushes. */
  pushInterval: number;
  poll: number;
  acceptRewrite: boolean;
  /** Operators look at their lease every few seconds. */
  heartbeat: boolean;
  events: Event[];
}

const KINDS: Kind[] = ['Workload', 'Service', 'Fleet', 'Cluster'];
const index = fc.nat({ max: 5 });
const ACTIONS: OperationAction[] = ['pause', 'continue', 'retry', 'skip', 'cancel', 'rollback'];
const LONG = 1_400_000_000;

/** Most things follow each other while a rollout is under way; now and then a day goes by, or sixteen. */
const pause = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(0, 200, 1000, 2500, 4000) },
  { weight: 10, arbitrary: fc.constantFrom(8000, 20_000, 60_000) },
  { weight: 3, arbitrary: fc.constantFrom(300_000, 1_200_000, 4_000_000) },
);

const MOST_FIELDS = Math.max(...KINDS.map((kind) => fieldsOf(kind).length));
const MOST_CHOICES = Math.max(
  ...KINDS.flatMap((kind) => Object.values(CHOICES[kind]).map((choices) => choices.length)),
);

/** What runs changes as often as all else together. */
const field = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(0, 1) },
  { weight: 1, arbitrary: fc.nat({ max: MOST_FIELDS - 1 }) },
);
const edit = fc.record({
  ...{ do: fc.constant('edit' as const), resource: index, field },
  value: fc.nat({ max: MOST_CHOICES - 1 }),
  all: fc.constantFrom(false, false, true),
});
const operate = fc.record({
  ...{ do: fc.constant('operate' as const), resource: index, action: fc.constantFrom(...ACTIONS) },
  unit: fc.integer({ min: -3, max: 6 }),
  rollout: fc.constantFrom(0, 0, 0, 0, 0, 1, -1),
});

const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 30, arbitrary: edit },
  { weight: 14, arbitrary: operate },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('revert' as const), back: fc.nat({ max: 2 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('break' as const), resource: index, how: fc.nat({ max: 2 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ do: fc.constant('delete' as const), resource: index },
      all: fc.constantFrom(false, false, true),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('confirm' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('label' as const), resource: index, hosts: fc.nat({ max: 31 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rewrite' as const), back: fc.nat({ max: 2 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('remote' as const),
      fault: fc.constantFrom('refuse' as const, 'lose' as const, 'down' as const, 'slow' as const),
      amount: fc.nat({ max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('status' as const), how: fc.nat({ max: 4 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('target' as const),
      fault: fc.constantFrom('silent', 'partial', 'refuse', 'precheck', 'check', 'slow') as fc.Arbitrary<'silent'>,
      amount: fc.nat({ max: 3 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      ...{ do: fc.constant('unit' as const), resource: index, unit: index },
      how: fc.nat({ max: 2 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      ...{ do: fc.constant('crash' as const), effects: fc.nat({ max: 12 }), before: fc.boolean() },
      disk: fc.boolean(),
      down: fc.constantFrom(0, 1000, 30_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('second' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant('freeze' as const), acts: fc.constantFrom(0, 0, 1, 3) },
      ms: fc.constantFrom(100, 5000, 60_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pauseSwitch' as const), on: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
);

const event: fc.Arbitrary<Event> = fc.tuple(happening, pause).map(([what, after]) => ({ ...what, after }));
/** What happens next: one thing, or a scene, which is known only by its number yet. */
type Next = Event | { scene: number; resource: number; number: number };
const next: fc.Arbitrary<Next> = fc.oneof(
  { weight: 14, arbitrary: event },
  { weight: 1, arbitrary: fc.record({ scene: fc.nat({ max: 99 }), resource: index, number: fc.nat({ max: 4 }) }) },
);
const longWait: Event = { do: 'wait', after: LONG };
/** Many short histories spend their time on setting up and on settling. */
const MOST_EVENTS = 90;
/** With a heartbeat every few seconds cost something. */
const hurried = (event: Event): Event => ({ ...event, after: Math.min(event.after, 20_000) });

/** `kinds`: of which its resources are. */
export function histories(kinds: readonly Kind[] = KINDS): fc.Arbitrary<History> {
  const events = fc.array(next, { minLength: 3, maxLength: MOST_EVENTS, size: 'max' });
  return fc
    .record({
      seed: fc.nat({ max: 2 ** 31 }),
      kinds: fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 4 }),
      pushInterval: fc.constantFrom(0, 10_000, 10_000, 10_000),
      poll: fc.constantFrom(60_000, 600_000),
      acceptRewrite: fc.constantFrom(false, false, true),
      heartbeat: fc.nat({ max: 9 }).map((one) => one === 0),
      events,
      long: fc.oneof({ weight: 19, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat({ max: 30 }) }),
    })
    .map(({ long, ...drawn }) => {
      const played = (one: Next) => ('scene' in one ? scene(one.scene, one.resource, one.number, drawn.kinds) : [one]);
      const history: History = { ...drawn, events: drawn.events.flatMap(played) };
      if (history.heartbeat) return { ...history, poll: 60_000, events: history.events.map(hurried) };
      if (long < 0) return history;
      return { ...history, poll: 3_600_000, events: history.events.toSpliced(long, 0, longWait) };
    });
}
