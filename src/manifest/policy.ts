/** `policy.resources: container-instance`: what a target of fixed sizes can place. */
import { parseQuantity } from './quantity.ts';
import type { Container } from './resource.ts';

export interface Violation {
  /** Absent: the unit as a whole. */
  container?: number;
  message: string;
}

const GIB = 2 ** 30;
const MAX_CONTAINERS = 5;
/** In thousandths of a core. */
const CPU_STEP = 250;
const CPU_MAX = 32_000;
const MEMORY_MIN = 0.2 * GIB;
const MEMORY_MAX_GIB = 128;

/**
 * What a container takes is its limit, or its request where it has no limit. 1 CPU and 2Gi in two containers of 0.5 CPU and 1Gi:
 * allowed. 1 CPU and 5Gi: refused, since 1 CPU goes with 2 to 4 GiB.
 */
export function containerInstance(containers: Container[]): Violation[] {
  const violations: Violation[] = [];
  if (containers.length > MAX_CONTAINERS)
    violations.push({ message: `a unit has at most ${MAX_CONTAINERS} containers, found ${containers.length}` });
  const amounts = containers.map(({ resources: { limits, requests } }) => ({
    cpu: milli(limits?.cpu ?? requests?.cpu),
    memory: bytes(limits?.memory ?? requests?.memory),
  }));
  for (const [container, { cpu, memory }] of amounts.entries())
    for (const message of wrongContainer(cpu, memory)) violations.push({ container, message });
  const cpu = sum(amounts.map(({ cpu }) => cpu));
  const memory = sum(amounts.map(({ memory }) => memory));
  if (cpu !== undefined && memory !== undefined)
    violations.push(...wrongUnit(cpu, memory).map((message) => ({ message })));
  return violations;
}

const milli = (text: string | undefined) =>
  text === undefined ? undefined : Math.round((parseQuantity(text) ?? 0) * 1000);
const bytes = (text: string | undefined) => (text === undefined ? undefined : (parseQuantity(text) ?? 0));

/** Undefined when a part is: the container that lacks it is told already. */
function sum(parts: (number | undefined)[]): number | undefined {
  return parts.reduce((total, part) => (total === undefined || part === undefined ? undefined : total + part), 0);
}

function wrongContainer(cpu: number | undefined, memory: number | undefined): string[] {
  const wrong: string[] = [];
  if (cpu === undefined) wrong.push('cpu is missing; set resources.limits.cpu');
  else wrong.push(...wrongCpu('a container', cpu));
  if (memory === undefined) wrong.push('memory is missing; set resources.limits.memory');
  else if (memory < MEMORY_MIN) wrong.push(`a container has at least 0.2 GiB of memory, found ${gib(memory)}`);
  return wrong;
}

function wrongUnit(cpu: number, memory: number): string[] {
  const wrong = cpu > CPU_MAX ? wrongCpu('a unit', cpu) : [];
  if (memory % GIB !== 0 || memory < GIB || memory > MEMORY_MAX_GIB * GIB)
    wrong.push(`the memory of a unit is 1 to ${MEMORY_MAX_GIB} GiB in whole GiB, found ${gib(memory)}`);
  const perCore = (memory * 1000) / cpu / GIB;
  if (perCore < 2 || perCore > 4)
    wrong.push(`1 CPU goes with 2 to 4 GiB of memory, found ${cpu / 1000} CPU with ${gib(memory)}`);
  return wrong;
}

const wrongCpu = (what: string, cpu: number): string[] =>
  cpu < CPU_STEP || cpu > CPU_MAX || cpu % CPU_STEP !== 0
    ? [`the CPU of ${what} is 0.25 to 32 in steps of 0.25, found ${cpu / 1000}`]
    : [];

const gib = (value: number) => `${Number((value / GIB).toFixed(3))} GiB`;
