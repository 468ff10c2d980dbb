/** Images as folders: a tree of the config repository, written once, or a folder that the target gives. */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image, Oid } from '../../manifest/resource.ts';
import type { ImageSource } from '../ports.ts';
import type { Hold } from './epoch.ts';
import { imagesFolder } from './folders.ts';

/** A folder and what its `image.yaml` says. */
export type LocatedImage = Pick<Image, 'command' | 'env' | 'drain'> & { folder: string };

type ImagesHold = Pick<Hold, 'dataDir' | 'reach'>;

/** For who writes none. */
export const lookingAt = (dataDir: string): ImagesHold => ({ dataDir, reach: (path) => path });

export interface Images {
  locate(image: Image): Promise<LocatedImage>;
  /** The folder of a target's own image, which is only looked at; undefined for one of the repository. */
  look(image: Image): Promise<LocatedImage | undefined>;
  /** Removes written images but those of `used`. */
  prune(used: Set<Oid>): Promise<void>;
}

/** `folder` is the target's own absolute images folder: `hello:8` is `<folder>/hello/8` in it. */
export function openImages(hold: ImagesHold, source: ImageSource, folder: string | undefined): Images {
  const { dataDir, reach } = hold;
  const writing = new Map<Oid, Promise<string>>();
  const written = (tree: Oid): Promise<string> => {
    const known = writing.get(tree) ?? writeOnce(hold, source, tree);
    writing.set(tree, known);
    // A tree that could not be written is tried again by the next who asks.
    known.catch(() => writing.delete(tree));
    return known;
  };
  const look = async ({ name, tree }: Image): Promise<LocatedImage | undefined> => {
    if (tree !== undefined) return undefined;
    if (folder === undefined) {
      throw new Error(
        `image ${name} is in no commit, and the target gives no absolute folder of images; add it to images/`,
      );
    }
    const at = join(folder, ...imagePath(name));
    return { folder: at, ...(await readImageFile(at, name)) };
  };
  return {
    look,
    async locate(image) {
      const own = await look(image);
      if (own !== undefined || image.tree === undefined) return own as LocatedImage;
      const { command, env, drain } = image;
      return { folder: await written(image.tree), command, env, ...(drain === undefined ? {} : { drain }) };
    },
    async prune(used) {
      for (const name of await readdir(imagesFolder(dataDir)).catch(() => [])) {
        if (!used.has(name)) await rm(reach(join(imagesFolder(dataDir), name)), { recursive: true, force: true });
      }
      writing.clear();
    },
  };
}

/** A folder that is there is whole: it gets its name only when all of it is written. */
async function writeOnce({ dataDir, reach }: ImagesHold, source: ImageSource, tree: Oid): Promise<string> {
  const folder = join(imagesFolder(dataDir), tree);
  if (await isFolder(folder)) return folder;
  await mkdir(imagesFolder(dataDir), { recursive: true, mode: 0o755 });
  const temporary = `${folder}.${process.pid}.${Date.now().toString(36)}`;
  try {
    await source.materialize(tree, temporary);
    await rename(temporary, reach(folder));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (!(await isFolder(folder))) throw error;
  }
  return folder;
}

const isFolder = (path: string) =>
  stat(path).then(
    (seen) => seen.isDirectory(),
    () => false,
  );

function imagePath(name: string): string[] {
  const segments = name.split(/[/:]/);
  if (segments.every((segment) => /^[\w][\w.-]*$/.test(segment))) return segments;
  throw new Error(`image ${name} is no name of an image; write it like hello:8`);
}

async function readImageFile(folder: string, name: string): Promise<Omit<LocatedImage, 'folder'>> {
  let text: Buffer;
  try {
    text = await readFile(join(folder, 'image.yaml'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new Error(`image ${name} has no file image.yaml in ${folder}; add one like \`command: [node, server.js]\``);
  }
  // The parser is loaded by those alone whose images lie in a folder of the machine.
  const { parseImage } = await import('../../manifest/parse-image.ts');
  const { runs, diagnostics } = parseImage(text);
  if (runs !== undefined) return runs;
  const [{ at, path, message } = { at: [1, 1], path: '', message: 'cannot be read' }] = diagnostics;
  throw new Error(`image ${name}: image.yaml ${[`line ${at[0]}:`, path, message].filter(Boolean).join(' ')}`);
}
