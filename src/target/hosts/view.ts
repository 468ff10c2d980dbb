/** What one look at a unit's machine told. PURE. */
import type { Revision } from '../../manifest/resource.ts';
import type { LiveAttempt } from '../../plan/live.ts';

/** `drain` and `undrain` take a node out of a cluster and let it in again. */
export type AttemptKind = 'update' | 'drain' | 'undrain';

export interface AttemptView extends LiveAttempt {
  /** Since it was begun, or how long it took. */
  seconds: number;
  /** Of all its scripts together. */
  limitSeconds: number;
}

export interface UnitView {
  boot: string;
  /** The highest that acted here; 0: nobody did. */
  epoch: number;
  applied: Revision[];
  /** Revisions whose rollback script lies beside the unit. */
  undoable: Revision[];
  /** Out of service, by which attempt and for how long. */
  out?: { attempt: string; seconds: number };
  /** What it had before it was taken out, as it was given. */
  weights?: string;
  /** By which attempt. */
  cordoned?: string;
  attempts: Partial<Record<AttemptKind, AttemptView>>;
  /** What the version command said; of one that failed, why. */
  version?: { ok: boolean; text: string };
  details?: HostDetails;
}

/** Of the machine itself, as far as it can tell. */
export interface HostDetails {
  /** Programs that the protocol needs and that are not there. */
  lacks: string[];
  /** Interpreters besides sh. */
  has: string[];
  /** A folder that must be written to and cannot be. */
  unwritable?: string;
  disk?: { totalBytes: number; freeBytes: number };
  memory?: { totalBytes: number; availableBytes: number };
  swaps: string[];
  load?: { one: number; cpus: number };
  /** Its clock, in seconds since the epoch. */
  clock?: number;
  certificates: { file: string; endsAt: number }[];
}

/** The machine answered something else than the protocol's: its shell, or what it prints by itself, is in the way. */
class UnreadableAnswer extends Error {}

/** Throws on anything that is not a whole answer. */
export function readView(stdout: string): UnitView {
  const lines = stdout.split('\n');
  const from = lines.findIndex((line) => line.startsWith('boot '));
  if (from < 0 || !lines.includes('end', from)) throw new UnreadableAnswer(notWhole(stdout));
  const view: UnitView = { boot: '', epoch: 0, applied: [], undoable: [], attempts: {} };
  const reading: Reading = { view, ended: undefined };
  for (const line of lines.slice(from)) {
    const space = line.indexOf(' ');
    const key = space < 0 ? line : line.slice(0, space);
    READERS[key]?.(reading, space < 0 ? '' : line.slice(space + 1));
  }
  return view;
}

const notWhole = (stdout: string): string =>
  stdout.trim() === '' ? 'it answered nothing' : `it answered something else: ${clean(stdout.trim()).slice(0, 200)}`;

interface Reading {
  view: UnitView;
  /** The attempt that the lines `said` and `note` are of. */
  ended: { attempt: AttemptView; text: string } | undefined;
}

const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');

const READERS: Record<string, (reading: Reading, rest: string) => void> = {
  boot: ({ view }, rest) => {
    view.boot = rest;
  },
  epoch: ({ view }, rest) => {
    view.epoch = Number(rest) || 0;
  },
  applied: ({ view }, rest) => {
    view.applied = words(rest);
  },
  undo: ({ view }, rest) => {
    view.undoable = words(rest);
  },
  out: ({ view }, rest) => {
    const [attempt = '', seconds] = words(rest);
    view.out = { attempt, seconds: Number(seconds) || 0 };
  },
  weights: ({ view }, rest) => {
    view.weights = rest;
  },
  cordoned: ({ view }, rest) => {
    view.cordoned = rest;
  },
  attempt: (reading, rest) => readAttempt(reading, words(rest)),
  said: ({ ended }, rest) => {
    if (ended !== undefined && rest !== '') ended.attempt.message = withSaid(ended, clean(rest));
  },
  note: ({ ended }, rest) => {
    if (ended === undefined || rest === '') return;
    const { attempt } = ended;
    attempt.message = attempt.message === '' ? clean(rest) : `${attempt.message}; ${clean(rest)}`;
  },
  version: ({ view }, rest) => {
    const space = rest.indexOf(' ');
    const code = space < 0 ? rest : rest.slice(0, space);
    view.version = { ok: code === '0', text: space < 0 ? '' : clean(rest.slice(space + 1)).trim() };
    if (code === '124') view.version.text = `took too long: ${view.version.text}`;
  },
  lacks: (reading, rest) => detailsOf(reading).lacks.push(rest),
  has: (reading, rest) => detailsOf(reading).has.push(rest),
  unwritable: (reading, rest) => {
    detailsOf(reading).unwritable = rest;
  },
  disk: (reading, rest) => {
    const [total, free] = words(rest).map(Number);
    detailsOf(reading).disk = { totalBytes: (total ?? 0) * 1024, freeBytes: (free ?? 0) * 1024 };
  },
  memory: (reading, rest) => {
    const [name, amount] = words(rest);
    const details = detailsOf(reading);
    details.memory ??= { totalBytes: 0, availableBytes: 0 };
    details.memory[name === 'MemTotal:' ? 'totalBytes' : 'availableBytes'] = Number(amount) * 1024;
  },
  swap: (reading, rest) => detailsOf(reading).swaps.push(words(rest).slice(2).join(' ')),
  load: (reading, rest) => {
    const [one, cpus] = words(rest).map(Number);
    detailsOf(reading).load = { one: one ?? 0, cpus: cpus || 1 };
  },
  clock: (reading, rest) => {
    detailsOf(reading).clock = Number(rest);
  },
  certificate: (reading, rest) => {
    const [ends = '', file = ''] = rest.split('\t');
    const endsAt = Date.parse(ends);
    if (!Number.isNaN(endsAt)) detailsOf(reading).certificates.push({ file, endsAt });
  },
};

function detailsOf({ view }: Reading): HostDetails {
  view.details ??= { lacks: [], has: [], swaps: [], certificates: [] };
  return view.details;
}

function readAttempt(
  reading: Reading,
  [kind = '', id = '', status = '', code = '', took, timed, limit]: string[],
): void {
  reading.ended = undefined;
  if (status === 'unclaimed' || !isKind(kind)) return;
  const times = { seconds: Number(took) || 0, limitSeconds: Number(limit) || 0 };
  const attempt: AttemptView = { id, ...times, ...stateOf(status, code, timed) };
  reading.view.attempts[kind] = attempt;
  if (status === 'ended') reading.ended = { attempt, text: attempt.message };
}

const isKind = (text: string): text is AttemptKind => text === 'update' || text === 'drain' || text === 'undrain';

function stateOf(status: string, code: string, timed: string | undefined): Omit<LiveAttempt, 'id'> {
  if (status === 'running') return { state: 'running', message: 'runs' };
  if (status === 'rebooted') return { state: 'unknown', message: 'its machine was started anew while it ran' };
  if (status === 'gone')
    return { state: 'unknown', message: 'what ran it is gone and left no outcome; it may have been killed' };
  if (code === '0') return { state: 'succeeded', message: '' };
  if (timed !== undefined && timed !== '-')
    return { state: 'failed', message: `was ended after its timeout of ${timed} s` };
  return { state: 'failed', message: `exited with code ${code}` };
}

/** What a script printed last matters only where it failed. */
const withSaid = ({ attempt, text }: { attempt: AttemptView; text: string }, said: string): string =>
  attempt.state === 'failed' ? `${text}: ${withoutFolder(said).slice(0, 300)}` : text;

/** A shell names the script's file, which says nothing to whoever wrote the script. */
const withoutFolder = (said: string): string => said.replace(/\S*\/(?:attempts|undo)\/[^/\s]+\/(script\.\w+)/g, '$1');

const clean = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '');
