/** A place whose resources run on real hosts: sshd processes on loopback, each with a home of its own. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { TestHost, TestHosts } from '../target/ssh/hosts.ts';

/** The manifest of a target of these hosts, named `hosts`. */
export function targetOf({ ssh }: TestHosts, loadBalancer?: { socket: string; backends: string[] }): string {
  const { key, knownHostsFile, hosts } = ssh;
  const spec = {
    ...{ ...key, knownHostsFile, user: hosts[0]?.user, hosts: hosts.map(({ user: _, ...host }) => host) },
    ...(loadBalancer && { loadBalancer: { haproxy: loadBalancer } }),
  };
  return stringify({ apiVersion: 'sluice/v1', kind: 'Target', metadata: { name: 'hosts' }, spec: { ssh: spec } });
}

/** What scripts wrote into a file of that name in the hosts' homes, sorted. */
export function marksOf({ hosts }: TestHosts, name = 'marks'): string[] {
  return hosts
    .flatMap(({ home }) => (existsSync(join(home, name)) ? readFileSync(join(home, name), 'utf8').split('\n') : []))
    .filter((line) => line !== '')
    .sort();
}

/** Ends what a host's `pid` file names: a server that outlives its script is in nobody's session. */
export function killServer({ home }: TestHost): void {
  try {
    process.kill(Number(readFileSync(join(home, 'pid'), 'utf8')), 'SIGKILL');
  } catch {}
}

/** A program of a host, as its user would run it there. */
export function onHost({ home }: TestHost, ...[program = '', ...args]: string[]): string {
  return execFileSync(program, args, { cwd: home, encoding: 'utf8', env: { ...process.env, HOME: home } });
}
