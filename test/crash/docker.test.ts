/** A few of the boundaries of a fleet and of a cluster on Docker, at what the engine is told. */
import t from 'tap';
import { killed, seed, stopped } from './daily.ts';
import { dockerCluster, dockerFleet, noDocker } from './docker.ts';

/** Of some 80, two. */
const EVERY = 41;
const [kind, open] = seed % 2 === 0 ? (['fleet', dockerFleet] as const) : (['cluster', dockerCluster] as const);

t.setTimeout(900_000);
if (noDocker !== false) throw new Error(noDocker);

t.test(`${kind} on Docker: killed with -9 on the way, it goes on`, (t) =>
  killed(t, open, { every: EVERY, of: /the engine|send a script/ }, 1),
);

/** What would leave something beside what the operator that had taken over has made. */
const STOPS = [/volumes\/create\? \S+\.record\./, /containers\/create/];

t.test('fleet on Docker: stopped on the way and woken when another has finished, it changes nothing', (t) =>
  stopped(t, dockerFleet, STOPS),
);
