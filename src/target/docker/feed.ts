/** What the engine tells: that a container has ended, and that the engine itself is there or away. */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { answered } from './engine.ts';
import { asFilter, type Scope, scopeLabels } from './labels.ts';

export interface Feed {
  /** False while the engine does not answer: what runs is not known then. */
  up(): boolean;
  /** How often it has gone away so far. */
  losses(): number;
  /** Calls back once, when the container has ended, or is not there any more. Returns what ends the watch. */
  watch(id: string, ended: (how: string) => void): () => void;
}

interface FeedOptions {
  docker: Docker;
  scope: Scope;
  closing: AbortSignal;
  /** The engine has gone away, or is there again: containers may have other addresses then. */
  turned(up: boolean): void;
}

/** Events are a hint: this often all containers are looked at. */
const LOOK_MS = 5000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;

export function openFeed({ docker, scope, closing, turned }: FeedOptions): Feed {
  const watchers = new Map<string, (how: string) => void>();
  let up = true;
  let losses = 0;

  const tell = (id: string, how: string) => {
    const ended = watchers.get(id);
    watchers.delete(id);
    ended?.(how);
  };

  async function look(): Promise<void> {
    const wanted = [...watchers.keys()];
    const there = await answered(docker.listContainers({ all: true, filters: asFilter(scopeLabels(scope)) }));
    const states = new Map(there.map(({ Id, State }) => [Id, State]));
    for (const id of wanted) {
      const state = states.get(id);
      if (state === undefined) tell(id, 'was removed by somebody else');
      else if (!isAlive(state)) tell(id, await howEnded(docker, id));
    }
  }

  /** Until the engine or this operator ends it. */
  async function listen(): Promise<void> {
    const filters = { type: ['container' as const], event: ['die'], ...asFilter(scopeLabels(scope)) };
    const stream = (await answered(docker.getEvents({ filters }))) as NodeJS.ReadableStream & { destroy(): void };
    const end = () => stream.destroy();
    closing.addEventListener('abort', end, { once: true });
    stream.on('error', () => {});
    const lines = createInterface({ input: stream });
    // It passes on what went wrong with its input, which ends then.
    lines.on('error', () => {});
    const timer = setInterval(() => look().catch(end), LOOK_MS);
    lines.on('line', (line) => {
      const event = parsed(line);
      if (event?.Actor?.ID !== undefined)
        tell(event.Actor.ID, `exited with code ${event.Actor.Attributes?.exitCode ?? 'unknown'}`);
    });
    try {
      // Whatever ended before the stream was open.
      await look();
      turn(true);
      await new Promise<void>((resolve) => {
        for (const event of ['end', 'close', 'error']) stream.once(event, () => resolve());
      });
    } finally {
      clearInterval(timer);
      lines.close();
      end();
      closing.removeEventListener('abort', end);
    }
  }

  function turn(now: boolean): void {
    if (up === now || closing.aborted) return;
    up = now;
    if (!now) losses++;
    turned(now);
  }

  async function keep(): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; !closing.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const since = Date.now();
      await listen().catch(() => {});
      turn(false);
      if (Date.now() - since > LOOK_MS) pause = FIRST_PAUSE_MS;
      await sleep(pause, undefined, { signal: closing }).catch(() => {});
    }
  }

  void keep();
  return {
    up: () => up,
    losses: () => losses,
    watch(id, ended) {
      watchers.set(id, ended);
      return () => {
        if (watchers.get(id) === ended) watchers.delete(id);
      };
    },
  };
}

/** A paused one is alive: somebody may let it go on. */
export const isAlive = (state: string): boolean => ['running', 'paused', 'restarting'].includes(state);

async function howEnded(docker: Docker, id: string): Promise<string> {
  const { State } = await answered(docker.getContainer(id).inspect());
  return `exited with code ${State.ExitCode}`;
}

interface EngineEvent {
  Actor?: { ID?: string; Attributes?: { exitCode?: string } };
}

function parsed(line: string): EngineEvent | undefined {
  try {
    return JSON.parse(line) as EngineEvent;
  } catch {
    return undefined;
  }
}
