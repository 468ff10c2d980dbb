/** The way to an engine, and what it says about what is ours there. */
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import type { DockerTarget } from '../../manifest/target.ts';
import { sshAgent } from './ssh.ts';

const own = (path: string): string => (path.startsWith('~/') ? join(homedir(), path.slice(2)) : path);

/** Nothing of the environment has a say in it. */
const NOTHING = {
  socketPath: undefined,
  host: undefined,
  port: undefined,
  ca: undefined,
  cert: undefined,
  key: undefined,
};

export interface Connected {
  docker: Docker;
  /** Whether it takes a new connection: one that is about to end still answers on those that it has. */
  answers(): Promise<boolean>;
  /** Lets go of what is kept open to it. */
  close(): void;
}

export async function connectEngine({ host, tls, ssh }: DockerTarget): Promise<Connected> {
  const through = (options: Docker.DockerOptions, close = () => {}): Connected => {
    const all = { ...NOTHING, protocol: 'http' as const, ...options };
    const { Agent } = all.protocol === 'https' ? https : http;
    const anew = new Docker({ ...{ agent: new Agent({ keepAlive: false }) }, ...all });
    const answers = () =>
      answered(anew.ping()).then(
        () => true,
        () => false,
      );
    return { docker: new Docker(all), answers, close };
  };
  if (host.startsWith('unix://')) return through({ socketPath: host.slice('unix://'.length) });
  const { hostname, port, username } = new URL(host.replace(/^[a-z]+/, 'http'));
  const address = hostname.replace(/^\[|\]$/g, '');
  if (host.startsWith('ssh://')) {
    const login = { address, port: Number(port) || 22, user: username || (process.env.USER ?? 'root') };
    const { agent, close } = sshAgent(ssh, login);
    return through({ host: 'docker', port: 80, ...{ agent } }, close);
  }
  if (tls === undefined) return through({ host: address, port: Number(port) || 80 });
  const files = [tls.ca, tls.cert, tls.key].map((file) => readFile(own(file)));
  const [ca = '', cert = '', key = ''] = await Promise.all(files);
  return through({ protocol: 'https', host: address, port: Number(port) || 443, ca, cert, key });
}

const ANSWER_MS = 15_000;

/** For what an engine answers at once: one that hangs is one that does not answer. */
export async function answered<T>(asked: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the engine gave no answer within ${ANSWER_MS / 1000} s`)), ANSWER_MS);
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const statusOf = (error: unknown): number | undefined => (error as { statusCode?: number }).statusCode;

/** Undefined where there is none of that name. */
export async function found<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await answered(asked);
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** The variables of a container; of one that is not there, none. */
export async function environmentIn(docker: Docker, id: string): Promise<Record<string, string>> {
  const lines = (await found(docker.getContainer(id).inspect()))?.Config.Env ?? [];
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

/** What the engine says, without what its client puts around it. */
export function saidBy(error: unknown): string {
  const { json, message } = error as { json?: { message?: string }; message?: string };
  return json?.message ?? message ?? String(error);
}
