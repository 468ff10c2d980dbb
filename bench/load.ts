/** Requests at a constant rate, over kept connections, from a process of its own; half of them carry a body and may not be sent twice. */
import { fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { goFirst } from '../src/target/local/priority.ts';

const TICK_MS = 5;
const CONNECTIONS = 32;
const TIMEOUT_MS = 10_000;
const BODY = 'x'.repeat(2000);
/** More than so many under way at a time: the machine does not keep up, and what is due is left out, not queued. */
const MOST = 2000;
const TOLD_MS = 500;

export interface LoadOptions {
  port: number;
  hosts: string[];
  /** Requests a second, over all hosts. */
  rate: number;
}

/** What is quiet is measured on both sides of what is busy: the machine may have something else to do on one of them. */
type Phase = 'before' | 'busy' | 'after';
/** A request without the answer that it should have had, and from when to when it was under way (`Date.now()`). */
export interface Lost {
  number: number;
  began: number;
  ended: number;
  what: string;
}
export interface Tally {
  sent: number;
  times: number[];
  lost: Lost[];
}
export type Tallies = Record<Phase, Tally>;

/**
 * The child: sends at the rate, whatever the answers take, until it is told to report; tells how many it has sent. Clients are elsewhere,
 * so it does not wait for the processor behind what they ask.
 */
async function load({ port, hosts, rate }: LoadOptions): Promise<void> {
  goFirst();
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS, headersTimeout: TIMEOUT_MS });
  const none = (): Tally => ({ sent: 0, times: [], lost: [] });
  const tallies: Tallies = { before: none(), busy: none(), after: none() };
  let phase: Phase = 'before';
  let going = true;
  process.on('message', (message) => {
    if (message === 'report') going = false;
    else phase = message as Phase;
  });
  process.once('disconnect', () => process.exit());
  const underWay = new Set<Promise<void>>();
  const began = performance.now();
  let sent = 0;
  const telling = setInterval(() => process.send?.(sent, () => {}), TOLD_MS);
  for (let left = 0; going; await sleep(TICK_MS)) {
    const due = Math.floor(((performance.now() - began) * rate) / 1000);
    for (; sent + left < due && underWay.size < MOST; sent++) {
      const request = ask(pool, hosts, sent, tallies[phase]).finally(() => underWay.delete(request));
      underWay.add(request);
    }
    left = due - sent;
  }
  clearInterval(telling);
  await Promise.all(underWay);
  await pool.destroy();
  process.send?.(tallies, () => process.exit());
}

/** Then it may not be sent twice. */
export const hasBody = (number: number): boolean => number % 4 >= 2;

async function ask(pool: Pool, hosts: string[], number: number, tally: Tally): Promise<void> {
  const host = hosts[number % hosts.length] ?? '';
  const withBody = hasBody(number);
  const before = performance.now();
  const began = Date.now();
  const lose = (what: string) => void tally.lost.push({ number, began, ended: Date.now(), what });
  tally.sent++;
  try {
    const answer = await pool.request({
      path: `/${number}`,
      method: withBody ? 'POST' : 'GET',
      headers: { host },
      ...(withBody && { body: BODY }),
      bodyTimeout: TIMEOUT_MS,
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200 || !/^[78]$/.test(text)) lose(`${answer.statusCode} ${text.slice(0, 100)}`);
  } catch (error) {
    lose((error as Error).message);
  }
  tally.times.push(performance.now() - before);
}

export interface Load {
  say(phase: Phase): void;
  /** So many, as it was told last. */
  sent(): number;
  report(): Promise<Tallies>;
  end(): void;
}

export function startLoad(options: LoadOptions): Load {
  const child = fork(fileURLToPath(import.meta.url), ['load', JSON.stringify(options)], {
    execArgv: [],
    // A session of its own, as a client has it that is elsewhere.
    detached: true,
    // A million times are not made a text of.
    serialization: 'advanced',
  });
  let sent = 0;
  const reported = new Promise<Tallies>((resolve, reject) => {
    child.on('message', (message) => {
      if (typeof message === 'number') sent = message;
      else resolve(message as Tallies);
    });
    child.once('exit', (code, signal) => reject(new Error(`the load ended with ${code ?? signal}`)));
  });
  reported.catch(() => {});
  return {
    say: (phase) => void child.send(phase),
    sent: () => sent,
    report() {
      child.send('report');
      return reported;
    },
    end: () => void child.kill('SIGKILL'),
  };
}

if (process.argv[2] === 'load') await load(JSON.parse(process.argv[3] ?? '') as LoadOptions);
