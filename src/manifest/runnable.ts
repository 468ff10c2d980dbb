/** What a resource runs, made whole where it is needed. */
import { fromJsonText } from './json-text.ts';
import type { AnyRunnable, ReplicasResource, Resource, Runnable } from './resource.ts';

export function runnableOf(resource: ReplicasResource): Runnable;
export function runnableOf(resource: Resource): AnyRunnable;
export function runnableOf({ runnable }: Resource): AnyRunnable {
  return 'template' in runnable ? { ...runnable, template: fromJsonText(runnable.template) } : runnable;
}
