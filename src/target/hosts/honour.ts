/** What a fleet or a cluster asks for and its target cannot give it, whatever the machines are. PURE: validate and plan say it. */
import type { InstanceResource, InstanceSpec } from '../../manifest/resource.ts';
import type { NotHonoured } from '../local/honour.ts';

/** Paths start at `spec`. `onHosts`: its target has hosts that are there already; else it creates instances on this machine. */
export function notHonouredByInstances({ id, spec }: InstanceResource, onHosts: boolean): NotHonoured[] {
  return onHosts ? [...router(id, spec), ...processes(spec)] : interpreter(spec);
}

function router(id: string, spec: InstanceSpec): NotHonoured[] {
  const unwritten = `${id.slice(id.indexOf('/') + 1)}.localhost`;
  if (spec.kind !== 'Fleet' || spec.host === unwritten) return [];
  const message = `requests for ${spec.host} are not sent to hosts: they serve at their own addresses`;
  return [{ path: ['host'], result: 'warn', message, remedy: 'remove it; put loadBalancer into the target' }];
}

function processes(spec: InstanceSpec): NotHonoured[] {
  if (spec.kind !== 'Fleet' || spec.suspended.length === 0) return [];
  const message = 'nothing is created, removed or mended by itself on hosts, so there is nothing to hold';
  return [{ path: ['suspended'], result: 'warn', message, remedy: 'remove it' }];
}

/** A target that creates instances runs on Linux. */
function interpreter(spec: InstanceSpec): NotHonoured[] {
  const [script, path] =
    spec.kind === 'Fleet' ? [spec.script, ['script']] : [spec.upgrade.script, ['upgrade', 'script']];
  if (script?.interpreter !== 'bat') return [];
  const message = 'a local target needs Linux, which has no cmd.exe: a bat script hardly ever runs there';
  return [{ path: [...path, 'interpreter'], result: 'warn', message, remedy: 'write the script for sh' }];
}
