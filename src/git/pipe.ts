/** A program that is kept and talked to through pipes, with an argument vector and an environment from a list. */
// biome-ignore lint/style/noRestrictedImports: src/process.ts offers no process with open pipes
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export type PipedProcess = ChildProcessWithoutNullStreams;

export function openPipe(command: readonly string[], env: Record<string, string>): PipedProcess {
  const [program = '', ...args] = command;
  return spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
}
