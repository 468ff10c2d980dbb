/**
 * What is remembered of instances, kept on the engine as well: in the labels of volumes that hold nothing, where no program of a
 * container can change it. So an operator on another machine goes on from there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { InstanceRecord } from '../../instances/record.ts';
import { answered, found, saidBy } from '../engine.ts';
import { insuredAfter } from '../epoch.ts';
import { recordIn, recordLabels, recordName, recordsFilter, type Scope, scopeLabels } from '../labels.ts';

export interface Kept {
  name: string;
  record: InstanceRecord;
}

/** Every state of every record that lies there. */
export async function readKept(docker: Docker, scope: Scope): Promise<Kept[]> {
  const { Volumes } = await answered(docker.listVolumes({ filters: recordsFilter(scope) as never }));
  return (Volumes ?? []).flatMap(({ Name, Labels }) => {
    const record = recordIn(Labels ?? {});
    return isRecord(record) ? [{ name: Name, record }] : [];
  });
}

function isRecord(read: unknown): read is InstanceRecord {
  const { resource, unit, applied, written } = (read ?? {}) as Partial<InstanceRecord>;
  return typeof resource === 'string' && typeof unit === 'string' && Array.isArray(applied) && Array.isArray(written);
}

const keyOf = ({ resource, unit }: InstanceRecord) => `${resource} ${unit}`;
const NEVER = [0, 0] as const;

/** Whether `a` was written after `b`: by a later operator, or later by the same. */
function isLater({ written: a = [...NEVER] }: InstanceRecord, { written: b = [...NEVER] }: InstanceRecord): boolean {
  return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
}

/** Of each instance the state that was written last, wherever it lies. */
export function latest(recorded: InstanceRecord[], kept: Kept[]): InstanceRecord[] {
  const records = new Map(recorded.map((record) => [keyOf(record), record]));
  for (const { record } of kept) {
    const there = records.get(keyOf(record));
    if (there === undefined || isLater(record, there)) records.set(keyOf(record), record);
  }
  return [...records.values()];
}

/** `[7, 3]`: the third time that the operator of epoch 7 wrote it. */
export function stamp(record: InstanceRecord, epoch: number): void {
  const [by, count] = record.written ?? NEVER;
  record.written = [epoch, by === epoch ? count + 1 : 1];
}

export interface Store {
  /** Keeps this state, once the engine takes it; of several only the last. */
  keep(record: InstanceRecord): void;
  /** Resolves when the engine has the last state. */
  settled(record: InstanceRecord): Promise<void>;
  /** Keeps nothing of it any more, and removes what is there. */
  drop(record: InstanceRecord): Promise<void>;
}

export interface StoreOptions {
  docker: Docker;
  scope: Scope;
  /** What lies there already. */
  kept: Kept[];
  insured(): Promise<void>;
  closing: AbortSignal;
  log(message: string, details: Record<string, unknown>): void;
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;

export function openStore({ docker, scope, kept, insured, closing, log }: StoreOptions): Store {
  const names = new Map<string, Set<string>>();
  const wanted = new Map<string, InstanceRecord>();
  const writing = new Map<string, Promise<void>>();
  const namesOf = (record: InstanceRecord) => {
    const those = names.get(keyOf(record)) ?? new Set<string>();
    names.set(keyOf(record), those);
    return those;
  };
  for (const { name, record } of kept) namesOf(record).add(name);

  async function write(record: InstanceRecord): Promise<void> {
    const [epoch, count] = record.written ?? NEVER;
    const name = recordName(scope, record, epoch, count);
    const those = namesOf(record);
    await insured();
    await answered(docker.createVolume({ Name: name, Labels: { ...scopeLabels(scope), ...recordLabels(record) } }));
    await insuredAfter(insured, () => found(docker.getVolume(name).remove()));
    const before = [...those];
    those.add(name);
    for (const old of before) {
      if (old === name) continue;
      await found(docker.getVolume(old).remove());
      those.delete(old);
    }
  }

  async function pump(key: string): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const record = wanted.get(key);
      if (record === undefined) return;
      try {
        await write(record);
        if (wanted.get(key) === record) wanted.delete(key);
        pause = FIRST_PAUSE_MS;
        continue;
      } catch (error) {
        closing.throwIfAborted();
        log('what is remembered of an instance cannot be kept on the engine', {
          ...{ instance: record.unit, message: saidBy(error) },
        });
      }
      await sleep(pause, undefined, { signal: closing });
    }
  }

  return {
    keep(record) {
      const key = keyOf(record);
      wanted.set(key, structuredClone(record));
      if (writing.has(key)) return;
      const work = pump(key).finally(() => writing.delete(key));
      writing.set(key, work);
      work.catch(() => {});
    },
    async settled(record) {
      await writing.get(keyOf(record));
    },
    async drop(record) {
      const key = keyOf(record);
      wanted.delete(key);
      await writing.get(key);
      for (const name of namesOf(record)) await found(docker.getVolume(name).remove());
      names.delete(key);
    },
  };
}
