/**
 * One rollout after another in one place, each begun by an operator that is killed with -9 at one of its effects and
 * carried on by the next. What must hold is looked at from outside, all the time and at the end.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { observe } from '../e2e/observer.ts';
import { clean, cli, commit, get, git, type Place, place, processes, type Running } from '../e2e/support.ts';
import { until } from '../support/until.ts';
import { wrongAtEnd } from './checks.ts';
import type { Owner, Subject } from './subjects.ts';

const EFFECTS = fileURLToPath(new URL('./effects.js', import.meta.url));
/** Far beyond what any of it takes. */
const END_MS = 300_000;

export interface Boundary {
  side: 'before' | 'after';
  /** Of the effects of the operator that begins the rollout, from 1; or the first whose line reads so. */
  effect: number | RegExp;
  /** Only effects whose line reads so are counted. */
  of?: RegExp;
}

export interface Ended {
  /** What the operator was killed at; undefined: it came to its end before. */
  killedAt: string | undefined;
  /** Its effects, up to there. */
  effects: string[];
  /** What did not hold; empty is good. */
  wrong: string[];
  /** What the operators told, to be read where something is wrong. */
  told: string;
}

export interface World {
  /** The operator is killed, and the next one goes on. */
  round(boundary: Boundary | undefined): Promise<Ended>;
  /**
   * It is stopped, another takes over and finishes, and then it is woken: it must do nothing any more. `killedAt` is
   * undefined also where it had not taken the lease yet, and so may go on.
   */
  freeze(boundary: Boundary): Promise<Ended>;
  close(): Promise<void>;
}

/** A place where the first rollout has succeeded, under requests and looks that last until it is closed. */
export async function openWorld(owner: Owner, subject: Subject): Promise<World> {
  const { marked } = subject;
  const at = { ...(await place({ 'README.md': 'upgraded under crashes\n' })), ...(marked !== undefined && { marked }) };
  owner.teardown(() => clean(at));
  let round = 1;
  const asked = commit(at, await subject.files(at, round), `round ${round}`);
  const first = await operate(at, undefined);
  const wrong = await wrongAtEnd(at, subject, round, asked, first.ended);
  if (wrong.length > 0) throw new Error(`the first rollout: ${wrong.join('; ')}\n${first.told}`);
  const clients = subject.clients && askAll({ ...at, ...subject.clients }, subject.clients.host);
  const watching = observe(at, subject.resource, subject.bounds);

  return {
    async round(boundary) {
      round++;
      const asked = commit(at, await subject.files(at, round), `round ${round}`);
      let operated = await operate(at, boundary);
      const { killed, effects } = operated;
      let { told } = operated;
      if (killed) {
        operated = await operate(at, undefined);
        told += `--- and the next\n${operated.told}`;
      }
      const wrong = await wrongAtEnd(at, subject, round, asked, operated.ended);
      wrong.push(...(clients?.lost.splice(0) ?? []), ...watching.broken());
      return { killedAt: killed ? effects.at(-1) : undefined, effects, wrong, told };
    },
    async freeze(boundary) {
      round++;
      const asked = commit(at, await subject.files(at, round), `round ${round}`);
      const frozen = start(at, boundary, 'SIGSTOP');
      owner.teardown(() => frozen.running.process.kill('SIGKILL'));
      const { pid = 0 } = frozen.running.process;
      await until('it is stopped or ends', () => frozen.running.process.exitCode !== null || isStopped(pid), 300);
      const acts = frozen.running.process.exitCode === null && (await holdsLease(at, pid));
      const wrong: string[] = [];
      let told = '';
      if (acts) {
        const second = { ...at, state: join(at.root, 'second') };
        const finished = await operate(second, undefined);
        told = finished.told;
        wrong.push(...(await wrongAtEnd(at, subject, round, asked, finished.ended)));
        const before = await surroundings(at, subject);
        frozen.running.process.kill('SIGCONT');
        const ended = await withinReason(frozen.running);
        told += `--- woken\n${frozen.running.output()}`;
        if (ended !== 0 && !/taken over/.test(frozen.running.output())) wrong.push(`woken, it ended with ${ended}`);
        wrong.push(...changes(before, await surroundings(at, subject), 'woken, it changed'));
        const third = await operate(second, undefined);
        told += `--- the third\n${third.told}`;
        wrong.push(...(await wrongAtEnd(at, subject, round, asked, third.ended)));
        wrong.push(...changes(lasting(before), lasting(await surroundings(at, subject)), 'a third changed'));
      } else {
        frozen.running.process.kill('SIGCONT');
        const ended = await withinReason(frozen.running);
        told = frozen.running.output();
        wrong.push(...(await wrongAtEnd(at, subject, round, asked, ended)));
      }
      wrong.push(...(clients?.lost.splice(0) ?? []), ...watching.broken());
      const effects = frozen.effects();
      return { killedAt: acts ? effectAt(effects, boundary) : undefined, effects, wrong, told };
    },
    async close() {
      await clients?.stop();
      await watching.stop();
      await clean(at);
    },
  };
}

const effectAt = (effects: string[], { effect }: Boundary): string | undefined =>
  typeof effect === 'number' ? effects[effect - 1] : effects.find((line) => effect.test(line));

const isStopped = (pid: number): boolean => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/, ''));

/** What it had begun to push may still arrive: git goes on by itself. */
async function holdsLease(at: Place, pid: number): Promise<boolean> {
  await sleep(1000);
  const lease = git(at.repo, 'log', '-1', '--format=%b', 'refs/sluice/lease');
  return lease.includes(` ${pid}"`);
}

/** Every ref, every process of the resource, and every file beside the units. */
async function surroundings(at: Place, { resource, seen }: Subject): Promise<string[]> {
  const refs = git(at.repo, 'for-each-ref', '--format=%(refname) %(objectname)').split('\n');
  const status = git(at.repo, 'rev-parse', 'refs/heads/sluice/status^{tree}');
  return [
    ...refs,
    `status ${status}`,
    ...processes(at, resource).map(({ pid, attempt }) => `${attempt} as ${pid}`),
    ...files(at.data),
    ...((await seen?.()) ?? []),
  ].sort();
}

/** What every new operator changes: it takes the lease and the targets over, and says so on the status branch. */
const TAKING_OVER = /^(refs\/(sluice\/lease|heads\/sluice\/status) |\S*\/epochs?\b|volume \S+\.epoch\.)/;
const lasting = (lines: string[]) => lines.filter((line) => !TAKING_OVER.test(line));

/** By path and content, but what is printed and logged. */
export function files(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  return names.flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    if (/\/(logs|images|router)\//.test(path) || entry.isFIFO() || entry.isSocket()) return [];
    if (entry.isSymbolicLink()) return [`${path} to ${readlinkSync(path)}`];
    return [entry.isFile() ? `${path} ${createHash('sha256').update(readFileSync(path)).digest('hex')}` : path];
  });
}

function changes(before: string[], after: string[], what: string): string[] {
  const added = after.filter((line) => !before.includes(line));
  const gone = before.filter((line) => !after.includes(line));
  return added.length + gone.length === 0
    ? []
    : [`${what}: ${[...added.map((line) => `+${line}`), ...gone.map((line) => `-${line}`)]}`];
}

interface Operated {
  killed: boolean;
  ended: number | null;
  effects: string[];
  told: string;
}

interface Operator {
  running: Running;
  /** The effects that it has had by now. */
  effects(): string[];
}

/** Settles what is declared and ends, unless something befalls it on the way. */
function start(at: Place, boundary: Boundary | undefined, by: 'SIGKILL' | 'SIGSTOP' = 'SIGKILL'): Operator {
  const log = join(at.root, `effects-${Date.now()}`);
  const { side, effect, of } = boundary ?? {};
  const crash = boundary === undefined ? {} : { CRASH_AT: `${side}:${effect}`, CRASH_BY: by, CRASH_OF: `${of ?? ''}` };
  const folders = ['--state-dir', at.state, '--data-dir', at.data, '--router', `127.0.0.1:${at.port}`];
  const env = { NODE_OPTIONS: `--import=${EFFECTS}`, CRASH_LOG: log, ...crash };
  const running = cli(['run', '--repo', at.repo, ...folders, '--interval', '1s', '--once'], at.root, env);
  return { running, effects: () => readFileSync(log, 'utf8').split('\n').slice(0, -1) };
}

async function operate(at: Place, boundary: Boundary | undefined): Promise<Operated> {
  const { running, effects } = start(at, boundary);
  const ended = await withinReason(running);
  const killed = running.process.signalCode === 'SIGKILL';
  return { killed, ended, effects: effects(), told: running.output() };
}

async function withinReason(running: Running): Promise<number | null> {
  const late = setTimeout(() => running.process.kill('SIGTERM'), END_MS);
  const ended = await running.exit;
  clearTimeout(late);
  return ended;
}

/** Two clients, each with one request after another. */
function askAll(at: Place, host: string) {
  const lost: string[] = [];
  let going = true;
  const client = async () => {
    while (going && !at.over.signal.aborted) {
      const answer = await get(at, host).catch((error: Error) => ({ status: 0, body: error.message }));
      if (answer.status !== 200) lost.push(`a request was lost: ${answer.status} ${answer.body}`);
      await sleep(10);
    }
  };
  const clients = [client(), client()];
  return {
    lost,
    async stop() {
      going = false;
      await Promise.all(clients);
    },
  };
}
