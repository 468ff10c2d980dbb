/** isomorphic-git, loaded when it is first needed: where there is a `git` program, most runs never do. */
export async function isomorphicGit(): Promise<typeof import('isomorphic-git')['default']> {
  return (await import('isomorphic-git')).default;
}
