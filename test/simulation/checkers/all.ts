import { leastAvailable, mostUnits } from './bounds.ts';
import type { Checker } from './checker.ts';
import { claimsSeen } from './claims.ts';
import { durableFirst, scriptsOnce } from './durable.ts';
import { settles } from './liveness.ts';
import { oneOperator, oneRollout } from './one.ts';
import { putBack } from './putback.ts';
import { trafficFirst, trafficToReady } from './traffic.ts';
import { neverByMistake, prechecksFirst, rollbackTouches } from './untouched.ts';

/** Of what must always hold, each by a checker of its own. */
export const CHECKERS = {
  oneRollout,
  oneOperator,
  mostUnits,
  leastAvailable,
  trafficToReady,
  trafficFirst,
  durableFirst,
  scriptsOnce,
  putBack,
  rollbackTouches,
  prechecksFirst,
  neverByMistake,
  claimsSeen,
  settles,
} satisfies Record<string, Checker>;

export type Invariant = keyof typeof CHECKERS;
