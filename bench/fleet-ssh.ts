/** A script rolled out over real SSH hosts on loopback by a real operator: what it adds to what the script takes. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openConnections } from '../src/target/ssh/connections.ts';
import { targetOf } from '../test/e2e/hosts.ts';
import { clean, commit, operator, type Place, place, type Running, settled } from '../test/e2e/support.ts';
import { noSshd, startHosts, type TestHosts } from '../test/target/ssh/hosts.ts';
import { type Figure, median, note, timed } from './harness.ts';
import { ansibleVersion, playMs } from './support/ansible.ts';

const [HOSTS, BATCHES, SCRIPT_SECONDS] = [50, 5, 1];
const ROUNDS = 5;
const ANSIBLE_ROUNDS = 3;
const IDEAL_FACTOR = 1.2;

const fleet = (round: number, script: string) => `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec:
  target: hosts
  selector: {role: web}
  batches: ${BATCHES}
  script: {run: '${script}; echo ${round} >>rounds'}
`;

/** To a host to which nothing is open yet, and a first answer from it. */
async function connectMs({ ssh, hosts }: TestHosts): Promise<number> {
  const { signal } = new AbortController();
  const times: number[] = [];
  for (const { name } of hosts.slice(0, 9)) {
    const connections = openConnections({ ssh });
    const { ms } = await timed(() => connections.shell(name).sh('true', [], { timeoutMs: 30_000, signal }));
    connections.close();
    times.push(ms);
  }
  return median(times);
}

interface Round {
  /** From the commit to the tag. */
  totalMs: number;
  /** The rollout by its own account, as the status has it. */
  rolledMs: number;
}

async function rollOut(at: Place, hosts: TestHosts, id: number): Promise<Round> {
  commit(at, { 'web.yaml': fleet(id, `sleep ${SCRIPT_SECONDS}`) }, `round ${id}`);
  const committed = performance.now();
  const tag = join(at.repo, `.git/refs/tags/sluice/fleet/web/${id}`);
  while (!existsSync(tag)) {
    if (performance.now() > committed + 120_000) throw new Error(`rollout ${id} was not tagged within two minutes`);
    await sleep(5);
  }
  const totalMs = performance.now() - committed;
  const { rollout } = await settled(at, 'Fleet/web', id);
  for (const { name, home } of hosts.hosts) {
    const ran = readFileSync(join(home, 'rounds'), 'utf8').trim().split('\n');
    if (ran.length !== id) throw new Error(`${name} ran ${ran.length} scripts in ${id} rollouts`);
  }
  return { totalMs, rolledMs: Date.parse(rollout.finishedAt) - Date.parse(rollout.startedAt) };
}

async function rounds(hosts: TestHosts): Promise<Round[]> {
  let running: Running | undefined;
  const at = await place({ 'hosts.yaml': targetOf(hosts), 'web.yaml': fleet(1, 'true') });
  try {
    running = operator(at);
    await settled(at, 'Fleet/web', 1, 120);
    const seen: Round[] = [];
    for (let round = 0; round < ROUNDS; round++) seen.push(await rollOut(at, hosts, round + 2));
    return seen;
  } finally {
    await clean(at, running);
  }
}

/** For whoever wants to compare: it is in the table, and reaches nothing. */
async function ansible(hosts: TestHosts, ideal: number): Promise<Figure> {
  const serial = HOSTS / BATCHES;
  const work = `the same script over the same hosts by ansible-playbook, serial: ${serial}, forks ${serial}, pipelining`;
  const version = ansibleVersion();
  if (version === undefined)
    return { work, reach: 'for comparison', seen: 'ansible-playbook is not installed', held: true };
  const times: number[] = [];
  for (let round = 0; round < ANSIBLE_ROUNDS; round++) {
    times.push(await playMs(hosts, { serial, script: `sleep ${SCRIPT_SECONDS}; echo ${round} >>"$HOME/played"` }));
    note(`${version}: ${times.at(-1)?.toFixed(0)} ms`);
  }
  for (const { name, home } of hosts.hosts) {
    const ran = readFileSync(join(home, 'played'), 'utf8').trim().split('\n');
    if (ran.length !== ANSIBLE_ROUNDS) throw new Error(`${name} ran ${ran.length} scripts of ${ANSIBLE_ROUNDS}`);
  }
  const took = median(times);
  const seen = `${(took / ideal).toFixed(2)} × (${(took / 1000).toFixed(2)} s), ${version}`;
  return { work, reach: 'for comparison', seen, held: true };
}

export async function bench(): Promise<Figure[]> {
  if (noSshd) throw new Error(noSshd);
  const ends: (() => unknown)[] = [];
  try {
    const names = Array.from({ length: HOSTS }, (_, n) => `web-${n + 1}`);
    const owner = { teardown: (end: () => unknown) => ends.push(end) };
    const hosts = await startHosts(owner, { names, labels: () => ({ role: 'web' }) });
    const connect = await connectMs(hosts);
    note(`one connect: ${connect.toFixed(0)} ms`);
    const seen = await rounds(hosts);
    for (const { totalMs, rolledMs } of seen)
      note(`rolled in ${rolledMs} ms, ${totalMs.toFixed(0)} ms from commit to tag`);
    const ideal = BATCHES * SCRIPT_SECONDS * 1000 + connect;
    const took = median(seen.map(({ totalMs }) => totalMs));
    return [
      {
        work: `a script of ${SCRIPT_SECONDS} s over ${HOSTS} SSH hosts on this machine, ${BATCHES} batches, from commit to tag`,
        reach: `at most ${IDEAL_FACTOR} × the ideal, ${BATCHES} × the script and one connect`,
        seen: `${(took / ideal).toFixed(2)} × (${(took / 1000).toFixed(2)} s)`,
        held: took <= ideal * IDEAL_FACTOR,
      },
      await ansible(hosts, ideal),
    ];
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
