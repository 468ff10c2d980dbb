/** What must hold when a round has come to its end, seen from outside. */
import { readFileSync } from 'node:fs';
import { backends } from '../e2e/observer.ts';
import { git, type Place, processes, status } from '../e2e/support.ts';
import type { Subject } from './subjects.ts';

export async function wrongAtEnd(
  at: Place,
  subject: Subject,
  round: number,
  asked: string,
  ended: number | null,
): Promise<string[]> {
  const { resource } = subject;
  const wrong: string[] = ended === 0 ? [] : [`the operator ended with ${ended}`];
  const seen = status(at, resource);
  const rollout = seen?.rollout;
  const how = `${rollout?.id} ${rollout?.phase} of ${rollout?.commit}, ${seen?.health}`;
  if (how !== `${round} Succeeded of ${asked}, Healthy`)
    wrong.push(`rollout ${how}: ${rollout?.message ?? seen?.message}`);
  const ids = (seen?.history ?? []).map(({ id, phase }: { id: number; phase: string }) => `${id} ${phase}`);
  const expected = Array.from({ length: Math.min(round, ids.length) }, (_, n) => `${round - n} Succeeded`).reverse();
  if (`${ids}` !== `${expected}`) wrong.push(`the history has ${ids}`);
  return [
    ...wrong,
    ...wrongTags(at, resource, round, asked),
    ...(await wrongUnits(at, subject, round)),
    ...(await subject.wrong(at, round)),
  ];
}

/** Of each rollout one, the newest on the commit that asked for it. */
function wrongTags(at: Place, resource: string, round: number, asked: string): string[] {
  const name = `sluice/${resource.toLowerCase()}`;
  const tags = git(at.repo, 'tag', '-l', `${name}/*`).split('\n');
  const expected = Array.from({ length: Math.min(round, 5) }, (_, n) => `${name}/${round - n}`);
  if (`${tags.sort()}` !== `${expected.sort()}`) return [`the tags are ${tags}`];
  const commit = git(at.repo, 'rev-parse', `${name}/${round}^{commit}`);
  return commit === asked ? [] : [`${name}/${round} is on ${commit}`];
}

/** As many as there should be, each of this round, and all of them with requests where there is a router. */
async function wrongUnits(at: Place, { resource, units, clients, hostOf }: Subject, round: number): Promise<string[]> {
  const running = processes(at, resource);
  const wrong = running.length === units ? [] : [`${running.map(({ attempt }) => attempt)} run`];
  for (const { pid, attempt } of running) {
    const port = /\0PORT=(\d+)\0/.exec(`\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}`)?.[1];
    const host = (await hostOf?.(attempt)) ?? '127.0.0.1';
    const answer = await fetch(`http://${host}:${port}/`)
      .then((response) => response.text())
      .catch((error: Error) => error.message);
    if (answer !== String(round)) wrong.push(`${attempt} answers ${answer}`);
  }
  const served = backends(at, resource).length;
  if (clients !== undefined && units > 0 && served !== units) wrong.push(`${served} units get requests`);
  return wrong;
}
