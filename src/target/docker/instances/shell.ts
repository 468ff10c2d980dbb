/** How the protocol of markers runs in the container of an instance: as root, whoever its own process is. */
import type Docker from 'dockerode';
import type { Shell } from '../../hosts/shell.ts';
import { Failed } from '../../instances/instance.ts';
import { saidBy, statusOf } from '../engine.ts';
import { execute } from '../exec.ts';

export const ROOT = '0';

/** What the last scripts printed is much, all else is little. */
const MAX_OUTPUT = 16 * 1024 * 1024;

/** What runc and crun say of an image that lacks it; of a container that ends in this moment too some file does not exist. */
const LACKING = /"sh": executable file not found|exec: "sh": stat .*no such file or directory|`sh` not found/;
const NOT_BEGUN = /OCI runtime exec failed/;

/** `running` gives the container as it runs now, and throws where it does not. */
export function containerShell(docker: Docker, running: () => Promise<string>): Shell {
  return {
    async sh(script, args, { timeoutMs, signal }) {
      const id = await running();
      const command = ['sh', '-c', script, 'sh', ...args];
      const ended = await execute(docker, id, {
        ...{ command, timeoutMs, signal, user: ROOT, maxOutput: MAX_OUTPUT },
      }).catch((error) => {
        if (statusOf(error) !== undefined && LACKING.test(saidBy(error))) throw lacksShell();
        throw error;
      });
      const { code, stdout, stderr } = ended;
      if (code === undefined) throw new Error(`a step in the container did not end within ${timeoutMs / 1000} s`);
      const said = code === 126 || code === 127 ? stdout + stderr : '';
      if (LACKING.test(said)) throw lacksShell();
      if (NOT_BEGUN.test(said)) throw new Error(`a step could not be begun in the container: ${said.trim()}`);
      return { code, stdout, stderr };
    },
  };
}

const lacksShell = () => new Failed('its image has no sh, by which scripts are run in it; use an image that has');
