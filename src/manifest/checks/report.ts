import type { PathSegment } from '../diagnostic.ts';

export type Path = readonly PathSegment[];

/** Takes one thing that is wrong, at its place. */
export type Report = (path: Path, code: string, message: string, part?: 'key' | 'value') => void;
