/** Writes `schemas/*.json` and `docs/manifests.md` from `src/manifest/schema`. Run it after a change there. */
import { writeFile } from 'node:fs/promises';
import { generatedFiles } from '../src/manifest/schema/reference.ts';

for (const [path, content] of Object.entries(generatedFiles())) await writeFile(path, content);
