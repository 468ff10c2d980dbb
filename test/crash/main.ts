/**
 * `npm run crash`: kills the operator with -9 at every boundary between two of its effects, one after the other, for one
 * rollout of each kind, and tells how often that went well. All of it takes about an hour.
 *
 *     npm run crash -- [KIND …] [--from EFFECT] [--every N] [--of PATTERN] [--stop]
 *
 * `--of`: only effects whose line reads so are counted, e.g. `--of 'the engine'`.
 * `--stop`: it is stopped there, and woken when another operator has taken over and finished.
 */
import { parseArgs } from 'node:util';
import { KINDS } from './kinds.ts';
import type { Owner } from './subjects.ts';
import { type Failure, walk } from './walk.ts';

const { values, positionals } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    every: { type: 'string', default: '1' },
    of: { type: 'string', default: '' },
    stop: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

/** What was started is ended in the reverse order. */
function owner(): Owner & { end(): Promise<void> } {
  const ends: (() => unknown)[] = [];
  return {
    teardown: (end) => void ends.push(end),
    async end() {
      for (const end of ends.reverse()) await end();
    },
  };
}

function tell({ boundary, ended }: Failure): void {
  console.log(`  ** ${boundary.side} ${ended.killedAt ?? `effect ${boundary.effect}, which did not come`}`);
  for (const wrong of ended.wrong) console.log(`     ${wrong}`);
  console.log(ended.told.replace(/^/gm, '     | '));
}

async function walkAll(kind: string): Promise<boolean> {
  const open = KINDS[kind];
  if (open === undefined)
    throw new Error(`${kind} is no kind of rollout here; there are ${Object.keys(KINDS).join(', ')}`);
  const began = Date.now();
  const own = owner();
  try {
    const slice = {
      from: Number(values.from),
      every: Number(values.every),
      stop: values.stop,
      of: new RegExp(values.of),
    };
    const { crashes, effects, failures } = await walk(own, open, {
      ...slice,
      each(boundary, ended) {
        if (ended.wrong.length > 0) tell({ boundary, ended });
        else process.stderr.write(`${kind} ${boundary.side} ${ended.killedAt ?? 'the end'}\n`);
      },
    });
    const minutes = ((Date.now() - began) / 60_000).toFixed(1);
    console.log(`${kind}: ${effects} effects, ${crashes} crashes, ${failures.length} failures, ${minutes} minutes`);
    return failures.length === 0;
  } finally {
    await own.end();
  }
}

for (const kind of positionals.length > 0 ? positionals : Object.keys(KINDS)) {
  if (!(await walkAll(kind))) process.exitCode = 1;
}
