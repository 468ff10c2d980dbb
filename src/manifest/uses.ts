/** Who names what, backwards: the files that name a ConfigMap, an image or a script. */
import { empty, type MapEdit, type PersistentMap } from './persistent-map.ts';

/** What is named → the paths of the files that name it. */
export type Uses = PersistentMap<string, PersistentMap<string, true>>;

export const NO_USES: Uses = empty();

/** Edits each set of paths once, however many files come and go. */
export class UsesEdit {
  readonly #from: Uses;
  readonly #edits = new Map<string, MapEdit<string, true>>();

  constructor(from: Uses) {
    this.#from = from;
  }

  add(name: string, path: string): void {
    this.#edit(name).set(path, true);
  }

  remove(name: string, path: string): void {
    this.#edit(name).delete(path);
  }

  done(): Uses {
    const uses = this.#from.edit();
    for (const [name, edit] of this.#edits) {
      const paths = edit.done();
      if (paths.size > 0) uses.set(name, paths);
      else uses.delete(name);
    }
    return uses.done();
  }

  #edit(name: string): MapEdit<string, true> {
    const open = this.#edits.get(name);
    if (open !== undefined) return open;
    const edit = (this.#from.get(name) ?? empty<string, true>()).edit();
    this.#edits.set(name, edit);
    return edit;
  }
}
