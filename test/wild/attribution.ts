/**
 * Where requests were that have no answer, by what the replicas noted, each in a file of its own, before they went on: the number of
 * a request that arrived, `answered` and its number, `stops` and when it was told to stop, and when it ended (`Date.now()`).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lost } from '../../bench/load.ts';

export interface Kill {
  pid: number;
  /** Of the resource whose replica it was. */
  host: string;
  at: number;
}

/** Of a request that reached nobody it is only known when its connection broke: the router may notice a death so much later. */
const NOTICED_MS = 1000;

interface Notes {
  /** `shop-3.k2f9-4711`: the unit, its attempt, its process. */
  name: string;
  pid: number;
  arrived: Set<number>;
  answered: Set<number>;
  stops: number[];
}

const ON_IT = 'noted by a replica that was killed before it answered';
const ITS_ANSWER = 'answered by a replica that was killed at that moment, and never seen';
const UNREAD =
  'noted by none, and its connection broke when a replica of its host was killed and none was stopped or ended';
export const OF_THE_KILLED: ReadonlySet<string> = new Set([ON_IT, ITS_ANSWER, UNREAD]);

type How = (lost: Lost, by: readonly Notes[], kills: readonly Kill[], stops: readonly number[]) => boolean;

/** The first that holds. A request that another replica had too is none of the killed one's. */
const HOW: [string, How][] = [
  ['noted by replicas of which one was not killed', (_, by, kills) => by.some(({ pid }) => !isKilled(pid, kills))],
  [ON_IT, ({ number }, by) => by.some(({ answered }) => !answered.has(number))],
  [
    ITS_ANSWER,
    (lost, by, kills) =>
      by.some(({ pid }) => kills.some((kill) => kill.pid === pid && kill.at >= lost.began && kill.at <= lost.ended)),
  ],
  ['answered by a replica that was killed at another time', (_, by) => by.length > 0],
  [
    'noted by none, and its connection broke when none was killed',
    (lost, _, kills) => !kills.some(({ at }) => isItsEnd(at, lost)),
  ],
  [
    'noted by none, and its connection broke when one was killed and another was stopped or ended',
    (lost, _by, _, stops) => stops.some((at) => isItsEnd(at, lost)),
  ],
  [UNREAD, () => true],
];

const isKilled = (pid: number, kills: readonly Kill[]): boolean => kills.some((kill) => kill.pid === pid);
const isItsEnd = (at: number, { ended }: Lost): boolean => at >= ended - NOTICED_MS && at <= ended;

/** The lost by how they were lost; request `n` went to host `n` modulo the number of hosts. */
export function attributed(
  lost: readonly Lost[],
  hosts: readonly string[],
  kills: readonly Kill[],
  folder: string,
): Map<string, Lost[]> {
  const found = new Map<string, Lost[]>();
  if (lost.length === 0) return found;
  const numbers = new Set(lost.map(({ number }) => number));
  const notes = readdirSync(folder).map((name) => notesOf(folder, name, numbers));
  for (const one of lost) {
    const by = notes.filter(({ arrived }) => arrived.has(one.number));
    const host = hosts[one.number % hosts.length] ?? '';
    const near = kills.filter((kill) => kill.host === host);
    const ofHost = notes.filter(({ name }) => name.startsWith(`${host.split('.')[0]}-`));
    const stops = ofHost.flatMap(({ stops: at }) => at);
    const how = HOW.find(([, holds]) => holds(one, by, near, stops))?.[0] ?? '';
    found.set(how, [...(found.get(how) ?? []), one]);
  }
  return found;
}

function notesOf(folder: string, name: string, numbers: ReadonlySet<number>): Notes {
  const notes: Notes = {
    name,
    pid: Number(name.split('-').at(-1)),
    arrived: new Set(),
    answered: new Set(),
    stops: [],
  };
  for (const line of readFileSync(join(folder, name), 'latin1').split('\n')) {
    const [word = '', number = word] = line.split(' ');
    if (word === 'stops') notes.stops.push(Number(number));
    else if (line !== '' && numbers.has(Number(number)))
      notes[word === 'answered' ? 'answered' : 'arrived'].add(Number(number));
  }
  return notes;
}
