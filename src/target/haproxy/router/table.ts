/** The routes, carried out by HAProxy: changed in a worker that runs, and by a new configuration where there is no room in it. */
import writeFileAtomic from 'write-file-atomic';
import type { ResourceId } from '../../../manifest/resource.ts';
import type { Route, RouterConfig, RouterStats } from '../../local/router/config.ts';
import type { Address } from '../../local/router/launch.ts';
import { configText, FILES, mapText } from './config.ts';
import { type Picture, pictureOf } from './picture.ts';
import { checkConfig, findMaster, reload, startMaster, workersOf } from './process.ts';
import { statsOf } from './stats.ts';
import { carryOut, type Drawn, draw, isAsLeft, removeLeaving, sendOnward, type Worker } from './worker.ts';

export interface HaproxyTable {
  config(): RouterConfig;
  /** Resolves when HAProxy runs with it. */
  change(changes: Record<ResourceId, Route | null>): Promise<void>;
  stats(): Promise<RouterStats>;
  /** Starts HAProxy again where it has ended, and removes servers that are at rest. */
  tend(): Promise<void>;
}

interface Options {
  /** The working directory, by its real path. */
  folder: string;
  listen: Address;
  routes: RouterConfig['routes'];
  log(message: string): void;
  /** A file descriptor for what HAProxy prints. */
  output: number;
}

/** For so many versions there is room at first. */
const SLOTS = 64;

/** Resolves when HAProxy serves with the routes. One that runs already is given a new configuration, whatever it runs with. */
export async function openHaproxyTable({ folder, listen, log, output, ...options }: Options): Promise<HaproxyTable> {
  const routes = { ...options.routes };
  let worker: Worker | undefined;
  let last: Promise<unknown> = Promise.resolve();
  /** One after the other. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };

  async function write({ hosts, rules }: Drawn, slots: Parameters<typeof configText>[0]['slots']): Promise<void> {
    const files = {
      ...{ [FILES.hosts]: mapText(hosts), [FILES.rules]: rules },
      [FILES.config]: configText({ ...listen, slots }),
    };
    for (const [name, text] of Object.entries(files)) await writeFileAtomic(name, text, { fsync: false, mode: 0o600 });
    await checkConfig();
  }

  async function renewed(picture: Picture): Promise<Worker> {
    const versions = [...picture.versions.keys()];
    const slots = new Map(versions.map((version, slot) => [version, slot]));
    const drawn = draw(picture, slots);
    const room = roomFor(versions.length);
    const each = Array.from({ length: room }, (_, slot) => picture.versions.get(versions[slot] ?? '') ?? new Map());
    await write(drawn, each);
    const there = findMaster(folder);
    const master = there ?? (await startMaster(folder, output));
    const { current: pid, old } = there === undefined ? await workersOf(master) : await reload(master);
    for (const replaced of old) await sendOnward(master, replaced, drawn.hosts.keys());
    log(`HAProxy ${there === undefined ? 'started' : 'reloaded'}: process ${master.mark.pid}, worker ${pid}`);
    const free = Array.from({ length: room - versions.length }, (_, at) => versions.length + at);
    return { ...drawn, master, pid, slots, free, leaving: new Map(), before: new Map() };
  }

  /** Where something goes wrong half way, nothing is known of the worker any more: the next turn begins with a new one. */
  async function settle(): Promise<void> {
    const picture = pictureOf(routes);
    const known = worker;
    worker = undefined;
    const isNew = (version: string) => !known?.slots.has(version);
    const needed = [...picture.versions.keys()].filter(isNew).length;
    if (known === undefined || needed > known.free.length) worker = await renewed(picture);
    else {
      await carryOut(known, picture);
      worker = known;
    }
  }

  await settle();
  return {
    config: () => ({ routes }),
    change: (changes) =>
      inTurn(async () => {
        const refused: unknown[] = [];
        for (const [resource, route] of Object.entries(changes) as [ResourceId, Route | null][]) {
          if (route === null) delete routes[resource];
          else
            try {
              pictureOf({ [resource]: route });
              routes[resource] = route;
            } catch (error) {
              refused.push(error);
            }
        }
        await settle();
        // Of the others nobody is kept.
        if (refused.length > 0) throw refused[0];
      }),
    stats: () =>
      inTurn(() => {
        if (worker === undefined) throw new Error('HAProxy is not there now; see router.log');
        return statsOf(worker, routes);
      }),
    tend: () =>
      inTurn(async () => {
        if (worker !== undefined && (await isAsLeft(worker))) return removeLeaving(worker);
        log('HAProxy is not as it was left');
        worker = undefined;
        await settle();
      }),
  };
}

/** Twice as much as is needed now, so that it lasts for a while: for 40 versions 128. */
const roomFor = (versions: number): number => Math.max(SLOTS, 2 ** Math.ceil(Math.log2(2 * versions + 1)));
