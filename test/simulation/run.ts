/** One history through one world, looked at by all checkers. */
import { CHECKERS, type Invariant } from './checkers/all.ts';
import { type Coverage, createCoverage } from './coverage.ts';
import type { History } from './history.ts';
import { type Audience, createWorld, live, rest, type World } from './world.ts';

export interface Violation {
  invariant: Invariant | 'liveness' | 'engine';
  message: string;
  /** When, in simulated time. */
  at: string;
}

export interface Outcome {
  violations: Violation[];
  rollouts: number;
  coverage: Coverage;
  /** Things that happened one after the other in the simulated world. */
  steps: number;
}

/** Thrown to end a history at its first violation. */
class Enough extends Error {}

export interface RunOptions {
  /** Others who look on, or meddle. */
  audience?: Audience[];
  /** A bug to plant. */
  spoil?: (world: World) => void;
  /** Ends only when this one is found broken, whatever else is. */
  until?: Invariant;
}

export async function runHistory(history: History, options: RunOptions = {}): Promise<Outcome> {
  const violations: Violation[] = [];
  let world: World | undefined;
  const now = () => new Date(world?.timeline.now() ?? 0).toISOString();
  const note = (invariant: Violation['invariant']) => (message: string) => {
    violations.push({ invariant, message, at: now() });
  };
  const checkers = Object.entries(CHECKERS).map(([name, checker]) => checker(note(name as Invariant)));
  const coverage = createCoverage();
  const thrown = (error: unknown) => note('engine')(String(error instanceof Error ? error.stack : error));
  process.on('unhandledRejection', thrown);
  try {
    world = createWorld(history, [coverage.audience, ...checkers, ...(options.audience ?? [])]);
    options.spoil?.(world);
    const failed = () => {
      const enough = options.until === undefined || violations.some(({ invariant }) => invariant === options.until);
      if (violations.length > 0 && enough) throw new Enough();
    };
    await live(world, failed);
    const settled = await rest(world, () => moving(world as World).length === 0, failed);
    if (!settled) note('liveness')(`does not come to rest: ${moving(world).join('; ')}`);
    else for (const checker of checkers) checker.atRest?.(world);
  } catch (error) {
    if (!(error instanceof Enough)) thrown(error);
  } finally {
    process.off('unhandledRejection', thrown);
  }
  for (const operator of world?.operators.alive() ?? []) operator.killAt(0, true);
  return {
    violations,
    rollouts: coverage.rollouts(),
    coverage: coverage.result(),
    steps: world?.timeline.steps() ?? 0,
  };
}

const MOVING = ['Pending', 'Checking', 'Progressing', 'RollingBack'];

/** It has not begun, and waits for a person. */
const isHeld = (message: string): boolean => /paused by (spec\.paused|an operation)/.test(message);

/** What is still to change by itself, in words. */
function moving({ config, published }: World): string[] {
  return config.resources.flatMap(({ id }) => {
    const told = published.get(id);
    if (told === undefined) return config.drafts().has(id) ? [`${id} is not told of`] : [];
    const { rollout, health, message, deletion } = told;
    if (deletion?.confirmed === false) return [];
    const held = rollout?.phase === 'Pending' && isHeld(rollout.message);
    const moves = MOVING.includes(rollout?.phase ?? '') || health === 'Progressing' || deletion?.confirmed === true;
    if (health === 'Invalid' && message.startsWith('nothing is done to it')) return [];
    const waits = rollout?.reason === 'Window';
    return (moves && !held) || waits ? [`${id}: ${health}, rollout ${rollout?.id} ${rollout?.phase}: ${message}`] : [];
  });
}
