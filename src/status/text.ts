/** The text of a status file, and what is wrong with one that somebody else wrote. */
import { writeBlock } from './block.ts';
import type { StatusDocument } from './document.ts';

export const toText = (document: StatusDocument): string => writeBlock(document);

export class StatusFileError extends Error {
  readonly code = 'bad-status-file';
  readonly file: string;
  /** Into the document; empty: the file as a whole. */
  readonly path: string;

  constructor(file: string, path: string, problem: string) {
    const where = path === '' ? file : `${file} ${path}`;
    super(`${where}: ${problem}; restore the file from an earlier commit of the status branch`);
    this.file = file;
    this.path = path;
  }
}
