import { execFile } from 'node:child_process';

/** Its standard output, or nothing when it fails. */
export const gitAsync = (cwd: string, args: string[]): Promise<string> =>
  new Promise((resolve) => {
    execFile('git', args, { cwd, maxBuffer: 64 * 1024 * 1024 }, (error, stdout) => resolve(error ? '' : stdout));
  });
