/** By what a repository knows its own where several share an engine or a cluster. */
import { basename } from 'node:path';

/** `dataDir`: of the repository, whose address is in its name. */
export const withProject = <T extends { project?: string }>(target: T, dataDir: string): T & { project: string } => ({
  ...target,
  project:
    target.project ??
    basename(dataDir)
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-'),
});
