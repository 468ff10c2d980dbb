/** Where the operator keeps things on this machine: one folder per repository, below the user's own. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export interface Folders {
  /** The operator's clone and its caches; may be lost. */
  state: string;
  /** Where local targets keep their units, unless they say otherwise; must not be lost. A file `PAUSED` in it is `--paused`. */
  data: string;
}

interface FolderChoice {
  /** As given on the command line. */
  stateDir?: string;
  dataDir?: string;
}

/** `key` is that of `resolveAddress`: the same for one repository, however it is named. */
export function repositoryFolders(key: string, choice: FolderChoice, env = process.env): Folders {
  const state =
    choice.stateDir ?? env.SLUICE_STATE_DIR ?? join(env.XDG_STATE_HOME ?? join(homedir(), '.local/state'), 'sluice');
  const data =
    choice.dataDir ?? env.SLUICE_DATA_DIR ?? join(env.XDG_DATA_HOME ?? join(homedir(), '.local/share'), 'sluice');
  return { state: join(resolve(state), key), data: join(resolve(data), key) };
}
