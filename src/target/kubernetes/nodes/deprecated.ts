/** APIs that somebody still asks for and that a later version does not serve any more, as the API server counts them. PURE. */

export interface DeprecatedApi {
  /** `policy/v1beta1 podsecuritypolicies` */
  name: string;
  /** The first version that does not serve it; absent: none was named yet. */
  removedIn?: { text: string; major: number; minor: number };
}

const SAMPLE = /^apiserver_requested_deprecated_apis\{([^}]*)\} (\S+)/gm;

/**
 *   apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="",version="v1beta1"} 1
 */
export function deprecatedApis(metrics: string): DeprecatedApi[] {
  const found = new Map<string, DeprecatedApi>();
  for (const [, labels = '', value] of metrics.matchAll(SAMPLE)) {
    if (Number(value) === 0) continue;
    const of = Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, text]) => [name, text]));
    const { group, version, resource, subresource, removed_release: text = '' } = of;
    const name = `${group ? `${group}/` : ''}${version} ${resource}${subresource ? `/${subresource}` : ''}`;
    const [, major, minor] = /^(\d+)\.(\d+)/.exec(text) ?? [];
    found.set(name, {
      name,
      ...(minor !== undefined && { removedIn: { text, major: Number(major), minor: Number(minor) } }),
    });
  }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name));
}

/** Whether `version` does not serve it: `1.36.3` serves nothing that was removed in 1.36. */
export function isRemoved({ removedIn }: DeprecatedApi, version: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  if (removedIn === undefined || minor === undefined) return false;
  return Number(major) > removedIn.major || (Number(major) === removedIn.major && Number(minor) >= removedIn.minor);
}
