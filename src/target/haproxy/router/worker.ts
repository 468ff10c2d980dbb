/** What a worker of HAProxy runs with, and how that is changed while it serves. */
import { readTable } from '../runtime.ts';
import { FILES, mapText, ONWARD, routeText, slotName } from './config.ts';
import type { Picture, Server } from './picture.ts';
import { askWorker, type Master, runs, workersOf } from './process.ts';

export interface Counts {
  requests: number;
  errors: number;
}

export interface Drawn {
  /** By `v3/name`. */
  servers: Map<string, Server>;
  /** What the map of hosts says. */
  hosts: Map<string, string>;
  /** The map of rules. */
  rules: string;
}

export interface Worker extends Drawn {
  master: Master;
  pid: number;
  /** Of each version. */
  slots: Map<string, number>;
  free: number[];
  /** Taken out; removed when they are at rest. */
  leaving: Map<string, Server>;
  /** What a slot had counted when its version got it. */
  before: Map<number, Counts>;
}

/** True of nothing. A HAProxy whose expressions cannot look ahead refuses its configuration because of it, and none later. */
const LOOKS = ['(?!)', slotName(0)] as const;

/** The picture with the slots that versions have. */
export function draw(picture: Picture, slots: Map<string, number>): Drawn {
  const slotOf = (version: string) => slotName(slots.get(version) as number);
  const servers = [...picture.versions].flatMap(([version, those]) =>
    [...those].map(([name, server]) => [`${slotOf(version)}/${name}`, server] as const),
  );
  return {
    servers: new Map(servers),
    hosts: new Map([...picture.hosts].map(([host, destination]) => [host, routeText(destination, slotOf)])),
    rules: mapText([LOOKS, ...picture.rules.map(({ expression, version }) => [expression, slotOf(version)] as const)]),
  };
}

/**
 * There is a free slot for every new version. In this order nothing is sent to a version that has no servers yet, and nothing is
 * taken from one that is still asked.
 */
export async function carryOut(worker: Worker, picture: Picture): Promise<void> {
  for (const version of picture.versions.keys()) await takeSlot(worker, version);
  const { servers, hosts, rules } = draw(picture, worker.slots);
  for (const [name, server] of servers) await putIn(worker, name, server);
  if (rules !== worker.rules) await replaceMap(worker.master, worker.pid, FILES.rules, rules);
  worker.rules = rules;
  await changeHosts(worker, hosts);
  for (const name of [...worker.servers.keys()]) if (!servers.has(name)) await takeOut(worker, name);
  freeSlots(worker, picture);
}

async function takeSlot({ master, pid, slots, free, before }: Worker, version: string): Promise<void> {
  if (slots.has(version)) return;
  const slot = free.shift() as number;
  slots.set(version, slot);
  const table = readTable(await askWorker(master, pid, `show stat ${slotName(slot)} 2 -1`));
  before.set(slot, countsIn(table, slot));
}

async function putIn(worker: Worker, name: string, server: Server): Promise<void> {
  const { servers, leaving } = worker;
  const known = servers.get(name);
  const { address, weight } = server;
  if (known?.weight === weight) return;
  if (known === undefined && !leaving.has(name))
    await tell(worker, `add server ${name} ${address} weight ${weight}`, /New server/);
  else await tell(worker, `set server ${name} weight ${weight}`);
  if (known === undefined) await tell(worker, `set server ${name} state ready`);
  leaving.delete(name);
  servers.set(name, server);
}

/** What it has under way goes on. */
async function takeOut(worker: Worker, name: string): Promise<void> {
  await tell(worker, `set server ${name} state maint`);
  worker.leaving.set(name, worker.servers.get(name) as Server);
  worker.servers.delete(name);
}

async function changeHosts(worker: Worker, wanted: Map<string, string>): Promise<void> {
  const map = FILES.hosts;
  for (const [host, text] of wanted) {
    const known = worker.hosts.get(host);
    if (known !== text) await tell(worker, `${known === undefined ? 'add' : 'set'} map ${map} ${host} ${text}`);
    worker.hosts.set(host, text);
  }
  for (const host of worker.hosts.keys()) {
    if (wanted.has(host)) continue;
    await tell(worker, `del map ${map} ${host}`);
    worker.hosts.delete(host);
  }
}

/** A slot is given again when no server is left in it. */
function freeSlots({ slots, free, leaving }: Worker, picture: Picture): void {
  const inUse = new Set([...leaving.keys()].map((name) => name.slice(0, name.indexOf('/'))));
  for (const [version, slot] of slots) {
    if (picture.versions.has(version) || inUse.has(slotName(slot))) continue;
    slots.delete(version);
    free.push(slot);
  }
}

/** One that still has a request under way is left for the next time. */
export async function removeLeaving({ master, pid, leaving }: Worker): Promise<void> {
  for (const name of leaving.keys()) {
    const answer = await askWorker(master, pid, `del server ${name}`);
    if (/Server deleted|No such server/i.test(answer)) leaving.delete(name);
  }
}

/** A worker that was replaced sends what still comes to it to the one that is there now. */
export async function sendOnward(master: Master, pid: number, hosts: Iterable<string>): Promise<void> {
  const onward = mapText([...hosts].map((host) => [host, `direct:${ONWARD}`]));
  await replaceMap(master, pid, FILES.hosts, onward).catch(async (error) => {
    // It may have come to rest meanwhile.
    if ((await workersOf(master)).old.includes(pid)) throw error;
  });
}

/** False where HAProxy has ended, or somebody else has made it read a configuration. */
export const isAsLeft = async ({ master, pid }: Worker): Promise<boolean> =>
  runs(master) && (await workersOf(master).catch(() => undefined))?.current === pid;

export function countsIn(table: Map<string, Record<string, string>>, slot: number): Counts {
  const row = table.get(`${slotName(slot)}/BACKEND`);
  return { requests: Number(row?.req_tot) || 0, errors: Number(row?.hrsp_5xx) || 0 };
}

const tell = ({ master, pid }: Worker, command: string, expected?: RegExp): Promise<void> =>
  act(master, pid, command, expected);

async function act(master: Master, pid: number, command: string, expected = /^\s*$/): Promise<void> {
  const answer = await askWorker(master, pid, command);
  if (!expected.test(answer)) throw new Error(`HAProxy answers ${JSON.stringify(answer.trim())} to "${command}"`);
}

const PART_BYTES = 8000;

/** All at once: until the version is committed, the one before is asked. What HAProxy reads at a time has an end, so it comes in parts. */
async function replaceMap(master: Master, pid: number, map: string, text: string): Promise<void> {
  const answer = await askWorker(master, pid, `prepare map ${map}`);
  const version = /New version created: (\d+)/.exec(answer)?.[1];
  if (version === undefined) throw new Error(`HAProxy answers ${JSON.stringify(answer.trim())} to "prepare map"`);
  const lines = text.split('\n').filter((line) => line !== '');
  let part = '';
  for (const [at, line] of lines.entries()) {
    part += `${line}\n`;
    const next = lines[at + 1];
    if (next !== undefined && part.length + next.length < PART_BYTES) continue;
    await act(master, pid, `add map @${version} ${map} <<\n${part}`);
    part = '';
  }
  await act(master, pid, `commit map @${version} ${map}`);
}
