/** One `git cat-file --batch` process, kept: started at the first read, started again when it died, ended by `close`. */
import type { Oid } from '../manifest/resource.ts';
import { openPipe, type PipedProcess } from '../process.ts';
import { GitError, redact } from './errors.ts';
import type { ObjectType, RawObject } from './object-format.ts';
import type { GitProgram } from './program.ts';

export interface CatFile {
  /** Undefined: the clone has no such object. */
  read(oid: Oid): Promise<RawObject | undefined>;
  close(): void;
}

interface Waiting {
  oid: Oid;
  done(object: RawObject | undefined): void;
  failed(error: Error): void;
}

interface Process {
  ask(waiting: Waiting): void;
  end(): void;
}

/** Reads in a row without a process that lives: then it is no accident. */
const MAX_STARTS = 3;

export function openCatFile(git: GitProgram): CatFile {
  let current: Process | undefined;
  return {
    async read(oid) {
      for (let start = 1; ; start++) {
        current ??= startProcess(git, (ended) => {
          if (current === ended) current = undefined;
        });
        const asked = current;
        try {
          return await new Promise((done, failed) => asked.ask({ oid, done, failed }));
        } catch (error) {
          if (start >= MAX_STARTS) throw error;
        }
      }
    },
    close() {
      current?.end();
      current = undefined;
    },
  };
}

function startProcess(git: GitProgram, ended: (process: Process) => void): Process {
  const child = openPipe([git.path, `--git-dir=${git.gitdir}`, 'cat-file', '--batch'], git.env);
  const queue: Waiting[] = [];
  let stderr = '';
  let flushing = false;
  let pending = '';
  const parser = answers((object) => {
    const waiting = queue.shift();
    waiting?.done(object);
    if (queue.length === 0) idle(child, true);
  });
  const process: Process = {
    ask(waiting) {
      idle(child, false);
      queue.push(waiting);
      pending += `${waiting.oid}\n`;
      if (flushing) return;
      flushing = true;
      setImmediate(() => {
        flushing = false;
        child.stdin.write(pending);
        pending = '';
      });
    },
    end() {
      child.stdin.end();
    },
  };
  const fail = (why: string) => {
    ended(process);
    const detail = redact(stderr).trim().split('\n').at(-1) || why;
    const error = new GitError('broken-clone', `${git.gitdir}: its objects cannot be read (${detail})`);
    for (const waiting of queue.splice(0)) waiting.failed(error);
  };
  child.stdout.on('data', parser);
  child.stderr.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-2000);
  });
  child.stdin.on('error', () => {});
  child.once('error', (error) => fail(error.message));
  child.once('close', () => fail('git cat-file ended'));
  return process;
}

/** A process that is asked nothing keeps no program alive. */
function idle(child: PipedProcess, yes: boolean): void {
  const handles = [child, child.stdin, child.stdout, child.stderr] as unknown as { ref(): void; unref(): void }[];
  for (const handle of handles) {
    if (yes) handle.unref?.();
    else handle.ref?.();
  }
}

/** Cuts `<oid> <type> <size>\n<content>\n` and `<oid> missing\n` out of what arrives in chunks. */
function answers(each: (object: RawObject | undefined) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let size = 0;
  let needed = 1;
  return (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size < needed) return;
    let buffer = chunks.length === 1 ? chunk : Buffer.concat(chunks, size);
    for (;;) {
      const newline = buffer.indexOf(10);
      if (newline < 0) {
        needed = buffer.length + 1;
        break;
      }
      const [, type, length] = buffer.toString('latin1', 0, newline).split(' ');
      if (length === undefined) {
        buffer = buffer.subarray(newline + 1);
        each(undefined);
        continue;
      }
      const end = newline + 1 + Number(length);
      if (buffer.length < end + 1) {
        needed = end + 1;
        break;
      }
      each({ type: type as ObjectType, content: Buffer.from(buffer.subarray(newline + 1, end)) });
      buffer = buffer.subarray(end + 1);
    }
    chunks = buffer.length === 0 ? [] : [buffer];
    size = buffer.length;
  };
}
