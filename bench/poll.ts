/** A poll that finds nothing new, over HTTP, beside `git ls-remote` for the same ref. */
import { join } from 'node:path';
import { openClone } from '../src/git/clone.ts';
import { bareRepository, commitFiles } from '../test/support/git-servers.ts';
import { type Figure, inFolder, median, medianRatio, note, runRepeatedly } from './harness.ts';
import { startGitServer } from './support/git-server.ts';

const ROUNDS = 9;
const POLLS = 20;
const REF = 'refs/heads/main';
const REACH = { trips: 1, wall: 0.6, cpu: 0.25 };

export function bench(): Promise<Figure[]> {
  return inFolder(async (folder) => {
    commitFiles(bareRepository(folder), { 'a.yaml': 'a: 1\n' });
    const server = await startGitServer(folder);
    const clone = await openClone({ stateDir: join(folder, 'state'), repo: `${server.url}/repo.git` });
    const signal = new AbortController().signal;
    const ours = async () => {
      const [cpu, start] = [process.cpuUsage(), performance.now()];
      for (let poll = 0; poll < POLLS; poll++) await clone.transport.head(REF, signal);
      const { user, system } = process.cpuUsage(cpu);
      return { wallMs: (performance.now() - start) / POLLS, cpuMs: (user + system) / 1000 / POLLS };
    };
    const theirs = () =>
      runRepeatedly(['git', 'ls-remote', `${server.url}/repo.git`, REF], {
        times: POLLS,
        cwd: folder,
        env: { ...process.env, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' },
      });
    try {
      await ours();
      await theirs();
      const before = await server.requests();
      await ours();
      const trips = ((await server.requests()) - before) / POLLS;
      const polls: Awaited<ReturnType<typeof ours>>[] = [];
      const lsRemotes: typeof polls = [];
      for (let round = 0; round < ROUNDS; round++) {
        polls.push(await ours());
        lsRemotes.push(await theirs());
      }
      const of = (key: 'wallMs' | 'cpuMs') => {
        const [mine, gits] = [polls, lsRemotes].map((samples) => samples.map((sample) => sample[key])) as [
          number[],
          number[],
        ];
        note(`${key}: ${median(mine).toFixed(2)} ms, git ls-remote ${median(gits).toFixed(2)} ms`);
        return medianRatio(mine, gits);
      };
      const [wall, cpu] = [of('wallMs'), of('cpuMs')];
      return [
        {
          work: 'no-op poll over HTTP',
          reach: `${REACH.trips} round trip; at most ${REACH.wall} of \`git ls-remote\`'s wall, at most ${REACH.cpu} of its CPU`,
          seen: `${trips} round trip; ${wall.toFixed(2)} of its wall, ${cpu.toFixed(2)} of its CPU`,
          held: trips === REACH.trips && wall <= REACH.wall && cpu <= REACH.cpu,
        },
      ];
    } finally {
      await clone.close();
      await server.close();
    }
  });
}
